# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the way on each host is named by every playbook that would change something; the host stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from actions import Playbook, run_playbook, snapshot
from testinfra.host import Host

__all__ = ["run_playbook", "snapshot"]

SAID = {
    "vw-podman": "The program docker of this host is podman.",
    "vw-remapped": "The engine of this host remaps users: userns-remap is set",
    "vw-swarm": "The server is a task of the service vault of Docker Swarm",
    "vw-other": "This host has no nginx, and it is neither Debian nor Ubuntu",
}


@pytest.fixture(scope="module")
def container(host: Host) -> str:
    """The name of the vault's container; the role's own where there is none."""
    names = host.check_output("docker ps --all --format '{{.Names}}'").split()
    assert len(names) == (1 if host.backend.name in ("vw-podman", "vw-swarm") else 0)
    return names[0] if names else "vaultwarden"


def servers(host: Host) -> list[str]:
    """Identifiers of all containers of the host, and so of all that could write to the data."""
    return sorted(host.check_output("docker ps --all --quiet").split())


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["", "check mode"])
@pytest.mark.parametrize("name", ["site", "upgrade"])
def test_no_server_is_deployed_there(
    host: Host, run_playbook: Playbook, snapshot: Callable[[], str], container: str, name: str, arguments: list[str]
) -> None:
    """By its name, in check mode as well; a swarm would start a second server on the same data."""
    before, running = snapshot(), servers(host)
    done = run_playbook(name, *arguments, vaultwarden_container_name=container)
    said = " ".join(done.stdout.split())
    assert done.returncode == 2, said
    assert SAID[host.backend.name] in said
    assert "Nothing has been changed." in said
    assert (snapshot(), servers(host)) == (before, running)


def test_nothing_is_taken_over_from_there(host: Host, run_playbook: Playbook, tmp_path: Path) -> None:
    """Neither is it said that there is no container, where one cannot be seen."""
    done = run_playbook("adopt", adopt_output_dir=str(tmp_path))
    said = " ".join(done.stdout.split())
    assert done.returncode == 2, said
    # Of a proxy nothing is needed to take a server over.
    nothing = "No container of the server was found"
    assert (nothing if host.backend.name == "vw-other" else SAID[host.backend.name]) in said
    assert (nothing in said) is (host.backend.name == "vw-other")
    assert list(tmp_path.iterdir()) == []


def test_the_hosts_are_what_they_are_called(host: Host, container: str) -> None:
    """What the tests above refuse is really there."""
    if host.backend.name == "vw-podman":
        assert host.check_output("docker --version").startswith("podman version")
    elif host.backend.name == "vw-remapped":
        assert "name=userns" in json.loads(host.check_output("docker info --format '{{json .SecurityOptions}}'"))
    elif host.backend.name == "vw-other":
        assert host.check_output("docker version --format '{{.Server.Version}}'")
        assert not host.exists("nginx")
    else:
        assert host.check_output("docker inspect --format '{{.State.Status}}' %s", container) == "running"
