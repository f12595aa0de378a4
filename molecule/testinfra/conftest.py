# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the hosts of the scenario, seen from inside (docker) and from outside (the network)."""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from testinfra.host import Host
from vault import Account, Vault, throwaway_account

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
LAB = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "build" / "lab"


class _Loader(yaml.SafeLoader):
    """YAML of an inventory, which may hold texts that are not templates."""


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("!unsafe", _text)


@functools.cache
def inventory() -> dict[str, dict[str, Any]]:
    """Host name -> its variables in the scenario's inventory, those of the group included."""
    text = (SCENARIO / "inventory" / "hosts.yml").read_text(encoding="utf-8")
    group = yaml.load(text, Loader=_Loader)["vaultwarden"]
    return {name: {**group.get("vars", {}), **(settings or {})} for name, settings in group["hosts"].items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on every host of the scenario."""
    if "host" in metafunc.fixturenames:
        metafunc.parametrize("host", [f"docker://{name}" for name in inventory()], indirect=True, scope="session")


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """The host, looked at from inside."""
    return Host.get_host(request.param)


@pytest.fixture(scope="session")
def vault(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The deployment on the host, looked at from outside, with its name resolving to the host for the tests."""
    name = host.backend.name
    settings = inventory()[name]
    subnet = json.loads((LAB / "lab.json").read_text(encoding="utf-8"))["subnet"]
    address = re.sub(r"\d+/\d+$", str(settings["lab_number"]), subnet)
    ca_file = tmp_path_factory.mktemp(name) / "ca.pem"
    ca_file.write_text(host.file(settings.get("lab_ca", "/etc/vaultwire/tls/ca.pem")).content_string, encoding="ascii")
    found = Vault(name, address, ca_file, settings)
    original = socket.getaddrinfo

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        return original(address if target == found.host else target, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield found


@pytest.fixture(scope="session")
def account(vault: Vault) -> Iterator[Account]:
    """An account that lives as long as the tests of its host."""
    with throwaway_account(vault) as made:
        yield made


@pytest.fixture(scope="session")
def container(host: Host, vault: Vault) -> dict[str, Any]:
    """What the engine says of the server's container."""
    return dict(json.loads(host.check_output("docker container inspect %s", vault.container))[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the end of the journal and of the logs with every failure."""
    report = yield
    if report.when == "call" and report.failed and "host" in item.funcargs:
        name = cast(Host, item.funcargs["host"]).backend.name
        script = (
            "journalctl --no-pager -n 20; for c in $(docker ps -aq); do docker logs --tail 20 $c; done; "
            "tail -n 5 /var/log/nginx/*.log /var/log/*/vaultwire-*.log"
        )
        command = ["docker", "exec", name, "sh", "-c", script]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        report.sections.append((f"logs of {name}", shown.stdout + shown.stderr))
    return report
