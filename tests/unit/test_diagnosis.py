# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnosis as a pure function: pairs of answers that were measured, and the code that names each."""

from __future__ import annotations

import dataclasses
import re
import typing as t

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis
from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import (
    Answer,
    Certificate,
    Observation,
    diagnose,
    verdict,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import parse_version, plan_layout

ALIVE = Answer(200, body="json")
REFUSED = Answer(401, body="json", app=True)
SECOND_PORT = Answer(401, body="empty")
LIVE = Answer(101, handshake=True)
LOST = Answer(404, body="html")
GUARDED = Answer(404, body="html", guarded=frozenset({"x-frame-options", "content-security-policy"}))
OWN = Answer(404, body="html", guarded=GUARDED.guarded, own_policy=True)
BAD_REQUEST = Answer(400, body="html")
DEAD = Answer(502, body="html")
CUT = Answer(101, closed_after_101=True)
SILENT = Answer(101)
START_PAGE = Answer(200, body="html")
GATE = Answer(302, body="html", location="https://login.example.com/")


def seen(version: str = "1.37.2", layout: str = "auto", **changes: t.Any) -> Observation:
    """A healthy observation of a version, with changes; an empty version is an unknown one."""
    plan = plan_layout(parse_version(version), layout) if version else None
    legacy = plan is not None and plan.layout == "legacy"
    values: dict[str, t.Any] = {
        "url": "https://vault.example.com",
        "secure": True,
        "base_path": "",
        "alive": ALIVE,
        "hub": SECOND_PORT if legacy else REFUSED,
        "anonymous_hub": LIVE if plan is None or plan.anonymous_hub else LOST,
        "hub_plain": GUARDED,
        "plan": plan,
        "layout_asked": layout,
        "version_served": version,
    }
    return Observation(**{**values, **changes})


def codes(observation: Observation) -> list[str]:
    return [finding.code for finding in diagnose(observation)]


@pytest.mark.parametrize(
    ("version", "layout"),
    [
        ("1.37.2", "auto"),
        ("1.37.2", "single_port"),
        ("1.31.0", "auto"),
        ("1.30.5", "auto"),
        ("1.30.5", "legacy"),
        ("1.29.0", "auto"),
        ("1.28.1", "auto"),
        ("1.28.1", "legacy"),
    ],
)
def test_a_right_set_up_has_no_finding_but_its_age(version: str, layout: str) -> None:
    """Which fails nothing."""
    findings = diagnose(seen(version, layout))
    assert [finding.code for finding in findings] == ([] if version == "1.37.2" else ["VW-V03"])
    assert verdict(findings) == "ok"


@pytest.mark.parametrize(
    ("version", "client"),
    [("1.28.1", "2026.7.0"), ("1.36.0", "2026.7.0"), ("1.37.0", "2026.8.0"), ("1.37.1", "2026.8.0"), ("1.37.2", "")],
)
def test_a_server_too_old_for_clients_is_named(version: str, client: str) -> None:
    """By what it says of itself: what the caller expects proves nothing."""
    found = [finding for finding in diagnose(seen(version)) if finding.code == "VW-V03"]
    assert [(f"from {client} on" in finding.symptom, finding.severity) for finding in found] == (
        [(True, "warning")] if client else []
    )
    assert "VW-V03" not in [finding.code for finding in diagnose(seen(version, version_served=""))]


def test_a_broken_channel_is_not_put_down_to_clients() -> None:
    """One thing at a time."""
    assert [finding.code for finding in diagnose(seen("1.36.0", hub=DEAD))] == ["VW-A01"]


PAIRS: list[tuple[str, dict[str, t.Any], list[str]]] = [
    # What a proxy does to the pair (hub, anonymous hub), with the server's own recorded answers behind it.
    ("1.37.2", {"hub": DEAD}, ["VW-A01"]),
    ("1.37.2", {"hub": Answer(503, body="html")}, ["VW-A01"]),
    ("1.37.2", {"hub": DEAD, "anonymous_hub": DEAD}, ["VW-A01"]),
    ("1.37.2", {"hub": DEAD, "anonymous_hub": LOST}, ["VW-A01", "VW-C01"]),
    ("1.37.2", {"hub": DEAD, "anonymous_hub": CUT}, ["VW-A01", "VW-B02"]),
    ("1.30.5", {"hub": DEAD}, ["VW-L01"]),
    ("1.28.1", {"hub": DEAD}, ["VW-L01"]),
    ("", {"hub": DEAD}, ["VW-A01", "VW-V01"]),
    ("1.28.1", {"hub": Answer(400, body="json")}, ["VW-A05"]),
    ("1.37.2", {"hub": OWN, "anonymous_hub": OWN}, ["VW-B01"]),
    ("1.37.2", {"hub": GUARDED, "anonymous_hub": GUARDED}, ["VW-B01"]),
    ("1.30.5", {"hub": GUARDED, "anonymous_hub": GUARDED}, ["VW-B01"]),
    ("1.37.2", {"hub": BAD_REQUEST, "anonymous_hub": BAD_REQUEST, "hub_plain": BAD_REQUEST}, ["VW-B01"]),
    ("1.37.2", {"hub": LOST, "anonymous_hub": LOST}, ["VW-A03"]),
    ("1.37.2", {"anonymous_hub": CUT}, ["VW-B02"]),
    ("1.37.2", {"anonymous_hub": LOST}, ["VW-C01"]),
    ("1.37.2", {"anonymous_hub": BAD_REQUEST}, ["VW-C01"]),
    ("1.37.2", {"anonymous_hub": DEAD}, ["VW-C01"]),
    ("1.30.5", {"anonymous_hub": SECOND_PORT}, ["VW-C01"]),
    ("1.37.2", {"hub": START_PAGE, "anonymous_hub": LOST, "hub_plain": START_PAGE}, ["VW-B08", "VW-B01"]),
    ("1.37.2", {"hub": GATE, "anonymous_hub": GATE}, ["VW-B22"]),
    ("1.37.2", {"hub": Answer(401, body="html", challenge=True)}, ["VW-B22"]),
    ("1.37.2", {"hub": SECOND_PORT}, ["VW-B22"]),
    ("1.37.2", {"hub": Answer(403, body="empty")}, ["VW-B22"]),
    ("1.37.2", {"hub": Answer(403, body="empty", server="istio-envoy")}, ["VW-B17"]),
    ("", {"alive": DEAD, "hub": DEAD, "anonymous_hub": DEAD, "hub_plain": DEAD}, ["VW-B28"]),
    ("", {"alive": LOST, "hub": LOST, "anonymous_hub": LOST}, ["VW-B26"]),
    ("", {"alive": START_PAGE, "hub": START_PAGE, "anonymous_hub": START_PAGE}, ["VW-B08"]),
    ("1.37.2", {"anonymous_hub": Answer(429, body="json", app=True)}, ["VW-D01"]),
    ("1.37.2", {"anonymous_hub": SILENT}, ["VW-W02"]),
    ("1.37.2", {"anonymous_hub": Answer(101, accept_ok=False)}, ["VW-W01"]),
    ("1.37.2", {"hub_session": LIVE}, []),
    ("1.37.2", {"hub_session": REFUSED}, ["VW-C04"]),
    ("1.28.1", {"hub_session": SECOND_PORT}, ["VW-C04"]),
    ("1.37.2", {"hub_session": CUT, "anonymous_hub": CUT}, ["VW-B02"]),
    ("1.30.5", {"hub": SECOND_PORT}, ["VW-L02", "VW-V03"]),
    ("1.37.2", {"version_expected": "1.30.5"}, ["VW-V02"]),
    ("", {}, ["VW-V01"]),
    # A limit in front, a CDN's own rule, and the server's own limit.
    ("1.37.2", {"hub": Answer(429, body="html")}, ["VW-D05"]),
    ("1.37.2", {"hub_session": Answer(414, body="html")}, ["VW-D05"]),
    ("1.37.2", {"hub": Answer(429, body="json", app=True)}, ["VW-D01"]),
    ("1.37.2", {"hub": Answer(502, body="html", server="cloudflare")}, ["VW-B21"]),
    ("1.37.2", {"hub": Answer(521, body="html", server="cloudflare")}, ["VW-B21"]),
    ("1.37.2", {"hub": Answer(521, body="html")}, ["VW-X00"]),
    # What an answer tells besides its status.
    ("1.37.2", {"anonymous_hub": dataclasses.replace(LIVE, guarded=frozenset({"x-frame-options"}))}, ["VW-B20"]),
    ("1.30.5", {"hub": dataclasses.replace(REFUSED, guarded=frozenset({"x-frame-options"}))}, ["VW-V03"]),
    ("1.37.2", {"base_path": "/a", "hub": dataclasses.replace(REFUSED, guarded=GUARDED.guarded)}, []),
    ("1.37.2", {"hub": dataclasses.replace(REFUSED, guarded=GUARDED.guarded, own_policy=True)}, []),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, certificate=Certificate(90, 13))}, ["VW-B33"]),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, certificate=Certificate(90, 15))}, []),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, certificate=Certificate(6, 3))}, []),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, certificate=Certificate(6, 1))}, ["VW-B33"]),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, skew=-16.0)}, ["VW-C06"]),
    ("1.37.2", {"alive": dataclasses.replace(ALIVE, skew=14.0)}, []),
    ("1.37.2", {"anonymous_hub": dataclasses.replace(LIVE, held=30.0, pings=1, cut=True)}, ["VW-C07"]),
    ("1.37.2", {"anonymous_hub": dataclasses.replace(LIVE, held=65.0, pings=4)}, []),
    ("1.37.2", {"anonymous_hub": dataclasses.replace(LIVE, held=65.0, pings=2)}, ["VW-C08"]),
    ("1.37.2", {"url": "http://vault.example.com", "secure": False}, ["VW-C18"]),
    ("1.37.2", {"url": "http://192.0.2.1:8080", "secure": False}, []),
    # Faults in layers.
    ("1.37.2", {"hub": DEAD, "alive": dataclasses.replace(ALIVE, skew=99.0)}, ["VW-A01", "VW-C06"]),
    ("1.37.2", {"hub": GATE, "anonymous_hub": CUT, "version_expected": "1.30.5"}, ["VW-B22", "VW-B02", "VW-V02"]),
    ("1.37.2", {"hub": DEAD, "anonymous_hub": Answer(418, body="other")}, ["VW-A01", "VW-X00"]),
    ("1.37.2", {"hub": Answer(418, body="other")}, ["VW-X00"]),
    ("1.37.2", {"hub": LIVE}, ["VW-X00"]),
    ("1.28.1", {"hub": LOST}, ["VW-X00"]),
]


@pytest.mark.parametrize(("version", "changes", "expected"), PAIRS)
def test_each_measured_pair_has_its_code(version: str, changes: dict[str, t.Any], expected: list[str]) -> None:
    assert codes(seen(version, **changes)) == expected


def test_two_faults_at_once_are_both_named_and_not_merged() -> None:
    findings = diagnose(seen("1.37.2", hub=DEAD, anonymous_hub=LOST))
    assert [finding.code for finding in findings] == ["VW-A01", "VW-C01"]
    assert findings[0].symptom.startswith("/notifications/hub answered 502 with a page while /alive answered 200")
    assert findings[1].symptom.startswith("/notifications/anonymous-hub answered 404 with a page")


def test_one_fault_of_both_hubs_is_one_finding() -> None:
    (finding,) = diagnose(seen("1.37.2", hub=GATE, anonymous_hub=GATE))
    assert "/notifications/hub and /notifications/anonymous-hub answered 302 to https://login.example.com/" in (
        finding.symptom
    )


def test_a_missing_upgrade_and_a_switched_off_channel_are_told_apart_only_with_evidence() -> None:
    """The server leaves its security headers off answers to upgrades; where both carry them nobody can tell."""
    (unclear,) = diagnose(seen("1.37.2", hub=GUARDED, anonymous_hub=GUARDED))
    assert "VW-B01" in unclear.cause and "VW-A03" in unclear.cause
    (lost,) = diagnose(seen("1.37.2", hub=OWN, anonymous_hub=OWN))
    assert (lost.code, "VW-A03" in lost.sentence()) == ("VW-B01", False)
    (off,) = diagnose(seen("1.37.2", hub=LOST, anonymous_hub=LOST))
    assert (off.code, "ENABLE_WEBSOCKET" in off.fix) == ("VW-A03", True)


