# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a host: ports and who holds them, the container without its secrets, the proxies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _host, _swap
from ansible_collections.vaultwire.stack.plugins.module_utils._host import Listener

INSPECTED: dict[str, Any] = {
    "Config": {
        "Image": "docker.io/vaultwarden/server:1.30.5-alpine",
        "Labels": {},
        "Env": ["ADMIN_TOKEN=Nl9xQ", "DOMAIN=https://x"],
    },
    "State": {"Status": "running"},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "3012/tcp": None}},
    "Mounts": [{"Type": "bind", "Source": "/vw-data", "Destination": "/data", "RW": True}],
}


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listening_socket_is_found_with_its_holder(family: int, address: str) -> None:
    """This very process."""
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip(f"no {address} here")
        listener.listen()
        found = [entry for entry in _host.listeners() if entry.port == listener.getsockname()[1]]
    assert len(found) == 1
    assert socket.inet_pton(family, found[0].address) == socket.inet_pton(family, address)
    assert found[0].process == Path(f"/proc/{os.getpid()}/comm").read_text(encoding="ascii").strip()


@pytest.mark.parametrize(
    ("address", "taken"),
    [("127.0.0.1", True), ("0.0.0.0", True), ("192.0.2.1", False)],
)
def test_a_conflict_is_one_on_the_same_address(address: str, taken: bool) -> None:
    """A wildcard collides with everything; another address does not."""
    sockets = [Listener("127.0.0.1", 8080, "python3")]
    found = _host.port_conflicts([{"name": "http", "port": 8080, "address": address, "holder": ""}], sockets)
    assert bool(found) is taken
    if taken:
        assert found[0]["text"] == "Port 8080, wanted for http, is taken on 127.0.0.1 by python3."


def test_a_port_of_a_container_is_named_with_it() -> None:
    """Nobody can stop docker-proxy by itself; other processes are not looked for among containers."""
    wanted = [{"name": "https", "port": 443, "address": "0.0.0.0", "holder": "nginx"}]
    asked: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command)
        return 0, "npm\n", ""

    def conflict(process: str) -> dict[str, Any]:
        sockets = [Listener("0.0.0.0", 443, process)]
        (found,) = _host.port_conflicts(wanted, sockets, lambda port: _host.publisher(run, port))
        return found

    found = conflict("docker-proxy")
    assert found["container"] == "npm" and "is taken on 0.0.0.0 by the container npm, for which" in found["text"]
    assert "publish=443" in asked.pop()
    assert conflict("apache2")["container"] == "" and asked == []
    assert _host.publisher(lambda command: (1, "", "denied"), 443) == ""


def test_the_program_to_be_configured_may_hold_its_port() -> None:
    """A second run of the role finds its own proxy there."""
    sockets = [Listener("0.0.0.0", 443, "nginx")]
    wanted = {"name": "https", "port": 443, "address": "0.0.0.0"}
    assert _host.port_conflicts([{**wanted, "holder": "nginx"}], sockets) == []
    assert _host.port_conflicts([{**wanted, "holder": "caddy"}], sockets) != []


PACKAGES = """Package: nginx
Status: install ok installed
Priority: optional

Package: docker.io
Status: install reinstreq half-installed

Package: gone
Status: deinstall ok config-files

Package: runc
Status: install ok unpacked
"""


def test_packages_that_are_not_there_in_full_are_named(tmp_path: Path) -> None:
    """What was noted after the table was written counts as well, and another distribution has no such table."""
    assert _host.unfinished_packages(str(tmp_path)) == []
    (tmp_path / "status").write_text(PACKAGES)
    (tmp_path / "updates").mkdir()
    (tmp_path / "updates" / "0001").write_text("Package: runc\nStatus: install ok installed\n")
    (tmp_path / "updates" / "tmp.i").write_text("Package: nginx\nStatus: install ok unpacked\n")
    assert _host.unfinished_packages(str(tmp_path)) == ["docker.io"]


