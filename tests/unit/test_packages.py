# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of Python that the controller, or a host that proves, lacks: named before anything changes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from ansible_collections.vaultwire.stack.plugins.module_utils import _packages
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check

ROOT = Path(__file__).parents[2]
DEFAULTS = {name: spec.get("default") for name, spec in _check.SETTINGS.items()}


@pytest.fixture
def without(tmp_path: Path) -> Any:
    """A folder for PYTHONPATH in which these packages cannot be imported."""

    def make(*modules: str) -> Path:
        for module in modules:
            (tmp_path / f"{module}.py").write_text(f"raise ImportError({module!r})\n", encoding="utf-8")
        return tmp_path

    return make


def test_they_are_what_the_requirements_bring() -> None:
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    assert {Requirement(line).name for line in lines if line[:1].isalpha()} >= set(_packages.PACKAGES)
    assert {*_packages.LIVE_UPDATE, *_packages.ADMIN_TOKEN_HASH} == set(_packages.PACKAGES)


def test_nothing_is_missing_here() -> None:
    assert _packages.missing(_packages.PACKAGES) == []
    assert _packages.problem("It", []) == ""


def test_one_command_brings_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what the first sentence does not need."""
    for module in ("argon2", "websocket"):
        monkeypatch.setitem(sys.modules, module, None)
    said = _packages.problem("It", _packages.missing(_packages.LIVE_UPDATE))
    assert "needs the Python packages websocket-client on" in said
    assert f"{sys.executable} -m pip install argon2-cffi websocket-client;" in said
    assert "apt install python3-argon2 python3-websocket." in said
    assert "apt install python3-websocket." in _packages.problem("It", ["websocket-client"], "this host")


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"signup": True}, True),
        ({"signup": True, "from": "host"}, False),
        ({"signup": True, "live_update": "never"}, False),
        ({}, False),
    ],
)
def test_they_are_asked_for_where_a_live_update_is_wanted(
    changes: dict[str, Any], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    assert bool(_check.problems({**DEFAULTS, **changes})) is asked


@pytest.mark.parametrize("playbook", ["site", "upgrade", "restore", "verify", "split"])
def test_the_playbook_stops_before_it_asks_a_host(playbook: str, tmp_path: Path, without: Any) -> None:
    """The host does not exist, so a run that came to it would end as unreachable."""
    host = {"ansible_host": "127.0.0.1", "ansible_port": 9, "vaultwarden_domain": "https://vault.example.com",
            "vaultwarden_admin_token": "a-token", "vaultwarden_admin_token_hash": True,
            "vaultwarden_bind_address": "192.0.2.10"}  # fmt: skip
    inventory = tmp_path / "hosts.json"
    inventory.write_text(
        json.dumps({"vaultwarden": {"children": {"vault_proxy": {"hosts": {"one": host}}}}}), encoding="utf-8"
    )
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, f"playbooks/{playbook}.yml", "-e", "vaultwire_look=false"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(without("websocket", "msgpack")), "ANSIBLE_NOCOLOR": "1",
             "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    # The same environment, which has several names for its Python.
    command = rf"{re.escape(str(Path(sys.executable).parent))}/python[0-9.]* -m pip install msgpack websocket-client"
    assert re.search(command, done.stdout)
    assert "unreachable=0" in done.stdout and "changed=0" in done.stdout
