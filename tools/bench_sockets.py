# SPDX-License-Identifier: GPL-3.0-or-later
"""How a site carries thousands of idle hub sockets: straight at the server, and through each proxy over TLS.

Every client holds one authenticated socket and answers pings. Measured are the time to bring all in at a bounded rate,
the memory that each takes, what was lost while nothing happened, how long one edit takes to reach all, and how long it
takes until all are back after the server's container was restarted. All clients are sessions of one account, which is
the hardest case for an edit. Writes build/bench/sockets.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from datetime import date
from typing import Any

from bench_crowd import Crowd
from bench_site import FOLDER, Place, Site, files_of_a_process, machine
from demo import server_kind

PROVIDERS = ("nginx", "haproxy", "caddy", "traefik")
DIRECT = "direct"
HOST = Place("bench-sockets", 20)
EDITS = 5
#: Seconds for what depends on how busy the machine is.
PATIENCE = 600
ARRIVAL = 120
#: Files that a proxy needs besides those of its sockets.
SPARE = 1024
#: Name, unit, width and decimals.
COLUMNS = (
    ("sockets", "", 9, 0),
    ("open", "s", 8, 1),
    ("lost", "", 6, 0),
    ("proxy", "KB/socket", 11, 1),
    ("server", "KB/socket", 11, 1),
    ("first", "ms", 8, 0),
    ("half", "ms", 8, 0),
    ("all", "ms", 8, 0),
    ("missed", "", 8, 0),
    ("back", "s", 8, 1),
    ("load", "", 7, 1),
)


def fitting(way: str, count: int) -> int:
    """As many sockets as the machine's limit allows: two files each in a proxy of one process, one in the server."""
    files = files_of_a_process() - SPARE
    # nginx has a process for each core, which do not get quite the same share.
    processes = max((os.cpu_count() or 1) * 0.75, 1) if way == "nginx" else 1
    return min(count, files, files if way == DIRECT else int(files * processes / 2))


def fan_out(crowd: Crowd, site: Site) -> dict[str, float]:
    """One edit to all, a few times; the medians of the milliseconds until the first, half of them, and all had it.

    An event is never sent again, so a client that is on its way back misses it; the most that did are counted.
    """
    session = site.session()
    folder = session.call("POST", "/api/folders", {"name": "2.a|b|c"})
    crowd.wait(ARRIVAL, arrivals=crowd.count)
    missed = 0
    times: list[tuple[float, float, float]] = []
    for number in range(EDITS):
        crowd.forget()
        begin = time.monotonic()
        session.call("PUT", f"/api/folders/{folder['id']}", {"name": f"2.a{number}|b|c"})
        came = sorted(crowd.wait(ARRIVAL, arrivals=crowd.count).arrivals)
        if not came:
            raise SystemExit("An edit reached nobody.")
        missed = max(missed, crowd.count - len(came))
        times.append((came[0] - begin, statistics.median(came) - begin, came[-1] - begin))
    medians = [statistics.median(column) * 1000 for column in zip(*times, strict=True)]
    return {**dict(zip(("first", "half", "all"), medians, strict=True)), "missed": missed}


def measure(way: str, site: Site, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one way to the server."""
    count = fitting(way, options.count)
    site.restart_server()  # with the memory of a fresh one
    site.vault.wait_until_alive()
    target = site.target(site.session(), way == DIRECT)
    before = site.memory()
    crowd = Crowd(target, count, options.rate)
    try:
        opened = crowd.wait(count / options.rate + PATIENCE)
        if opened.open != count:
            raise SystemExit(f"{way}: {opened.open} of {count} sockets opened, {opened.refused} attempts were refused.")
        crowd.forget()
        time.sleep(options.hold)
        held, after = crowd.state(), site.memory()
        figures = {
            "way": way, "sockets": count, "open": opened.last_open - crowd.begin, "refused": opened.refused,
            "lost": held.lost, "pings": held.pings,
            "proxy": 0.0 if way == DIRECT else (after.proxy - before.proxy) / count / 1024,
            "server": (after.server - before.server) / count / 1024,
            **fan_out(crowd, site),
        }  # fmt: skip
        crowd.forget()
        begin = site.restart_server()
        back = crowd.wait(PATIENCE, lost=count)
        if back.open != count or back.lost < count:
            raise SystemExit(f"{way}: {back.open} of {count} sockets came back after the restart.")
        return {**figures, "back": back.last_open - begin, "load": os.getloadavg()[0]}
    finally:
        crowd.stop()


def row(figures: dict[str, Any]) -> str:
    """One line of the table."""
    return f"{figures['way']:<9}" + "".join(f"{figures[name]:{width}.{places}f}" for name, __, width, places in COLUMNS)


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, printed as it comes."""
    said = {"server": server_kind(), "machine": machine(), "date": date.today().isoformat()}
    print(f"server: {said['server']}; {said['machine']}; {said['date']}")
    print(
        f"held for {options.hold} s, opened at {options.rate:.0f}/s; one process may open {files_of_a_process()} files"
    )
    print(" " * 9 + "".join(f"{name:>{width}}" for name, _unit, width, _places in COLUMNS))
    print(" " * 9 + "".join(f"{unit:>{width}}" for _name, unit, width, _places in COLUMNS), flush=True)
    results = []
    for provider, ways in itertools.groupby(options.ways, lambda way: "nginx" if way == DIRECT else way):
        site = Site(HOST, provider, fitting("haproxy", options.count))
        try:
            for way in ways:
                results.append(measure(way, site, options))
                print(row(results[-1]), flush=True)
        finally:
            site.close()
    return {**said, "hold_seconds": options.hold, "rate": options.rate, "results": results}


def main() -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10000, help="sockets, as far as the machine's limits allow")
    parser.add_argument("--hold", type=int, default=300, help="seconds in which nothing happens")
    parser.add_argument("--rate", type=float, default=150, help="sockets opened in a second")
    parser.add_argument("ways", nargs="*", default=[DIRECT, *PROVIDERS], help="direct, or a proxy")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = report(options)
    path = FOLDER / "sockets.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"Figures: {path}")
    return int(any(figures["lost"] or figures["missed"] for figures in found["results"]))


if __name__ == "__main__":
    sys.exit(main())
