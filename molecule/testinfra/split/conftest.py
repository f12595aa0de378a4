# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of the server, that of the proxy, and the vault as users meet it at the latter."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
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


@pytest.fixture(scope="session")
def server() -> Host:
    """The server's host, from inside."""
    return Host.get_host("docker://vw-server")


@pytest.fixture(scope="session")
def edge() -> Host:
    """The proxy's host, from inside."""
    return Host.get_host("docker://vw-edge")


def address_of(number: int) -> str:
    """Address of a host of the scenario."""
    subnet = json.loads((PROJECT / "build" / "lab" / "lab.json").read_text(encoding="utf-8"))["subnet"]
    return re.sub(r"\d+/\d+$", str(number), subnet)


@pytest.fixture(scope="session")
def site(edge: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The vault at the proxy's address."""
    group = yaml.safe_load((SCENARIO / "inventory" / "hosts.yml").read_text(encoding="utf-8"))["vaultwarden"]
    ca_file = tmp_path_factory.mktemp("edge") / "ca.pem"
    ca_file.write_text(edge.file("/etc/vaultwire/tls/ca.pem").content_string, encoding="ascii")
    number = group["children"]["vault_proxy"]["hosts"]["vw-edge"]["lab_number"]
    found = Vault("vw-edge", address_of(number), ca_file, group["vars"])
    original = socket.getaddrinfo

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        return original(found.address if target == found.host else target, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield found


@pytest.fixture(scope="session")
def play() -> Play:
    """Run the playbook on the proxy's host alone, with further arguments and variables."""

    def run(*arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return actions.play("split", "--limit=vw-edge", *arguments, **variables)

    return run
