# SPDX-License-Identifier: GPL-3.0-or-later
"""Run playbooks of this collection against hosts of the lab, for the demo, the benchmark and the soak."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# The client of the tests, which knows nothing of the collection's own modules.
sys.path.insert(0, str(ROOT / "molecule" / "testinfra"))
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


class Run(NamedTuple):
    """What came of a play on one host."""

    ok: bool
    changed: int
    seconds: float
    output: str


def lab(*arguments: str) -> None:
    """A command of the lab, its progress shown."""
    subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=ROOT, check=True)


def lab_facts() -> dict[str, Any]:
    """What the lab says of itself."""
    return dict(json.loads((ROOT / "build" / "lab" / "lab.json").read_text(encoding="utf-8")))


def write_inventory(path: Path, host: str, address: str, settings: dict[str, Any]) -> None:
    """An inventory of one lab host with the settings of its vault."""
    facts = lab_facts()
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    variables = {
        "ansible_host": address,
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": facts["ssh_key"],
        "ansible_ssh_common_args": options,
        "notifications_check_connect_to": address,
        **settings,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"vaultwarden": {"hosts": {host: variables}}}, indent=2), encoding="utf-8")


def address_of(number: int) -> str:
    """The address in the lab's network that ends in a number."""
    return re.sub(r"\d+/\d+$", str(number), str(lab_facts()["subnet"]))


def play(playbook: str, inventory: Path, *arguments: str) -> Run:
    """Run a playbook of this repository; its output is returned, not shown."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begin
    output = done.stdout + done.stderr
    recap = RECAP.search(output)
    changed = int(recap.group(3)) if recap else -1
    return Run(done.returncode == 0, changed, round(seconds, 1), output)
