# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a deployment came through what happened to it: all items, a live update, and nothing left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from items import add_item, items_of
from testinfra.host import Host
from vault import SECONDS, Account, Session, Vault, decode, next_frame

SETTLE_SECONDS = 90

#: What a run makes on its way and must not leave: files half written, markers of what is owed, folders of a swap or a
#: restore. Old containers are looked for apart. Ansible's own folder in the user's home is not ours.
LEFT = (
    "find /etc/vaultwire /etc/vaultwarden /etc/nginx /etc/systemd/system /usr/local /var/lib/vaultwire /var/backups "
    "/var/lib/vaultwarden* /run/vaultwire /tmp -xdev \\( -name '.vaultwire-*' -o -name '.ansible_tmp*' "
    "-o -name 'ansible_*' -o -name '*.vaultwire-new' -o -name '*.new' -o -name '*.next' -o -name '*.old' "
    "-o -name '*.tmp' -o -name '.making-*' -o -name '*.restoring-*' -o -name '*.before-restore-*' "
    "-o -name '*.failed-restore-*' -o -path '/var/lib/vaultwire/moves/*' -o -path '/run/vaultwire/*' \\) "
    "2>/dev/null || true"
)
JOURNALS = {
    "/var/lib/vaultwire/upgrades/vaultwarden/journal.json": ("committed", "rolled_back"),
    "/var/lib/vaultwire/upgrades/vaultwarden/.restore-vaultwarden.json": ("done",),
}


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SETTLE_SECONDS) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after {seconds:g} s"
        time.sleep(0.1)


def answers(vault: Vault) -> bool:
    """Whether the vault is alive, through the proxy."""
    try:
        return vault.request("GET", "/alive").status_code == 200
    except OSError:
        return False


def left_behind(host: Host, vault: Vault) -> list[str]:
    """What should not be there: files, a second container, a journal that has not come to rest."""
    found: list[str] = host.check_output(LEFT).splitlines()
    containers = host.check_output("docker ps -a --format '{{.Names}}'").split()
    found += [f"container {name}" for name in containers if name != vault.container]
    return found + unfinished(host)


def unfinished(host: Host) -> list[str]:
    """The journals that have not come to rest, each with its step."""
    found = []
    for path, final in JOURNALS.items():
        shown = host.run("cat %s", path)
        if shown.rc == 0 and json.loads(shown.stdout)["step"] not in final:
            found.append(f"{path} at {json.loads(shown.stdout)['step']}")
    return found


def live_update(vault: Vault, account: Account) -> str:
    """A new item in one session, which has to show in the other; its identifier."""
    acting, watching = Session(vault, account), Session(vault, account)
    with watching.hub() as sock:
        made = add_item(acting)
        event = decode(next_frame(sock, time.monotonic() + SECONDS))[4][0]
    assert event["Payload"]["Id"] == made, event
    return made


class Witness:
    """An account, and the items in it that the server has acknowledged."""

    def __init__(self, vault: Vault, account: Account) -> None:
        self.vault, self.account = vault, account
        self.kept: set[str] = set()

    def lost(self) -> int:
        """How many items are not there any more."""
        return len(self.kept - items_of(Session(self.vault, self.account)))

    def check(self, host: Host) -> None:
        """The deployment is sound: nothing lost, nothing left, and live updates work."""
        wait_until(lambda: answers(self.vault), "the vault answers")
        assert self.lost() == 0, f"{self.lost()} of {len(self.kept)} items are lost"
        self.kept.add(live_update(self.vault, self.account))
        left = left_behind(host, self.vault)
        assert not left, f"left behind: {', '.join(left)}"
