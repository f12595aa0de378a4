# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures to back up and restore."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from backups import Playbook, play
from items import Writer, writing
from vault import Account, Session, Vault


@pytest.fixture(scope="session")
def run_playbook(vault: Vault) -> Playbook:
    """Run a playbook on this host alone."""

    def run(name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return play(name, vault.name, *arguments, **variables)

    return run


@pytest.fixture
def writer(vault: Vault, account: Account) -> Iterator[Writer]:
    """A client that writes while the test runs."""
    with writing(Session(vault, account)) as thread:
        yield thread
