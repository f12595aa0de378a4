# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault of the demo as its users meet it: an account, an item, and how long the vault is away.

Builds on the client that the molecule tests use, which knows nothing of the collection's own modules.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from playbook import ROOT

sys.path.insert(0, str(ROOT / "molecule" / "testinfra"))
from vault import Account, Session, Vault, throwaway_account

#: Seconds between two requests of the client that watches.
INTERVAL = 0.02


class Outage(threading.Thread):
    """Asks all the time whether the vault is alive, and notes when each good answer had arrived."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(daemon=True)
        self._vault, self.done, self._good = vault, threading.Event(), list[float]()

    def run(self) -> None:
        """Until told to stop."""
        while not self.done.is_set():
            begin = time.monotonic()
            with contextlib.suppress(OSError):
                if self._vault.request("GET", "/alive").status_code == 200:
                    self._good.append(time.monotonic())
            self.done.wait(max(INTERVAL - (time.monotonic() - begin), 0))

    def milliseconds(self) -> int:
        """The longest time without a good answer. A request that hangs and is answered late counts in full."""
        gaps = [after - before for before, after in itertools.pairwise(self._good)]
        return int(max(gaps, default=0.0) * 1000)


class DemoVault:
    """One deployment of the demo."""

    def __init__(self, folder: Path, host: str, address: str, settings: dict[str, Any]) -> None:
        ca_file = folder / f"{host}-ca.pem"
        command = ["docker", "exec", host, "cat", "/etc/vaultwire/tls/ca.pem"]
        ca_file.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
        self.vault = Vault(host, address, ca_file, {**settings, "vaultwarden_version": ""})
        self._exit = contextlib.ExitStack()
        original = socket.getaddrinfo

        def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
            return original(address if target == self.vault.host else target, *arguments, **options)

        # The name is in no DNS; only this process takes it for the host's address.
        self._exit.enter_context(mock.patch.object(socket, "getaddrinfo", resolve))
        self._account = self._exit.enter_context(throwaway_account(self.vault))

    def close(self) -> None:
        """Remove the account."""
        self._exit.close()

    def session(self) -> Session:
        """One more signed-in device of the account."""
        return Session(self.vault, self._account)

    def account(self) -> contextlib.AbstractContextManager[Account]:
        """One more account, for the time of a block."""
        return throwaway_account(self.vault)

    def wait_until_alive(self) -> None:
        """Wait until the vault answers through the proxy."""
        deadline = time.monotonic() + 60
        while self.vault.request("GET", "/alive").status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.vault.url} does not come back")
            time.sleep(INTERVAL)

    def version(self) -> str:
        """The release that serves."""
        return str(self.vault.request("GET", "/api/version").json())

    def add_item(self) -> str:
        """A new item in the account; its identifier."""
        item = {"type": 1, "name": "2.demo|x|y", "login": {}}
        made = self.session().call("POST", "/api/ciphers", item)
        return str(made.get("id") or made["Id"])

    def has_item(self, identifier: str) -> bool:
        """Whether the account still has it."""
        found = self.session().call("GET", "/api/sync")
        return identifier in {item.get("id") or item["Id"] for item in found.get("ciphers") or found["Ciphers"]}

    @contextlib.contextmanager
    def polling(self) -> Iterator[Outage]:
        """Watch for the time of a block."""
        watch = Outage(self.vault)
        watch.start()
        try:
            yield watch
        finally:
            watch.done.set()
            watch.join()
