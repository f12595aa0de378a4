# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes away what the lab has put into the machine's Docker."""

from __future__ import annotations

from lab.engine import docker, docker_try, started_here
from lab.hosts import all_hosts, down
from lab.paths import FACTS, IMAGES, LABELLED
from lab.server import PUSHED
from lab.shell import LabError, say, tail


def clean(images: bool) -> None:
    """Remove hosts, registry, network and volumes; images only when asked."""
    down([host.name for host in all_hosts()])
    for container in _listed("ps", "-aq"):
        docker_try("rm", "--force", "--volumes", container)
    for kind in ("network", "volume"):
        for name in _listed(kind, "ls", "-q"):
            removed = docker_try(kind, "rm", name)
            if removed.returncode:
                raise LabError(f"The {kind} {name} could not be removed: {tail(removed.stderr, 2)}")
    for path in (FACTS, PUSHED):
        path.unlink(missing_ok=True)
    say("containers, network and volumes: removed")
    if images:
        _remove_images()
    pid = started_here()
    if pid:
        say(f"dockerd, which the lab started, still runs (pid {pid}): other things may use it by now")


def _listed(*command: str) -> list[str]:
    return docker(*command, "--filter", f"label={LABELLED}").split()


def _remove_images() -> None:
    """By name first, then what is left without a name; children before parents, hence the rounds."""
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={IMAGES}/*").split()
    if listed:
        docker_try("rmi", "--force", *listed)
    docker_try("image", "prune", "--force", "--filter", f"label={LABELLED}")
    say(f"images: {len(listed)} removed")
