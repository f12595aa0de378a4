# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of engines, by what each really answered, and what is said of those that the server cannot run under."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _adopt, _engine, _host

Answer = tuple[int, str, str]
VERSION = ("docker", "version", "--format", "{{.Server.Version}} {{.Server.MinAPIVersion}}")
INFO = ("docker", "info", "--format", "{{json .}}")
CLIENT = ("docker", "--version")

NO_SWARM = {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None}  # fmt: skip
NODE = "ma0f71lf68h26pw8qwt5mqrgn"
MANAGER = {**NO_SWARM, "NodeID": NODE, "NodeAddr": "127.0.0.1", "LocalNodeState": "active", "ControlAvailable": True,
           "RemoteManagers": [{"NodeID": NODE, "Addr": "127.0.0.1:2377"}], "Nodes": 1, "Managers": 1}  # fmt: skip
PLAIN = {"LoggingDriver": "json-file", "MemoryLimit": True, "PidsLimit": True, "MemTotal": 25220956160}
DOWN = (1, "", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
PODMAN_SAYS = "Emulate Docker CLI using podman. Create /etc/containers/nodocker to quiet msg.\n"


def info(security: list[str], swarm: dict[str, Any] | None = None) -> Answer:
    """What ``docker info`` says, shortened to what is read."""
    return 0, json.dumps({**PLAIN, "SecurityOptions": security, "Swarm": swarm or NO_SWARM}), ""


#: Recorded: Debian 12's and 13's docker.io, podman-docker 4.3.1 of Debian 12; rootless by Docker's documentation.
ENGINES: dict[str, dict[tuple[str, ...], Answer]] = {
    "docker": {VERSION: (0, "26.1.5+dfsg1 1.24\n", ""), INFO: info(["name=seccomp,profile=builtin"])},
    "manager": {VERSION: (0, "26.1.5+dfsg1 1.24\n", ""), INFO: info(["name=seccomp,profile=builtin"], MANAGER)},
    "worker": {
        VERSION: (0, "26.1.5+dfsg1 1.24\n", ""),
        INFO: info(["name=seccomp,profile=builtin"], {**MANAGER, "ControlAvailable": False}),
    },
    "remapped": {
        VERSION: (0, "20.10.24+dfsg1 1.12\n", ""),
        INFO: info(["name=seccomp,profile=default", "name=userns"]),
    },
    "rootless": {
        VERSION: (0, "28.5.2 1.44\n", ""),
        INFO: info(["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]),
    },
    "podman": {
        VERSION: (125, "4.3.1 ", PODMAN_SAYS + 'Error: template: version:1:26: executing "version" at '
                  "<.Server.MinAPIVersion>: can't evaluate field MinAPIVersion in type *define.Version"),
        CLIENT: (0, "podman version 4.3.1\n", PODMAN_SAYS),
    },
    "down": {VERSION: DOWN, CLIENT: (0, "Docker version 20.10.24+dfsg1, build 297e128\n", "")},
    # A container's own socket may be there with no word on what the engine is.
    "no info": {VERSION: (0, "26.1.5 1.24", ""), INFO: DOWN, CLIENT: (0, "Docker version 26.1.5, build 1", "")},
}  # fmt: skip


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Which of the programs there are, and which sockets of users."""

    def there(*names: str, sockets: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr("shutil.which", lambda name, **__: f"/usr/bin/{name}" if name in names else None)
        monkeypatch.setattr("glob.glob", lambda pattern: list(sockets) if pattern == _host._USER_SOCKETS else [])

    return there


def look(kind: str) -> dict[str, Any]:
    """What is found of an engine of this kind. A command that was not recorded is a failure."""
    return _host.engine_info(lambda command: ENGINES[kind][tuple(command)])


@pytest.mark.parametrize(
    ("kind", "running", "traits", "problem"),
    [
        ("docker", True, ("docker", False, False, ""), ""),
        ("manager", True, ("docker", False, False, "manager"), ""),
        ("worker", True, ("docker", False, False, "worker"), ""),
        ("remapped", True, ("docker", False, True, ""), "userns-remap"),
        ("rootless", True, ("docker", True, False, ""), "runs rootless"),
        ("down", False, ("docker", False, False, ""), ""),
        ("no info", False, ("docker", False, False, ""), ""),
    ],
)
def test_the_kind_of_an_engine_is_told(
    kind: str, running: bool, traits: tuple[str, bool, bool, str], problem: str, programs: Callable[..., None]
) -> None:
    """Of Docker itself; a swarm alone is no obstacle, since plain containers run beside its services."""
    programs("docker", "dockerd")
    found = look(kind)
    assert (found["installed"], found["running"]) == (True, running)
    assert (found["flavor"], found["rootless"], found["userns_remap"], found["swarm"]) == traits
    said = _engine.engine_problem(found)
    assert problem in said
    assert bool(said) is bool(problem)


def test_podman_is_not_docker_that_is_down(programs: Callable[..., None]) -> None:
    """podman-docker has a program docker and no dockerd. It says what it is, also where its storage is broken."""
    programs("docker", "podman")
    found = look("podman")
    assert (found["installed"], found["running"], found["flavor"]) == (True, False, "podman")
    assert "The program docker of this host is podman" in _engine.engine_problem(found)


def test_an_engine_that_only_a_user_has_is_told(programs: Callable[..., None]) -> None:
    """root's docker asks the engine of the whole system, which is not there; the user's has a socket of its own."""
    programs("docker", sockets=("/run/user/1000/docker.sock",))
    found = look("down")
    assert (found["running"], found["rootless"]) == (False, True)
    assert "docker.io" in _engine.engine_problem(found)


def test_a_stopped_engine_beside_a_users_can_be_started(programs: Callable[..., None]) -> None:
    """It cannot be told from one that was switched off for good, but the remedy for either is named."""
    programs("docker", "dockerd", sockets=("/run/user/1000/docker.sock",))
    assert "systemctl start docker" in _engine.engine_problem(look("down"))


def test_a_users_engine_beside_the_systems_is_no_obstacle(programs: Callable[..., None]) -> None:
    """Nor is it on a host that has nothing of Docker for the whole system: that is installed."""
    programs("docker", "dockerd", sockets=("/run/user/1000/docker.sock",))
    assert _engine.engine_problem(look("docker")) == ""
    programs(sockets=("/run/user/1000/docker.sock",))
    found = look("docker")
    assert (found["installed"], found["flavor"]) == (False, "")
    assert _engine.engine_problem(found) == ""


TASK: dict[str, Any] = {
    "exists": True,
    "Config": {"Image": "vaultwarden/server:1.30.5", "Env": None, "Labels": {
        "com.docker.swarm.service.id": "vfcd307h6qk8kwus7764tpexg",
        "com.docker.swarm.service.name": "vw",
        "com.docker.swarm.task.name": "vw.1.in3zudeljt53tcvd1l81ifun8",
    }},
    "State": {"Status": "running"},
}  # fmt: skip


def test_a_task_of_a_service_is_left_to_its_swarm() -> None:
    """Its service is named, and how to go on."""
    found = _host.describe_container(TASK)
    assert found["swarm_service"] == "vw"
    said = _engine.swarm_problem(found)
    assert "task of the service vw" in said
    assert "docker service rm vw" in said
    plain = _host.describe_container({**TASK, "Config": {**TASK["Config"], "Labels": None}})
    assert _engine.swarm_problem(plain) == _engine.swarm_problem({"exists": False}) == ""


@pytest.mark.parametrize(
    ("engine", "vault", "problem"),
    [
        ({"installed": True, "flavor": "podman"}, None, "is podman"),
        ({"installed": True, "flavor": "docker", "rootless": True}, None, "rootless"),
        ({"installed": True, "flavor": "docker", "userns_remap": True}, {}, "userns-remap"),
        ({"installed": True, "flavor": "docker"}, None, "No container of the server was found"),
        ({"installed": True, "flavor": "docker"}, {"swarm_service": "vw"}, "task of the service vw"),
    ],
)
def test_nothing_is_taken_over_from_such_a_host(
    engine: dict[str, Any], vault: dict[str, Any] | None, problem: str
) -> None:
    """One problem, by its name: that no container was found says nothing where it cannot be seen."""
    named = {"name": "vw.1", "image": "vaultwarden/server:1.30.5", "status": "running"}
    vaults = [] if vault is None else [{**named, **vault}]
    adoption = _adopt.adopt({"engine": engine, "vaults": vaults})
    assert len(adoption.problems) == 1
    assert problem in adoption.problems[0]
    assert adoption.variables == {}
