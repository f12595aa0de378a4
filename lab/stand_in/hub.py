# SPDX-License-Identifier: GPL-3.0-or-later
"""The live channel: who is subscribed, what an event looks like in bytes, and how a socket is talked to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import msgpack

SIGNALR_PING = b"\x02\x91\x06"
HANDSHAKE_ANSWER = b"{}\x1e"
HANDSHAKE = {"protocol": "messagepack", "version": 1}
RECORD_SEPARATOR = "\x1e"


class Opcode(IntEnum):
    """Kinds of WebSocket frames."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Event(IntEnum):
    """Kinds of updates, as numbered on the wire in every version."""

    CIPHER_UPDATE = 0
    CIPHER_CREATE = 1
    LOGIN_DELETE = 2
    FOLDER_DELETE = 3
    FOLDER_CREATE = 7
    FOLDER_UPDATE = 8
    CIPHER_DELETE = 9


class Habits(NamedTuple):
    """How one listener of one version treats its sockets."""

    ping_seconds: float
    echoes_text: bool = False
    pongs_per_ping: int = 1
    echoes_close: bool = False


class Socket(Protocol):
    """A WebSocket, whichever listener accepted it."""

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        """Send one frame; raise ConnectionError when nobody is there."""

    def frames(self) -> AsyncIterator[tuple[Opcode, bytes]]:
        """The client's frames until it closes or vanishes; a close frame is the last one."""


def timestamp() -> msgpack.Timestamp:
    """The present moment. A part of a second makes msgpack choose the 64-bit form, the only one the server sends."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return msgpack.Timestamp(seconds, nanoseconds or 1)


def with_length(data: bytes) -> bytes:
    """Put the length in front: seven bits a byte, lowest first, the high bit says that more follow."""
    size, prefix = len(data), bytearray()
    while size > 0x7F:
        prefix.append((size & 0x7F) | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + data


def event_frame(kind: Event, context: str | None, payload: dict[str, Any]) -> bytes:
    """One SignalR invocation. Its keys are PascalCase in every version."""
    argument = {"ContextId": context, "Type": int(kind), "Payload": payload}
    packed: bytes = msgpack.packb([1, {}, None, "ReceiveMessage", [argument]])
    return with_length(packed)


class Subscriptions:
    """The sockets of each user, shared by all listeners."""

    def __init__(self) -> None:
        self._sockets: defaultdict[str, list[Socket]] = defaultdict(list)

    @contextlib.contextmanager
    def member(self, key: str, socket: Socket) -> Any:
        """Keep the socket subscribed for as long as the block runs."""
        self._sockets[key].append(socket)
        try:
            yield
        finally:
            self._sockets[key].remove(socket)
            if not self._sockets[key]:
                del self._sockets[key]

    async def publish(self, key: str, frame: bytes) -> None:
        """Send to every socket of the user, the acting session's too, before the request is answered."""
        for socket in list(self._sockets.get(key, ())):
            with contextlib.suppress(ConnectionError):
                await socket.send(Opcode.BINARY, frame)


def _is_handshake(text: bytes) -> bool:
    try:
        said = json.loads(text.decode().removesuffix(RECORD_SEPARATOR))
    except ValueError:
        return False
    return isinstance(said, dict) and HANDSHAKE.items() <= said.items()


def _answers(opcode: Opcode, payload: bytes, habits: Habits) -> list[tuple[Opcode, bytes]]:
    if opcode is Opcode.PING:
        return [(Opcode.PONG, payload)] * habits.pongs_per_ping
    if opcode is Opcode.TEXT and _is_handshake(payload):
        return [(Opcode.BINARY, HANDSHAKE_ANSWER)]
    echoed = {Opcode.BINARY: True, Opcode.TEXT: habits.echoes_text, Opcode.CLOSE: habits.echoes_close}
    return [(opcode, payload)] if echoed.get(opcode, False) else []


async def _keep_pinging(socket: Socket, seconds: float) -> None:
    """Ping at once, then again and again; the payload is SignalR's own ping."""
    with contextlib.suppress(ConnectionError):
        while True:
            await socket.send(Opcode.PING, SIGNALR_PING)
            await asyncio.sleep(seconds)


async def converse(socket: Socket, habits: Habits) -> None:
    """Talk to one socket until it goes away."""
    pinger = asyncio.create_task(_keep_pinging(socket, habits.ping_seconds))
    try:
        async for opcode, payload in socket.frames():
            for answer in _answers(opcode, payload, habits):
                await socket.send(*answer)
    except ConnectionError:
        return
    finally:
        pinger.cancel()
