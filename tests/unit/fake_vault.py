# SPDX-License-Identifier: GPL-3.0-or-later
"""A vault and its proxy as one scripted server on raw sockets, which can misbehave in every way a probe must know.

Each path has a behaviour: a function that gets the connection and the request and does whatever a real one would
do. The defaults are those of a healthy server of the single-port era.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import ipaddress
import json
import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HUB = "/notifications/hub"
ANONYMOUS = "/notifications/anonymous-hub"
HANDSHAKE = b"\x82\x03{}\x1e"
PING = b"\x89\x03\x02\x91\x06"
GUARD = {"X-Frame-Options": "SAMEORIGIN", "Content-Security-Policy": "default-src 'self'"}
OWN_POLICY = {**GUARD, "Content-Security-Policy": "connect-src 'self' https://api.pwnedpasswords.com"}


@dataclasses.dataclass
class Request:
    path: str
    query: str
    headers: dict[str, str]

    @property
    def upgrade(self) -> bool:
        wanted = "upgrade" in self.headers.get("connection", "").lower()
        return wanted and self.headers.get("upgrade") == "websocket" and "sec-websocket-key" in self.headers


Behaviour = t.Callable[[socket.socket, Request], None]


def reply(status: int, body: bytes | str = b"", kind: str = "application/json", **headers: str) -> Behaviour:
    """A plain answer; header names are written with underscores."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", f"Content-Type: {kind}"]
    lines.append("Connection: close")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + data
    return lambda connection, request: connection.sendall(answer)


def page(status: int, **headers: str) -> Behaviour:
    return reply(status, f"<html><body>{status}</body></html>", "text/html", **headers)


def refusal(status: int = 401, message: str = "Invalid claim", **headers: str) -> Behaviour:
    return reply(status, json.dumps({"message": message, "errorModel": {"message": message}}), **headers)


def upgrade(
    then: bytes = PING + HANDSHAKE, accept: str | None = None, close: bool = False, hold: float = 10
) -> Behaviour:
    """A 101, then what the socket carries; with ``close`` it ends there, else it stays silent."""

    def behave(connection: socket.socket, request: Request) -> None:
        key = request.headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        right = base64.b64encode(hashlib.sha1(key).digest()).decode()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + f"Sec-WebSocket-Accept: {accept or right}\r\n\r\n".encode()
        )
        if not then:
            return None if close else _hold(connection, hold)
        # A real server answers the client's own handshake.
        if b"messagepack" in _unmasked(connection.recv(1024)):
            connection.sendall(then)
        return None if close else _hold(connection, hold)

    return behave


def _unmasked(frame: bytes) -> bytes:
    mask, data = frame[2:6], frame[6:]
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def _hold(connection: socket.socket, seconds: float) -> None:
    connection.settimeout(seconds)
    with contextlib.suppress(OSError):
        while connection.recv(1024):
            pass


def drop(connection: socket.socket, request: Request) -> None:
    """Close without an answer, as the second port does to anything that is no upgrade."""


def hang(seconds: float) -> Behaviour:
    return lambda connection, request: _hold(connection, seconds)


def drip(seconds: float) -> Behaviour:
    """An answer that comes byte by byte and never ends: each byte restarts a plain socket timeout."""

    def behave(connection: socket.socket, request: Request) -> None:
        end = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while time.monotonic() < end:
                connection.sendall(b"x")
                time.sleep(0.05)

    return behave


def raw(data: bytes) -> Behaviour:
    return lambda connection, request: connection.sendall(data)


def either(with_upgrade: Behaviour, without: Behaviour) -> Behaviour:
    return lambda connection, request: (with_upgrade if request.upgrade else without)(connection, request)


def alive(ahead: float = 0) -> Behaviour:
    """The server's own time, whose clock may be wrong."""

    def behave(connection: socket.socket, request: Request) -> None:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead)
        reply(200, json.dumps(now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")))(connection, request)

    return behave


def healthy(version: str = "1.37.2", base_path: str = "") -> dict[str, Behaviour]:
    """The behaviours of a right set-up; paths that are missing answer 404 with a page."""
    lost = page(404, **{name.replace("-", "_"): value for name, value in GUARD.items()})
    return {
        f"{base_path}/alive": alive(),
        f"{base_path}/api/version": reply(200, json.dumps(version)),
        base_path + HUB: either(refusal(), lost),
        base_path + ANONYMOUS: either(upgrade(), lost),
    }


def legacy(version: str = "1.28.1") -> dict[str, Behaviour]:
    """A right set-up of the legacy era: the hub is on a port of its own, and there is no anonymous hub."""
    return {**healthy(version), HUB: either(raw(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), page(502)), ANONYMOUS: page(404)}


class FakeVault:
    """The scripted server; a context manager. ``requests`` lists the paths that were asked for."""

    def __init__(self, routes: t.Mapping[str, Behaviour], tls: ssl.SSLContext | None = None) -> None:
        self._routes = routes
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeVault:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *__: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, __ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                request = self._read(connection)
                if request is not None:
                    self.requests.append(request)
                    self._routes.get(request.path, page(404))(connection, request)

    def _read(self, connection: socket.socket) -> Request | None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return None
            head += data
        first, *lines = head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        path, __, query = first.split(" ")[1].partition("?")
        headers = {name.lower(): value.strip() for name, __, value in (line.partition(":") for line in lines)}
        return Request(path, query, headers)


@dataclasses.dataclass
class Authority:
    """A certificate authority for tests; ``pem`` is what clients trust."""

    pem: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    folder: Path

    def server(self, *names: str, days: tuple[int, int] = (-1, 30)) -> ssl.SSLContext:
        """The TLS context of a server with a certificate for these names, valid over these days from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [_alternative(name) for name in names]
        certificate = (
            _builder(names[0], self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{'-'.join(names)}{days[1]}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority for tests")])
    certificate = (
        _builder("authority for tests", name, key, (-1, 30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate.public_bytes(serialization.Encoding.PEM).decode(), key, certificate, folder)


def _builder(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
