# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a proxy adds to the time in which an edit reaches another session.

The time runs from the moment at which one session sends its edit (PUT of a folder, on a kept connection) until the
event is there on the socket of another session of that account. Edit and socket go the same way: both straight to the
server over plain http, or both through the proxy over TLS. Each way has an account of its own. They take turns edit
by edit, in turned order each second time, so that whatever else the machine does meets both. Every proxy is on a fresh
host with a server of its own, one host at a time. Writes build/bench/latency.json.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

from bench_hub import HubSocket, Target
from bench_site import FOLDER, Place, Site, machine
from demo import server_kind
from vault import Session

PROVIDERS = ("nginx", "haproxy", "caddy", "apache", "traefik", "lighttpd")
HOST = Place("bench-latency", 23)
#: The slowest median that is wanted through a proxy, in times of the direct one.
TARGET = 1.15
WARM_UP = 50


class Line(http.client.HTTPConnection):
    """A kept connection to a target; proxies end it after so many requests, and then it is opened again."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host)
        self._target, self._context = target, target.context()

    def connect(self) -> None:
        """As the target wants it, and before the clock runs."""
        self.sock = self._target.connect(self._context)


class Way:
    """One way to the server: a session that edits, and the socket of another."""

    def __init__(self, target: Target, acting: Session) -> None:
        self.times: list[float] = []
        self._hub = HubSocket(target, target.context())
        self._line = Line(target)
        self._headers = {"Authorization": f"Bearer {acting.token}", "Content-Type": "application/json"}
        self._folder = acting.call("POST", "/api/folders", {"name": "2.a|b|c"})["id"]
        self._hub.next_event()

    def edit(self, number: int) -> None:
        """One edit, timed until the other session has it."""
        body = json.dumps({"name": f"2.a{number}|b|c"})
        if self._line.sock is None:
            self._line.connect()
        begin = time.perf_counter()
        self._line.request("PUT", f"/api/folders/{self._folder}", body, self._headers)
        self._hub.next_event()
        self.times.append(time.perf_counter() - begin)
        with self._line.getresponse() as answer:
            if answer.status != 200:
                raise SystemExit(f"The edit was answered with {answer.status}.")
            answer.read()

    def close(self) -> None:
        """Let go of both connections."""
        self._line.close()
        self._hub.sock.close()

    def figures(self) -> dict[str, float]:
        """Milliseconds without the first edits."""
        cuts = statistics.quantiles(self.times[WARM_UP:], n=100)
        return {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000}


@contextlib.contextmanager
def ways(site: Site) -> Iterator[tuple[Way, Way]]:
    """Both ways of a site."""
    with contextlib.ExitStack() as stack:
        made = []
        for direct in (True, False):
            account = stack.enter_context(site.vault.account())
            acting, watching = (Session(site.vault.vault, account) for __ in range(2))
            way = Way(site.target(watching, direct), acting)
            stack.callback(way.close)
            made.append(way)
        yield made[0], made[1]


def measure(provider: str, site: Site, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways, in turns."""
    with ways(site) as (direct, proxied):
        for number in range(options.count + WARM_UP):
            begin = time.perf_counter()
            for way in (direct, proxied) if number % 2 else (proxied, direct):
                way.edit(number)
            time.sleep(max(begin + 2 / options.rate - time.perf_counter(), 0))
        found = {"direct": direct.figures(), "proxied": proxied.figures()}
    return {"proxy": provider, **found, "ratio": found["proxied"]["p50"] / found["direct"]["p50"]}


def row(figures: dict[str, Any]) -> str:
    """One line of the table."""
    numbers = [figures[way][part] for way in ("direct", "proxied") for part in ("p50", "p99")]
    verdict = "" if figures["ratio"] <= TARGET else f"   over {TARGET}"
    return (
        f"{figures['proxy']:<9}" + "".join(f"{value:13.2f}" for value in numbers) + f"{figures['ratio']:8.2f}{verdict}"
    )


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, printed as it comes."""
    said = {"server": server_kind(), "machine": machine(), "date": date.today().isoformat()}
    print(f"server: {said['server']}; {said['machine']}; {said['date']}")
    print(f"ms until an edit is there; {options.count} edits a way, {options.rate:.0f}/s; {ssl.OPENSSL_VERSION}")
    print(" " * 9 + "".join(f"{name:>13}" for name in ("direct p50", "p99", "proxied p50", "p99")) + f"{'ratio':>8}")
    results = []
    for provider in options.providers:
        site = Site(HOST, provider, 1000)
        try:
            results.append({**measure(provider, site, options), "load": os.getloadavg()[0]})
        finally:
            site.close()
        print(row(results[-1]), flush=True)
    return {**said, "edits": options.count, "rate": options.rate, "results": results}


def main() -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="edits on each way")
    parser.add_argument("--rate", type=float, default=100, help="edits in a second, both ways together")
    parser.add_argument("providers", nargs="*", default=list(PROVIDERS), help="proxies to measure")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "latency.json"
    path.write_text(json.dumps(report(options), indent=2) + "\n", encoding="utf-8")
    print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
