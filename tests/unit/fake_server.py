# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's stand-in server as a process of its own, and a small proxy that can split ports and spoil frames."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[2]
ADMIN_TOKEN = "admin-token-of-the-tests"
HUB_BYTES = b"/notifications/hub?"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class StandIn:
    """One stand-in server of a given version on loopback; a context manager."""

    def __init__(self, folder: Path, version: str, **environment: str) -> None:
        self.port = free_port()
        self.hub_port = free_port()
        self.version = version
        self._folder = folder
        self._log = (folder / "log").open("w")
        self._environment = {
            "PATH": os.environ["PATH"],
            "APP_VERSION": version,
            "DATA_FOLDER": str(folder),
            "ROCKET_ADDRESS": "127.0.0.1",
            "ROCKET_PORT": str(self.port),
            "DOMAIN": "https://vault.example.com",
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "SIGNUPS_ALLOWED": "true",
            "WEB_VAULT_ENABLED": "false",
            "I_REALLY_WANT_VOLATILE_STORAGE": "true",
            "WEBSOCKET_ENABLED": "true",
            "WEBSOCKET_ADDRESS": "127.0.0.1",
            "WEBSOCKET_PORT": str(self.hub_port),
            "LOGIN_RATELIMIT_MAX_BURST": "1000",
            "ADMIN_RATELIMIT_MAX_BURST": "1000",
            **environment,
        }

    def __enter__(self) -> StandIn:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.stand_in"],
            cwd=ROOT,
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + 20
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"the stand-in did not start: {(self._folder / 'log').read_text()}")

    def __exit__(self, *__: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, data: t.Any = None, **headers: str) -> tuple[int, t.Any, str]:
        """Status, JSON and cookie of one request; a ``data`` dictionary is sent as JSON unless it is a form."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = data if isinstance(data, str) else json.dumps(data)
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text), response.headers.get("Set-Cookie") or ""
        return response.status, None, response.headers.get("Set-Cookie") or ""

    def accounts(self) -> list[str]:
        """The addresses of all accounts, as the admin page lists them."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        cookie = self.ask("POST", "/admin", urlencode({"token": ADMIN_TOKEN}), **form)[2].partition(";")[0]
        users = self.ask("GET", "/admin/users", **{"Cookie": cookie})[1]
        return sorted(user.get("email") or user["Email"] for user in users)


class Proxy:
    """Passes connections on: the hub to one port, all else to another.

    ``spoil`` gets what the hub's server sends after its handshake, and returns what to pass on, None to cut.
    ``before`` is called with each request's first bytes, and may hold it up.
    """

    def __init__(
        self,
        port: int,
        hub_port: int | None = None,
        tls: ssl.SSLContext | None = None,
        spoil: t.Callable[[bytes], bytes | None] | None = None,
        before: t.Callable[[bytes], None] | None = None,
    ) -> None:
        self._ports = (port, hub_port or port)
        self._tls = tls
        self._spoil = spoil
        self._before = before
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *__: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, __ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            with client:
                first = client.recv(65536)
                hub = HUB_BYTES in first.split(b"\r\n", 1)[0]
                with socket.create_connection(("127.0.0.1", self._ports[hub])) as server:
                    self._relay(client, server, first, hub)

    def _relay(self, client: socket.socket, server: socket.socket, data: bytes, hub: bool) -> None:
        self._up(server, data)
        shaken = False
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select([client, server], [], [], 30)[0]
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                if end is client:
                    self._up(server, data)
                    continue
                if hub and shaken and self._spoil and not data.startswith(b"\x89"):
                    spoilt = self._spoil(data)
                    if spoilt is None:
                        return
                    data = spoilt
                shaken = shaken or b"{}\x1e" in data
                client.sendall(data)

    def _up(self, server: socket.socket, data: bytes) -> None:
        if self._before:
            self._before(data)
        server.sendall(data)
