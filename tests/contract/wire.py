# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets without a library in between: what was asked is exactly what a fixture says, and nothing is repaired."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SECONDS = 10.0
HANDSHAKE = b'{"protocol":"messagepack","version":1}\x1e'
OPCODES = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
NUMBERS = {name: number for number, name in OPCODES.items()}

Frame = tuple[str, bytes]


@dataclass
class Answer:
    """One HTTP answer, or what came instead: the status ``closed`` or ``refused``."""

    status: int | str
    headers: dict[str, str]
    body: bytes = b""


def ask(port: int, request: dict[str, Any]) -> Answer:
    """A plain request, one connection each."""
    headers = dict(request.get("headers", {}))
    body: str | None = None
    if "json" in request:
        body = json.dumps(request["json"])
        headers.setdefault("Content-Type", "application/json")
    elif "data" in request:
        body = urlencode(request["data"])
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(request["method"], request["path"], body=body, headers=headers)
        return _read_answer(connection.getresponse())
    finally:
        connection.close()


def _read_answer(response: HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def _upgrade_headers(key: str) -> dict[str, str | None]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }


def _head(probe: dict[str, Any], key: str) -> bytes:
    headers: dict[str, str | None] = {"Host": "127.0.0.1"}
    if probe.get("upgrade", True):
        headers |= _upgrade_headers(key)
    headers |= probe.get("headers", {})
    lines = [f"{probe.get('method', 'GET')} {probe['path']} HTTP/{probe.get('http', '1.1')}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


class WebSocket:
    """A client socket, from the first byte of the request on."""

    def __init__(self, port: int, probe: dict[str, Any]) -> None:
        self._key = base64.b64encode(os.urandom(16)).decode()
        self._buffer = b""
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.sendall(_head(probe, self._key))

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        self._buffer += data
        return bool(data)

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._buffer:
            if not self._receive():
                return None
        found, __, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._receive():
                return None
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def answer(self) -> Answer:
        """The HTTP answer; the proof of the upgrade is replaced by a word when it is right."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return Answer("closed", {})
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, __, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        proof = base64.b64encode(hashlib.sha1((self._key + ACCEPT_SUFFIX).encode()).digest()).decode()
        if headers.get("sec-websocket-accept") == proof:
            headers["sec-websocket-accept"] = "<correct>"
        if status == 101:
            return Answer(status, headers)
        return Answer(status, headers, self._body(headers.get("content-length")))

    def _body(self, length: str | None) -> bytes:
        if length is not None:
            return self._exactly(int(length)) or b""
        while self._receive():
            pass
        return self._buffer

    def send(self, opcode: str, payload: bytes) -> None:
        """One masked frame; payloads are short."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | NUMBERS[opcode], 0x80 | len(payload)]) + mask + masked)

    def frame(self, seconds: float = SECONDS) -> Frame | None:
        """The next frame, or nothing when the server has closed the connection."""
        self._socket.settimeout(seconds)
        head = self._exactly(2)
        if head is None:
            return None
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self._exactly(2) or b"", "big")
        payload = self._exactly(size)
        return None if payload is None else (OPCODES[head[0] & 0x0F], payload)

    def frames_until_pong(self) -> list[Frame]:
        """All frames that were sent so far: those in front of the answer to a ping of our own."""
        mark = os.urandom(8)
        self.send("ping", mark)
        found: list[Frame] = []
        while (frame := self.frame()) is not None:
            if frame == ("pong", mark):
                return found
            found.append(frame)
        raise ConnectionError("the server closed the socket")

    def wait_for(self, opcode: str, seconds: float) -> Frame:
        """Read on until such a frame comes."""
        end = time.monotonic() + seconds
        while (frame := self.frame(max(end - time.monotonic(), 0.01))) is not None:
            if frame[0] == opcode:
                return frame
        raise ConnectionError("the server closed the socket")

    def frames_until_end(self) -> list[Frame]:
        """All frames until the server closes the connection."""
        found: list[Frame] = []
        while (frame := self.frame()) is not None:
            found.append(frame)
        return found

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def shut(self) -> None:
        """Close properly and wait until the server has let go."""
        self.send("close", (1000).to_bytes(2, "big"))
        self.frames_until_end()
        self.close()


def probe(port: int, wanted: dict[str, Any]) -> Answer:
    """One upgrade request, or what a fixture says instead of it, and its answer."""
    try:
        opened = WebSocket(port, wanted)
    except ConnectionRefusedError:
        return Answer("refused", {})
    try:
        answer = opened.answer()
        if answer.status == 101 and wanted.get("http") != "1.0":
            opened.shut()
        elif answer.status == 101:
            answer = answer if opened.frame() is None else Answer("101 and not dropped", {})
        return answer
    finally:
        opened.close()
