# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of backups share: playbooks, the timer's unit and archives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import actions
from items import items_of
from testinfra.host import Host
from vault import Account, Session, Vault

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
ARCHIVES = "/var/backups/vaultwarden"

Playbook = Callable[..., subprocess.CompletedProcess[str]]


def play(name: str, limit: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook on one host, the spare ones among them, with further variables."""
    return actions.play(name, f"--limit={limit}", *arguments, inventories=[actions.SCENARIO / "spare"], **variables)


def archives(host: Host, vault: Vault) -> list[str]:
    """The archives on the host, oldest first."""
    found = host.run(f"ls -1 {ARCHIVES}/{vault.container}-*.tar")
    return found.stdout.split() if found.rc == 0 else []


def data_dir(vault: Vault) -> str:
    """Where the data is."""
    return str(vault.settings.get("vaultwarden_data_dir", "/var/lib/vaultwarden"))


def fire(host: Host, vault: Vault) -> str:
    """Run the timer's unit, as the timer would; return the new archive's path."""
    before = archives(host, vault)
    done = host.run("systemctl start vaultwire-backup-%s.service", vault.container)
    assert done.rc == 0, host.run("journalctl --no-pager -n 20 -u vaultwire-backup-%s", vault.container).stdout
    new = [path for path in archives(host, vault) if path not in before]
    assert len(new) == 1
    return new[0]


def items(vault: Vault, account: Account) -> set[str]:
    """Identifiers of the account's items, as a fresh session sees them."""
    return items_of(Session(vault, account))
