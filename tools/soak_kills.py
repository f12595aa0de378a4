# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs that the soak kills: what they were about to do, and what has to come of it."""

from __future__ import annotations

import random
from collections.abc import Callable

from playbook import lab_facts
from soak_lane import TOKENS, Lane
from soundness import unfinished

Act = Callable[[Lane], str]

#: Hosts on which everything has to be installed, and such as have engine and proxy.
IMAGES = ("bare-bookworm", "host-trixie", "bare-trixie", "host-bookworm")
#: Settings that differ from what is deployed, each with two values that take turns.
CHANGES: dict[str, tuple[object, object]] = {
    "vaultwarden_layout": ("single_port", "legacy"),
    "vaultwarden_http_port": (8080, 8081),
    "vaultwarden_admin_token": TOKENS,
    "reverse_proxy_max_body": ("525M", "600M"),
}


def releases() -> list[str]:
    """What the lab's registry serves, from the oldest to the newest: real executables are there for some only."""
    served: list[str] = lab_facts()["server"]["versions"]
    return sorted(served, key=lambda version: [int(part) for part in version.split(".")])


def pending_changes(draw: random.Random, number: int) -> Act:
    """site.yml on a deployed host with a change that is due."""
    name = list(CHANGES)[number % len(CHANGES)]

    def act(lane: Lane) -> str:
        one, other = CHANGES[name]
        lane.change(**{name: one if lane.settings.get(name) == other else other})
        lane.doing = f"site.yml killed, {name} changed"
        with lane.writing():
            lane.kill("site", draw)
        lane.settle()
        return f"site.yml killed, {name} changed"

    return act


def upgrades(draw: random.Random, __: int) -> Act:
    """upgrade.yml to the next release; a new host after the last one."""

    def act(lane: Lane) -> str:
        known = releases()
        if lane.settings["vaultwarden_version"] == known[-1]:
            lane.forget()
            lane.ready()
        old = str(lane.settings["vaultwarden_version"])
        new = known[known.index(old) + 1]
        what = lane.doing = f"upgrade.yml killed, {old} to {new}"
        lane.change(vaultwarden_version=new)
        with lane.writing():
            lane.kill("upgrade", draw)
        lane.settle("upgrade", "upgrade")
        assert lane.known().vault.request("GET", "/api/version").json() == new
        return what

    return act


def fresh_hosts(draw: random.Random, number: int) -> Act:
    """site.yml on a host that has nothing yet."""
    image, oldest = IMAGES[number % len(IMAGES)], number % 3 == 0

    def act(lane: Lane) -> str:
        version = releases()[0 if oldest else -1]
        lane.new_host(image, vaultwarden_version=version)
        what = lane.doing = f"site.yml killed, a new host ({image}, {version})"
        lane.kill("site", draw)
        lane.succeed("site")
        lane.meet()
        lane.sound()
        return what

    return act


def backups(draw: random.Random, number: int) -> Act:
    """backup.yml, or restore.yml of an archive that has all there is."""

    def backup(lane: Lane) -> str:
        what = lane.doing = "backup.yml killed"
        with lane.writing():
            lane.kill("backup", draw)
        lane.settle("backup", "backup")
        return what

    def restore(lane: Lane) -> str:
        what = lane.doing = "restore.yml killed"
        with lane.writing():
            pass  # some more items, which the archive has all of
        lane.succeed("backup")
        lane.kill("restore", draw, vaultwarden_backup_restore_from="newest")
        # After its server has started it is for the operator to say whether it stays.
        if any(place.endswith((" at starting", " at started")) for place in unfinished(lane.host)):
            lane.succeed("restore", vaultwarden_backup_unfinished=draw.choice(("keep", "undo")))
        lane.succeed("restore", vaultwarden_backup_restore_from="newest")
        # The data from before is kept on purpose, and so is that of an undone restore.
        lane.host.check_output("rm -rf /var/lib/vaultwarden.before-restore-* /var/lib/vaultwarden.failed-restore-*")
        lane.sound()
        return what

    return backup if number % 2 else restore