@pytest.mark.parametrize(
    ("asked", "hub", "severity"),
    [
        ("auto", SECOND_PORT, "warning"),
        ("single_port", SECOND_PORT, "error"),
        ("legacy", REFUSED, "error"),
        ("legacy", SECOND_PORT, None),
        ("single_port", REFUSED, None),
    ],
)
def test_a_release_with_both_layouts_is_held_to_the_one_asked_for(
    asked: str, hub: Answer, severity: str | None
) -> None:
    findings = [finding for finding in diagnose(seen("1.30.5", asked, hub=hub)) if finding.code != "VW-V03"]
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


def test_warnings_do_not_fail_and_come_last() -> None:
    findings = diagnose(seen("", hub=DEAD))
    assert [finding.severity for finding in findings] == ["error", "warning"]
    assert verdict(findings) == "failed"
    assert verdict(findings[1:]) == "ok"


def test_an_unknown_symptom_is_shown_as_it_is() -> None:
    odd = Answer(418, body="other", server="kettle", excerpt="short and stout")
    (finding,) = diagnose(seen("1.37.2", hub=odd))
    assert finding.code == "VW-X00"
    assert "/notifications/hub answered 418 with a text, from kettle, beginning 'short and stout'" in finding.symptom


@pytest.mark.parametrize("fault", sorted(_diagnosis._FAULT_TEXTS))
def test_every_way_a_connection_fails_has_a_code(fault: t.Any) -> None:
    broken = Answer(fault=fault, error="what the system said")
    findings = diagnose(seen("", alive=broken, hub=broken, anonymous_hub=broken, hub_plain=broken), "192.0.2.1", 443)
    assert len(findings) == 1
    assert re.fullmatch(r"VW-(T\d\d|B16)", findings[0].code)


