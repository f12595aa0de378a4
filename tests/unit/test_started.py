# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose engine was stopped while it was checked: the server that is found then is not replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "roles" / "vaultwarden" / "tasks"

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vaultwire.stack.vaultwarden, tasks_from: started}
"""
ENGINE = """#!/bin/sh
case "$1 $2" in
  "version "*) echo "28.5.0 1.24" ;;
  "info "*) echo '{"LoggingDriver": "json-file", "MemTotal": 1}' ;;
  "container inspect") test -s "$0.json" && cat "$0.json" || { echo "No such container" >&2; exit 1; } ;;
esac
"""


def run(folder: Path, labels: dict[str, str] | None, *, running: bool = False) -> subprocess.CompletedProcess[str]:
    """The tasks on a host that was seen with an engine, and has a container with these labels now."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("docker", "dockerd"):
        (programs / name).write_text(ENGINE, encoding="utf-8")
        (programs / name).chmod(0o755)
    if labels is not None:
        found = {"Config": {"Image": "vaultwarden/server:1.34.1", "Labels": labels}, "State": {"Status": "running"}}
        (programs / "docker.json").write_text(json.dumps([found]), encoding="utf-8")
    seen = {"engine": {"installed": True, "running": running}, "container": {"exists": False}}
    variables = {
        "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "vaultwarden_host_info": seen,
        "vaultwarden_version": "1.35.0", "vaultwarden_domain": "https://vault.example.com",
    }  # fmt: skip
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    return subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "play.yml", "-e", json.dumps(variables)],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
             "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def labels(version: str, layout: str = "single_port", **more: str) -> dict[str, str]:
    """Those of a container of the role."""
    return {"org.opencontainers.image.version": version, "org.vaultwire.layout": layout, **more}


@pytest.mark.parametrize(
    "found",
    [labels("1.34.1"), labels("1.36.0"), labels("1.35.0", ""),
     labels("1.35.0", **{"com.docker.swarm.service.name": "vault"})],
    ids=["older", "newer", "made by hand", "of a service"],
)  # fmt: skip
def test_a_server_that_was_not_judged_is_not_replaced(found: dict[str, str], tmp_path: Path) -> None:
    """A deployment would migrate or spoil its data without a copy."""
    done = run(tmp_path, found)
    assert done.returncode == 2 and "must not replace. Run again" in " ".join(done.stdout.split()), done.stdout


@pytest.mark.parametrize(("found", "running"), [(None, False), (labels("1.35.0"), False), (labels("1.34.1"), True)])
def test_what_is_right_or_was_judged_goes_on(found: dict[str, str] | None, running: bool, tmp_path: Path) -> None:
    """A host without the server, one that has the wanted one, and one whose engine answered before."""
    done = run(tmp_path, found, running=running)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["deploy", "upgrade"])
def test_it_is_asked_before_anything_is_written(name: str) -> None:
    """In both ways to a server."""
    used = [str(next(iter(v for k, v in task.items() if k.endswith("_tasks"))))
            for task in yaml.safe_load((TASKS / f"{name}.yml").read_text(encoding="utf-8"))]  # fmt: skip
    assert used.index("started.yml") < used.index("prepare.yml")
