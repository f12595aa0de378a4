# SPDX-License-Identifier: GPL-3.0-or-later
"""From a server started by hand in the old layout to the current release: data and live updates at every stop.

The inventory of each scenario says where to stop on the way.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from actions import PROJECT, SCENARIO
from items import add_item, items_of, writing
from probing import run_vault_module
from testinfra.host import Host
from vault import Account, Session, Vault, throwaway_account

TOKEN = "Zq7-hand-made"


@pytest.fixture(scope="module")
def by_hand(vault: Vault) -> Vault:
    """The deployment, with what its maker knows of it."""
    known = {
        "vaultwarden_domain": vault.settings["lab_domain"],
        "vaultwarden_admin_token": vault.settings["lab_admin_token"],
        "vaultwarden_version": "1.28.1",
    }
    return vault._replace(settings={**vault.settings, **known})


@pytest.fixture(scope="module")
def owner(by_hand: Vault) -> Iterator[Account]:
    """An account of the old server, which lives as long as the tests."""
    with throwaway_account(by_hand) as made:
        yield made


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory that says how to reach the host and nothing else."""
    folder = tmp_path_factory.mktemp("inventory")
    (folder / "hosts.yml").write_text((SCENARIO / "inventory" / "hosts.yml").read_text())
    return folder


def play(name: str, inventory: Path, *arguments: str) -> str:
    """Run a playbook that must succeed; all its output as one line, in which no secret may be."""
    settings = {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", f"--inventory={PROJECT}/molecule/shared/inventory",
         f"playbooks/{name}.yml", *arguments],
        cwd=PROJECT, env={**os.environ, **settings}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    words = " ".join(done.stdout.split())
    assert done.returncode == 0, words
    assert TOKEN not in words
    return words


def assert_serves(vault: Vault, owner: Account, version: str, items: set[str]) -> None:
    """The release answers, has all items, and live updates work through the proxy."""
    assert vault.request("GET", "/api/version").json() == version
    assert items <= items_of(Session(vault, owner))
    live = run_vault_module(vault, "live_update", admin_token=vault.settings["vaultwarden_admin_token"])
    assert not live.get("failed"), live


def test_from_made_by_hand_to_the_current_release(host: Host, by_hand: Vault, owner: Account, inventory: Path) -> None:
    """Adopt, then stop by stop, with a client that writes until the server stops; a second run changes nothing."""
    items = {add_item(Session(by_hand, owner))}
    assert_serves(by_hand, owner, "1.28.1", items)
    assert host.file("/vw-data/db.sqlite3").uid == 0

    play("adopt", inventory, "-vv")
    play("site", inventory, "--check", "--diff", "-v")
    with pytest.raises(AssertionError, match=r"VW-T03.*The upgrade was undone"):
        play("upgrade", inventory)  # nobody trusts that certificate, so that nothing can be proven
    assert_serves(by_hand, owner, "1.28.1", items)
    assert host.file("/vw-data/db.sqlite3").uid == 0
    assert host.file("/etc/nginx/sites-enabled/vault.conf").exists
    assert not host.file("/etc/vaultwarden").exists

    trust = f"--extra-vars=notifications_check_ca_file={by_hand.ca_file}"
    for version, layout in by_hand.settings["lab_stops"]:
        wanted = f"--extra-vars=vaultwarden_version={version} vaultwarden_layout={layout}"
        with writing(Session(by_hand, owner)) as writer:
            play("upgrade", inventory, trust, wanted)
        assert len(writer.acknowledged) > 10
        items |= writer.acknowledged
        assert_serves(by_hand, owner, version, items)
        second_port = "3012->" in host.check_output("docker ps --format '{{.Ports}}'")
        assert second_port is (layout == "legacy")
        assert host.file("/vw-data/db.sqlite3").uid == 10080
        assert not host.file("/etc/nginx/sites-enabled/vault.conf").exists
        assert host.check_output("ls /etc/vaultwarden") == "secrets"
        limits = '{{.HostConfig.PidsLimit}} {{index .HostConfig.LogConfig.Config "max-size"}}'
        assert host.check_output("docker inspect -f %s vaultwarden", limits) == "2048 10m"

    again = play("upgrade", inventory, trust, "--extra-vars=vaultwarden_version=1.37.2")
    assert "changed=0" in again, re.findall(r"TASK \[([^]]*)\] \*+ (?:<<[^>]*>> )?changed:", again)
    containers = host.check_output("docker ps -a --format '{{.Names}} {{.Ports}}'")
    assert containers.startswith("vaultwarden ")
    assert "3012->" not in containers
    assert host.run("grep -rs 3012 /etc/nginx").rc == 1
