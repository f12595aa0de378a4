# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays the life of one data folder: upgraded twice, taken back, and upgraded again."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .matching import Names, differences, resolve
from .replay import Outcome, Step, fixture
from .servers import Kind, Process
from .wire import Answer, ask, probe


def _lower(value: Any) -> Any:
    """Keys in one case: versions differ in it, which is not what is looked at here."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _lower(item) for key, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


class Life:
    """One data folder and the server that has it at the moment."""

    def __init__(self, kinds: Callable[[str], Kind], place: Path) -> None:
        self._kinds = kinds
        self._place = place
        self._document = fixture("upgrade")
        self._process: Process | None = None
        self._version = ""
        self._token = ""
        self._first_token = ""
        self._copies = 0
        self._device = "11111111-2222-4333-8444-555555555555"
        self._handlers: dict[str, Callable[[Step], Iterator[str]]] = {
            "start": self._start,
            "register": self._register,
            "login": self._login,
            "old_token": self._old_token,
            "items": self._items,
            "create": self._create,
            "command": self._command,
            "signal": self._stop,
        }

    def run(self) -> Outcome:
        """All steps."""
        outcome: Outcome = {}
        try:
            for step in self._document["steps"]:
                handler = next(self._handlers[key] for key in self._handlers if key in step)
                try:
                    outcome[step["name"]] = list(handler(step))
                except (OSError, ValueError, LookupError, TypeError, HTTPException, sqlite3.Error) as exc:
                    outcome[step["name"]] = [f"{type(exc).__name__}: {exc}"]
        finally:
            if self._process:
                self._process.stop()
        return outcome

    @property
    def _server(self) -> Process:
        if self._process is None:
            raise ValueError("no server is running")
        return self._process

    def _ask(self, method: str, path: str, body: Any = None, token: str = "") -> Answer:
        request: dict[str, Any] = {"method": method, "path": path, "headers": {"Authorization": f"Bearer {token}"}}
        return ask(self._server.http_port, request if body is None else request | {"json": body})

    def _start(self, step: Step) -> Iterator[str]:
        self._version = step["start"]
        self._process = Process(self._kinds(self._version), self._place, self._document["env"])
        if (state := self._process.wait()) != "keeps running":
            yield f"start: {state}"
            return
        expected = step["expect"]
        files = sorted(re.sub(r"db_\d{8}_\d{6}\.", "db_<stamp>.", path.name) for path in self._process.data.iterdir())
        if files != sorted(expected["files"]):
            yield f"files: {files}"
        database = sqlite3.connect(f"file:{self._process.data / 'db.sqlite3'}?mode=ro", uri=True)
        try:
            found = database.execute("SELECT count(*), max(version) FROM __diesel_schema_migrations").fetchone()
            journal = database.execute("PRAGMA journal_mode").fetchone()[0]
        finally:
            database.close()
        if (*found, journal) != (expected["schema_rows"], expected["newest"], expected["journal"]):
            yield f"database: {found}, {journal}"

    def _register(self, step: Step) -> Iterator[str]:
        status = ask(self._server.http_port, step["register"]).status
        if status != step["expect"]["status"]:
            yield f"status: {status}"

    def _login(self, step: Step) -> Iterator[str]:
        request = resolve(step["login"], self._document["shapes"])
        data = request["data"] | {"deviceIdentifier": self._device}
        answer = ask(self._server.http_port, request | {"data": data})
        if answer.status != step["expect"]["status"]:
            yield f"status: {answer.status}"
            return
        said = json.loads(answer.body)
        yield from differences(resolve(step["expect"]["json"], self._document["shapes"]), said, Names())
        self._token = said["access_token"]
        self._first_token = self._first_token or self._token

    def _old_token(self, step: Step) -> Iterator[str]:
        port = "hub" if self._version == "1.28.1" else "http"
        path = f"/notifications/hub?access_token={self._first_token}"
        found = {
            "hub": probe(self._server.port(port), {"path": path}).status,
            "sync": self._ask("GET", "/api/sync", token=self._first_token).status,
        }
        if found != step["old_token"]:
            yield f"the first token: {found} instead of {step['old_token']}"

    def _items(self, step: Step) -> Iterator[str]:
        sync = _lower(json.loads(self._ask("GET", "/api/sync", token=self._token).body))
        ciphers = sync["ciphers"]
        found = {
            "n": len(ciphers),
            "names": sorted(item["name"] for item in ciphers),
            "logins": sorted((item["login"] for item in ciphers), key=lambda login: str(login["username"])),
        }
        yield from differences(step["items"], found, Names(), "items")

    def _create(self, step: Step) -> Iterator[str]:
        name = step["create"]
        item = {"type": 1, "name": f"2.made-on-{name}|x|x", "login": {"username": f"2.u-{name}|x|x"}}
        status = self._ask("POST", "/api/ciphers", item, self._token).status
        if status != step["expect"]["status"]:
            yield f"status: {status}"

    def _command(self, step: Step) -> Iterator[str]:
        while list(self._server.data.glob(f"db_{datetime.now():%Y%m%d_%H%M%S}.*")):
            time.sleep(0.05)  # a copy is named after the second it was made in, and is never overwritten
        status = self._server.run(step["command"])
        copies = len(list(self._server.data.glob("db_*.sqlite3")))
        if (status, copies) != (step["expect"]["exit"], step["expect"]["copies"]):
            yield f"exit {status}, {copies} copies instead of {step['expect']}"

    def _stop(self, step: Step) -> Iterator[str]:
        status = self._server.stop()
        left = sorted(path.name for path in self._server.data.glob("db.sqlite3*"))
        if (status, left) != (step["exit"], step["left"]):
            yield f"exit {status}, left {left}"
