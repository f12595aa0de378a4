# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of clients that hold hub sockets, answer pings, and come back with bounded backoff when they are cut off.

They are spread over a few processes, since a process may have only so many files. The clock is the machine's, so
moments of different processes compare.
"""

from __future__ import annotations

import contextlib
import heapq
import multiprocessing
import random
import select
import ssl
import threading
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from bench_hub import BINARY, PING, HubSocket, Target

#: Clients of one process, and how many of them may be on their way in at a time.
PER_PROCESS = 2500
OPENERS = 6
#: Seconds before the first and the longest before a later attempt; each is shortened at random by up to a half.
BACKOFF = (0.5, 8.0)


class State(NamedTuple):
    """What the clients say together since they were last told to forget."""

    open: int = 0
    lost: int = 0
    refused: int = 0
    pings: int = 0
    last_open: float = 0.0
    arrivals: tuple[float, ...] = ()

    def plus(self, other: State) -> State:
        """Of both."""
        return State(
            self.open + other.open,
            self.lost + other.lost,
            self.refused + other.refused,
            self.pings + other.pings,
            max(self.last_open, other.last_open),
            self.arrivals + other.arrivals,
        )


class _Process:
    """The clients of one process: threads bring sockets in, one loop reads them all."""

    def __init__(self, target: Target, count: int, rate: float, orders: Connection) -> None:
        self._target, self._context, self._orders = target, target.context(), orders
        self._count, self._rate = count, rate
        self._due: list[tuple[float, int, int]] = []
        self._changed = threading.Condition()
        self._fresh: deque[HubSocket] = deque()
        self._sockets: dict[int, HubSocket] = {}
        self._poll = select.epoll()
        self._ticket = 0
        self._lost = self._pings = 0
        self._last_open = 0.0
        self._refused: list[float] = []
        self._arrivals: list[float] = []

    def run(self) -> None:
        """Until told to stop; the threads end with the process."""
        begin = time.monotonic()
        for number in range(self._count):
            self._schedule(begin + number / self._rate, 0)
        for __ in range(OPENERS):
            threading.Thread(target=self._bring_in, daemon=True).start()
        self._poll.register(self._orders, select.EPOLLIN)
        while True:
            for number, __ in self._poll.poll(0.05):
                if number == self._orders.fileno():
                    if not self._obey():
                        return
                else:
                    self._read(number)
            while self._fresh:
                self._welcome(self._fresh.popleft())

    def _schedule(self, moment: float, attempt: int) -> None:
        with self._changed:
            self._ticket += 1
            heapq.heappush(self._due, (moment, self._ticket, attempt))
            self._changed.notify()

    def _next_due(self) -> int:
        """Wait for the next client that wants in; which attempt of it this is."""
        with self._changed:
            while not self._due or self._due[0][0] > time.monotonic():
                self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
            return heapq.heappop(self._due)[2]

    def _bring_in(self) -> None:
        while True:
            attempt = self._next_due()
            try:
                self._fresh.append(HubSocket(self._target, self._context))
            except OSError:
                self._refused.append(time.monotonic())
                self._come_back(attempt + 1)

    def _come_back(self, attempt: int) -> None:
        first, longest = BACKOFF
        wait = min(first * 2.0 ** min(attempt, 10), longest)
        self._schedule(time.monotonic() + wait * random.uniform(0.5, 1), attempt)

    def _welcome(self, hub: HubSocket) -> None:
        hub.sock.setblocking(False)
        number = hub.sock.fileno()
        self._sockets[number] = hub
        self._poll.register(number, select.EPOLLIN)
        self._last_open = time.monotonic()
        self._read(number)  # TLS may have taken in more than was asked for

    def _read(self, number: int) -> None:
        hub = self._sockets[number]
        try:
            frames = hub.read()
        except (OSError, ssl.SSLError):
            self._poll.unregister(number)
            del self._sockets[number]
            with contextlib.suppress(OSError):
                hub.sock.close()
            self._lost += 1
            self._come_back(0)
            return
        now = time.monotonic()
        self._pings += sum(opcode == PING for opcode, __ in frames)
        self._arrivals += [now for opcode, __ in frames if opcode == BINARY]

    def _obey(self) -> bool:
        order = self._orders.recv()
        if order == "state":
            refused, arrivals = len(self._refused), tuple(self._arrivals)
            self._orders.send(State(len(self._sockets), self._lost, refused, self._pings, self._last_open, arrivals))
        elif order == "forget":
            self._lost = self._pings = 0
            self._refused.clear()
            self._arrivals.clear()
            self._orders.send(order)
        return bool(order != "stop")


def _work(target: Target, count: int, rate: float, orders: Connection) -> None:
    _Process(target, count, rate, orders).run()


class Crowd:
    """All clients, from the outside."""

    def __init__(self, target: Target, count: int, rate: float) -> None:
        self.count, self.begin = count, time.monotonic()
        spawn = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []
        parts = -(-count // PER_PROCESS)
        for part in range(parts):
            here, there = spawn.Pipe()
            share = count // parts + (part < count % parts)
            process = spawn.Process(target=_work, args=(target, share, rate / parts, there), daemon=True)
            process.start()
            there.close()
            self._workers.append((process, here))

    def state(self) -> State:
        """Of all processes together."""
        total = State()
        for __, orders in self._workers:
            orders.send("state")
        for __, orders in self._workers:
            total = total.plus(orders.recv())
        return total

    def forget(self) -> None:
        """Count from now on; what happens after the return is counted by all."""
        for __, orders in self._workers:
            orders.send("forget")
        for __, orders in self._workers:
            orders.recv()

    def wait(self, seconds: float, lost: int = 0, arrivals: int = 0) -> State:
        """Wait until all are open, and so many have been lost and so many events have come before; or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state()
            done = state.open == self.count and state.lost >= lost and len(state.arrivals) >= arrivals
            if done or time.monotonic() > deadline:
                return state
            time.sleep(0.2)

    def stop(self) -> None:
        """Let all sockets go."""
        for process, orders in self._workers:
            with contextlib.suppress(OSError):
                orders.send("stop")
            process.join(30)
            if process.is_alive():
                process.terminate()
