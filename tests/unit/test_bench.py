# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of the benchmarks, before a small hub that is cut off, refuses, and sends in pieces."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
import bench_crowd
import bench_hub
import bench_sockets

PING = b"\x89\x03\x02\x91\x06"
PONG = b"\x8a\x83\x00\x00\x00\x00\x02\x91\x06"
WELCOME = b"\x82\x03{}\x1e"
#: An event of 200 bytes, which needs the longer form of a length.
EVENT = b"\x82\x7e\x00\xc8" + b"x" * 200


class Hub(socketserver.ThreadingTCPServer):
    """Takes upgrades, as long as its answer is 101; remembers what clients send afterwards."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Client)
        self.answer, self.heard = b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b""
        self.clients: list[Any] = []


class Client(socketserver.BaseRequestHandler):
    """One connection."""

    server: Hub

    def handle(self) -> None:
        """The first ping comes in the same piece as the answer, as with the server."""
        self.request.recv(4096)
        self.request.sendall(self.server.answer + PING)
        self.request.sendall(WELCOME)
        self.server.clients.append(self.request)
        while data := self.request.recv(4096):
            self.server.heard += data


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub that runs."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def target_of(hub: Hub) -> bench_hub.Target:
    """Where it is."""
    return bench_hub.Target("127.0.0.1", int(hub.server_address[1]), "vault.example.com", "token")


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_crowd_answers_counts_and_comes_back(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six clients in two processes: pings are answered, an event is seen by all, and none stays away."""
    monkeypatch.setattr(bench_crowd, "PER_PROCESS", 3)
    crowd = bench_crowd.Crowd(target_of(hub), 6, 100)
    try:
        opened = crowd.wait(20)
        assert (opened.open, opened.lost, opened.refused) == (6, 0, 0)
        until(lambda: hub.heard.count(PONG) == 6)
        crowd.forget()
        before = time.monotonic()
        for client in hub.clients:
            client.sendall(EVENT[:100])
            client.sendall(EVENT[100:] + PING)
        seen = crowd.wait(20, arrivals=6)
        assert len(seen.arrivals) == 6
        assert all(before <= moment <= time.monotonic() for moment in seen.arrivals)
        until(lambda: hub.heard.count(PONG) == 12)
        for client in list(hub.clients):
            client.shutdown(2)
        back = crowd.wait(20, lost=6)
        assert (back.open, back.lost) == (6, 6)
        assert len(hub.clients) == 12
    finally:
        crowd.stop()


def test_a_refusal_is_counted_and_tried_again(hub: Hub) -> None:
    """Nobody is in before the hub changes its mind."""
    taken, hub.answer = hub.answer, b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    crowd = bench_crowd.Crowd(target_of(hub), 2, 100)
    try:
        until(lambda: crowd.state().refused >= 2)
        assert crowd.state().open == 0
        hub.answer = taken
        assert crowd.wait(20).open == 2
    finally:
        crowd.stop()


@pytest.mark.parametrize(
    ("way", "files", "fits"),
    [("haproxy", 20000, 9488), ("direct", 20000, 10000), ("haproxy", 524288, 10000), ("nginx", 20000, 10000)],
)
def test_no_more_sockets_than_files(monkeypatch: pytest.MonkeyPatch, way: str, files: int, fits: int) -> None:
    """Two files each in a proxy of one process."""
    monkeypatch.setattr(bench_sockets, "files_of_a_process", lambda: files)
    monkeypatch.setattr(bench_sockets.os, "cpu_count", lambda: 2)
    assert bench_sockets.fitting(way, 10000) == fits
