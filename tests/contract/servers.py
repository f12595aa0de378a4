# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts something that claims to be the server: the stand-in, or a real executable."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 10.0
PAGE = "<!DOCTYPE html><html></html>\n"


@dataclass(frozen=True)
class Kind:
    """How to run one kind of server, and how patient one has to be with its pings."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ping_seconds: float = 15.0


def stand_in(version: str) -> Kind:
    """The stand-in, pinging far more often than usual."""
    env = {"APP_VERSION": version, "PYTHONPATH": str(ROOT), "STAND_IN_PING_SECONDS": "0.2"}
    return Kind("stand-in", (sys.executable, "-m", "lab.stand_in"), env, 0.2)


def real(version: str, folder: Path) -> Kind:
    """A real executable, named as the lab names them."""
    return Kind("real", (str(folder / f"vaultwarden-{version}"),))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    held = [socket.create_server(("127.0.0.1", 0)) for __ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


class Process:
    """One server on free loopback ports, with its data in a folder that may outlive it."""

    def __init__(self, kind: Kind, place: Path, env: Mapping[str, str]) -> None:
        self.kind = kind
        self.place = place
        self.data = place / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        vault = place / "web-vault"
        vault.mkdir(exist_ok=True)
        (vault / "index.html").write_text(PAGE, encoding="utf-8")
        self.http_port, self.hub_port = free_ports(2)
        self._log = place / f"log-{time.monotonic_ns()}"
        self.env = {
            "PATH": os.environ["PATH"],
            "DATA_FOLDER": str(self.data),
            "WEB_VAULT_FOLDER": str(vault),
            "ROCKET_ADDRESS": "127.0.0.1",
            "ROCKET_PORT": str(self.http_port),
            "WEBSOCKET_ADDRESS": "127.0.0.1",
            "WEBSOCKET_PORT": str(self.hub_port),
            **kind.env,
            **env,
        }
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                kind.command, env=self.env, cwd=place, stdout=output, stderr=subprocess.STDOUT
            )

    def port(self, name: str) -> int:
        """The port a fixture calls ``http`` or ``hub``."""
        return self.hub_port if name == "hub" else self.http_port

    @property
    def log(self) -> list[str]:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace").splitlines()

    def wait(self) -> int | str:
        """Wait until it listens (``keeps running``) or has ended (its exit status)."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            status = self._process.poll()
            if status is not None:
                return status
            if self._listens():
                return "keeps running"
            time.sleep(0.02)
        return "says nothing"

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.http_port)) == 0

    def stop(self) -> int:
        """Ask it to end, and return how it did."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            raise

    def run(self, command: str) -> int:
        """Run one of its commands beside it."""
        done = subprocess.run(
            [*self.kind.command, command], env=self.env, cwd=self.place, capture_output=True, timeout=60, check=False
        )
        return done.returncode
