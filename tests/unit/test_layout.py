# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout model over every release from 1.20 to 1.37.2, and over what people type instead of a release."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.filter.vault import other_release_advice
from ansible_collections.vaultwire.stack.plugins.module_utils import _layout as layout
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutError, Version

#: Last patch release of every published minor release.
LAST_PATCH = {
    20: 0, 21: 0, 22: 2, 23: 1, 24: 0, 25: 2, 26: 0, 27: 0, 28: 1, 29: 2, 30: 5, 31: 0, 32: 7, 33: 2, 34: 3, 35: 8,
    36: 0, 37: 2,
}  # fmt: skip
RELEASES = [f"1.{minor}.{patch}" for minor, last in LAST_PATCH.items() for patch in range(last + 1)]
#: Layouts of each era.
POSSIBLE = {"legacy": ("legacy",), "bridge": ("legacy", "single_port"), "single_port": ("single_port",)}
DIGEST = "sha256:" + "0123456789abcdef" * 4


def expected_era(version: str) -> str:
    """The era by the minor release alone, written independently of the model."""
    minor = int(version.split(".")[1])
    return "legacy" if minor < 29 else "bridge" if minor < 31 else "single_port"


@pytest.mark.parametrize("version", RELEASES)
def test_every_release_has_its_era_and_its_best_layout(version: str) -> None:
    """Below 1.29 two ports, from there on one."""
    plan = layout.plan_layout(layout.parse_version(version))
    assert plan.era == expected_era(version)
    assert plan.layout == ("legacy" if plan.era == "legacy" else "single_port")


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("wanted", ["legacy", "single_port"])
def test_a_layout_is_planned_or_refused_by_name(version: str, wanted: str) -> None:
    """What cannot work is refused with the release, the variable and a remedy in the message."""
    if wanted in POSSIBLE[expected_era(version)]:
        assert layout.plan_layout(layout.parse_version(version), wanted).layout == wanted
        return
    with pytest.raises(LayoutError, match="vaultwarden_layout") as failure:
        layout.plan_layout(layout.parse_version(version), wanted)
    assert version in str(failure.value)


@pytest.mark.parametrize(("version", "base"), list(itertools.product(RELEASES, ["", "/vault"])))
def test_ports_environment_and_routes_agree(version: str, base: str) -> None:
    """The second port exists in all three places or in none, and the rule for everything comes last."""
    for wanted in POSSIBLE[expected_era(version)]:
        plan = layout.plan_layout(layout.parse_version(version), wanted, http_port=8081, base_path=base)
        second = wanted == "legacy"
        assert ("websocket" in plan.container_ports) is second
        assert ("WEBSOCKET_ENABLED" in plan.environment) is second
        assert any(route.upstream == "websocket" for route in plan.routes) is second
        assert "3012" in str(plan.environment) or not second
        assert "3012" not in str(plan) or second
        assert plan.routes[-1] == layout.Route("prefix", f"{base}/", "http")


def test_the_legacy_route_is_exactly_the_hub() -> None:
    """Negotiate and the anonymous hub are served on the HTTP port in every era."""
    plan = layout.plan_layout(Version(1, 28, 1), base_path="/vault")
    assert plan.routes[0] == layout.Route("exact", "/vault/notifications/hub", "websocket")
    assert len(plan.routes) == 2


@pytest.mark.parametrize(
    ("version", "anonymous", "trusted"),
    [
        ("1.28.1", False, False),
        ("1.29.1", False, False),
        ("1.29.2", True, False),
        ("1.36.0", True, False),
        ("1.37.0", True, True),
    ],
)
def test_abilities_begin_with_their_release(version: str, anonymous: bool, trusted: bool) -> None:
    """The first release with each ability, and the one before."""
    plan = layout.plan_layout(layout.parse_version(version))
    assert (plan.anonymous_hub, plan.trusted_proxies) == (anonymous, trusted)


def test_the_live_channel_switch_of_each_era() -> None:
    """A name the release does not know would be ignored without a word."""
    assert layout.plan_layout(Version(1, 28, 1)).environment["WEBSOCKET_ENABLED"] == "true"
    assert layout.plan_layout(Version(1, 30, 5)).environment == {}
    assert layout.plan_layout(Version(1, 31, 0)).environment == {"ENABLE_WEBSOCKET": "true"}


@pytest.mark.parametrize(
    ("text", "tag", "reference"),
    [
        ("1.37.2", "1.37.2", "1.37.2"),
        ("v1.37.2", "1.37.2", "1.37.2"),
        ("1.30.5-alpine", "1.30.5-alpine", "1.30.5-alpine"),
        (f"1.37.2@{DIGEST}", "1.37.2", f"1.37.2@{DIGEST}"),
        (f"v1.37.2-alpine@{DIGEST}", "1.37.2-alpine", f"1.37.2-alpine@{DIGEST}"),
    ],
)
def test_versions_as_people_write_them(text: str, tag: str, reference: str) -> None:
    """A leading v is no part of a published tag."""
    parsed = layout.parse_image_version(text)
    assert (parsed.tag, parsed.reference) == (tag, reference)
    assert parsed.version is not None


