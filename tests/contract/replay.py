# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays one section of a fixture against a server, step by step, and says for each step what was different."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgpack

from .matching import Names, differences, pattern, resolve, unordered
from .servers import Kind, Process
from .wire import HANDSHAKE, SECONDS, Answer, Frame, WebSocket, ask, probe

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = ("1.28.1", "1.30.5", "1.31.0", "1.34.3", "1.37.2")

# Headers that are compared. One that a fixture does not name must not be there. Plain requests were recorded with
# fewer of them.
WATCHED = frozenset({"content-type", "server", "x-frame-options", "set-cookie"})
WATCHED_IN_PROBES = WATCHED | {
    "connection",
    "content-security-policy",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
}
TIMESTAMP = "<msgpack timestamp ext -1>"
PING = ("ping", b"\x02\x91\x06")
TIMESTAMP_HEAD = b"\xd7\xff"  # extension type -1 in eight bytes

Step = dict[str, Any]
Outcome = dict[str, list[str]]


@cache
def fixture(name: str) -> dict[str, Any]:
    """A fixture by version, or ``upgrade``."""
    return dict(json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8")))


@contextmanager
def running(kind: Kind, place: Path, env: dict[str, str]) -> Iterator[Process]:
    """A server that has come up, stopped in the end."""
    process = Process(kind, place, env)
    try:
        state = process.wait()
        if state != "keeps running":
            raise ChildProcessError(f"the server did not start: {state}\n" + "\n".join(process.log))
        yield process
    finally:
        process.stop()


def body_kind(answer: Answer) -> str:
    """``empty``, ``html`` or ``text``."""
    if not answer.body:
        return "empty"
    return "html" if answer.body.lstrip()[:1] == b"<" else "text"


def decode_event(payload: bytes) -> Any:
    """An event without its length, the timestamp replaced by a word when it is one in the 64-bit form."""
    size = shift = position = 0
    while True:
        byte = payload[position]
        size |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    if size != len(payload) - position:
        raise ValueError(f"length {size} in front of {len(payload) - position} bytes")
    message = msgpack.unpackb(payload[position:])
    argument = message[4][0]["Payload"]
    stamps = [key for key, value in argument.items() if isinstance(value, msgpack.Timestamp)]
    if payload.count(TIMESTAMP_HEAD) >= len(stamps):
        argument |= dict.fromkeys(stamps, TIMESTAMP)
    return message


class Section:
    """The state of one section: the server, what was kept from answers, and the open sockets."""

    def __init__(self, document: dict[str, Any], process: Process) -> None:
        self._shapes = document.get("shapes", {})
        self._headers = document.get("headers", {})
        self._process = process
        self._names = Names()
        self._kept: dict[str, str] = {}
        self._sockets: dict[str, WebSocket] = {}
        self._handlers: dict[str, Callable[[Step], Iterator[str]]] = {
            "request": self._request,
            "probe": self._probe,
            "open": self._open,
            "send": self._send,
            "socket": self._frames,
            "close": self._close,
            "many": self._many,
            "repeat": self._repeat,
            "signal": self._stop,
            "log": self._log,
        }

    def run(self, step: Step) -> list[str]:
        """One step's differences; an exception is one too."""
        handler = next(self._handlers[key] for key in self._handlers if key in step)
        try:
            return list(handler(step))
        except (OSError, ValueError, LookupError, TypeError, HTTPException, msgpack.UnpackException) as exc:
            return [f"{type(exc).__name__}: {exc}"]

    def hang_up(self) -> None:
        """Drop what is still open."""
        for one in self._sockets.values():
            one.close()

    # What is sent

    def filled(self, value: Any) -> Any:
        """Put tokens and identifiers in place of placeholders."""
        value = resolve(value, self._shapes)
        if isinstance(value, dict):
            return {key: self.filled(item) for key, item in value.items()}
        if not isinstance(value, str) or "<" not in value:
            return value
        if value.startswith("<uuid ") and self._names.get(value) is None:
            self._names.bind(value, str(uuid.uuid4()))
        value = value.replace("<fresh uuid>", str(uuid.uuid4()))
        for name, kept in self._kept.items():
            value = value.replace(f"<{name}>", kept)
        start = value.find("<uuid ")
        if start >= 0:
            name = value[start : value.index(">", start) + 1]
            value = value.replace(name, self._names.get(name) or name)
        return value

    # What comes back

    def _compare(self, answer: Answer, expected: Step, watched: frozenset[str]) -> Iterator[str]:
        if answer.status != expected["status"]:
            yield f"status: {answer.status} instead of {expected['status']}, {answer.body[:200]!r}"
            return
        if "headers" in expected:
            yield from self._compare_headers(answer.headers, expected["headers"], watched)
        if "json" in expected:
            wanted = resolve(expected["json"], self._shapes)
            yield from differences(wanted, json.loads(answer.body), self._names)
        elif body_kind(answer) != expected.get("body", body_kind(answer)):
            yield f"body: {body_kind(answer)} instead of {expected['body']}"

    def _compare_headers(self, found: dict[str, str], name: str, watched: frozenset[str]) -> Iterator[str]:
        expected = resolve(name, self._headers)
        for key in sorted(watched | expected.keys()):
            wanted, value = expected.get(key), found.get(key)
            if wanted is None and value is not None:
                yield f"header {key}: {value!r} should not be there"
            elif wanted is not None and (value is None or not pattern(wanted).fullmatch(value)):
                yield f"header {key}: {value!r} instead of {wanted!r}"

    def _keep(self, what: str, answer: Answer) -> None:
        if what == "cookie":
            self._kept["cookie"] = answer.headers["set-cookie"].partition(";")[0].partition("=")[2]
        else:
            self._kept[f"token {what}"] = json.loads(answer.body)["access_token"]

    # Kinds of steps

    def _request(self, step: Step) -> Iterator[str]:
        answer = ask(self._process.http_port, self.filled(step["request"]))
        yield from self._compare(answer, step["expect"], WATCHED)
        if "keep" in step:
            self._keep(step["keep"], answer)

    def _probe(self, step: Step) -> Iterator[str]:
        wanted = self.filled(step["probe"])
        yield from self._compare(probe(self._process.port(wanted["port"]), wanted), step["expect"], WATCHED_IN_PROBES)

    def _open(self, step: Step) -> Iterator[str]:
        path = step.get("path") or f"/notifications/hub?access_token={self._kept['token ' + step['token']]}"
        opened = WebSocket(self._process.port(step["port"]), {"path": path})
        self._sockets[step["open"]] = opened
        answer = opened.answer()
        if answer.status != 101:
            yield f"status: {answer.status} instead of 101"
            return
        opened.send("text", HANDSHAKE)

    def _send(self, step: Step) -> Iterator[str]:
        for frame in step["frames"]:
            opcode, payload = frame.split(" ")
            self._sockets[step["send"]].send(opcode, bytes.fromhex(payload))
        yield from ()

    def _frames(self, step: Step) -> Iterator[str]:
        """All frames so far, and one more ping: they come again and again."""
        opened = self._sockets[step["socket"]]
        found = opened.frames_until_pong()
        yield from self._first_ping(opened, found)
        yield from self._compare_frames(found, step["frames"])
        if step.get("shut"):
            opened.shut()
            return
        if (again := opened.wait_for("ping", self._process.kind.ping_seconds + SECONDS)) != PING:
            yield f"ping: {again}"

    def _first_ping(self, opened: WebSocket, found: list[Frame]) -> Iterator[str]:
        """It is sent at once, but the server does not order it: it may even come after the answer to our own ping."""
        soon = min(2.0, self._process.kind.ping_seconds / 2)
        first = next((frame for frame in found if frame[0] == "ping"), None) or opened.wait_for("ping", soon)
        if first != PING or (first in found and found.index(first) > 1):
            yield f"the first ping: {first}, in {[kind for kind, __ in found]}"

    def _compare_frames(self, found: list[Frame], expected: list[Any]) -> Iterator[str]:
        said = [frame for frame in found if frame[0] != "ping"]
        if len(said) != len(expected):
            yield f"{len(said)} frames instead of {len(expected)}: {[(kind, len(data)) for kind, data in said]}"
        for index, (wanted, frame) in enumerate(zip(resolve(expected, self._shapes), said, strict=False)):
            yield from self._compare_frame(wanted, frame, f"frame {index}")

    def _compare_frame(self, wanted: Any, frame: Frame, where: str) -> Iterator[str]:
        opcode, payload = frame
        if isinstance(wanted, str):
            if wanted != f"{opcode} {payload.hex()}":
                yield f"{where}: {opcode} {payload.hex()[:80]} instead of {wanted}"
            return
        size = (len(payload), payload.hex()[: len(wanted["starts"])], opcode)
        if size != (wanted["bytes"], wanted["starts"], "binary"):
            yield f"{where}: {size} instead of {wanted['bytes']} bytes from {wanted['starts']}"
            return
        yield from differences(wanted["message"], decode_event(payload), self._names, where)

    def _close(self, step: Step) -> Iterator[str]:
        opened = self._sockets.pop(step["close"])
        opened.send("close", (1000).to_bytes(2, "big"))
        yield from self._compare_frames(opened.frames_until_end(), step["frames"])
        opened.close()

    def _many(self, step: Step) -> Iterator[str]:
        """Sockets from one address, held open together."""
        opened: list[WebSocket] = []
        statuses: list[int | str] = []
        for __ in range(step["many"]["try"]):
            opened.append(WebSocket(self._process.http_port, step["many"]))
            statuses.append(opened[-1].answer().status)
            if statuses[-1] != 101:
                break
        expected = [101] * step["expect"]["accepted"]
        expected += [step["expect"]["refused"]] if "refused" in step["expect"] else []
        if statuses != expected:
            yield f"statuses: {statuses} instead of {expected}"
        for one in opened:
            one.close()

    def _repeat(self, step: Step) -> Iterator[str]:
        statuses = [ask(self._process.http_port, self.filled(step["repeat"])).status for __ in step["statuses"]]
        if statuses != step["statuses"]:
            yield f"statuses: {statuses} instead of {step['statuses']}"

    def _stop(self, step: Step) -> Iterator[str]:
        status = self._process.stop()
        if status != step["exit"]:
            yield f"exit: {status} instead of {step['exit']}"

    def _log(self, step: Step) -> Iterator[str]:
        lines = self._process.log
        yield from unordered(lines, step["log"])
        for text in step.get("absent", ()):
            if any(text in line for line in lines):
                yield f"log: {text!r} should not be there"


def replay_section(kind: Kind, version: str, name: str, place: Path) -> Outcome:
    """All steps of a section against one server."""
    document = fixture(version)
    section = document["sections"][name]
    try:
        with running(kind, place, section["env"]) as process:
            state = Section(document, process)
            outcome = {step["name"]: state.run(step) for step in section["steps"]}
            state.hang_up()
    except ChildProcessError as exc:
        return {step["name"]: [str(exc)] for step in section["steps"]}
    return outcome


def replay_start(kind: Kind, version: str, step: Step, place: Path) -> list[str]:
    """One start with other settings: does it come up, and if it is asked something, what does it say?"""
    place.mkdir(parents=True, exist_ok=True)
    secret = place / "secret"
    secret.write_text("from-a-file\n", encoding="utf-8")
    env = {name: value.replace("<file>", str(secret)) for name, value in step["env"].items()}
    process = Process(kind, place, env)
    try:
        state = process.wait()
        if "exit" in step:
            return [] if state == step["exit"] else [f"exit: {state} instead of {step['exit']}", *process.log]
        return Section(fixture(version), process).run(step)
    finally:
        process.stop()
