# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of tests/bad_input.yml, given to site.yml as the variables of one more name for the same host."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from actions import PROJECT, SCENARIO
from testinfra.host import Host

SECRET = "Nl9xQ-not-to-be-shown"
LONG = "a" * 10_240


class _Unsafe(str):
    """A text of the table, which must not be taken for a template."""


yaml.SafeDumper.add_representer(_Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def filled(value: Any) -> Any:
    """A value of the table with its placeholders replaced."""
    if isinstance(value, dict):
        return {name: filled(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [filled(entry) for entry in value]
    return _Unsafe(value.replace("${LONG}", LONG).replace("${SECRET}", SECRET)) if isinstance(value, str) else value


def full(name: str) -> str:
    """The variable that a name of the table stands for."""
    return name if name.startswith("reverse_proxy_") else f"vaultwarden_{name}"


def aliases(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A name for the host per row, with the host's own variables under those of the row."""
    own = yaml.safe_load((SCENARIO / "inventory" / "hosts.yml").read_text(encoding="utf-8"))
    base = own["vaultwarden"]["hosts"]["vw-bad-input"]
    return {
        f"row-{number}": {**base, **{full(name): filled(value) for name, value in row["set"].items()}}
        for number, row in enumerate(rows)
    }


def failures(output: str) -> dict[str, str]:
    """Name -> what the task said that failed there, from the output as JSON."""
    document = json.loads(output[output.index("{\n") :])
    return {
        name: str(result.get("msg"))
        for play in document["plays"]
        for task in play["tasks"]
        for name, result in task["hosts"].items()
        if result.get("failed")
    }


@pytest.fixture
def made(host: Host) -> Iterator[Callable[[str], None]]:
    """Make what a row needs on the host; it is gone after the test."""
    host.check_output("mkdir /srv/made")
    yield host.check_output
    host.check_output("rm -rf /srv/made")


def test_the_playbook_refuses_every_row(
    tmp_path: Path, made: Callable[[str], None], snapshot: Callable[[], str]
) -> None:
    """By name of the variable, without a secret, and with the host as it was."""
    rows = yaml.safe_load((PROJECT / "tests" / "bad_input.yml").read_text(encoding="utf-8"))
    inventory = tmp_path / "rows.yml"
    hosts = {"vaultwarden": {"hosts": aliases(rows)}}
    inventory.write_text(yaml.safe_dump(hosts, allow_unicode=True), encoding="utf-8")
    for line in (row["make"] for row in rows if "make" in row):
        made(line)
    before = snapshot()
    done = subprocess.run(
        [
            "ansible-playbook", "--diff", "--forks=10", f"--inventory={inventory}",
            f"--inventory={PROJECT / 'molecule/shared/inventory'}", "playbooks/site.yml",
        ],
        cwd=PROJECT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    said = failures(done.stdout)
    silent = {
        str(row["set"])[:100]: said.get(f"row-{number}", "not refused")[:300]
        for number, row in enumerate(rows)
        if not (
            all(text in " ".join(said.get(f"row-{number}", "").split()) for text in row["says"])
            if "make" in row
            else any(
                name in said.get(f"row-{number}", "") for name in (row["says"][0], *(full(name) for name in row["set"]))
            )
        )
    }
    assert silent == {}
    assert SECRET not in done.stdout + done.stderr
    assert snapshot() == before
