# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks for paths byte by byte, as no library would. Also runs on a host by itself: a JSON object in, one out."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: Frame types and flags of HTTP/2.
DATA, HEADERS, RESET, SETTINGS, GOAWAY, END_STREAM, END_HEADERS = 0, 1, 3, 4, 7, 1, 4
SECONDS = 10


class Place(NamedTuple):
    """Where to ask, the name for TLS, and what to send with a POST."""

    address: str
    port: int
    host: str
    form: str


class Question(NamedTuple):
    """One request: its protocol (``h1`` or ``h2``), its method, its target and its header Host, unchanged."""

    protocol: str
    method: str
    target: str
    host: str


def connected(place: Place, protocol: str) -> ssl.SSLSocket:
    """A connection that speaks the protocol. Certificates are for other tests, and loading them takes its time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2" if protocol == "h2" else "http/1.1"])
    raw = socket.create_connection((place.address, place.port), timeout=SECONDS)
    return context.wrap_socket(raw, server_hostname=place.host)


def read(sock: ssl.SSLSocket) -> bytes:
    """What comes next; nothing at the end, however it came."""
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def ask_h1(place: Place, question: Question) -> bytes:
    """The whole answer, its head included."""
    lines = [f"{question.method} {question.target} HTTP/1.1", f"Host: {question.host}", "Connection: close"]
    body = place.form if question.method == "POST" else ""
    if body:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    with connected(place, "h1") as sock:
        sock.sendall("\r\n".join([*lines, "", body]).encode("latin-1"))
        return b"".join(iter(lambda: read(sock), b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header that is neither indexed nor compressed; both texts are shorter than 127 bytes."""
    return b"\x10" + b"".join(bytes([len(text)]) + text for text in (name.encode(), value.encode("latin-1")))


def ask_h2(place: Place, question: Question) -> bytes:
    """The body of the answer alone; nothing where the proxy ends stream or connection instead."""
    body = place.form.encode() if question.method == "POST" else b""
    headers = {":method": question.method, ":scheme": "https", ":authority": question.host, ":path": question.target}
    if body:
        headers |= {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
    block = b"".join(literal(*header) for header in headers.items())
    request = frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), 1, block)
    if body:
        request += frame(DATA, END_STREAM, 1, body)
    with connected(place, "h2") as sock:
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + request)
        return answer_h2(sock)


def answer_h2(sock: ssl.SSLSocket) -> bytes:
    """The data of the only stream, until it or the connection ends."""
    pending, found = b"", b""
    while chunk := read(sock):
        pending += chunk
        while len(pending) >= 9 and len(pending) >= (end := 9 + int.from_bytes(pending[:3], "big")):
            kind, flags, payload, pending = pending[3], pending[4], pending[9:end], pending[end:]
            if kind == DATA:
                found += payload
            if kind in (RESET, GOAWAY) or (kind in (DATA, HEADERS) and flags & END_STREAM):
                return found
    return found


def ask(place: Place, question: Question) -> str:
    """The answer as text; empty where there is none."""
    try:
        answer = (ask_h2 if question.protocol == "h2" else ask_h1)(place, question)
    except OSError as exc:
        return str(exc)
    return answer.decode("latin-1")


def ask_all(place: Place, questions: list[Question]) -> list[str]:
    """All answers, in the order of the questions."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda question: ask(place, question), questions))


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(ask_all(Place(*given["place"]), [Question(*question) for question in given["questions"]])))
