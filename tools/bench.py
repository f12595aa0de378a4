# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a run that changes nothing takes on one lab host: server, proxy and the probe without credentials.

Prints seconds, lowest, median and highest of the runs, beside the cost of Ansible's own start.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from playbook import ROOT, address_of, lab, play, write_inventory

RUNS = 5
HOST, NUMBER = "bench-host", 31


def show(name: str, times: list[float]) -> None:
    """One line of the table."""
    print(f"{name:<44} {min(times):6.2f} {statistics.median(times):6.2f} {max(times):6.2f}", flush=True)


def main() -> int:
    """Deploy once, then time runs that change nothing."""
    inventory = ROOT / "build" / "bench" / "inventory.json"
    lab("up", f"{HOST}={address_of(NUMBER)}@host-bookworm")
    try:
        settings = {
            "vaultwarden_domain": "https://vault.example.com",
            "notifications_check_live_update": "never",
        }
        write_inventory(inventory, HOST, address_of(NUMBER), settings)
        first = play("site", inventory)
        if not first.ok:
            print(first.output)
            return 1
        print(f"{'seconds, of ' + str(RUNS) + ' runs':<44} {'min':>6} {'median':>6} {'max':>6}")
        show("first deployment", [first.seconds])
        times = []
        for _ in range(RUNS):
            run = play("site", inventory)
            if not run.ok or run.changed:
                print(run.output)
                return 1
            times.append(run.seconds)
        show("site.yml that changes nothing, with the probe", times)
        show("verify.yml", [play("verify", inventory).seconds for _ in range(RUNS)])
        show("ansible itself (ping)", [ping(str(inventory)) for _ in range(RUNS)])
    finally:
        lab("down", HOST)
    return 0


def ping(inventory: str) -> float:
    """Seconds of the smallest run there is."""
    begin = time.monotonic()
    subprocess.run(
        ["ansible", "-i", inventory, "vaultwarden", "-m", "ansible.builtin.ping"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return time.monotonic() - begin


if __name__ == "__main__":
    sys.exit(main())
