# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the playbooks, and a second host of which nobody knows anything."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from actions import PROJECT, run_playbook, snapshot
from testinfra.host import Host
from vault import Vault

__all__ = ["run_playbook", "snapshot"]

NAME, NUMBER = "vw-bans-stranger", "142"


class Stranger:
    """A host that knocks at the vault."""

    def __init__(self, vault: Vault) -> None:
        self.address = re.sub(r"\d+$", NUMBER, vault.address)
        self._vault = vault
        self._host = Host.get_host(f"docker://{NAME}")

    def ask(self, path: str, *options: str, times: int = 1) -> list[str]:
        """Requests below the vault's address, one after the other; the status of each, 000 where nobody answered."""
        url, target = self._vault.url + path, f"{self._vault.host}:443:{self._vault.address}"
        arguments = ["--insecure", "--silent", "--max-time", "5", "--resolve", target, "--write-out", "%{http_code}\\n"]
        words = [*arguments, *options, url]
        loop = f"for i in $(seq {times}); do curl -o /dev/null {' '.join(['%s'] * len(words))}; done"
        done = self._host.run(loop, *words)
        return done.stdout.split()

    def reaches(self, port: int) -> bool:
        """Whether a connection comes about."""
        return self._host.run("timeout 5 bash -c 'exec 3<> /dev/tcp/%s/%s'", self._vault.address, str(port)).rc == 0


@pytest.fixture(scope="session")
def stranger(vault: Vault) -> Iterator[Stranger]:
    """The second host, as long as the tests run."""
    address = re.sub(r"\d+$", NUMBER, vault.address)
    lab = ["python3", "-m", "lab"]
    subprocess.run([*lab, "up", "--replace", f"{NAME}={address}@bare-bookworm"], cwd=PROJECT, check=True)
    yield Stranger(vault)
    subprocess.run([*lab, "down", NAME], cwd=PROJECT, check=True)
