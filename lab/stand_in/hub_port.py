# SPDX-License-Identifier: GPL-3.0-or-later
"""The second listener of versions before 1.31.0: a bare WebSocket server that does not care about the path.

It says very little: 401 without a header for a bad or missing token, and for anything that is no proper upgrade over
HTTP/1.1 it closes the socket without an answer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable

from .hub import Habits, Opcode, Subscriptions, converse
from .log import Log

ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LARGEST_HEAD = 64 * 1024
TARGET = "vaultwarden::api::notifications"

CheckToken = Callable[[str], "str | None"]


def accept_key(key: str) -> str:
    """The proof of having understood a WebSocket upgrade."""
    return base64.b64encode(hashlib.sha1((key + ACCEPT_SUFFIX).encode(), usedforsecurity=False).digest()).decode()


def upgrade_offered(headers: dict[str, str]) -> bool:
    """Whether these (lower-case) headers ask for a WebSocket of version 13."""
    connection = [word.strip().lower() for word in headers.get("connection", "").split(",")]
    return (
        "upgrade" in connection
        and "websocket" in headers.get("upgrade", "").lower()
        and headers.get("sec-websocket-version", "").strip() == "13"
        and bool(headers.get("sec-websocket-key"))
    )


def _token(target: str, headers: dict[str, str]) -> str:
    """The header counts before the query, and in the query only the first parameter does."""
    authorization = headers.get("authorization", "")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ")
    first = target.partition("?")[2].partition("&")[0]
    return first.removeprefix("access_token=") if first.startswith("access_token=") else ""


class RawSocket:
    """A WebSocket spoken directly over a TCP stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        """One unmasked frame."""
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, size])
        elif size < 1 << 16:
            head = bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
        self._writer.write(head + payload)
        await self._writer.drain()

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        mask = await self._reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
        data = await self._reader.readexactly(size)
        return bool(first & 0x80), first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))

    async def frames(self) -> AsyncIterator[tuple[Opcode, bytes]]:
        """The client's messages, put together from their fragments."""
        kind, parts = Opcode.BINARY, b""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while True:
                final, code, data = await self._frame()
                opcode = Opcode(code)
                if opcode >= Opcode.CLOSE:
                    yield opcode, data
                    if opcode is Opcode.CLOSE:
                        return
                    continue
                kind, parts = (kind, parts + data) if opcode is Opcode.CONTINUATION else (opcode, data)
                if final:
                    yield kind, parts


class HubPort:
    """The listener itself."""

    def __init__(self, check: CheckToken, subscriptions: Subscriptions, habits: Habits, log: Log) -> None:
        self._check = check
        self._subscriptions = subscriptions
        self._habits = habits
        self._log = log

    async def start(self, address: str, port: int) -> asyncio.Server:
        """Open the port; the caller keeps the server."""
        server = await asyncio.start_server(self._serve, address, port, limit=LARGEST_HEAD)
        self._log.info(TARGET, f"Starting WebSockets server on {address}:{port}")
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername", ("unknown",))[0]
        try:
            await self._accept(reader, writer, peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # not a WebSocket client: no answer
        finally:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, protocol = request.split(" ")
        headers = {name.strip().lower(): value.strip() for name, __, value in (line.partition(":") for line in lines)}
        if method != "GET" or protocol != "HTTP/1.1" or not upgrade_offered(headers):
            return
        user = self._check(_token(target, headers))
        if user is None:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
            await writer.drain()
            return
        accepted = accept_key(headers["sec-websocket-key"])
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + accepted.encode() + b"\r\n\r\n"
        )
        self._log.info(TARGET, f"Accepting WS connection from {peer}")
        socket = RawSocket(reader, writer)
        with self._subscriptions.member(user, socket):
            await converse(socket, self._habits)
        self._log.info(TARGET, f"Closing WS connection from {peer}")
