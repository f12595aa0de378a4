# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of mobile apps, which use push and not the hub: as much as is known, and nothing more."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.filter.vault import push_state
from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import audience


def vault(environment: dict[str, str], *saved: str, broken: bool = False) -> dict[str, Any]:
    """One vault as deployment_info describes it."""
    return {"environment": environment, "config_json": {"broken": broken, "names": list(saved)}}


ON, OFF = {"PUSH_ENABLED": "TRUE"}, {"PUSH_ENABLED": "false"}


@pytest.mark.parametrize(
    ("vaults", "settings", "expected"),
    [
        ([vault(ON)], ("unknown", {}), "configured"),
        ([vault(OFF)], ("us", {}), "none"),
        ([vault({})], ("unknown", {}), "none"),
        ([vault(ON), vault(ON)], ("unknown", {}), "configured"),
        ([vault(ON), vault(OFF)], ("unknown", {}), "unknown"),
        ([vault(OFF, "PUSH_ENABLED")], ("unknown", {}), "unknown"),
        ([vault(ON, broken=True)], ("unknown", {}), "unknown"),
        ([], ("unknown", {}), "unknown"),
        ([], ("", {}), "none"),
        ([], ("eu", {}), "configured"),
        ([], ("", {"PUSH_ENABLED": True}), "configured"),
        ([], ("", {"PUSH_ENABLED": False}), "none"),
    ],
)
def test_push_is_known_from_the_host_else_from_the_settings(
    vaults: list[dict[str, Any]], settings: tuple[str, dict[str, Any]], expected: str
) -> None:
    """Several vaults that differ, or a value that the admin page saved, are no answer."""
    assert push_state({"vaults": vaults}, *settings) == expected
    if not vaults:
        assert push_state({}, *settings) == expected


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("push", "words"),
    [
        ("configured", "which this server has configured; no part of this check asks for it."),
        ("none", "which this server has not configured: they see changes when they sync."),
        ("unknown", "and whether this server has it configured is not known here."),
    ],
)
def test_one_line_tells_who_is_live_and_who_depends_on_push(push: str, words: str, live: bool) -> None:
    """Only what was proved is called live, and push never is."""
    browsers, mobile, rest = audience(push, live).partition(" Mobile apps use push instead, ")
    assert browsers == f"Browsers and desktop programs {'are live' if live else 'use this channel'}."
    assert mobile + rest == f" Mobile apps use push instead, {words}"
    assert "live" not in rest
