# SPDX-License-Identifier: GPL-3.0-or-later
"""The signing key is replaced with the commands of docs/secrets.md, and put back again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host
from vault import Account, Session, Vault, shake_hands, upgrade_answer

DOCS = Path(__file__).resolve().parents[3] / "docs" / "secrets.md"
KEPT = "/root/old-signing-key"


@pytest.fixture
def key_comes_back(host: Host, vault: Vault) -> Iterator[None]:
    """Other tests have sessions of their own."""
    yield
    host.check_output(f"docker stop vaultwarden && mv {KEPT}/* /var/lib/vaultwarden/ && docker start vaultwarden")
    host.check_output("rmdir %s", KEPT)
    wait(vault)


def wait(vault: Vault) -> None:
    """Until the server answers again."""
    deadline = time.monotonic() + 30
    while vault.request("GET", "/alive").status_code != 200:
        assert time.monotonic() < deadline, "the server did not come back"
        time.sleep(0.1)


@pytest.mark.usefixtures("key_comes_back")
def test_a_new_signing_key_ends_every_session(host: Host, vault: Vault, account: Account) -> None:
    """The old token opens neither the API nor the hub; a new login does both, and the account is all there."""
    old = Session(vault, account)
    commands = re.search(r"## A new signing key.*?```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert commands, "the commands are gone from the page"
    host.check_output("set -e\n" + commands.group(1))
    wait(vault)
    refused = vault.request("GET", "/api/accounts/profile", headers={"Authorization": f"Bearer {old.token}"})
    assert refused.status_code == 401
    assert upgrade_answer(vault, f"/notifications/hub?access_token={old.token}").status_code == 401
    new = Session(vault, account)
    profile = new.call("GET", "/api/accounts/profile")
    assert profile.get("email", profile.get("Email")) == account.email
    with vault.socket(f"/notifications/hub?access_token={new.token}") as sock:
        assert shake_hands(sock) == b"{}\x1e"
    assert host.file("/var/lib/vaultwarden/rsa_key.pem").content != host.file(f"{KEPT}/rsa_key.pem").content
