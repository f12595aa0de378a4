# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of this collection on lab hosts: runs that change nothing, and the outage of an upgrade.

Runs are given in seconds, lowest, median and highest. The outage is what a client sees that asks every 20 ms through
the proxy: once for a plain stop and start of the same container, once for an upgrade in place, in the same run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from demo_vault import DemoVault
from playbook import ROOT, address_of, lab, play, write_inventory

RUNS = 5
FLEET = 50
HOST, NUMBER = "bench-host", 31
DOMAIN = "https://vault.example.com"
OLD, NEW = "1.28.1", "1.37.2"
FOLDER = ROOT / "build" / "bench"


def show(name: str, times: list[float]) -> None:
    """One line of the table."""
    print(f"{name:<46} {min(times):6.2f} {statistics.median(times):6.2f} {max(times):6.2f}", flush=True)


def unchanged_runs() -> bool:
    """Deploy once, then time runs that change nothing: server, proxy and the probe without credentials."""
    inventory = FOLDER / "inventory.json"
    lab("up", f"{HOST}={address_of(NUMBER)}@host-bookworm", "--replace")
    settings = {"vaultwarden_domain": DOMAIN, "notifications_check_live_update": "never"}
    write_inventory(inventory, HOST, address_of(NUMBER), settings)
    runs = [play("site", inventory) for _ in range(RUNS + 1)]
    for run in runs:
        if not run.ok or (run.changed and run is not runs[0]):
            print(run.output)
            return False
    print(f"{'seconds, of ' + str(RUNS) + ' runs':<46} {'min':>6} {'median':>6} {'max':>6}")
    show("first deployment", [runs[0].seconds])
    show("site.yml that changes nothing, with the probe", [run.seconds for run in runs[1:]])
    show("verify.yml", [play("verify", inventory).seconds for _ in range(RUNS)])
    show("ansible itself (ping)", [ping(str(inventory)) for _ in range(RUNS)])
    return verify_a_fleet(inventory)


def verify_a_fleet(inventory: Path) -> bool:
    """The same host under many names, all asked at once. Limited by the processors here and of that one host."""
    one = json.loads(inventory.read_text(encoding="utf-8"))["vaultwarden"]["hosts"][HOST]
    fleet = FOLDER / "fleet.json"
    hosts = {f"{HOST}-{number}": one for number in range(FLEET)}
    fleet.write_text(json.dumps({"vaultwarden": {"hosts": hosts}}), encoding="utf-8")
    single, many = play("verify", inventory), play("verify", fleet, f"--forks={FLEET}")
    if not many.ok:
        print(many.output)
        return False
    show(f"verify.yml of {FLEET} hosts, forks {FLEET}", [many.seconds])
    print(f"  {many.seconds / single.seconds:.1f} times one host, with {os.cpu_count()} processors")
    return True


def outages() -> bool:
    """A plain stop and start, and an upgrade in place, as the same client sees them."""
    inventory = FOLDER / "inventory.json"
    lab("up", f"{HOST}={address_of(NUMBER)}@host-trixie", "--replace")
    settings = {"vaultwarden_domain": DOMAIN, "vaultwarden_admin_token": "bench-admin-token"}
    write_inventory(inventory, HOST, address_of(NUMBER), settings)
    if not play("site", inventory, f"--extra-vars=vaultwarden_version={OLD}").ok:
        return False
    vault = DemoVault(FOLDER, HOST, address_of(NUMBER), settings)
    with vault.polling() as plain:
        on_host("docker stop -t 30 vaultwarden && docker start vaultwarden")
        vault.wait_until_alive()
    with vault.polling() as upgrade:
        done = play("upgrade", inventory, f"--extra-vars=vaultwarden_version={NEW}")
    vault.close()
    if not done.ok:
        print(done.output)
        return False
    parts = json.loads(on_host("cat /var/lib/vaultwire/upgrades/vaultwarden/journal.json"))["milliseconds"]
    ratio = upgrade.milliseconds() / max(plain.milliseconds(), 1)
    print(f"{'outage, ms':<46}")
    print(f"{'  plain stop and start of the container':<46} {plain.milliseconds():6}")
    print(f"{'  upgrade ' + OLD + ' to ' + NEW:<46} {upgrade.milliseconds():6}   {ratio:.2f} times")
    print("  of which on the host: " + ", ".join(f"{name} {value}" for name, value in parts.items()))
    return True


def on_host(script: str) -> str:
    """A command on the lab host; its output."""
    command = ["docker", "exec", HOST, "sh", "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """All figures."""
    try:
        return int(not (unchanged_runs() and outages()))
    finally:
        lab("down", HOST)


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
