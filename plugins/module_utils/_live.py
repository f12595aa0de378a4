# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of a live update: what session A does to an item must show up in session B by itself.

The server pushes before it answers, so B listens and records from before A's request, and waits are absolute: a
timeout on a socket would start again with each of the server's pings. The frames are read as a real client reads
them, by the packages websocket-client and msgpack, over sockets that this collection opened itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import socket
import ssl
import threading
import time
import typing as t
import uuid
from urllib.parse import quote

from ansible_collections.vaultwire.stack.plugins.module_utils._http import (
    Client,
    Deadline,
    Target,
    TransportError,
    open_socket,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._hub import HELLO, HELLO_ANSWER
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import (
    InternalError,
    Worker,
    named,
    side_by_side,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import HUB_PATH
from ansible_collections.vaultwire.stack.plugins.module_utils._said import shown
from ansible_collections.vaultwire.stack.plugins.module_utils._session import (
    EXPECTED,
    Account,
    LiveUpdateError,
    RateLimitedError,
    Session,
    field,
    random_enc_string,
    throwaway_address,
)

Step = t.Literal["create", "rename", "delete"]

#: What the hub calls each step. A deletion has two numbers, since releases differ.
STEP_TYPES: t.Dict[Step, t.FrozenSet[int]] = {
    "create": frozenset({1}),
    "rename": frozenset({0}),
    "delete": frozenset({2, 9}),
}
#: The ContextId of every event of the oldest releases, which did not name the acting device.
OLD_CONTEXT = "app_id"

_POLL_SECONDS = 0.1
_READ_SECONDS = 1.0
#: What a listening session takes of a server in all. A check makes three events, of some hundred bytes each; a busy
#: account of other people's organisation gets some thousand in that time.
LARGEST_SESSION = 16 * 1024 * 1024
#: Bytes of a message's length, seven bits each: enough for four times LARGEST_SESSION.
_LONGEST_LENGTH = 4


class TooMuchError(Exception):
    """The server sent more than this check takes."""


@dataclasses.dataclass(frozen=True)
class Event:
    """One notification, and the moment (time.monotonic) at which its frame had arrived."""

    at: float
    type: int
    item: str
    context: t.Optional[str]


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds from just before A's request, and from its answer (negative: the frame came first)."""

    total_ms: float
    after_answer_ms: float


def split_messages(data: bytes) -> t.Iterator[bytes]:
    """The messages of one SignalR frame: each has its length in front, seven bits a byte, lowest first."""
    position = 0
    while position < len(data):
        length = shift = 0
        while True:
            if position >= len(data):
                raise ValueError("a length is cut off")
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift == 7 * _LONGEST_LENGTH:
                raise ValueError("a length has no end")
        if position + length > len(data):
            raise ValueError("a message is cut off")
        yield data[position : position + length]
        position += length


def read_events(data: bytes, at: float, unpack: t.Callable[[bytes], t.Any]) -> t.List[Event]:
    """The notifications in one binary frame; other messages are passed over. Raises ValueError for garbage."""
    events = []
    for message in split_messages(data):
        parts = unpack(message)
        if not (isinstance(parts, list) and len(parts) > 4 and parts[0] == 1 and parts[3] == "ReceiveMessage"):
            continue
        body = (parts[4][0] or {}) if isinstance(parts[4], list) and parts[4] else {}
        payload = (body.get("Payload") or {}) if isinstance(body, dict) else None
        if not isinstance(payload, dict):
            raise ValueError("a notification has another form")
        kind, context = body.get("Type", -1), body.get("ContextId")
        if not isinstance(kind, int) or not isinstance(context, (str, type(None))):
            raise ValueError("a notification has another form")
        events.append(Event(at, kind, str(payload.get("Id")), context))
    return events


def refuse_same_device(device_a: str, device_b: str) -> None:
    """Two sessions with one identifier prove nothing: a client ignores what its own identifier did."""
    if device_a == device_b:
        raise LiveUpdateError(
            "Both sessions carry the same device identifier. Real clients ignore events of their own device, so this "
            "check would prove nothing; the sessions need different identifiers."
        )


def judge_event(event: Event, device_a: str, device_b: str) -> None:
    """Refuse an event that a real client in B's place would ignore, or that A did not cause."""
    refuse_same_device(device_a, device_b)
    if event.context == device_b:
        raise LiveUpdateError(
            "The event names the listening device itself as its origin. Real clients ignore such events, so the "
            "update would not be shown."
        )
    if event.context not in (device_a, OLD_CONTEXT):
        raise LiveUpdateError(
            f"The event for the item names {shown(repr(event.context))} as its origin, not the device that changed it."
        )


def _bounded(plain: t.Any) -> t.Any:
    """The package's class of a socket, which ends at LARGEST_SESSION: by itself it takes what a frame announces."""

    class Bounded(plain):
        """A socket that counts what it reads."""

        received = 0

        def _recv(self, bufsize: int) -> bytes:
            data: bytes = super()._recv(bufsize)
            self.received += len(data)
            if self.received > LARGEST_SESSION:
                raise TooMuchError(f"the server sent more than {LARGEST_SESSION} bytes")
            return data

    return Bounded


class Listener:
    """B's socket: opened, greeted, and then read by a thread that records what arrives and when."""

    def __init__(self, check: t.Callable[[], None]) -> None:
        import msgpack
        import websocket

        self._websocket = websocket
        self._unpack = lambda message: msgpack.unpackb(message, strict_map_key=False)
        self._check = check
        self._socket: t.Any = _bounded(websocket.WebSocket)()
        self._events: t.List[Event] = []
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._reader: t.Optional[Worker[None]] = None
        self._end = ""
        self.frames = 0
        self.pings = 0

    def open(self, target: Target, context: t.Optional[ssl.SSLContext], token: str, deadline: Deadline) -> None:
        """Connect, wait for the server's handshake and begin to record. Raises LiveUpdateError."""
        scheme = "wss" if target.secure else "ws"
        path = f"{target.base_path}{HUB_PATH}"
        try:
            raw = open_socket(target, context, deadline)
        except TransportError as exc:
            raise LiveUpdateError(f"The live channel of {target.url} was not reached ({exc}).") from exc
        # websocket-client knows no deadline for the handshake: at its end the socket is shut under it.
        guard = threading.Timer(deadline.remaining(), _shut, [raw])
        guard.daemon = True
        guard.start()
        try:
            raw.settimeout(deadline.left())
            self._socket.connect(
                f"{scheme}://{target.host_header}{path}?access_token={quote(token, safe='')}",
                socket=raw,
                host=target.host_header,
                redirect_limit=0,
                timeout=deadline.left(),
            )
            self._greet(deadline)
        except (self._websocket.WebSocketException, OSError, TooMuchError) as exc:
            _shut(raw)
            raw.close()
            raise LiveUpdateError(self._refusal(exc, path)) from exc
        finally:
            guard.cancel()
        self._reader = Worker("the step listen", self._record)

    def _refusal(self, exc: Exception, path: str) -> str:
        status = getattr(exc, "status_code", None) or self._socket.getstatus()
        if isinstance(exc, TooMuchError):
            seen = f"{path}: {exc}"
        elif status and status != 101:
            seen = f"{path} answered {status}"
        elif status == 101:
            seen = f"{path} answered 101, but the server's handshake never came"
        else:
            seen = f"{path} gave no usable answer ({type(exc).__name__})"
        return f"The live channel did not open for a signed-in session: {seen}. The module hub_probe names the cause."

    def _greet(self, deadline: Deadline) -> None:
        self._socket.send(HELLO.decode("ascii"))
        while True:
            self._check()
            self._socket.settimeout(deadline.left())
            opcode, frame = self._socket.recv_data_frame(control_frame=True)
            if opcode == self._websocket.ABNF.OPCODE_CLOSE:
                raise self._websocket.WebSocketConnectionClosedException("closed")
            if bytes(frame.data) == HELLO_ANSWER:
                return

    def _record(self) -> None:
        """The thread: note each frame with its time. Pings are answered by the library."""
        abnf = self._websocket.ABNF
        while not self._stopped.is_set():
            try:
                self._socket.settimeout(_READ_SECONDS)
                opcode, frame = self._socket.recv_data_frame(control_frame=True)
            except self._websocket.WebSocketTimeoutException:
                continue
            except TooMuchError as exc:
                self._finish(str(exc))
                return
            except (self._websocket.WebSocketException, OSError) as exc:
                self._finish(type(exc).__name__)
                return
            except ValueError:
                # What the library says of a socket that close() has closed meanwhile.
                if self._stopped.is_set():
                    return
                raise
            at = time.monotonic()
            if opcode == abnf.OPCODE_CLOSE:
                self._finish("closed by the server")
                return
            self._note(opcode, bytes(frame.data), at)

    def _note(self, opcode: int, data: bytes, at: float) -> None:
        abnf = self._websocket.ABNF
        with self._news:
            self.pings += opcode == abnf.OPCODE_PING
            # Only the very answer is no event: any byte may end an event, the handshake's separator as well.
            if opcode == abnf.OPCODE_BINARY and data != HELLO_ANSWER:
                self.frames += 1
                try:
                    self._events += read_events(data, at, self._unpack)
                except ValueError as exc:
                    self._end = f"a frame could not be read ({type(exc).__name__})"
            self._news.notify_all()

    def _finish(self, why: str) -> None:
        with self._news:
            self._end = self._end or why
            self._news.notify_all()

    def wait(self, types: t.FrozenSet[int], item: str, deadline: Deadline) -> t.Optional[Event]:
        """The first event of one of these types for an item, None when the deadline passes without it."""
        while True:
            if self.failure is not None:
                raise self.failure
            with self._news:
                for event in self._events:
                    if event.item == item and event.type in types:
                        return event
                if self._end and not self._stopped.is_set():
                    raise LiveUpdateError(f"The live channel of the listening session ended: {self._end}.")
                if deadline.passed():
                    return None
                # In slices, so that a signal is acted upon.
                self._news.wait(_POLL_SECONDS)
            self._check()

    @property
    def failure(self) -> t.Optional[InternalError]:
        """What ended the thread although nothing was wrong with the socket."""
        return self._reader.internal if self._reader is not None else None

    def seen(self, item: str) -> t.List[int]:
        """The types of everything that arrived for an item."""
        with self._news:
            return [event.type for event in self._events if event.item == item]

    def close(self) -> None:
        """End the socket and the thread, whatever state they are in."""
        self._stopped.set()
        sock = self._socket.sock
        if sock is not None:
            with contextlib.suppress(self._websocket.WebSocketException, OSError):
                self._socket.send_close()
            _shut(sock)
        if self._reader is not None:
            self._reader.join(2 * _READ_SECONDS)
        if sock is not None:
            sock.close()


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def device_identifiers(account: Account, target: Target) -> t.Tuple[str, str]:
    """Identifiers for A and B: random for a throwaway, the same each time for an account that stays.

    A lasting account would otherwise collect two more devices with each check, and where the server sends mail,
    a message about a new device for each of them.
    """
    if account.throwaway:
        return str(uuid.uuid4()), str(uuid.uuid4())
    name = f"{target.url} {account.email.lower()}"
    first, second = (str(uuid.uuid5(uuid.NAMESPACE_URL, f"vaultwire {name} {letter}")) for letter in "AB")
    return first, second


class Proof:
    """Create, rename and delete an item as A, and see each step arrive at B."""

    def __init__(self, a: Session, b: Session, listener: Listener, check: t.Callable[[], None]) -> None:
        refuse_same_device(a.device, b.device)
        self.a = a
        self.b = b
        self.listener = listener
        self.latencies: t.Dict[Step, Latency] = {}
        self._check = check
        self._names: t.List[str] = []
        self._item = ""

    def run(self, step_seconds: float, deadline: Deadline) -> None:
        """All steps; raises LiveUpdateError at the first that does not arrive."""
        first, second = random_enc_string(), random_enc_string()
        self._names = [first, second]
        with named("the step create", EXPECTED):
            self._item = self._create(first, step_seconds, deadline)
        path = f"/api/ciphers/{quote(self._item)}"
        with named("the step rename", EXPECTED):
            self._step("rename", "PUT", path, _login_item(second), step_seconds, deadline)
            self._see_name(path, second, deadline.within(step_seconds))
        with named("the step delete", EXPECTED):
            self._step("delete", "DELETE", path, None, step_seconds, deadline)
        self._item = ""
        self._names = []

    def _create(self, name: str, step_seconds: float, deadline: Deadline) -> str:
        return self._step("create", "POST", "/api/ciphers", _login_item(name), step_seconds, deadline)

    def _step(self, step: Step, method: str, path: str, data: t.Any, step_seconds: float, deadline: Deadline) -> str:
        self._check()
        step_deadline = deadline.within(step_seconds)
        self._ready(step_deadline)
        sent = time.monotonic()
        reply = self.a.api.send(method, path, step_deadline, data)
        answered = time.monotonic()
        if reply.status != 200:
            raise LiveUpdateError(f"Session A could not {step} the item: the server answered {reply.status}.")
        item = self._item or str(field(reply.json(), "id") or "")
        if not item:
            raise LiveUpdateError("The server created an item, but its answer does not say which.")
        self._item = item
        event = self.listener.wait(STEP_TYPES[step], item, step_deadline)
        if event is None:
            raise LiveUpdateError(self._missed(step, item, time.monotonic() - sent))
        judge_event(event, self.a.device, self.b.device)
        self.latencies[step] = Latency(_ms(event.at - sent), _ms(event.at - answered))
        return item

    def _ready(self, deadline: Deadline) -> None:
        """Connect beforehand, so that the latency is the update's and not the connection's."""
        try:
            self.a.api.client.open(deadline)
        except (TransportError, OSError) as exc:
            raise LiveUpdateError(f"Session A could not connect ({exc}).") from exc

    def _missed(self, step: Step, item: str, seconds: float) -> str:
        seen = self.listener.seen(item)
        rest = f"Of this item it got only events of type {seen}." if seen else "It got nothing about this item at all."
        return (
            f"Session A's {step} did not reach session B within {seconds:.1f} s, although the request succeeded and "
            f"B's live channel is open. {rest} Events are held back or dropped between the server and B: look for "
            f"buffering in the proxy, and for a second server behind the same address."
        )

    def _see_name(self, path: str, name: str, deadline: Deadline) -> None:
        reply = self.b.api.send("GET", path, deadline)
        if reply.status != 200:
            raise LiveUpdateError(f"Session B could not read the renamed item: the server answered {reply.status}.")
        if field(reply.json(), "name") != name:
            raise LiveUpdateError("Session B was told of the rename, but still reads the old name from the server.")

    def tidy(self, deadline: Deadline) -> None:
        """Delete what a proof that was cut short left in an account that stays. Raises LiveUpdateError."""
        if not self._names:
            return
        items = [self._item] if self._item else self._find(deadline)
        for item in items:
            reply = self.a.api.send("DELETE", f"/api/ciphers/{quote(item)}", deadline)
            if reply.status not in (200, 400, 404):
                raise LiveUpdateError(f"The test item {item} could not be deleted: the server answered {reply.status}.")
        self._names = []

    def _find(self, deadline: Deadline) -> t.List[str]:
        """Items with our names, for a request whose answer was lost."""
        reply = self.a.api.send("GET", "/api/sync?excludeDomains=true", deadline)
        items = field(reply.json(), "ciphers")
        if not isinstance(items, list):
            raise LiveUpdateError(f"The test item may be left: the list of items was answered with {reply.status}.")
        return [str(field(item, "id")) for item in items if field(item, "name") in self._names]


def _login_item(name: str) -> t.Dict[str, t.Any]:
    return {"type": 1, "name": name, "login": {"username": None, "password": None}, "favorite": False, "notes": None}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


class Interruptions:
    """While active, a request to end is noted and acted upon between two requests, so that the clean-up knows what
    exists on the server. A second one changes nothing: the clean-up has its own short deadline."""

    SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM")

    def __init__(self) -> None:
        self._received = ""
        self._before: t.Dict[int, t.Any] = {}

    def __enter__(self) -> Interruptions:
        for name in self.SIGNALS:
            number = getattr(signal, name)
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *__: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self._received = signal.Signals(number).name

    def check(self) -> None:
        """Raise LiveUpdateError if a signal has come."""
        if self._received:
            raise LiveUpdateError(f"The check was interrupted by {self._received} before it could prove anything.")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a live update is proved with. ``email`` means a given account, else ``signup`` or the admin token."""

    timeout: float
    step_seconds: float
    email: str = ""
    password: str = ""
    signup: bool = False
    admin_token: str = ""

    def account(self, new_client: t.Callable[[], Client]) -> Account:
        """The account to use; sign-up goes before the admin's invitation, since admin logins are few."""
        if self.email:
            return Account(new_client, "given", self.email)
        if not self.signup and not self.admin_token:
            raise LiveUpdateError(
                "There is no account to test with. Set email and password of a test account, admin_token, or signup "
                "where sign-up is open."
            )
        return Account(new_client, "signup" if self.signup else "admin", throwaway_address(), self.admin_token)


@dataclasses.dataclass
class Outcome:
    """What became of a live update; ``problems`` is empty for a proof, and ``removed`` None for a given account.

    ``connected`` tells that B's live channel was granted and greeted; ``rate_limited`` that the server took no login.
    ``internal`` is the first error of the check itself; then nothing is known of the live channel.
    """

    kind: str
    removed: t.Optional[bool] = None
    version: str = ""
    connected: bool = False
    rate_limited: bool = False
    frames: int = 0
    latencies: t.Dict[Step, Latency] = dataclasses.field(default_factory=dict)
    problems: t.List[str] = dataclasses.field(default_factory=list)
    internal: t.Optional[InternalError] = None

    def failed_inside(self, error: t.Optional[InternalError]) -> None:
        """Note an error of the check itself. The first one counts: it may have led to the others."""
        self.internal = self.internal or error


#: For putting things back, whatever is left of the check's own time.
CLEAN_UP_SECONDS = 10.0
#: A login ends by its own deadline; this is for the thread to say so.
_GRACE_SECONDS = 1.0


class LiveUpdate:
    """One whole check, which leaves nothing behind: no account, item, socket or thread."""

    def __init__(self, target: Target, context: t.Optional[ssl.SSLContext], options: Options) -> None:
        self._target = target
        self._context = context
        self._options = options
        self._account = options.account(lambda: Client(target, context))
        self._listener: t.Optional[Listener] = None
        self._proof: t.Optional[Proof] = None
        self.outcome = Outcome(self._account.kind)

    def run(self) -> Outcome:
        """Prove it and clean up. Faults are in the outcome, never raised, but for a package that is missing."""
        with Interruptions() as interruptions:
            try:
                with named("the live update", (*EXPECTED, ImportError)):
                    self._prove(Deadline(self._options.timeout), interruptions.check)
            except LiveUpdateError as exc:
                self.outcome.rate_limited = isinstance(exc, RateLimitedError)
                self.outcome.problems.append(str(exc))
            except TimeoutError:
                self.outcome.problems.append(f"The check did not end within {self._options.timeout:g} s.")
            except InternalError as exc:
                self.outcome.failed_inside(exc)
            finally:
                self._clean_up(Deadline(CLEAN_UP_SECONDS))
        return self.outcome

    def _prove(self, deadline: Deadline, check: t.Callable[[], None]) -> None:
        account = self._account
        with named("the step version", EXPECTED):
            self.outcome.version = account.server_version(deadline)
        check()
        with named("the step account", EXPECTED):
            if account.throwaway:
                account.create(deadline)
            else:
                account.unlock(self._options.password, deadline)
        check()
        a, b = self._sign_in(deadline)
        check()
        with named("the step connect", (*EXPECTED, ImportError)):
            self._listener = Listener(check)
            self._listener.open(self._target, self._context, b.token, deadline)
        self.outcome.connected = True
        self._proof = Proof(a, b, self._listener, check)
        self.outcome.latencies = self._proof.latencies
        self._proof.run(self._options.step_seconds, deadline)

    def _sign_in(self, deadline: Deadline) -> t.Tuple[Session, Session]:
        """Side by side, since each login costs the server some tenths of a second of computing."""
        first, second = device_identifiers(self._account, self._target)
        logins = {
            "the step sign-in of A": functools.partial(self._account.sign_in, first, deadline),
            "the step sign-in of B": functools.partial(self._account.sign_in, second, deadline),
        }
        a, b = side_by_side(logins, deadline.remaining() + _GRACE_SECONDS, EXPECTED).values()
        if a is None or b is None:
            raise TimeoutError("no answer in time")
        return a, b

    def _clean_up(self, deadline: Deadline) -> None:
        self._attempt("the step close", self._close_listener)
        self._attempt("the step cleanup", lambda: self._put_back(deadline))
        self._attempt("the step close", self._account.close)
        self.outcome.failed_inside(self._account.failure)
        if self._account.throwaway:
            self.outcome.removed = self._account.removed

    def _attempt(self, step: str, work: t.Callable[[], None]) -> None:
        """One part of the clean-up, whose failure must not keep the others from being done."""
        try:
            with named(step, EXPECTED):
                work()
        except LiveUpdateError as exc:
            self.outcome.problems.append(str(exc))
        except TimeoutError:
            self.outcome.problems.append(f"Cleaning up did not end within {CLEAN_UP_SECONDS:g} s.")
        except InternalError as exc:
            self.outcome.failed_inside(exc)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self.outcome.frames = self._listener.frames
            self.outcome.failed_inside(self._listener.failure)

    def _put_back(self, deadline: Deadline) -> None:
        if self._account.throwaway:
            self._account.remove(deadline)
        elif self._proof is not None:
            self._proof.tidy(deadline)