def test_an_installation_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    """A killed run may have begun it, and it goes on alone."""
    status, lock = tmp_path / "status", tmp_path / "lock-frontend"
    status.write_text(PACKAGES)
    lock.touch()
    # Another process, since locks of this kind do not keep their own one out.
    script = (
        "import fcntl, sys; s = open(sys.argv[1], 'r+b'); fcntl.lockf(s, fcntl.LOCK_EX); print('held', flush=True); "
        "sys.stdin.read(); open(sys.argv[2], 'w').close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, lock, status], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == b"held\n"
        assert _host.unfinished_packages(str(tmp_path), seconds=0.1) == ["docker.io", "runc"]
        threading.Timer(0.2, other.stdin.close).start()
        assert _host.unfinished_packages(str(tmp_path), seconds=30) == []


def test_a_container_is_described_without_values() -> None:
    """The names of its variables only; the release from the tag where there is no label."""
    found = _host.describe_container(INSPECTED)
    assert found["version"] == "1.30.5"
    assert found["environment_names"] == ["ADMIN_TOKEN", "DOMAIN"]
    assert found["published_ports"] == [{"address": "0.0.0.0", "host": 8080, "container": 80}]
    assert found["mounts"] == [{"type": "bind", "source": "/vw-data", "destination": "/data"}]
    assert "Nl9xQ" not in str(found)


@pytest.mark.parametrize(
    ("image", "label", "version"),
    [
        ("vaultwarden/server:latest", "1.37.2", "1.37.2"),
        ("vaultwarden/server:latest", "", ""),
        ("registry.example.com:5000/vaultwarden/server", "", ""),
        ("vaultwarden/server:1.28.1@sha256:" + "0" * 64, "", "1.28.1"),
    ],
)
def test_the_release_of_a_container(image: str, label: str, version: str) -> None:
    """The label is right even where the tag says nothing."""
    config = {"Image": image, "Labels": {"org.opencontainers.image.version": label} if label else None, "Env": None}
    assert _host.describe_container({**INSPECTED, "Config": config})["version"] == version


INFO = '{"LoggingDriver": "json-file", "MemoryLimit": true, "PidsLimit": true, "MemTotal": 4096, "Warnings": null}'


@pytest.mark.parametrize(
    ("version", "info", "expected"),
    [
        ((0, "26.1.5+dfsg1 1.24\n", ""), INFO, (True, "26.1.5+dfsg1", "1.24", "json-file", ["memory", "pids"], 4096)),
        (
            (0, "26.1.5", ""),
            '{"LoggingDriver": "journald", "MemoryLimit": false, "PidsLimit": true, "MemTotal": 1}',
            (True, "26.1.5", "", "journald", ["pids"], 1),
        ),
        ((0, "28.5.2 1.44", ""), '{"LoggingDriver": "none", "MemTotal": 1}', (True, "28.5.2", "1.44", "none", [], 1)),
        ((1, "", "Cannot connect to the Docker daemon"), INFO, (False, "", "", "", [], 0)),
        ((0, "26.1.5 1.24", ""), "", (False, "", "", "", [], 0)),
    ],
)
def test_what_the_engine_tells_of_itself(
    version: tuple[int, str, str], info: str, expected: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its release, the oldest interface it speaks, where it logs to and what it can limit."""
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: "/usr/bin/docker")
    answers = {"version": version, "info": (0 if info else 1, info, ""), "--version": (0, "Docker version 26.1.5", "")}
    found = _host.engine_info(lambda command: answers[command[1]])
    assert found.pop("installed") is True
    names = ("running", "version", "oldest_api", "log_driver", "limits", "memory")
    assert tuple(found[name] for name in names) == expected


def test_a_container_that_the_engine_does_not_tell_of_is_not_taken_for_none() -> None:
    """Else a run would put another release in the place of a server that is there."""
    with pytest.raises(_swap.SwapError, match="docker container inspect vault failed: it is busy"):
        _host.container_info(lambda command: (1, "", "it is busy"), "vault")
    gone = (1, "[]", "Error response from daemon: No such container: vault")
    assert _host.container_info(lambda command: gone, "vault") == {"exists": False}
