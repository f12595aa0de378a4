# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to a vault under one real deadline: who to connect to, TLS, HTTP, and what a failure means.

A timeout of the socket module starts again with every byte, so a slow peer could hold a check for ever. Here
each read and write gets only what is left of an absolute Deadline. Proxies of the environment are not
used and redirects are not followed, since a check has to see what the address itself answers.
Standard library only, Python 3.8 and later, no Ansible imports.
"""

from __future__ import annotations

import dataclasses
import errno
import http.client
import io
import json
import socket
import ssl
import time
import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils._domain import parse_domain

Fault = t.Literal[
    "dns", "refused", "unreachable", "timeout", "untrusted", "expired", "wrong_name", "not_tls", "alpn", "tls",
    "closed", "not_http",
]  # fmt: skip
"""How a connection failed, in one word; "closed" is a socket that ended without an answer."""

#: The options that say which vault is meant and how it is reached, shared by every module that asks one.
VAULT_ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    "url": {"type": "str", "required": True},
    "connect_to": {"type": "str"},
    "ca_file": {"type": "path"},
    "ca_content": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
}

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LARGEST_BODY = 32 * 1024 * 1024
_IDLE_SECONDS = 2.0

# Numbers of OpenSSL's X509_V_ERR_*, which the ssl module hands on without names.
_EXPIRED_CODES = frozenset({9, 10})
_WRONG_NAME_CODES = frozenset({62, 64})


class AddressError(ValueError):
    """An address or certificate option that cannot be used. The text says what to write instead."""


class TransportError(Exception):
    """No HTTP answer came. ``fault`` is the kind, the text is what the system said."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault: Fault = fault


class Deadline:
    """A moment after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain, more than 0; raises TimeoutError when the moment has passed."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def remaining(self) -> float:
        """Seconds that remain, 0 when the moment has passed."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        return self.remaining() == 0.0

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and ``seconds`` from now."""
        sooner = Deadline(seconds)
        sooner._end = min(sooner._end, self._end)
        return sooner


@dataclasses.dataclass(frozen=True)
class Target:
    """A vault's public address, and where to connect instead of resolving it."""

    url: str
    secure: bool
    host: str
    host_header: str
    base_path: str
    connect_host: str
    connect_port: int


def parse_target(url: str, connect_to: t.Optional[str] = None) -> Target:
    """Take apart ``url`` (https, or http for asking an upstream directly). Raises AddressError."""
    scheme, separator, rest = url.rstrip("/").partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        raise AddressError(
            f"url is {url!r}, which starts with neither https:// nor http://. Set it to the address that users "
            f"type, for example https://vault.example.com or https://www.example.com/vault."
        )
    try:
        domain = parse_domain(f"https://{rest}", "url")
    except ValueError as exc:
        raise AddressError(str(exc)) from exc
    host_header = domain.origin[len("https://") :]
    has_port = host_header.rpartition("]")[2].rpartition(":")[1] == ":"
    port = domain.port if has_port else _DEFAULT_PORTS[scheme]
    connect_host, connect_port = _connect_to(connect_to, domain.host, port)
    return Target(
        url=f"{scheme}://{rest}",
        secure=scheme == "https",
        host=domain.host,
        host_header=host_header,
        base_path=domain.base_path,
        connect_host=connect_host,
        connect_port=connect_port,
    )


def _connect_to(connect_to: t.Optional[str], host: str, port: int) -> t.Tuple[str, int]:
    """Read ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or a bare IPv6 address."""
    if not connect_to:
        return host, port
    name, number = connect_to, ""
    if connect_to.startswith("["):
        name, __, number = connect_to[1:].partition("]")
        number = number.lstrip(":")
    elif connect_to.count(":") == 1:
        name, __, number = connect_to.partition(":")
    if not name or not (number.isdecimal() or not number) or not 0 < int(number or port) < 65536:
        raise AddressError(
            f"connect_to is {connect_to!r}. Write an address or host name, with or without a port, for example "
            f"192.0.2.10, 192.0.2.10:8443 or [2001:db8::10]:443."
        )
    return name, int(number or port)


def tls_context(
    target: Target, ca_file: t.Optional[str] = None, ca_content: t.Optional[str] = None, validate: bool = True
) -> t.Optional[ssl.SSLContext]:
    """The TLS settings for a target, None for plain http. A given CA replaces the system's. Raises AddressError."""
    if not target.secure:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file or None, cadata=ca_content or None)
    except (OSError, ValueError) as exc:
        source = f"The file {ca_file!r} of ca_file" if ca_file else "ca_content"
        raise AddressError(
            f"{source} cannot be used as certificate authority ({exc}). Give one or more certificates in PEM form, "
            f"readable on the machine that runs the check."
        ) from exc
    # From Python 3.13 on the default refuses authorities that browsers and the clients accept, for example one without
    # a key identifier. What is found must not depend on the Python that asks.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not validate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # A WebSocket upgrade exists in HTTP/1.1 only; a server that could speak h2 has to be told.
    context.set_alpn_protocols(["http/1.1"])
    return context


def open_socket(target: Target, context: t.Optional[ssl.SSLContext], deadline: Deadline) -> socket.socket:
    """Connect, and speak TLS where a context is given. Raises TransportError."""
    try:
        plain = _connect(target.connect_host, target.connect_port, deadline)
        if context is None:
            return plain
        try:
            plain.settimeout(deadline.left())
            return context.wrap_socket(plain, server_hostname=target.host)
        except BaseException:
            plain.close()
            raise
    except (OSError, UnicodeError) as exc:
        raise explain(exc) from exc


