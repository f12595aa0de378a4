# SPDX-License-Identifier: GPL-3.0-or-later
"""All hosts of the scenario at once, and plays that run on all of them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import actions
import pytest
import yaml
from testinfra.host import Host
from vault import Vault

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])

Play = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What changes the hosts runs after everything that looks at them as they were deployed."""
    items.sort(key=lambda item: "testinfra/proxies" in str(item.path))


def settings_of(*files: str) -> dict[str, dict[str, Any]]:
    """Host name -> its variables, later files over earlier ones."""
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        group = yaml.safe_load((SCENARIO / file).read_text(encoding="utf-8"))["vaultwarden"]
        for name, settings in group["hosts"].items():
            merged[name] = {**merged.get(name, {}), **group.get("vars", {}), **settings}
    return merged


NAMES = sorted(settings_of("inventory/hosts.yml"))


def inside(name: str) -> Host:
    """A host, looked at from inside."""
    return Host.get_host(f"docker://{name}")


def seen(vault: Vault, marker: str) -> list[str]:
    """The addresses from which the server saw somebody try to sign in under this name."""
    log = inside(vault.name.split()[0]).check_output("docker logs %s 2>&1", vault.container)
    return re.findall(rf"IP: (\S+)\. Username: {marker}\.", log)


def attempt(marker: str) -> dict[str, str]:
    """A form that the server refuses, and logs."""
    return {
        "grant_type": "password", "username": marker, "password": "x", "scope": "api offline_access",
        "client_id": "web", "device_type": "9", "device_identifier": str(uuid.uuid4()), "device_name": "test",
    }  # fmt: skip


def _vaults(directory: Path, *files: str) -> dict[str, Vault]:
    facts = json.loads((PROJECT / "build" / "lab" / "lab.json").read_text(encoding="utf-8"))
    found = {}
    for name, settings in settings_of(*files).items():
        ca_file = directory / f"{name}.pem"
        ca_file.write_text(inside(name).file("/etc/vaultwire/tls/ca.pem").content_string, encoding="ascii")
        address = re.sub(r"\d+/\d+$", str(settings["lab_number"]), facts["subnet"])
        found[name] = Vault(name, address, ca_file, settings)
    return found


@pytest.fixture(scope="session")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Vault]]:
    """Every host's vault, and under ``<host> second`` its second one; all names resolve to the hosts."""
    directory = tmp_path_factory.mktemp("vaults")
    found = _vaults(directory, "inventory/hosts.yml")
    second = _vaults(directory, "inventory/hosts.yml", "second/hosts.yml")
    found.update({f"{name} second": vault for name, vault in second.items()})
    addresses = {vault.host: vault.address for vault in found.values()}
    original = socket.getaddrinfo

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        return original(addresses.get(target, target), *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield found


@pytest.fixture(scope="session")
def play() -> Play:
    """Run the playbook of the deployment on all hosts, with further inventories and variables."""

    def run(*inventories: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return actions.play("site", "--forks=8", inventories=inventories, **variables)

    return run
