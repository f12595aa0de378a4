# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway hosts: containers with systemd, SSH and their own Docker."""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from lab import addresses
from lab.addresses import HostSpec, Plan
from lab.engine import docker, docker_try, has_image, inspect
from lab.images import host_images
from lab.network import current_plan
from lab.paths import LABEL, LABELLED, NETWORK, ROLE, SSH_KEY
from lab.recipes import CGROUP_V2_SUITES
from lab.shell import LabError, lock, say, warn, which

ADDRESS = f"{LABEL}.address"
IMAGE = f"{LABEL}.image"
DEFAULT_IMAGE = "host-bookworm"
OPEN_FILES = 20000
READY_TIMEOUT = 90
AT_ONCE = 6
SSH_OPTIONS = (
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    "-o", "IdentitiesOnly=yes", "-i", str(SSH_KEY),
)  # fmt: skip


class Host(NamedTuple):
    """A host as docker knows it."""

    name: str
    address: str
    image: str
    ref: str
    state: str


def all_hosts() -> list[Host]:
    """List the lab's hosts, stopped ones too."""
    names = docker("ps", "-aq", "--filter", f"label={LABELLED}", "--filter", f"label={ROLE}=host").split()
    if not names:
        return []
    found = docker_try("container", "inspect", *names).stdout  # one may have gone meanwhile
    hosts = [_described(entry) for entry in json.loads(found or "[]")]
    return sorted(hosts, key=lambda host: host.name)


def _described(entry: dict[str, Any]) -> Host:
    labels = entry["Config"]["Labels"]
    return Host(
        name=entry["Name"].removeprefix("/"),
        address=labels.get(ADDRESS, ""),
        image=labels.get(IMAGE, ""),
        ref=entry["Config"]["Image"],
        state=entry["State"]["Status"],
    )


def up(specs: Sequence[HostSpec], image: str, replace: bool) -> None:
    """Start hosts and wait until each can be used."""
    refs = host_images()
    wanted = [spec._replace(image=_known_image(spec.image or image, refs)) for spec in specs]
    shared = current_plan()
    if inspect("network", NETWORK) is None:
        raise LabError("The lab is not set up. Run: python3 -m lab setup")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        made = _create_missing(wanted, shared, refs, replace)
        for done in [pool.submit(_start, host) for host in made]:
            done.result()


def _known_image(name: str, refs: dict[str, str]) -> str:
    if name not in refs:
        raise LabError(f"There is no host image '{name}'. Choose one of {', '.join(sorted(refs))}.")
    if not has_image(refs[name]):
        raise LabError(f"The host image {name} is not built, or its recipe has changed. Run: python3 -m lab setup")
    return name


def _create_missing(specs: Sequence[HostSpec], shared: Plan, refs: dict[str, str], replace: bool) -> list[Host]:
    """Create what is not there; addresses are given out under a lock, so that parallel runs don't collide."""
    hosts = []
    with lock("addresses"):
        present = {host.name: host for host in all_hosts()}
        for spec in specs:
            known = present.get(spec.name)
            if known and not _fits(known, spec, refs):
                if not replace:
                    raise LabError(
                        f"{spec.name} exists already, as {known.image} at {known.address}, or from an older image."
                        f" Run 'python3 -m lab down {spec.name}' first, or give --replace."
                    )
                _remove(known.name)
                del present[spec.name]
                known = None
            if known is None:
                known = _create(spec, shared, refs, {host.address: host.name for host in present.values()})
                present[spec.name] = known
            hosts.append(known)
    return hosts


def _fits(known: Host, spec: HostSpec, refs: dict[str, str]) -> bool:
    return known.ref == refs[str(spec.image)] and spec.address in (None, known.address)


