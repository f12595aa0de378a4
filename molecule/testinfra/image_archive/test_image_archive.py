# SPDX-License-Identifier: GPL-3.0-or-later
"""Images from archives, on a host whose engine reaches no registry. The tests run in order: the last one upgrades."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from actions import Playbook
from testinfra.host import Host
from vault import Vault

OLD, NEW = "1.28.1", "1.37.2"
IMAGES = "docker image ls --format '{{.Repository}}:{{.Tag}}' | sort"


def words(done: subprocess.CompletedProcess[str]) -> str:
    """All output as one line."""
    return " ".join((done.stdout + done.stderr).split())


def test_the_server_came_from_the_archive(host: Host, vault: Vault) -> None:
    """There was no other way, and nothing else was loaded."""
    pulled = host.run("docker pull docker.io/vaultwarden/server:%s", OLD)
    assert (pulled.rc, "no route to host" in pulled.stderr) == (1, True), pulled.stderr
    assert host.check_output(IMAGES) == f"vaultwarden/server:{OLD}"
    assert vault.request("GET", "/api/version").json() == OLD


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"vaultwarden_image_archive_sha256": "0" * 64},
         (f"/root/{NEW}.tar, which has the checksum", f"and not {'0' * 64}", "Nothing has been changed")),
        ({"vaultwarden_image_archive": f"/root/{OLD}.tar"},
         (f"holds vaultwarden/server:{OLD} and not docker.io/vaultwarden/server:{NEW}", "was not stopped")),
    ],
    ids=["wrong checksum", "image of another release"],
)  # fmt: skip
def test_an_upgrade_without_the_right_archive_is_refused(
    run_playbook: Playbook, snapshot: Callable[[], str], variables: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """With the reason; the old server has not stopped, and no image is left behind."""
    before = snapshot()
    done = run_playbook("upgrade", vaultwarden_version=NEW, **variables)
    assert done.returncode == 2, words(done)
    assert [text for text in expected if text not in words(done)] == []
    assert snapshot() == before


def test_check_mode_loads_nothing(run_playbook: Playbook, snapshot: Callable[[], str]) -> None:
    """The upgrade can be looked at beforehand, the file's checksum included."""
    before = snapshot()
    done = run_playbook("upgrade", "--check", "--diff", vaultwarden_version=NEW)
    assert done.returncode == 0, words(done)
    assert snapshot() == before


def test_a_failed_upgrade_returns_to_the_old_image(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """Which the host still has; the new one stays for the next try."""
    container = host.check_output("docker container inspect --format '{{.Id}}' %s", vault.container)
    done = run_playbook(
        "upgrade", vaultwarden_version=NEW, notifications_check_wait=1,
        reverse_proxy_routes=[{"match": "prefix", "path": "/", "upstream": "127.0.0.1:3999"}],
    )  # fmt: skip
    assert done.returncode == 2, words(done)
    assert "and has been proven. Mend the cause" in words(done)
    assert host.check_output("docker container inspect --format '{{.Id}}' %s", vault.container) == container
    assert vault.request("GET", "/api/version").json() == OLD
    assert host.check_output(IMAGES).split() == [f"vaultwarden/server:{version}" for version in (OLD, NEW)]


def test_the_next_upgrade_goes_through(vault: Vault, run_playbook: Playbook) -> None:
    """And a second run of it changes nothing."""
    done = run_playbook("upgrade", vaultwarden_version=NEW)
    assert done.returncode == 0, words(done)
    assert vault.request("GET", "/api/version").json() == NEW
    again = run_playbook("upgrade", vaultwarden_version=NEW)
    assert (again.returncode, "changed=0" in again.stdout) == (0, True), words(again)
