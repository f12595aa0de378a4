# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a vault's hubs over raw HTTP/1.1, without credentials, and read the server's own handshake.

A bare 101 proves nothing: the server writes one even for an upgrade that it then drops. So every upgraded socket
gets the SignalR handshake, and only the server's answer to that counts. All requests go out side by side, each on
a connection of its own, so that a probe costs about as much as its slowest answer.
Standard library only, Python 3.8 and later, no Ansible imports.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import email.utils
import functools
import hashlib
import http.client
import io
import os
import socket
import ssl
import struct
import time
import typing as t
import uuid
from urllib.parse import quote

from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import (
    ALIVE_PATH,
    SECURITY_HEADERS,
    Answer,
    BodyKind,
    Certificate,
    Finding,
    Observation,
    diagnose,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._http import (
    Deadline,
    Target,
    TransportError,
    Wire,
    exchange,
    explain,
    open_socket,
    read_json,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import named, side_by_side
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import (
    ANONYMOUS_HUB_PATH,
    HUB_PATH,
    LayoutError,
    LayoutPlan,
    parse_version,
    plan_layout,
)

VERSION_PATH = "/api/version"
#: How a question is named as the step of an InternalError.
QUESTION = "the question "
HELLO = b'{"protocol":"messagepack","version":1}\x1e'
HELLO_ANSWER = b"{}\x1e"

#: An open hub answers the handshake at once; a silent socket must not use up the whole probe.
HANDSHAKE_SECONDS = 5.0

# A host that the server's own content policy names in every release, and that nobody would add to a proxy's.
_OWN_POLICY = "api.pwnedpasswords.com"
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BODY_SAMPLE = 64 * 1024
_LARGEST_FRAME = 1024 * 1024
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_SIGNALR_PING = b"\x02\x91\x06"


@dataclasses.dataclass(frozen=True)
class Question:
    """One request of the probe; ``path`` is below the vault's own path and may hold a query.

    A socket that opened is kept for ``hold`` seconds, to see whether it lives and whether pings come.
    """

    path: str
    upgrade: bool = False
    hold: float = 0.0


@dataclasses.dataclass(frozen=True)
class Report:
    """What a probe found: the observation, its diagnosis, and how long each answer took in milliseconds."""

    observation: Observation
    findings: t.List[Finding]
    timings_ms: t.Dict[str, float]


def probe(
    target: Target,
    context: t.Optional[ssl.SSLContext],
    version: str = "",
    layout: str = "auto",
    token: str = "",
    timeout: float = 10.0,
    idle: float = 0.0,
) -> Report:
    """Ask everything once and diagnose it.

    Raises LayoutError for a version or layout that cannot be, and InternalError.
    """
    expected = str(parse_version(version)) if version else ""
    if expected:
        plan_layout(parse_version(expected), layout)
    answers, timings = ask_all(target, context, _questions(token, idle), timeout, idle)
    with named("the diagnosis"):
        observation = _observe(target, answers, expected, layout, token)
        findings = diagnose(observation, target.connect_host, target.connect_port)
    return Report(observation, findings, timings)


def _observe(target: Target, answers: t.Dict[str, Answer], expected: str, layout: str, token: str) -> Observation:
    served = _served_version(answers["version"])
    return Observation(
        url=target.url,
        secure=target.secure,
        base_path=target.base_path,
        alive=answers["alive"],
        hub=answers["hub"],
        anonymous_hub=answers["anonymous_hub"],
        hub_plain=answers["hub_plain"],
        hub_session=_without_token(answers["hub_session"], token) if token else None,
        plan=_plan(served or expected, layout),
        layout_asked=layout,
        version_served=served,
        version_expected=expected,
    )


def _questions(token: str, idle: float) -> t.Dict[str, Question]:
    questions = {
        "alive": Question(ALIVE_PATH),
        "version": Question(VERSION_PATH),
        "hub": Question(HUB_PATH, upgrade=True),
        "hub_plain": Question(HUB_PATH),
        "anonymous_hub": Question(f"{ANONYMOUS_HUB_PATH}?token={uuid.uuid4().hex}", upgrade=True, hold=idle),
    }
    if token:
        questions["hub_session"] = Question(f"{HUB_PATH}?access_token={quote(token, safe='')}", upgrade=True, hold=idle)
    return questions


def _served_version(answer: Answer) -> str:
    """The release that the server names, empty where it names none that is known."""
    if answer.status != 200 or answer.body != "json":
        return ""
    try:
        return str(parse_version(read_json(answer.excerpt)))
    except (LayoutError, ValueError):
        return ""


def _plan(version: str, layout: str) -> t.Optional[LayoutPlan]:
    if not version:
        return None
    try:
        return plan_layout(parse_version(version), layout)
    except LayoutError:
        # The server is of another era than the caller thinks; that is a finding of its own.
        return plan_layout(parse_version(version))


def _without_token(answer: Answer, token: str) -> Answer:
    """A page may quote the address it was asked for."""
    hidden = {}
    for name in ("excerpt", "error", "server", "location"):
        value = getattr(answer, name)
        for secret in (token, quote(token, safe="")):
            value = value.replace(secret, "********")
        hidden[name] = value
    return dataclasses.replace(answer, **hidden)


def ask_all(
    target: Target,
    context: t.Optional[ssl.SSLContext],
    questions: t.Mapping[str, Question],
    timeout: float,
    idle: float = 0.0,
) -> t.Tuple[t.Dict[str, Answer], t.Dict[str, float]]:
    """Ask side by side. A question without an answer at the deadline is answered "timeout".

    Sockets that are to be kept open get ``idle`` more seconds for that. Raises InternalError, since an error of our own
    must not pass for a question that nobody answered.
    """
    deadline = Deadline(timeout)
    begin = time.monotonic()

    def work(question: Question) -> t.Tuple[Answer, float]:
        return ask(target, context, question, deadline), _ms_since(begin)

    steps = {QUESTION + name: functools.partial(work, question) for name, question in questions.items()}
    got = side_by_side(steps, timeout + idle + 0.1)
    late = Answer(fault="timeout", error="no answer in time")
    answers = {name: got[QUESTION + name] for name in questions}
    timings = {name: answer[1] for name, answer in answers.items() if answer}
    return {name: answer[0] if answer else late for name, answer in answers.items()}, {
        **timings,
        "total": _ms_since(begin),
    }


def _ms_since(begin: float) -> float:
    return round((time.monotonic() - begin) * 1000, 1)


def ask(target: Target, context: t.Optional[ssl.SSLContext], question: Question, deadline: Deadline) -> Answer:
    """One request on a connection of its own; a failure is an answer too."""
    try:
        sock = open_socket(target, context, deadline)
    except TransportError as exc:
        return Answer(fault=exc.fault, error=str(exc))
    try:
        return _converse(Wire(sock, deadline), target, question, deadline)
    except (OSError, http.client.HTTPException) as exc:
        failure = explain(exc)
        return Answer(fault=failure.fault, error=str(failure))
    finally:
        sock.close()


def _converse(wire: Wire, target: Target, question: Question, deadline: Deadline) -> Answer:
    key = base64.b64encode(os.urandom(16)).decode("ascii")
    headers = {"Accept": "*/*", "User-Agent": "vaultwire-hub-probe"}
    if question.upgrade:
        # The whole set: some proxies refuse an upgrade without Key or Version.
        headers.update(
            {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
        )
    else:
        headers["Connection"] = "close"
    # Before the answer: a peer that ends TLS without a word takes the certificate with it.
    certificate = _certificate(wire.sock)
    response = exchange(wire, target.host_header, "GET", target.base_path + question.path, headers)
    if response.status != 101:
        return dataclasses.replace(_plain_answer(response), certificate=certificate)
    answer = Answer(
        status=101,
        server=_header(response, "server"),
        accept_ok=_header(response, "sec-websocket-accept") == accept_for(key),
        guarded=_guarded(response),
        own_policy=_own_policy(response),
    )
    if not question.upgrade or not answer.accept_ok:
        return answer
    wire.deadline = deadline.within(HANDSHAKE_SECONDS)
    answer = dataclasses.replace(answer, **_await_handshake(wire, response.fp, stay=bool(question.hold)))
    if answer.handshake and question.hold:
        answer = dataclasses.replace(answer, **_hold(wire, response.fp, question.hold))
    return answer


def _plain_answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read(_BODY_SAMPLE)
    kind, app = _body_kind(body, _header(response, "content-type"))
    return Answer(
        status=response.status,
        body=kind,
        app=app,
        challenge=bool(_header(response, "www-authenticate")),
        guarded=_guarded(response),
        own_policy=_own_policy(response),
        skew=_skew(body, _header(response, "date")),
        server=_header(response, "server"),
        # Gates put the address that was asked for, token and all, into the query of their redirect.
        location=_header(response, "location").partition("?")[0].partition("#")[0],
        excerpt=" ".join(body[:400].decode("utf-8", "replace").split())[:120],
    )


def _guarded(response: http.client.HTTPResponse) -> t.FrozenSet[str]:
    return frozenset(name for name in SECURITY_HEADERS if _header(response, name))


def _own_policy(response: http.client.HTTPResponse) -> bool:
    return _OWN_POLICY in _header(response, "content-security-policy")


def _skew(body: bytes, date: str) -> t.Optional[float]:
    """How far the other clock is ahead: by the time that the server itself names, else by the Date of its proxy."""
    with contextlib.suppress(ValueError):
        said = read_json(body)
        # Only a text can be a time: an error of the server is an object, which Python 3.12 and later take a slice of.
        if isinstance(said, str):
            moment = datetime.datetime.strptime(said[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
            return moment.timestamp() - time.time()
    # TypeError for no date at all, before Python 3.10; OverflowError for a year that the system's clock cannot hold.
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    return None


def _certificate(sock: socket.socket) -> t.Optional[Certificate]:
    """The life of the certificate; only one that was checked tells it."""
    found = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    if not found:
        return None
    begin, end = (ssl.cert_time_to_seconds(str(found[name])) for name in ("notBefore", "notAfter"))
    return Certificate((end - begin) / 86400, (end - time.time()) / 86400)


def _header(response: http.client.HTTPResponse, name: str) -> str:
    return (response.getheader(name) or "").strip()


def _body_kind(body: bytes, content_type: str) -> t.Tuple[BodyKind, bool]:
    """The kind of a body, and whether it is an error of the vault server itself."""
    if not body.strip():
        return "empty", False
    try:
        value = read_json(body)
    except ValueError:
        page = "html" in content_type.lower() or body.lstrip()[:1] == b"<"
        return ("html" if page else "other"), False
    # Releases differ in the case of their keys.
    keys = {key.lower() for key in value} if isinstance(value, dict) else set()
    return "json", "errormodel" in keys


def accept_for(key: str) -> str:
    """The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + _ACCEPT_SUFFIX).digest()).decode("ascii")


def _await_handshake(wire: Wire, stream: io.BufferedReader, stay: bool) -> t.Dict[str, t.Any]:
    """Send the SignalR handshake and read frames until its answer, the end of the socket or the deadline."""
    try:
        wire.sendall(client_frame(_TEXT, HELLO))
        while True:
            opcode, payload = read_frame(stream)
            if opcode == _CLOSE:
                return {"closed_after_101": True, "error": "the socket was closed"}
            if opcode in (_TEXT, _BINARY) and _is_handshake(payload):
                break
        if payload != HELLO_ANSWER:
            return {"error": "the handshake was refused"}
        if not stay:
            wire.sendall(_GOODBYE)
        return {"handshake": True}
    except (OSError, EOFError, FrameError) as exc:
        if isinstance(exc, EOFError) or explain(exc).fault == "closed":
            return {"closed_after_101": True, "error": "the socket was closed"}
        return {"error": "the handshake never came"}


def _hold(wire: Wire, stream: io.BufferedReader, seconds: float) -> t.Dict[str, t.Any]:
    """Keep a socket open and count the server's pings: those of WebSocket, and those of SignalR."""
    begin = time.monotonic()
    wire.deadline = Deadline(seconds)
    pings = 0
    cut = True
    try:
        while True:
            opcode, payload = read_frame(stream)
            if opcode == _CLOSE:
                break
            pings += opcode == _PING or payload == _SIGNALR_PING
            if opcode == _PING:
                wire.sendall(client_frame(_PONG, payload))
    except (OSError, EOFError, FrameError) as exc:
        cut = isinstance(exc, (EOFError, FrameError)) or explain(exc).fault != "timeout"
    if not cut:
        with contextlib.suppress(OSError):
            wire.deadline = Deadline(1.0)
            wire.sendall(_GOODBYE)
    return {"held": time.monotonic() - begin, "pings": pings, "cut": cut}


def _is_handshake(payload: bytes) -> bool:
    """Whether a frame answers the handshake: JSON and a separator. An event may come first and end in that byte."""
    if payload[-1:] != b"\x1e":
        return False
    try:
        return isinstance(read_json(payload[:-1]), dict)
    except ValueError:
        return False


class FrameError(ValueError):
    """What came is no frame that a server may send."""


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A short WebSocket frame as clients must send it: final and masked."""
    if len(payload) > 125:
        raise ValueError("only short frames are needed here")
    mask = os.urandom(4)
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


_GOODBYE = client_frame(_CLOSE, struct.pack(">H", 1000))


def read_frame(stream: io.BufferedReader) -> t.Tuple[int, bytes]:
    """The next frame of a server as opcode and payload. Raises EOFError at the end of the socket, and FrameError."""
    first, second = _exactly(stream, 2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", _exactly(stream, 2))
    elif length == 127:
        (length,) = struct.unpack(">Q", _exactly(stream, 8))
    if second & 0x80 or length > _LARGEST_FRAME:
        raise FrameError("not a frame of a server")
    return first & 0x0F, _exactly(stream, length)


def _exactly(stream: io.BufferedReader, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
