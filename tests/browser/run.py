# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests of real clients in a network namespace that has loopback only, so nothing can leave the machine.

Usage: python3 -m tests.browser.run [arguments of pytest]

Port 443 is free in there, the file of hosts is private, and whatever was started ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import install

HOST = "vault.test"
#: Set inside the namespace; without it the tests refuse to run.
INSIDE = "VAULTWIRE_CLIENTS_INSIDE"


def enter(arguments: list[str]) -> int:
    """Start this module again in its own namespaces; those of a user too where this is not root."""
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    namespaces = ["unshare", *mapped, "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*namespaces, sys.executable, "-m", "tests.browser.run", *arguments]
    environment = {**os.environ, "PATH": install.PATH, INSIDE: "yes"}
    return subprocess.run(command, cwd=install.ROOT, env=environment, check=False).returncode


def inside(arguments: list[str]) -> int:
    """Raise loopback, give the vault's name to it for this namespace only, and run pytest."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="vaultwire-clients-") as folder:
        hosts = Path(folder, "hosts")
        hosts.write_text(f"127.0.0.1 localhost {HOST}\n", encoding="ascii")
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
        command = [sys.executable, "-m", "pytest", str(install.HERE), f"--basetemp={folder}/pytest", *arguments]
        return subprocess.run(command, cwd=install.ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    """Outside prepare and enter; inside test."""
    if os.environ.get(INSIDE):
        return inside(arguments)
    return install.main() or enter(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
