# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of this collection on lab hosts: runs that change nothing, proofs of a fleet, and the outage of an upgrade.

Runs are given in seconds, lowest, median and highest. The outage is what a client sees that asks every 20 ms through
the proxy: once for a plain stop and start of the same container, once for an upgrade in place, in the same run.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from demo_vault import DemoVault
from playbook import ROOT, Run, address_of, lab, play, write_inventory

RUNS = 5
FLEET = 50
HOST, NUMBER = "bench-host", 31
DOMAIN = "https://vault.example.com"
OLD, NEW = "1.28.1", "1.37.2"
FOLDER = ROOT / "build" / "bench"
INVENTORY = FOLDER / "inventory.json"
ALONE = "ansible alone (debug)"


def show(name: str, times: list[float]) -> None:
    """One line of the table."""
    print(f"{name:<46} {min(times):6.2f} {statistics.median(times):6.2f} {max(times):6.2f}", flush=True)


def deploy(settings: dict[str, Any]) -> list[Run]:
    """One host with a vault whose limits are no hindrance; the first run and those that change nothing."""
    lab("up", f"{HOST}={address_of(NUMBER)}@host-bookworm", "--replace")
    limits = {"LOGIN_RATELIMIT_MAX_BURST": 10 * FLEET, "LOGIN_RATELIMIT_SECONDS": 1}
    settings = {"vaultwarden_domain": DOMAIN, "vaultwarden_environment": limits, **settings}
    write_inventory(INVENTORY, HOST, address_of(NUMBER), settings)
    # One host stands for many here, and its sshd would refuse so many at once.
    on_host("echo 'MaxStartups 200' > /etc/ssh/sshd_config.d/bench.conf; systemctl reload ssh")
    return [play("site", INVENTORY)]


def unchanged_runs() -> bool:
    """Deploy once, then time runs that change nothing: server, proxy and the probe without credentials."""
    runs = deploy({"notifications_check_live_update": "never"})
    runs += [play("site", INVENTORY) for __ in range(RUNS)]
    for run in runs:
        if not run.ok or (run.changed and run is not runs[0]):
            print(run.output)
            return False
    heading()
    show("first deployment", [runs[0].seconds])
    show("site.yml that changes nothing, with the probe", [run.seconds for run in runs[1:]])
    return True


def heading() -> None:
    """Above the lines of show()."""
    print(f"{'seconds, of up to ' + str(RUNS) + ' runs':<46} {'min':>6} {'median':>6} {'max':>6}")


def proofs() -> bool:
    """Proofs of one host, and of the same host under many names, all asked at once: hubs alone, and with a live update.

    Each name makes a throwaway account of its own, for whose passwords the one server computes long, on the processors
    of this machine; the servers of a real fleet do that elsewhere. So the processor time of the controller is shown as
    well: what Ansible and the proofs in it need, and SSH on this side.
    """
    if not deploy({"vaultwarden_signups_allowed": True})[0].ok:
        return False
    one = json.loads(INVENTORY.read_text(encoding="utf-8"))["vaultwarden"]["hosts"][HOST]
    one["notifications_check_ca_content"] = on_host("cat /etc/vaultwire/tls/ca.pem")
    print(f"{'median of ' + str(RUNS) + ' runs, no look at the host':<46} {'wall':>6} {'CPU':>6}   hosts proved")
    sums: dict[tuple[int, str], float] = {}
    for count in (1, FLEET):
        hosts = {f"{HOST}-{number}": one for number in range(count)}
        INVENTORY.write_text(json.dumps({"vaultwarden": {"hosts": hosts}}), encoding="utf-8")
        for name, run in (
            (ALONE, nothing),
            ("verify.yml, hubs alone", partial(verified, "never")),
            ("verify.yml with a live update", partial(verified, "auto")),
        ):
            sums[count, name] = proved(f"{name}, {count} host(s)", run, count)
    for name in ("verify.yml, hubs alone", "verify.yml with a live update"):
        beyond = sums[1, name] - sums[1, ALONE]
        times = sums[FLEET, name] / sums[1, name]
        print(f"  {name}: {beyond:.1f} s beyond Ansible alone; {FLEET} hosts take {times:.1f} times one")
    return True


def proved(name: str, run: Callable[[], int], count: int) -> float:
    """A line of the table: medians of wall and processor time, and the fewest hosts that were proved; the former."""
    rows = []
    for __ in range(RUNS):
        begin, used = time.monotonic(), processor_seconds()
        hosts = run()
        rows.append((time.monotonic() - begin, processor_seconds() - used, hosts))
    wall, used = (statistics.median(column) for column in list(zip(*rows, strict=True))[:2])
    print(f"{name:<46} {wall:6.2f} {used:6.2f}   {min(row[2] for row in rows)} of {count}", flush=True)
    return wall


def verified(live_update: str) -> int:
    """Proofs of all hosts of the inventory; how many of them hold."""
    settings = json.dumps({"vaultwire_look": False, "notifications_check_live_update": live_update})
    output = " ".join(play("verify", INVENTORY, f"--forks={FLEET}", "--extra-vars", settings).output.split())
    return output.count("reached another after" if live_update == "auto" else "both hubs answer")


def processor_seconds() -> float:
    """What all commands that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def outages() -> bool:
    """A plain stop and start, and an upgrade in place, as the same client sees them."""
    lab("up", f"{HOST}={address_of(NUMBER)}@host-trixie", "--replace")
    settings = {"vaultwarden_domain": DOMAIN, "vaultwarden_admin_token": "bench-admin-token"}
    write_inventory(INVENTORY, HOST, address_of(NUMBER), settings)
    if not play("site", INVENTORY, f"--extra-vars=vaultwarden_version={OLD}").ok:
        return False
    vault = DemoVault(FOLDER, HOST, address_of(NUMBER), settings)
    with vault.polling() as plain:
        on_host("docker stop -t 30 vaultwarden && docker start vaultwarden")
        vault.wait_until_alive()
    with vault.polling() as upgrade:
        done = play("upgrade", INVENTORY, f"--extra-vars=vaultwarden_version={NEW}")
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


PARTS = {"unchanged": unchanged_runs, "proofs": proofs, "outages": outages}


def main() -> int:
    """The parts that are named, or all."""
    try:
        failed = [name for name in sys.argv[1:] or PARTS if not PARTS[name]()]
        return int(bool(failed))
    finally:
        lab("down", HOST)


def nothing() -> int:
    """The smallest run there is: a task for each host that asks nobody; how many hosts had it."""
    command = ["ansible", "-i", str(INVENTORY), f"--forks={FLEET}", "vaultwarden", "-m", "ansible.builtin.debug"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.count("SUCCESS")


if __name__ == "__main__":
    sys.exit(main())
