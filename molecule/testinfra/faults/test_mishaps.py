# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed and hosts that break: the next run puts everything right. `make soak` does it at length."""

from __future__ import annotations

import random
import subprocess

import mishaps
import pytest
from actions import PROJECT, Playbook, command, environment
from items import writing
from killing import Strike, at_random, killed
from soundness import Witness, answers, wait_until
from testinfra.host import Host
from vault import Account, Session, Vault

SEED = 20
#: Tasks that a run of site.yml on a deployed host announces at least.
TASKS = 50
MARKER = "/run/vaultwire/vaultwarden.restart"
OTHER_TOKEN = "faults-other-token"


@pytest.fixture(scope="module")
def witness(vault: Vault, account: Account) -> Witness:
    """The account whose items must stay."""
    return Witness(vault, account)


def kill(witness: Witness, strike: Strike, **variables: str) -> str:
    """Kill a run of site.yml while a client writes; where it was."""
    vault = witness.vault
    with writing(Session(vault, witness.account), 0.1) as writer:
        wait_until(lambda: len(writer.acknowledged) >= 5, "the client writes")
        cut = killed(command("site", f"--limit={vault.name}", **variables), PROJECT, environment(), strike)
    witness.kept |= writer.acknowledged
    return cut.at


def settle(host: Host, witness: Witness, run_playbook: Playbook, **variables: str) -> None:
    """The next run does, the one after it has nothing to do, and the vault is sound."""
    done = run_playbook("site", **variables)
    assert done.returncode == 0, done.stdout
    again = run_playbook("site", notifications_check_live_update="never", **variables)
    assert "changed=0 " in again.stdout, again.stdout
    witness.check(host)


def test_a_run_killed_anywhere_is_finished_by_the_next(
    host: Host, vault: Vault, witness: Witness, run_playbook: Playbook
) -> None:
    """Another port for the server, which makes a new container and a new site; a seeded moment on each host.

    On one host the next run wants the same, on the other one nobody wants it any more.
    """
    port = {"vaultwarden_http_port": "8085"}
    at = kill(witness, at_random(random.Random(f"{SEED}/{vault.name}"), TASKS), **port)
    print(f"killed at {at}")
    settle(host, witness, run_playbook, **({} if vault.legacy else port))


def test_a_secret_that_the_server_has_not_read_is_not_forgotten(
    host: Host, vault: Vault, witness: Witness, run_playbook: Playbook
) -> None:
    """Killed between the file of a new secret and the start that reads it: no file differs in the next run."""
    if vault.legacy:
        pytest.skip("the same on every release")
    token = {"vaultwarden_admin_token": OTHER_TOKEN}

    def strike(__: subprocess.Popen[str]) -> str:
        wait_until(lambda: host.file(MARKER).exists, "the secret is written")
        return ""

    kill(witness, strike, **token)
    # Whatever the module still does after its marker.
    wait_until(lambda: host.file(mishaps.TOKEN).content_string == OTHER_TOKEN, "the secret is written")
    done = run_playbook("site", **token)
    assert done.returncode == 0, done.stdout
    assert vault.request("POST", "/admin", data={"token": OTHER_TOKEN}).status_code in (200, 303)


def test_a_host_in_pieces_is_put_right_by_one_run(
    host: Host, vault: Vault, witness: Witness, run_playbook: Playbook
) -> None:
    """The engine restarted, half a secret, half a site, half a key, and then the proxy dead."""
    if vault.legacy:
        pytest.skip("the same on every release")
    mishaps.restart_engine(host)
    wait_until(lambda: answers(vault), "the vault is back without a run")
    for path in (mishaps.TOKEN, mishaps.SITE, "/etc/vaultwire/tls/vault.example.com.key"):
        mishaps.cut_in_half(host, path)
    mishaps.kill_proxy(host)
    settle(host, witness, run_playbook)
