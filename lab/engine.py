# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's own Docker: a daemon that answers, and a client that it accepts."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lab.paths import LOGS, SOCKET, STATE
from lab.shell import SEARCH_PATH, LabError, as_root, lock, run, say, tail, which

STARTED = STATE / "dockerd.json"
LOG = LOGS / "dockerd.log"
START_TIMEOUT = 60


class Source(NamedTuple):
    """One file of a build context: its name there, and its content or where to read it."""

    name: str
    content: bytes | Path
    mode: int = 0o644


def answers() -> bool:
    """Ask the daemon itself, so that no client version can blur the reply."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            link.connect(str(SOCKET))
            link.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in link.recv(4096)
    except PermissionError as exc:
        raise LabError(f"{SOCKET} may not be used by this user. Join the group docker, or run as root.") from exc
    except OSError:
        return False


def ensure_daemon() -> None:
    """Start dockerd unless one answers; safe to call from several runs at once."""
    if answers():
        return
    with lock("dockerd"):
        if answers():
            return
        say("starting dockerd")
        if Path("/run/systemd/system").is_dir():  # sd_booted(3)
            _start_by_systemd()
        else:
            _start_by_hand()


def _start_by_systemd() -> None:
    run(as_root(["systemctl", "reset-failed", "docker.service", "docker.socket"]), check=False)
    run(as_root(["systemctl", "start", "docker.service"]), check=False)
    if not _wait_for_answer(None):
        journal = run(as_root(["journalctl", "-u", "docker", "--no-pager", "-n", "30"]), check=False).stdout
        raise LabError(f"The docker service did not start:\n{journal}")


def _start_by_hand() -> None:
    _remove_stale_files()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab") as log:
        daemon = subprocess.Popen(
            as_root([which("dockerd") or "dockerd", "-H", f"unix://{SOCKET}"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": SEARCH_PATH},
            cwd="/",
            start_new_session=True,
        )
    if not _wait_for_answer(daemon):
        raise LabError(f"dockerd did not start; the end of {LOG}:\n{tail(LOG.read_text(errors='replace'))}")
    STARTED.write_text(json.dumps({"pid": daemon.pid}) + "\n")


def _remove_stale_files() -> None:
    """A killed daemon leaves its socket, and a pid file whose number may be another process by now."""
    pid_file = Path("/var/run/docker.pid")
    if pid_file.exists():
        try:
            owner = Path("/proc", pid_file.read_text().strip(), "comm").read_text().strip()
        except OSError:
            owner = ""
        if owner != "dockerd":
            run(as_root(["rm", "-f", str(pid_file)]))
    if SOCKET.is_socket():
        run(as_root(["rm", "-f", str(SOCKET)]))


def _wait_for_answer(daemon: subprocess.Popen[bytes] | None) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if answers():
            return True
        if daemon is not None and daemon.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def started_here() -> int | None:
    """Return the pid of the daemon that the lab started, while it runs."""
    try:
        pid = int(json.loads(STARTED.read_text())["pid"])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, KeyError):
        return None
    return pid if name in ("dockerd", "sudo") else None


def environment() -> dict[str, str]:
    """The local daemon whatever the user's context, and the builder that every version has."""
    foreign = {"DOCKER_API_VERSION", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return kept | {"DOCKER_HOST": f"unix://{SOCKET}", "DOCKER_BUILDKIT": "0", "LC_ALL": "C.UTF-8"}


@functools.cache
def client() -> str:
    """Return the first docker client that the daemon accepts: a new one may refuse an old daemon."""
    refusals = []
    for path in dict.fromkeys([which("docker"), "/usr/bin/docker"]):
        if path is None or not os.access(path, os.X_OK):
            continue
        answer = run([path, "version", "--format", "{{.Server.Version}}"], env=environment(), check=False)
        if answer.returncode == 0:
            return path
        refusals.append(f"{path}: {tail(answer.stderr, 3)}")
    if not answers():
        raise LabError("No Docker daemon answers. Run: python3 -m lab setup")
    raise LabError("No docker client is accepted by the daemon:\n" + "\n".join(refusals or ["none installed"]))


def docker(*args: str) -> str:
    """Run a docker command that must succeed; return its output."""
    return run([client(), *args], env=environment()).stdout.strip()


def docker_try(*args: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a docker command that may fail."""
    return run([client(), *args], env=environment(), check=False, timeout=timeout)


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """Return what docker knows about a container, image, network or volume; None when there is none."""
    found = docker_try(kind, "inspect", name)
    if found.returncode:
        return None
    described: list[dict[str, Any]] = json.loads(found.stdout)
    return described[0]


def has_image(ref: str) -> bool:
    """Tell whether the daemon holds an image."""
    return docker_try("image", "inspect", "--format", "{{.Id}}", ref).returncode == 0


def build(ref: str, sources: Iterable[Source], arguments: Mapping[str, str], label: str) -> None:
    """Build an image without any network; the context is packed here, so nothing else gets in."""
    argv = [client(), "build", "--quiet", "--network", "none", "--force-rm", "--label", label, "--tag", ref]
    for name, value in arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as archive:
            for source in sources:
                _pack(archive, source)
        context.seek(0)
        run([*argv, "-"], env=environment(), stdin=context)


def _pack(archive: tarfile.TarFile, source: Source) -> None:
    """Add one file with fixed owner and times, so that the builder's cache sees content only."""
    entry = tarfile.TarInfo(source.name)
    entry.mode = source.mode
    with tempfile.SpooledTemporaryFile() if isinstance(source.content, bytes) else source.content.open("rb") as data:
        if isinstance(source.content, bytes):
            data.write(source.content)
        entry.size = data.seek(0, os.SEEK_END)
        data.seek(0)
        archive.addfile(entry, data)
