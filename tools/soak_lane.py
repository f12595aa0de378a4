# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of the soak: how it is deployed, how a run on it is killed, and what has to be so afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from items import writing
from killing import LATE, at_random, killed
from playbook import ROOT, Run, address_of, lab, play, write_inventory
from soundness import Witness, wait_until
from testinfra.host import Host
from vault import Session, Vault, throwaway_account

#: What ends the hosts' addresses.
NUMBERS = {"site": 40, "upgrade": 41, "fresh": 42, "fault": 43, "backup": 44}
#: A token for hosts that live for minutes and are reached from this machine only.
TOKENS = ("soak-admin-token", "soak-other-token")
#: A client that leaves the processors to the runs.
WRITER_PAUSE = 0.1
#: So many items it has written before anything happens.
ITEMS = 5
#: Tasks that a run announces at least, until a whole run has told how many there are.
TASKS = {"site": 55, "upgrade": 70, "backup": 20, "restore": 40}


class Lane:
    """A host, its settings, and the account that tells whether anything was lost."""

    #: Where a run was killed that had ended by itself.
    late = LATE

    def __init__(self, kind: str, folder: Path, seed: int) -> None:
        self.kind, self.seed, self._folder = kind, seed, folder
        self.host_name, self.address = f"soak-{kind}", address_of(NUMBERS[kind])
        self.inventory = folder / f"{kind}.json"
        self.settings: dict[str, Any] = {}
        self.doing = self.killed_at = ""
        self.witness: Witness | None = None
        self._account = contextlib.ExitStack()
        self._outputs: list[str] = []
        self._tasks = dict(TASKS)

    @property
    def domain(self) -> str:
        """The vault's name, which only this process takes for the host's address."""
        return f"{self.kind}.example.com"

    @property
    def host(self) -> Host:
        """The host, looked at from inside."""
        return Host.get_host(f"docker://{self.host_name}")

    def begin(self) -> None:
        """Nothing has been done yet."""
        self.doing, self.killed_at, self._outputs = "getting the host ready", "", []

    def new_host(self, image: str, **settings: Any) -> None:
        """A host as it leaves the factory, and what it is to become."""
        self.forget()
        lab("down", self.host_name)
        lab("up", f"{self.host_name}={self.address}@{image}")
        self.settings = {
            "vaultwarden_domain": f"https://{self.domain}",
            "vaultwarden_admin_token": TOKENS[0],
            # One of the faults fills it.
            "vaultwarden_memory_limit": "512m",
            # Each run proves the live channel, and so do the checks.
            "vaultwarden_environment": {"ADMIN_RATELIMIT_MAX_BURST": 9999, "LOGIN_RATELIMIT_MAX_BURST": 9999},
            **settings,
        }
        # Where less has to be installed a run has fewer tasks, and would have ended before it is killed.
        self._tasks = dict(TASKS)
        self.change()

    def ready(self) -> None:
        """Deployed, with an account; what a lane of fresh hosts does by itself."""
        if self.witness is None and self.kind != "fresh":
            # The one release line that knows both layouts; upgrades begin with the oldest.
            version = "1.28.1" if self.kind == "upgrade" else "1.30.5"
            image = "host-trixie" if self.kind in ("upgrade", "backup") else "host-bookworm"
            self.new_host(image, vaultwarden_version=version)
            self.succeed("site")
            self.meet()

    def meet(self) -> None:
        """Open the account whose items must never go."""
        ca_file = self._folder / f"{self.kind}-ca.pem"
        ca_file.write_text(self.host.check_output("cat /etc/vaultwire/tls/ca.pem"), encoding="ascii")
        vault = Vault(self.host_name, self.address, ca_file, self.settings)
        self.witness = Witness(vault, self._account.enter_context(throwaway_account(vault)))

    def known(self) -> Witness:
        """The account, which has to be there."""
        assert self.witness is not None
        return self.witness

    def forget(self) -> None:
        """The host is beyond use: the next trial gets a new one."""
        self.witness = None
        # The account goes with its host, whether or not that still answers.
        with contextlib.suppress(AssertionError, OSError, ValueError):
            self._account.close()

    def remove(self) -> None:
        """Take the host away."""
        self.forget()
        lab("down", self.host_name)

    def kept(self) -> set[str]:
        """The items that the server has acknowledged."""
        return self.witness.kept if self.witness else set()

    def lost(self) -> int:
        """How many of them are not there any more; -1 where the vault cannot be asked."""
        try:
            return self.witness.lost() if self.witness else 0
        except (AssertionError, OSError, ValueError):
            return -1

    def change(self, **settings: Any) -> None:
        """Wish for something else than what is there."""
        self.settings.update(settings)
        write_inventory(self.inventory, self.host_name, self.address, self.settings)

    def play(self, playbook: str, **variables: Any) -> Run:
        """Run a playbook to its end."""
        self.doing = f"{self.doing.partition(' / ')[0]} / {playbook}.yml"
        run = play(playbook, self.inventory, f"--extra-vars={json.dumps(variables)}")
        self._outputs.append(run.output)
        if run.ok:
            self._tasks[playbook] = run.output.count("\nTASK [")
        return run

    def succeed(self, playbook: str, **variables: Any) -> Run:
        """Run a playbook, which must do."""
        run = self.play(playbook, **variables)
        assert run.ok, f"{playbook}.yml failed: {failure(run.output)}"
        return run

    def fail(self, playbook: str, *words: str, **variables: Any) -> None:
        """Run a playbook, which cannot do and has to say why."""
        run = self.play(playbook, **variables)
        said = " ".join(run.output.split())
        assert not run.ok, f"{playbook}.yml went well, which cannot be"
        missing = [word for word in words if word not in said]
        assert not missing and "Traceback" not in said, f"{missing} not said: {failure(run.output)}"

    def settle(self, playbook: str = "site", again: str = "site", **variables: Any) -> None:
        """The next run does, the one after it has nothing to do, and the vault is sound."""
        self.succeed(playbook, **variables)
        self.sound(again)

    def sound(self, again: str = "site") -> None:
        """A run has nothing to do, and the vault is sound."""
        run = self.succeed(again, notifications_check_live_update="never", vaultwarden_backup_now=False)
        assert run.changed == 0, f"{again}.yml changed something: {changes(run.output)}"
        self.known().check(self.host)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A client writes meanwhile; what was acknowledged has to stay."""
        witness = self.known()
        with writing(Session(witness.vault, witness.account), WRITER_PAUSE) as writer:
            wait_until(lambda: len(writer.acknowledged) >= ITEMS, "the client writes")
            yield
        witness.kept |= writer.acknowledged

    def kill(self, playbook: str, draw: random.Random, *, changing: bool = False, **variables: Any) -> None:
        """Begin a run and kill its processes, all at once, somewhere. The host is left to itself."""
        command = [
            "ansible-playbook", "-i", str(self.inventory), f"--extra-vars={json.dumps(variables)}",
            f"playbooks/{playbook}.yml",
        ]  # fmt: skip
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = killed(command, ROOT, environment, at_random(draw, self._tasks[playbook], changing=changing))
        self.killed_at = done.at
        self._outputs.append(done.output)

    def keep_for_a_look(self, path: Path) -> None:
        """The outputs of the trial's runs, and the host's journal."""
        journal = self.host.run("journalctl --no-pager -n 200; docker ps -a; docker logs --tail 50 vaultwarden 2>&1")
        path.write_text("\n\n".join([*self._outputs, journal.stdout]), encoding="utf-8")


def failure(output: str) -> str:
    """The part of a run's output that says what went wrong."""
    __, mark, rest = output.partition("[ERROR]")
    return (mark + rest or output)[:3000]


def changes(output: str) -> str:
    """The tasks that changed something."""
    lines, task = [], ""
    for line in output.splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.strip(" *")
        elif line.startswith("changed:"):
            lines.append(task)
    return ", ".join(lines)


@contextlib.contextmanager
def resolving(lanes: Sequence[Lane]) -> Iterator[None]:
    """The names of the vaults are in no DNS; only this process takes them for the hosts' addresses."""
    original = socket.getaddrinfo
    addresses = {lane.domain: lane.address for lane in lanes}

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        return original(addresses.get(target, target), *arguments, **options)

    with mock.patch.object(socket, "getaddrinfo", resolve):
        yield
