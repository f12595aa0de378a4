# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of Python that are missing are asked for while the host is as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import actions
import pytest
from testinfra.host import Host

TOKEN = {"vaultwarden_admin_token": "bad-input-admin-token"}


@pytest.mark.parametrize("playbook", ["site", "upgrade"])
def test_a_controller_without_packages_changes_nothing(
    playbook: str, tmp_path: Path, snapshot: Callable[[], str]
) -> None:
    """The command names Ansible's own Python and all that is missing."""
    for module in ("websocket", "msgpack", "argon2"):
        (tmp_path / f"{module}.py").write_text("raise ImportError\n", encoding="utf-8")
    before = snapshot()
    done = subprocess.run(
        actions.command(playbook, **TOKEN),
        cwd=actions.PROJECT,
        env={**actions.environment(), "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout[-3000:]
    assert "-m pip install argon2-cffi msgpack websocket-client" in done.stdout
    assert "Nothing has been changed." in done.stdout
    assert snapshot() == before


@pytest.mark.parametrize("playbook", ["site", "upgrade"])
def test_a_host_that_proves_without_packages_is_left_alone(
    playbook: str, host: Host, snapshot: Callable[[], str]
) -> None:
    """Its own Python is asked, and named."""
    assert host.run("/usr/bin/python3 -c 'import websocket, msgpack'").rc != 0
    before = snapshot()
    done = actions.play(playbook, notifications_check_from="host", **TOKEN)
    assert done.returncode == 2, done.stdout[-3000:]
    assert "apt install python3-msgpack python3-websocket" in " ".join(done.stdout.split())
    assert snapshot() == before
