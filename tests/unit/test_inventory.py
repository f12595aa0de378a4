# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs without an inventory fail in one sentence and do nothing, but for the proof of one address."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.collections import ImmutableDict

from ansible_collections.vaultwire.stack.plugins.filter.vault import hosts_of

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted(path.name for path in ROOT.glob("playbooks/*.yml"))


def play(playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A playbook without -i, on a machine that has no inventory of its own either."""
    return subprocess.run(
        ["ansible-playbook", f"playbooks/{playbook}", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_INVENTORY": "/nonexistent/hosts", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_forgotten_inventory_ends_the_run(playbook: str) -> None:
    """Ansible by itself would warn and call the run a success."""
    done = play(playbook)
    assert done.returncode != 0
    assert "The inventory has no host in the group vaultwarden. Name your inventory with -i" in done.stderr
    assert "PLAY" not in done.stdout


def test_a_limit_does_not_hide_a_forgotten_inventory() -> None:
    done = play("upgrade.yml", "--limit=vault-1")
    assert done.returncode != 0 and "Name your inventory with -i" in done.stderr


def test_an_inventory_without_the_group_ends_the_run() -> None:
    done = play("site.yml", "-i", "192.0.2.1,")
    assert done.returncode != 0 and "no host in the group vaultwarden" in done.stderr


def test_one_address_needs_no_inventory() -> None:
    """Port 9 of this machine: asked, and named in the finding."""
    done = play("verify.yml", "-e", "notifications_check_url=http://127.0.0.1:9", "-e", "notifications_check_wait=0")
    assert done.returncode == 2, done.stderr
    assert "http://127.0.0.1:9 was not reached from where the check runs" in " ".join(done.stdout.split())
    assert "localhost" in done.stdout and "failed=1" in done.stdout


def test_verify_names_the_address_as_another_way() -> None:
    assert "-e notifications_check_url=" in " ".join(play("verify.yml").stderr.split())


def test_the_syntax_is_checked_without_hosts() -> None:
    assert play("site.yml", "--syntax-check").returncode == 0


def test_the_hosts_of_a_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict())
    assert hosts_of({"all": ["a"], "vaultwarden": ["a"]}, "vaultwarden", "localhost") == "vaultwarden"
    assert hosts_of({"all": []}, "vaultwarden", "localhost") == "localhost"
    without: list[dict[str, list[str]]] = [{"all": []}, {"all": ["a"], "vaultwarden": []}]
    for groups in without:
        with pytest.raises(AnsibleFilterError, match=r"no host in the group vaultwarden.* or so. Nothing has been"):
            hosts_of(groups, "vaultwarden", hint=" or so")
