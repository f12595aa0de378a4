# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kind of container engine a host has, and which kinds the server cannot be run under. Pure. Python 3.8 and later.

Recorded answers of each kind are in tests/unit/test_engine.py.
"""

from __future__ import annotations

import typing as t

Data = t.Mapping[str, t.Any]

#: The label of a container that a service of Docker Swarm started.
SWARM_SERVICE = "com.docker.swarm.service.name"

_PODMAN = (
    "The program docker of this host is podman. Only Docker itself is supported. Remove podman-docker and install "
    "Docker, or choose another host. Containers of podman were neither examined nor changed."
)
_ROOTLESS = (
    "Docker runs rootless on this host, as a user other than root, so the server could not have a user and data of its "
    "own. Install Docker for the whole system (on Debian the package docker.io), or start it where it is stopped "
    "(systemctl start docker), then run again."
)
_REMAPPED = (
    "The engine of this host remaps users: userns-remap is set, mostly in /etc/docker/daemon.json. The server's user "
    "would have another number on the host than in its container, and could read neither its data nor its secrets. "
    "Remove userns-remap and restart Docker, or choose another host. Docker keeps images and containers of each "
    "setting apart."
)


def traits(info: Data, client: str = "", user_sockets: t.Sequence[str] = ()) -> t.Dict[str, t.Any]:
    """``{flavor, rootless, userns_remap, swarm}``.

    ``info`` is what ``docker info`` says as JSON, empty where no engine answers. Then ``client``, what the program says
    of itself, and ``user_sockets``, sockets of engines that users run, tell the rest. ``flavor`` is docker, podman or
    empty; ``swarm`` is manager, worker or empty.
    """
    options = [str(option).partition(",")[0] for option in info.get("SecurityOptions") or []]
    swarm = info.get("Swarm") or {}
    active = swarm.get("LocalNodeState") == "active"
    return {
        "flavor": "podman" if "podman" in client.lower() else "docker" if info or client else "",
        "rootless": "name=rootless" in options if info else bool(user_sockets),
        "userns_remap": "name=userns" in options,
        "swarm": ("manager" if swarm.get("ControlAvailable") else "worker") if active else "",
    }


def engine_problem(engine: Data) -> str:
    """Why the server cannot be run under this engine, as deployment_info describes it; empty where it can."""
    if engine.get("flavor") == "podman":
        return _PODMAN
    # Without a program there is nothing of the whole system yet, and this collection installs that.
    if engine.get("rootless") and engine.get("installed"):
        return _ROOTLESS
    return _REMAPPED if engine.get("userns_remap") else ""


def swarm_problem(container: Data) -> str:
    """Why a container must be left to Docker Swarm; empty for one that no service started."""
    service = container.get("swarm_service") or ""
    if not service:
        return ""
    return (
        f"The server is a task of the service {service} of Docker Swarm, which starts a second server on the same data "
        f"as soon as the first one stops. Write its settings down with docker service inspect {service}, remove it "
        f"with docker service rm {service}, start the same image on the same data with docker run, and take that over "
        f"with playbooks/adopt.yml."
    )
