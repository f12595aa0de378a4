# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of an account: what there is, new ones, and a client that never stops making them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from vault import Session

#: A client that leaves the two cores of a small machine to the run that is under test.
PAUSE_SECONDS = 0.01


def items_of(session: Session) -> set[str]:
    """Identifiers of all items of the account."""
    found = session.call("GET", "/api/sync")
    return {str(item.get("id") or item["Id"]) for item in found.get("ciphers", found.get("Ciphers"))}


def add_item(session: Session) -> str:
    """A new item; its identifier once the server has acknowledged it."""
    body = {"type": 2, "name": "2.kept|x|y", "secureNote": {"type": 0}, "folderId": None, "favorite": False}
    made = session.call("POST", "/api/ciphers", body)
    return str(made.get("id") or made["Id"])


class Writer(threading.Thread):
    """Creates items until it is stopped or the server stops; ``acknowledged`` are those that it has said yes to.

    It ends at its first failure, so that nothing it counts was written to the server that came next.
    """

    def __init__(self, session: Session, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(daemon=True)
        self._session, self._pause, self._ended = session, pause, threading.Event()
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        """Write."""
        while not self._ended.wait(self._pause):
            try:
                self.acknowledged.add(add_item(self._session))
            except (AssertionError, OSError, ValueError):
                return

    def stop(self) -> None:
        """Let it finish its item."""
        self._ended.set()
        self.join(30)


@contextlib.contextmanager
def writing(session: Session, pause: float = PAUSE_SECONDS) -> Iterator[Writer]:
    """A client that writes meanwhile."""
    writer = Writer(session, pause)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
