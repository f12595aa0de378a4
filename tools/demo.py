# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, shown on two throwaway hosts: the old layout and the current one, each deployed and proved.

Writes build/demo/report.json; exits with 1 when any proof fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from demo_vault import DemoVault
from playbook import ROOT, Run, address_of, lab, play, write_inventory

FOLDER = ROOT / "build" / "demo"
#: A token for hosts that live for minutes and are reached from this machine only.
TOKEN = "demo-admin-token"
OLD, NEW = "1.28.1", "1.37.2"
HOSTS = {
    # In the old layout first, then upgraded in place; and the current release on a host of its own.
    "legacy": {"host": "demo-legacy", "number": 21, "image": "host-trixie"},
    "modern": {"host": "demo-modern", "number": 22, "image": "host-bookworm"},
}


class Demo:
    """Steps as they are done, and the report they make."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.report: dict[str, Any] = {"server": {"kind": server_kind()}, "steps": self.steps}

    def step(self, name: str, action: Callable[[], Run | None]) -> Run | None:
        """Do one step, say how it went, and stop the demo when it went wrong."""
        print(f"  ... {name}", flush=True)
        begin = time.monotonic()
        done = action()
        good = done is None or done.ok
        seconds = round(time.monotonic() - begin, 1)
        self.steps.append({"name": name, "ok": good, "seconds": seconds})
        print(f"  {'ok ' if good else 'NOT'} {name} ({seconds} s)", flush=True)
        if not good and done is not None:
            print("\n".join(done.output.splitlines()[-60:]))
            raise SystemExit(self.finish())
        return done

    def check(self, name: str, good: bool) -> None:
        """A fact that has to hold."""
        self.steps.append({"name": name, "ok": good, "seconds": 0.0})
        print(f"  {'ok ' if good else 'NOT'} {name}", flush=True)

    def finish(self) -> int:
        """Write the report; the exit code."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / "report.json"
        path.write_text(json.dumps(self.report, indent=2) + "\n", encoding="utf-8")
        print(f"\nReport: {path.relative_to(ROOT)}")
        return int(not all(step["ok"] for step in self.steps))


def server_kind() -> str:
    """Which server the lab's registry serves: real or stand-in."""
    shown = subprocess.run(
        [sys.executable, "-m", "lab", "server-kind"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


def settings_of(part: str) -> dict[str, Any]:
    """Variables of the demo's vault on one host."""
    return {
        "vaultwarden_domain": "https://vault.example.com",
        "vaultwarden_admin_token": TOKEN,
        "notifications_check_live_update": "always",
        "notifications_check_report_file": str(FOLDER / f"{part}-proof.json"),
        # The demo signs in more often than the three times in five minutes that a server allows its admin.
        "vaultwarden_environment": {"ADMIN_RATELIMIT_MAX_BURST": 100, "LOGIN_RATELIMIT_MAX_BURST": 100},
    }


def proved(demo: Demo, part: str, name: str, playbook: str, version: str, *arguments: str) -> dict[str, Any]:
    """Run a playbook to a release, and return what it proved, which is shown as well."""
    inventory = FOLDER / f"{part}.json"
    demo.step(name, lambda: play(playbook, inventory, f"--extra-vars=vaultwarden_version={version}", *arguments))
    return summary(json.loads((FOLDER / f"{part}-proof.json").read_text(encoding="utf-8")))


def start_host(part: str) -> None:
    """A new lab host, whatever was there before, and the inventory that reaches it."""
    host = HOSTS[part]
    address = address_of(int(str(host["number"])))
    lab("down", str(host["host"]))
    lab("up", f"{host['host']}={address}@{host['image']}")
    write_inventory(FOLDER / f"{part}.json", str(host["host"]), address, settings_of(part))


def summary(proof: dict[str, Any]) -> dict[str, Any]:
    """The part of a proof that goes into the report, and onto the screen."""
    probe, live = proof["probe"], proof["live_update"]
    found = {
        "version": probe["version"],
        "layout": probe["layout"],
        "hub_status": live["hub_status"],
        "handshake": live["handshake"],
        "hub_status_without_token": probe["hub"]["status"],
        "anonymous_hub_status": probe["anonymous_hub"]["status"],
        "live_update": live["latencies"],
    }
    times = found["live_update"]
    print(
        f"      hub {found['hub_status']} with its handshake, {found['hub_status_without_token']} for a stranger; "
        f"login with device {found['anonymous_hub_status']}; an edit reached the other session after "
        f"{times['create_ms']} ms (create), {times['rename_ms']} ms (rename), {times['delete_ms']} ms (delete)"
    )
    return found


def fail_an_upgrade(vault: DemoVault) -> Run:
    """An upgrade whose proxy is led astray: it must fail, and everything must be as before."""
    astray = {"reverse_proxy_routes": [{"match": "prefix", "path": "/", "upstream": "127.0.0.1:3999"}]}
    run = play(
        "upgrade",
        FOLDER / "legacy.json",
        "--extra-vars",
        json.dumps({"vaultwarden_version": NEW, "notifications_check_wait": 1, **astray}),
    )
    undone = not run.ok and "The upgrade was undone" in " ".join(run.output.split())
    return run._replace(ok=undone and vault.version() == OLD)


def upgrade_in_place(demo: Demo, vault: DemoVault) -> None:
    """The old host to the current release, while a client asks all the time and an item waits to be found again."""
    kept = vault.add_item()
    with vault.polling() as outage:
        demo.report["upgraded"] = proved(demo, "legacy", f"upgrade.yml from {OLD} to {NEW}, in place", "upgrade", NEW)
    demo.report["upgrade"] = {"from": OLD, "to": NEW, "outage_ms": outage.milliseconds(), "rolled_back": False}
    there = vault.has_item(kept)
    demo.check("the item made before is there after", there)
    print(f"      the vault was away for {outage.milliseconds()} ms, as a client saw it")


def main() -> int:
    """The demo."""
    demo = Demo()
    if demo.report["server"]["kind"] != "real":
        print("The server in this demo is the project's stand-in, not the real vaultwarden.")
    demo.step("a fresh Debian 13 host", lambda: start_host("legacy"))
    demo.report["legacy"] = proved(demo, "legacy", f"vaultwarden {OLD} by site.yml, with its proofs", "site", OLD)
    vault = DemoVault(FOLDER, "demo-legacy", address_of(21), settings_of("legacy"))
    demo.step("an upgrade that fails on purpose, and is undone", lambda: fail_an_upgrade(vault))
    demo.report["forced_rollback"] = {"from": OLD, "to": NEW, "rolled_back": True, "serves": vault.version()}
    upgrade_in_place(demo, vault)
    vault.close()
    demo.step("a fresh Debian 12 host", lambda: start_host("modern"))
    demo.report["modern"] = proved(demo, "modern", f"vaultwarden {NEW} by site.yml, with its proofs", "site", NEW)
    second = demo.step(
        "the same playbook again, which must change nothing", lambda: play("site", FOLDER / "modern.json")
    )
    demo.report["second_run_changed"] = second.changed if second else -1
    demo.check("nothing was changed", demo.report["second_run_changed"] == 0)
    return demo.finish()


if __name__ == "__main__":
    sys.exit(main())
