# SPDX-License-Identifier: GPL-3.0-or-later
"""One hub socket as a benchmark opens it: cheap enough for thousands of them in a few processes.

Not by a library for WebSockets: of those at hand each keeps a thread or a quarter of a megabyte for every socket that
speaks TLS, and then the client is what is measured.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import time
from typing import NamedTuple

SECONDS = 30.0
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
HANDSHAKE = json.dumps({"protocol": "messagepack", "version": 1}).encode() + b"\x1e"
HANDSHAKE_ANSWER = b"{}\x1e"


class Target(NamedTuple):
    """Where a hub is: ``ca_file`` for TLS, none for plain http straight to the server."""

    address: str
    port: int
    host: str
    token: str
    ca_file: str = ""

    def connect(self, context: ssl.SSLContext | None) -> socket.socket:
        """A connection, its TLS handshake done."""
        raw = socket.create_connection((self.address, self.port), timeout=SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            return raw
        try:
            return context.wrap_socket(raw, server_hostname=self.host)
        except OSError:
            raw.close()
            raise

    def context(self) -> ssl.SSLContext | None:
        """What all connections share."""
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None


class HubSocket:
    """A socket whose upgrade and handshake are done; afterwards it is read without waiting."""

    def __init__(self, target: Target, context: ssl.SSLContext | None) -> None:
        self.sock = target.connect(context)
        self._buffer = b""
        try:
            self._upgrade(target)
        except OSError:
            self.sock.close()
            raise

    def _upgrade(self, target: Target) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET /notifications/hub?access_token={target.token} HTTP/1.1", f"Host: {target.host}",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
        )  # fmt: skip
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        answer, __, self._buffer = self._buffer.partition(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionRefusedError(answer.split(b"\r\n")[0].decode(errors="replace"))
        self.sock.sendall(_masked(1, HANDSHAKE))
        while (BINARY, HANDSHAKE_ANSWER) not in self.frames():
            self._more()

    def _more(self) -> None:
        data = self.sock.recv(16384)
        if not data:
            raise ConnectionResetError("closed")
        self._buffer += data

    def frames(self) -> list[tuple[int, bytes]]:
        """Whole frames that have arrived; pings are answered. Servers send them short and unmasked."""
        found = []
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size == 126:
                size, start = int.from_bytes(self._buffer[2:4], "big"), 4
            if len(self._buffer) < start + size:
                break
            opcode, payload = self._buffer[0] & 15, self._buffer[start : start + size]
            self._buffer = self._buffer[start + size :]
            if opcode == PING:
                self.sock.sendall(_masked(PONG, payload))
            found.append((opcode, payload))
        return found

    def read(self) -> list[tuple[int, bytes]]:
        """Everything that is there, without waiting on a socket that does not block; raises once it is closed."""
        found = []
        while True:
            found += self.frames()
            if any(opcode == CLOSE for opcode, __ in found):
                raise ConnectionResetError("closed")
            try:
                self._more()
            except (ssl.SSLWantReadError, BlockingIOError):
                return found

    def next_event(self) -> None:
        """Wait for one event; for a socket that blocks."""
        deadline = time.monotonic() + SECONDS
        while not any(opcode == BINARY for opcode, __ in self.frames()):
            if time.monotonic() > deadline:  # pings come all the time
                raise TimeoutError("no event came")
            self._more()


def _masked(opcode: int, payload: bytes) -> bytes:
    """A frame as clients have to send it; a mask of zeros is as good as any, and free."""
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload
