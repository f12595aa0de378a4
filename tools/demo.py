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
from pathlib import Path
from typing import Any

from playbook import ROOT, Run, address_of, lab, play, write_inventory

FOLDER = ROOT / "build" / "demo"
#: A token for hosts that live for minutes and are reached from this machine only.
TOKEN = "demo-admin-token"
LEGACY = {"host": "demo-legacy", "number": 21, "image": "host-trixie", "version": "1.28.1"}
MODERN = {"host": "demo-modern", "number": 22, "image": "host-bookworm", "version": "1.37.2"}


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


def deploy(demo: Demo, plan: dict[str, Any], part: str) -> Path:
    """Deploy a release on a fresh host and put what was proved into the report."""
    address, version = address_of(plan["number"]), plan["version"]
    inventory, proof = FOLDER / f"{part}.json", FOLDER / f"{part}-proof.json"
    proof.unlink(missing_ok=True)
    write_inventory(
        inventory,
        plan["host"],
        address,
        {
            "vaultwarden_version": version,
            "vaultwarden_domain": "https://vault.example.com",
            "vaultwarden_admin_token": TOKEN,
            "notifications_check_live_update": "always",
            "notifications_check_report_file": str(proof),
        },
    )
    demo.step(f"a fresh {plan['image'].partition('-')[2]} host", lambda: start_host(plan, address))
    demo.step(f"vaultwarden {version} by site.yml, with its proofs", lambda: play("site", inventory))
    demo.report[part] = summary(json.loads(proof.read_text(encoding="utf-8")))
    return inventory


def start_host(plan: dict[str, Any], address: str) -> None:
    """A new lab host, whatever was there before."""
    lab("down", plan["host"])
    lab("up", f"{plan['host']}={address}@{plan['image']}")


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


def main() -> int:
    """The demo."""
    demo = Demo()
    if demo.report["server"]["kind"] != "real":
        print("The server in this demo is the project's stand-in, not the real vaultwarden.")
    deploy(demo, LEGACY, "legacy")
    inventory = deploy(demo, MODERN, "modern")
    second = demo.step("the same playbook again, which must change nothing", lambda: play("site", inventory))
    demo.report["second_run_changed"] = second.changed if second else -1
    demo.steps[-1]["ok"] = demo.report["second_run_changed"] == 0
    return demo.finish()


if __name__ == "__main__":
    sys.exit(main())