def _create(spec: HostSpec, shared: Plan, refs: dict[str, str], used: dict[str, str]) -> Host:
    address = addresses.check(shared, spec.address) if spec.address else addresses.free(shared, used)
    if address in used:
        raise LabError(f"{address} belongs to the host {used[address]} already; choose another for {spec.name}.")
    if inspect("container", spec.name):
        raise LabError(f"A container named {spec.name} exists that is not the lab's. Choose another name.")
    image = str(spec.image)
    docker("volume", "create", "--label", LABELLED, "--label", f"{ROLE}=host", _volume(spec.name))
    docker("create", *_run_options(image), "--name", spec.name, "--hostname", spec.name,
           "--network", NETWORK, "--ip", address, "--volume", f"{_volume(spec.name)}:/var/lib/docker",
           "--label", LABELLED, "--label", f"{ROLE}=host", "--label", f"{ADDRESS}={address}",
           "--label", f"{IMAGE}={image}", refs[image])  # fmt: skip
    return Host(spec.name, address, image, refs[image], "created")


def _run_options(image: str) -> list[str]:
    """What systemd and an inner Docker need: all but the one capability that many machines cannot give."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    return [
        "--pull", "never", "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
        "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
        *_cgroup_options(image),
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--ulimit", f"nofile={limit}:{limit}",
    ]  # fmt: skip


def _cgroup_options(image: str) -> list[str]:
    """Give a host the machine's cgroup tree, or one of its own where its systemd needs version 2 (see lab-init)."""
    if image.rpartition("-")[2] in CGROUP_V2_SUITES:
        return ["--cgroupns", "private", "--env", "LAB_CGROUP=v2"]
    return ["--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]


def _volume(name: str) -> str:
    return f"{name}-docker"


def _start(host: Host) -> None:
    began = time.monotonic()
    if host.state != "running":
        docker("start", host.name)
    wait_until_ready(host)
    say(f"{host.name}: {host.image} at {host.address}, ready in {time.monotonic() - began:.1f} s")


def wait_until_ready(host: Host) -> None:
    """Return when systemd has finished its start and sshd speaks."""
    deadline = time.monotonic() + READY_TIMEOUT
    state = ""
    while time.monotonic() < deadline:
        asked = docker_try("exec", host.name, "timeout", "20", "systemctl", "is-system-running", "--wait")
        state = asked.stdout.strip()
        if "is not running" in asked.stderr:
            raise LabError(f"{host.name} stopped while starting:\n{docker_try('logs', host.name).stdout}")
        if state in ("running", "degraded") and _ssh_speaks(host.address):
            if state == "degraded":
                warn(f"{host.name}: some units failed: {_failed_units(host.name)}")
            return
        time.sleep(0.05)
    log = docker_try("exec", host.name, "journalctl", "--no-pager", "-n", "30").stdout
    raise LabError(f"{host.name} is not ready after {READY_TIMEOUT} s (systemd: {state or 'no answer'}).\n{log}")


def _ssh_speaks(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def _failed_units(name: str) -> str:
    listed = docker_try("exec", name, "systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout
    return ", ".join(line.split()[0] for line in listed.splitlines() if line) or "unknown"


def down(names: Sequence[str]) -> None:
    """Remove hosts and their volumes; what is not there is no error."""
    known = {host.name for host in all_hosts()}
    for name in names:
        if name not in known and inspect("container", name):
            raise LabError(f"{name} is a container, but not one of the lab's hosts. It is left alone.")
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        for done in [pool.submit(_remove, name) for name in names]:
            done.result()
    for name in names:
        say(f"{name}: {'removed' if name in known else 'was not there'}")


def _remove(name: str) -> None:
    docker_try("rm", "--force", "--volumes", name)
    volume = inspect("volume", _volume(name))
    if volume and (volume["Labels"] or {}).get(LABEL) == "1":
        docker("volume", "rm", _volume(name))


def address_of(name: str) -> str:
    """Return a host's address."""
    for host in all_hosts():
        if host.name == name:
            return host.address
    raise LabError(f"There is no host {name}. Run 'python3 -m lab status' to see those that are.")


def ssh(name: str, command: Sequence[str]) -> None:
    """Become an SSH session on a host."""
    program = which("ssh") or "ssh"
    os.execv(program, [program, *SSH_OPTIONS, f"root@{address_of(name)}", *command])
