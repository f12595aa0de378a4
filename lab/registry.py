# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry under the real names: hosts pull docker.io/... by name, with TLS, and get the real error texts."""

from __future__ import annotations

import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lab import trust
from lab.addresses import Plan
from lab.engine import docker, docker_try, inspect
from lab.images import registry_image
from lab.paths import CA_CERT, LABELLED, NETWORK, REGISTRY, ROLE
from lab.recipes import digest
from lab.shell import LabError, lock, say

NAMES = ("registry-1.docker.io", "docker.io", "auth.docker.io", "index.docker.io", "ghcr.io", "quay.io")
RECIPE = f"{ROLE}.recipe"
TRUST = f"{ROLE}.trust"
STORAGE = f"{REGISTRY}-storage"
START_TIMEOUT = 30
MANIFESTS = ", ".join((
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
))  # fmt: skip


class Tag(NamedTuple):
    """One name that hosts can pull, without the registry's own name."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


def adopt_trust() -> None:
    """Use the keys of the lab on this machine, if there is one with other keys than this clone's."""
    found = inspect("container", REGISTRY)
    theirs = (found["Config"]["Labels"] or {}).get(TRUST) if found else None
    if theirs and theirs != trust.fingerprint():
        with tempfile.TemporaryDirectory() as folder:
            for name in trust.shared_files():
                docker("cp", f"{REGISTRY}:/trust-{name}", str(Path(folder, name)))
            trust.adopt(Path(folder))


def ensure_registry(shared: Plan) -> None:
    """Make the registry run with the current image, certificate and address."""
    certificate, key = trust.ensure_certificate("registry", [*NAMES, "localhost", "127.0.0.1", shared.registry])
    recipe = digest([registry_image(), shared.registry, trust.fingerprint(), *NAMES])
    found = inspect("container", REGISTRY)
    if found and not _is_complete(found, recipe):
        docker("rm", "--force", "--volumes", REGISTRY)
        found = None
    if found is None:
        _create(shared, recipe, certificate, key)
    if not (found and found["State"]["Running"]):
        docker("start", REGISTRY)
        _wait()
        say(f"registry: started at {shared.registry}")
    else:
        say(f"registry: running at {shared.registry}")


def _is_complete(found: dict[str, Any], recipe: str) -> bool:
    """Joining the network is the last step of making it, so a run that was killed shows."""
    return found["Config"]["Labels"].get(RECIPE) == recipe and NETWORK in found["NetworkSettings"]["Networks"]


def _create(shared: Plan, recipe: str, certificate: Path, key: Path) -> None:
    """Publish on loopback for pushes (no daemon needs configuration for that), then join the lab's network."""
    docker("volume", "create", "--label", LABELLED, STORAGE)
    docker("create", "--name", REGISTRY, "--hostname", "registry", "--publish", "127.0.0.1::443",
           "--label", LABELLED, "--label", f"{ROLE}=registry", "--label", f"{RECIPE}={recipe}",
           "--label", f"{TRUST}={trust.fingerprint()}",
           "--volume", f"{STORAGE}:/var/lib/docker-registry", "--pull", "never", registry_image())  # fmt: skip
    carried = {"tls.crt": certificate, "tls.key": key}
    carried |= {f"trust-{name}": path for name, path in trust.shared_files().items()}
    for name, path in carried.items():
        docker("cp", str(path), f"{REGISTRY}:/{name}")
    aliases = [word for name in NAMES for word in ("--alias", name)]
    docker("network", "connect", "--ip", shared.registry, *aliases, NETWORK, REGISTRY)


def _wait() -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            with connection() as link:
                if link.ask("GET", "/v2/").status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise LabError(f"The registry does not answer:\n{docker_try('logs', '--tail', '20', REGISTRY).stderr}")


def push_port() -> int:
    """The loopback port where images are pushed; it changes with every start of the registry."""
    published = docker_try("port", REGISTRY, "443/tcp").stdout.split()
    if not published:
        raise LabError("The lab's registry is not running. Run: python3 -m lab setup")
    return int(published[0].rpartition(":")[2])


class Answer(NamedTuple):
    """What the registry said."""

    status: int
    digest: str | None
    body: Any


class Link:
    """A kept-open connection to the registry's interface."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context(cafile=str(CA_CERT))
        self._http = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)

    def ask(self, method: str, path: str) -> Answer:
        """Send one request."""
        self._http.request(method, path, headers={"Accept": MANIFESTS})
        reply = self._http.getresponse()
        text = reply.read()
        body = json.loads(text) if text and "json" in reply.getheader("Content-Type", "") else None
        return Answer(reply.status, reply.getheader("Docker-Content-Digest"), body)

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def tags(self, repository: str) -> list[str]:
        """List a repository's tags."""
        answer = self.ask("GET", f"/v2/{repository}/tags/list")
        return sorted(answer.body["tags"] or []) if answer.status == 200 else []

    def digest(self, tag: Tag) -> str | None:
        """Return the digest that a tag stands for."""
        return self.ask("HEAD", f"/v2/{tag.repository}/manifests/{tag.tag}").digest

    def delete(self, tag: Tag) -> None:
        """Take a tag away, with every other tag of the same image."""
        found = self.digest(tag)
        if found and self.ask("DELETE", f"/v2/{tag.repository}/manifests/{found}").status not in (202, 404):
            raise LabError(f"The registry would not delete {tag}.")


@contextmanager
def connection() -> Iterator[Link]:
    """Open a connection to the registry."""
    link = Link(push_port())
    try:
        yield link
    finally:
        link.close()


def push(image: str, tag: Tag) -> None:
    """Put a local image into the registry under a name."""
    target = f"127.0.0.1:{push_port()}/{tag}"
    with lock("push"):
        docker("tag", image, target)
        try:
            docker("push", "--quiet", target)
        finally:
            docker_try("rmi", "--no-prune", target)
