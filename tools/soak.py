# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill runs at random points and break hosts, again and again, and see whether the next run puts everything right.

Usage: SEED=<number> RUNS=<kills> ONLY=<expression that a trial's name has to match in part> soak.py

The seed decides what is killed and where, so that a failure can be repeated. What a seed has survived is kept in
build/soak/seed-<seed>.jsonl: called again with the same seed after an interruption, only the rest is done.
"""

from __future__ import annotations

import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

from playbook import ROOT, lab
from soak_faults import FAULTS
from soak_kills import backups, fresh_hosts, pending_changes, upgrades
from soak_lane import Lane, resolving

FOLDER = ROOT / "build" / "soak"
RUNS = 30
#: Of so many killed runs, so many of each kind.
SHARES = (("site", 6), ("upgrade", 4), ("fresh", 3), ("backup", 2))


class Trial(NamedTuple):
    """One thing that is done to a host: its name, and what does it and says what exactly was done."""

    name: str
    act: Callable[[Lane], str]


class Record:
    """What came of each trial, on disk at once."""

    def __init__(self, seed: int) -> None:
        self._path, self._lock = FOLDER / f"seed-{seed}.jsonl", Lock()
        FOLDER.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self.entries: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def survived(self, name: str) -> bool:
        """Whether a trial need not be done again; a run that had ended before it was killed tried nothing."""
        done = [entry for entry in self.entries if entry["trial"] == name and entry["killed_at"] != Lane.late]
        return any(entry["survived"] for entry in done)

    def add(self, entry: dict[str, Any]) -> None:
        """Note and show one."""
        with self._lock:
            self.entries.append(entry)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            verdict = "survived" if entry["survived"] else "NOT SURVIVED"
            print(f"{entry['trial']:<28} {verdict:<12} {entry['seconds']:6.1f} s  {entry['what']}", flush=True)
            if entry["message"]:
                print("\n".join(f"    {line}" for line in entry["message"].splitlines()[-40:]), flush=True)


def shares(runs: int) -> dict[str, int]:
    """How many of the killed runs each kind gets; what is left over goes to the first."""
    total = sum(share for __, share in SHARES)
    given = {kind: runs * share // total for kind, share in SHARES}
    given[SHARES[0][0]] += runs - sum(given.values())
    return given


def plan(seed: int, runs: int) -> dict[str, list[Trial]]:
    """The trials of each lane, in order. Each draws from a generator of its own, so their order changes nothing."""
    kinds = {"site": pending_changes, "upgrade": upgrades, "fresh": fresh_hosts, "backup": backups}
    trials: dict[str, list[Trial]] = {}
    for kind, count in shares(runs).items():
        names = [f"{kind}-{number:02}" for number in range(1, count + 1)]
        trials[kind] = [Trial(name, kinds[kind](random.Random(f"{seed}/{name}"), n)) for n, name in enumerate(names)]
    trials["fault"] = [Trial(f"fault {name}", act) for name, act in FAULTS.items()]
    only = os.environ.get("ONLY", "")
    chosen = {kind: [trial for trial in made if re.search(only, trial.name)] for kind, made in trials.items()}
    return {kind: made for kind, made in chosen.items() if made}


def try_one(lane: Lane, trial: Trial, record: Record) -> None:
    """One trial, and a new host after one that was not survived."""
    begin = time.monotonic()
    survived, what, message = False, "", ""
    try:
        lane.ready()
        what = trial.act(lane)
        survived = True
    except Exception as exc:  # whatever it is, the other trials are not its victims
        what, message = lane.doing, f"{type(exc).__name__}: {exc}"
        if isinstance(exc, subprocess.CalledProcessError):
            message += f" {exc.stderr}"
    entry = {
        "trial": trial.name,
        "what": what,
        "survived": survived,
        "killed_at": lane.killed_at,
        "items": len(lane.kept()),
        "lost": lane.lost(),
        "seconds": round(time.monotonic() - begin, 1),
        "message": message,
    }
    record.add(entry)
    if not survived:
        lane.keep_for_a_look(FOLDER / f"{trial.name.replace(' ', '-')}.log")
        lane.forget()


def run_lane(lane: Lane, trials: list[Trial], record: Record, interrupted: Event) -> None:
    """The trials of one host, one after the other."""
    try:
        for trial in trials:
            if not (interrupted.is_set() or record.survived(trial.name)):
                lane.begin()
                try_one(lane, trial, record)
    finally:
        lane.remove()


def machine() -> str:
    """What this ran on."""
    with Path("/proc/meminfo").open(encoding="ascii") as stream:
        memory = int(stream.readline().split()[1]) >> 20
    return f"{os.cpu_count()} processors, {memory} GiB, Linux {platform.release()}"


def report(seed: int, record: Record, trials: list[Trial]) -> bool:
    """The sums, on the screen and in build/soak/report.json. Only the last word on each trial counts."""
    last = {entry["trial"]: entry for entry in record.entries}
    done = [last[trial.name] for trial in trials if trial.name in last]
    faults = [entry for entry in done if entry["trial"].startswith("fault ")]
    # A run may have come to its end a moment before it was to be killed.
    kills = [entry for entry in done if entry not in faults and entry["killed_at"] != Lane.late]
    sums = {
        "seed": seed,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "server": server_kind(),
        "killed_runs": len(kills),
        "killed_runs_survived": sum(entry["survived"] for entry in kills),
        "runs_that_ended_first": len(done) - len(kills) - len(faults),
        "faults": len(faults),
        "faults_survived": sum(entry["survived"] for entry in faults),
        "items_looked_for": sum(entry["items"] for entry in done),
        "items_lost": sum(max(entry["lost"], 0) for entry in done),
        "not_done": [trial.name for trial in trials if trial.name not in last],
        "trials": done,
    }
    (FOLDER / "report.json").write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
    print(
        f"\nseed {seed}: {sums['killed_runs_survived']} of {len(kills)} killed runs and {sums['faults_survived']} of "
        f"{sums['faults']} faults survived, {sums['items_lost']} items lost. "
        f"Server: {sums['server']}. Report: build/soak/report.json"
    )
    return not sums["not_done"] and all(entry["survived"] and entry["lost"] == 0 for entry in done)


def server_kind() -> str:
    """Which server the lab's registry serves."""
    command = [sys.executable, "-m", "lab", "server-kind"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """All lanes at once."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    runs = int(os.environ.get("RUNS") or RUNS)
    print(
        f"seed {seed}, {runs} killed runs and {len(FAULTS)} faults; repeat it with SEED={seed} RUNS={runs}", flush=True
    )
    trials, record = plan(seed, runs), Record(seed)
    if not trials:
        sys.exit("ONLY matches the name of no trial.")
    lanes, interrupted = [Lane(kind, FOLDER, seed) for kind in trials], Event()
    try:
        with resolving(lanes), ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            work = [pool.submit(run_lane, lane, trials[lane.kind], record, interrupted) for lane in lanes]
            try:
                for done in work:
                    done.result()
            finally:
                interrupted.set()  # each lane ends its trial, then removes its host
    finally:
        lab("down", *(lane.host_name for lane in lanes))
    return int(not report(seed, record, [trial for kind in trials.values() for trial in kind]))


if __name__ == "__main__":
    sys.exit(main())