def _connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    last: OSError = OSError("the name has no address")
    for position, (family, kind, protocol, __, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            # A dead first address must leave time for the next one.
            sock.settimeout(deadline.left() / (len(addresses) - position))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as exc:
            sock.close()
            last = exc
    raise last


def explain(exc: Exception) -> TransportError:
    """Turn an exception of socket, ssl or http.client into a TransportError.

    Raises the exception itself where the machine that asks is at its own limits, which says nothing about the network.
    """
    if isinstance(exc, OSError) and exc.errno in _OWN_LIMITS:
        raise exc
    if isinstance(exc, TransportError):
        return exc
    if isinstance(exc, ssl.SSLError):
        return TransportError(_tls_fault(exc), getattr(exc, "verify_message", "") or exc.reason or str(exc))
    for kind, fault in _FAULTS:
        if isinstance(exc, kind):
            return TransportError(fault, getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)
    if isinstance(exc, http.client.HTTPException):
        return TransportError("not_http", type(exc).__name__)
    return TransportError("unreachable", getattr(exc, "strerror", None) or str(exc))


_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

# Order matters: RemoteDisconnected is also a BadStatusLine, and everything here is also an OSError.
_FAULTS: t.Tuple[t.Tuple[t.Type[BaseException], Fault], ...] = (
    (socket.gaierror, "dns"),
    (UnicodeError, "dns"),
    (socket.timeout, "timeout"),  # The same as the next one only from Python 3.10 on.
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "closed"),
    (http.client.IncompleteRead, "closed"),
)


def _tls_fault(exc: ssl.SSLError) -> Fault:
    code = getattr(exc, "verify_code", None)
    if code is not None:
        if code in _WRONG_NAME_CODES:
            return "wrong_name"
        return "expired" if code in _EXPIRED_CODES else "untrusted"
    reason = exc.reason or str(exc)
    for words, fault in _TLS_REASONS:
        if words in reason:
            return fault
    return "tls"


_TLS_REASONS: t.Tuple[t.Tuple[str, Fault], ...] = (
    ("WRONG_VERSION_NUMBER", "not_tls"),
    ("HTTP_REQUEST", "not_tls"),
    ("RECORD_LAYER_FAILURE", "not_tls"),
    ("PACKET_LENGTH_TOO_LONG", "not_tls"),
    ("NO_APPLICATION_PROTOCOL", "alpn"),
    # Where Python knows no name for it, there is the library's text only.
    ("no application protocol", "alpn"),
    ("UNEXPECTED_EOF", "closed"),
    ("EOF occurred", "closed"),
)


class _Reader(io.RawIOBase):
    """The receiving half of a Wire, for io.BufferedReader."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        self._wire.sock.settimeout(self._wire.deadline.left())
        return self._wire.sock.recv_into(buffer)


class Wire:
    """A socket whose every read and write obeys ``deadline``; http.client takes it for a socket."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(self.deadline.left())
        self.sock.sendall(data)

    def close(self) -> None:
        """Nothing: http.client closes early on an HTTP/1.0 answer, while frames may still be waiting."""


class _Exchange(http.client.HTTPConnection):
    """Collects a request, so that head and body leave in one piece."""

    def __init__(self, wire: Wire) -> None:
        super().__init__("unused")
        self.sock = t.cast(t.Any, wire)
        self.parts: t.List[bytes] = []

    def send(self, data: t.Any) -> None:
        self.parts.append(data)


def exchange(
    wire: Wire, host_header: str, method: str, path: str, headers: t.Mapping[str, str], body: t.Optional[bytes] = None
) -> http.client.HTTPResponse:
    """Send one request over a wire and read the head of its answer. Raises what explain() understands."""
    connection = _Exchange(wire)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host_header)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    wire.sendall(b"".join(connection.parts))
    return connection.getresponse()


@dataclasses.dataclass(frozen=True)
class Reply:
    """A whole HTTP answer; ``cookies`` holds each Set-Cookie header."""

    status: int
    location: str
    cookies: t.Tuple[str, ...]
    body: bytes

    def json(self) -> t.Any:
        """The body as JSON, None when it is something else."""
        try:
            return read_json(self.body)
        except ValueError:
            return None


def read_json(text: t.Union[bytes, str]) -> t.Any:
    """A value in JSON. Raises ValueError for anything else, also for what is nested too deep to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


class Client:
    """HTTP with one vault over a connection that is kept open between requests."""

    def __init__(self, target: Target, context: t.Optional[ssl.SSLContext]) -> None:
        self.target = target
        self.context = context
        self._wire: t.Optional[Wire] = None
        self._used = 0.0

    def open(self, deadline: Deadline) -> None:
        """Make sure that a fresh connection stands, so that the next request costs one round trip."""
        if self._wire is not None and time.monotonic() - self._used > _IDLE_SECONDS:
            self.close()  # The server may be closing an idle connection just now.
        if self._wire is None:
            self._wire = Wire(open_socket(self.target, self.context, deadline), deadline)
            self._used = time.monotonic()

    def request(
        self, method: str, path: str, headers: t.Mapping[str, str], body: t.Optional[bytes], deadline: Deadline
    ) -> Reply:
        """Send a request below the vault's path and read the whole answer. Raises TransportError."""
        self.open(deadline)
        wire = t.cast(Wire, self._wire)
        wire.deadline = deadline
        try:
            response = exchange(wire, self.target.host_header, method, self.target.base_path + path, headers, body)
            data = response.read(_LARGEST_BODY)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise explain(exc) from exc
        except BaseException:
            self.close()
            raise
        self._used = time.monotonic()
        if response.will_close:
            self.close()
        cookies = tuple(response.headers.get_all("Set-Cookie") or ())
        return Reply(response.status, response.headers.get("Location") or "", cookies, data)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.sock.close()
            self._wire = None
