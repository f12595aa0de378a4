# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures to run the collection's modules and playbooks against it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from probing import run_vault_module
from testinfra.host import Host
from vault import Vault

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])

Module = Callable[..., dict[str, Any]]
Playbook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_module(vault: Vault) -> Module:
    """Run a probe against the vault, as Ansible would, and return its result."""

    def run(name: str, **arguments: Any) -> dict[str, Any]:
        return run_vault_module(vault, name, **arguments)

    return run


def command(name: str, *arguments: str, inventories: Sequence[Path | str] = (), **variables: Any) -> list[str]:
    """The command that runs a playbook on the scenario's inventory, with further arguments and variables."""
    places = (SCENARIO / "inventory", PROJECT / "molecule" / "shared" / "inventory", *inventories)
    return [
        "ansible-playbook",
        *(f"--inventory={path}" for path in places),
        f"--extra-vars={json.dumps(variables)}",
        *arguments,
        f"playbooks/{name}.yml",
    ]


def environment() -> dict[str, str]:
    """The project's settings, and the callback that quotes nothing: a message can be looked for as one line."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }


def play(
    name: str, *arguments: str, inventories: Sequence[Path | str] = (), **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on the scenario's inventory, with further arguments, inventories and variables."""
    return subprocess.run(
        command(name, *arguments, inventories=inventories, **variables),
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def run_playbook(vault: Vault) -> Playbook:
    """Run a playbook on this host alone, with further variables."""

    def run(name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return play(name, f"--limit={vault.name}", *arguments, **variables)

    return run


@pytest.fixture
def snapshot(host: Host) -> Callable[[], str]:
    """A text that changes when anything changes that a run might touch: files, containers, networks, images."""

    def take() -> str:
        return host.check_output(
            "cd / && find etc var/lib/vaultwarden srv opt usr/local var/www -xdev -printf '%p %m %U %G\\n' | sort; "
            "find etc -xdev -type f -exec sha256sum {} + | sort; "
            "docker ps -a --no-trunc --format '{{.ID}} {{.Status}}' | sed -E 's/ Up .*/ up/'; "
            "docker network ls -q; docker image ls -q"
        )

    return take
