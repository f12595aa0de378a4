# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the arguments and the environment of all processes until the input ends, and name those that hold a needle.

Runs by itself, on the controller and on a host alike. Input: one line of JSON, ``{name: needle}``. Output: one line of
JSON, ``{"rounds": number of looks, "hits": [texts]}``. Needles come by standard input, for the arguments are searched.
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path

PAUSE = 0.05


def look(needles: dict[str, bytes]) -> set[str]:
    """``name in cmdline of program`` for every needle that a process shows at this moment."""
    hits = set()
    for process in Path("/proc").glob("[0-9]*"):
        for place in ("cmdline", "environ"):
            try:
                shown = (process / place).read_bytes()
                for name in (name for name, needle in needles.items() if needle in shown):
                    program = (process / "comm").read_text(encoding="utf-8").strip()
                    hits.add(f"{name} in {place} of {program}")
            except OSError:
                continue  # it ended meanwhile
    return hits


def main() -> None:
    """Look once at least, then until the input ends."""
    needles = {name: needle.encode() for name, needle in json.loads(sys.stdin.readline()).items()}
    hits, rounds, ended = set[str](), 0, False
    while not ended:
        hits |= look(needles)
        rounds += 1
        ended = bool(select.select([sys.stdin], [], [], PAUSE)[0])
    print(json.dumps({"rounds": rounds, "hits": sorted(hits)}))


if __name__ == "__main__":
    main()