@pytest.mark.parametrize("text", ["latest", "testing", "alpine", "latest-alpine", "testing-alpine"])
def test_moving_tags_are_refused_unless_wanted(text: str) -> None:
    """The message names the switch; with it, the release stays open."""
    with pytest.raises(LayoutError, match="vaultwarden_allow_floating_tag"):
        layout.parse_image_version(text)
    assert layout.parse_image_version(text, allow_floating=True).version is None
    with pytest.raises(LayoutError, match="release number"):
        layout.parse_version(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "1.37", "1.37.2 ", " 1.37.2", "1.37.2.1", "vv1.37.2", "stable", "1.37.x", "1.37.2-", "1.37.2\n",
     "1.37.2@sha256:12", "1.37.2@md5:" + "0" * 32, "1.37.2-Alpine", "\uff11.37.2", "${VERSION}", "1.37.2;id"],
)  # fmt: skip
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(LayoutError, match=r"1\.37\.2|sha256"):
        layout.parse_image_version(text)


@pytest.mark.parametrize("value", [1.37, 1, None, True, ["1.37.2"]])
def test_a_number_is_refused_with_the_reason(value: object) -> None:
    """YAML reads 1.30 as a number and loses the zero."""
    with pytest.raises(LayoutError, match="quotes"):
        layout.parse_image_version(value)  # type: ignore[arg-type]


def test_releases_nobody_tests_are_refused() -> None:
    """Older than the oldest that was looked at."""
    with pytest.raises(LayoutError, match="older"):
        layout.parse_version("1.19.0")


@pytest.mark.parametrize("port", [0, -1, 65536, "http", "", None, 80.5, True])
def test_ports_out_of_range_name_their_variable(port: object) -> None:
    """Nothing is published on a port that does not exist."""
    with pytest.raises(LayoutError, match="vaultwarden_container_port"):
        layout.plan_layout(Version(1, 37, 2), http_port=port)


@pytest.mark.parametrize(
    ("version", "changes", "variable"),
    [
        ("1.37", {}, "vaultwarden_version"),
        ("latest", {}, "vaultwarden_version"),
        ("1.19.0", {}, "vaultwarden_version"),
        ("1.37.2", {"layout": "both"}, "vaultwarden_layout"),
        ("1.37.2", {"layout": "legacy"}, "vaultwarden_layout"),
        ("1.37.2", {"http_port": "x"}, "vaultwarden_container_port"),
        ("1.28.1", {"websocket_port": 0}, "vaultwarden_websocket_port"),
        ("1.28.1", {"websocket_port": 8080}, "vaultwarden_websocket_port"),
    ],
)
def test_an_error_carries_the_variable_to_change(version: str, changes: dict[str, Any], variable: str) -> None:
    """Callers go by it, and not by words of the text."""
    with pytest.raises(LayoutError) as failure:
        layout.plan_layout(layout.parse_version(version), **changes)
    assert failure.value.variable == variable


def test_the_two_ports_of_the_legacy_layout_differ() -> None:
    """A changed WebSocket port must not be the HTTP port."""
    with pytest.raises(LayoutError, match="both 8080"):
        layout.plan_layout(Version(1, 28, 1), http_port=8080, websocket_port="8080")
    assert layout.plan_layout(Version(1, 28, 1), websocket_port=4012).environment["WEBSOCKET_PORT"] == "4012"


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("1.28.1", "1.37.2", None),
        ("1.37.2", "1.37.2", None),
        ("1.37.2", "1.37.1", "restore"),
        ("1.30.5", "1.28.1", "restore"),
        ("", "1.37.2", "cannot be told"),
    ],
)
def test_an_upgrade_goes_forward_from_a_known_release(source: str, target: str, words: str | None) -> None:
    """Backwards there is only a backup, and from nowhere there is nothing to compare."""
    problem = layout.upgrade_problem(source, layout.parse_version(target))
    assert (problem is None) if words is None else (problem is not None and words in problem)


def test_releases_too_old_for_clients_are_known() -> None:
    """With the client that asks for more, and the release that is new enough for all that are known."""
    assert [layout.first_client_beyond(Version(1, 37, patch)) for patch in (0, 1, 2)] == ["2026.8.0", "2026.8.0", ""]
    assert "from 2026.7.0 on" in layout.client_fault(Version(1, 36, 0))
    assert "choose 1.37.2 or newer" in layout.client_fault(Version(1, 36, 0))
    assert layout.client_fault(Version(1, 37, 2)) == layout.client_fault(Version(1, 38, 0)) == ""
    assert layout.warnings_of(Version(1, 37, 2)) == []
    assert len(layout.warnings_of(Version(1, 37, 0))) == 2


def test_releases_with_a_fault_are_known() -> None:
    """A warning with its reason; none for the others."""
    assert "web vault" in layout.known_fault(Version(1, 37, 0))
    assert layout.known_fault(Version(1, 37, 2)) == ""


def test_a_release_that_runs_already_is_to_be_written_down() -> None:
    """The way to upgrade.yml would end at the same advice, one run later."""
    newer = layout.other_release_advice("1.37.2", layout.parse_version("1.30.5"), "your inventory, /srv/inventory")
    assert 'Set vaultwarden_version to "1.37.2" in your inventory, /srv/inventory' in newer
    assert "upgrade.yml" not in newer
    older = layout.other_release_advice("1.30.5", layout.parse_version("1.37.2"), "your inventory")
    assert "playbooks/upgrade.yml" in older and "Set vaultwarden_version" not in older


@pytest.mark.parametrize(("source", "target"), [("", "1.37.2"), ("1.37.2", ""), ("", "")])
def test_where_no_release_is_known_there_is_no_advice(source: str, target: str) -> None:
    """On a fresh host, and for a moving tag: the message of an assertion that holds is templated all the same."""
    assert other_release_advice(source, target, "/srv/inventory") == ""