def test_a_base_path_is_part_of_every_path_that_is_named() -> None:
    (finding,) = diagnose(seen("1.37.2", base_path="/vault", anonymous_hub=LOST))
    assert "/vault/notifications/anonymous-hub" in finding.symptom
    assert "one rule for /vault/ that passes" in finding.fix


@pytest.mark.parametrize("name", sorted(_diagnosis._TEXTS))
def test_every_text_is_complete(name: str) -> None:
    """Full sentences, no placeholder left, and one code for one severity."""
    observation = seen("1.37.2", version_expected="1.30.5")
    names = _diagnosis._names(observation, "192.0.2.1", 443)
    finding = _diagnosis._finding(name, ["hub"], observation, names)
    assert re.fullmatch(r"VW-[A-Z]\d\d", finding.code)
    for text in (finding.symptom, finding.cause, finding.fix):
        assert text.endswith(".") and "{" not in text and "  " not in text, text
        assert text[0].isupper() or text.startswith("/"), text


def test_every_text_is_used_by_a_rule() -> None:
    used = {rule.text for rules in _diagnosis._RULES.values() for rule in rules} - {""}
    used |= set(_diagnosis._FAULT_TEXTS.values()) | {"L02", "L03", "V01", "V02", "V03", "X00"} | set(_diagnosis._TRAITS)
    assert used == set(_diagnosis._TEXTS)
