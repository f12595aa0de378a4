# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of a host in the old layout: each fault is really made, and the old server is back as it was.

The tests run in order on one host; each begins and ends with the old release, but the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from actions import PROJECT, SCENARIO, Module, Playbook, play
from testinfra.host import Host
from vault import Account, Session, Vault

OLD, NEW = "1.28.1", "1.37.2"
SECOND = "vw-rollback-second"
CONTAINERS = "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}}'"
JOURNAL = "/var/lib/vaultwire/upgrades/vaultwarden/journal.json"
SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
LIMITS = {"ADMIN_RATELIMIT_MAX_BURST": 500, "LOGIN_RATELIMIT_MAX_BURST": 500}

#: Releases that do not exist, made from the real image on the host itself: tag -> what its start does first.
BROKEN = {
    "1.37.91": "echo 'broken on purpose' >&2; exit 7",
    "1.37.92": "echo 'Error running migrations' >&2; printf garbage >> /data/db.sqlite3; "
    "echo x > /data/rsa_key.pem; exit 101",
    "1.37.93": "export ENABLE_WEBSOCKET=false APP_VERSION=1.37.93",
    "1.37.94": "sleep 600",
    "1.37.95": "sleep 6; export APP_VERSION=1.37.95",
}


@pytest.fixture(scope="module", autouse=True)
def broken_images(host: Host) -> None:
    """Images whose start goes wrong, under names that only this host knows."""
    host.check_output("docker pull -q docker.io/vaultwarden/server:%s", NEW)
    for tag, first in BROKEN.items():
        script = f"#!/bin/sh\\n{first}\\nexec /start.sh.good\\n".replace("'", "'\\''")
        steps = (
            f"printf '%b' '{script}' > /run/start.sh",
            "chmod 755 /run/start.sh",
            f"id=$(docker create vaultwarden/server:{NEW})",
            "docker cp $id:/start.sh /run/start.sh.good",
            "docker cp /run/start.sh.good $id:/start.sh.good",
            "docker cp /run/start.sh $id:/start.sh",
            f"docker commit --change 'LABEL org.opencontainers.image.version={tag}' $id vaultwarden/server:{tag}",
            "docker rm $id",
        )
        host.check_output(" && ".join(steps))


def items_of(session: Session) -> set[str]:
    """Identifiers of all items of an account."""
    found = session.call("GET", "/api/sync")
    return {item.get("id") or item["Id"] for item in found.get("ciphers", found.get("Ciphers"))}


def add_item(session: Session) -> str:
    """A new item; its identifier once the server has acknowledged it."""
    made = session.call("POST", "/api/ciphers", {"type": 1, "name": "2.kept|x|y", "login": {}})
    return str(made.get("id") or made["Id"])


@pytest.fixture(scope="module")
def kept(vault: Vault, account: Account) -> set[str]:
    """Items that must be there after everything."""
    session = Session(vault, account)
    return {add_item(session) for _ in range(5)}


def state(host: Host) -> dict[str, str]:
    """What has to be the same after a failed upgrade."""
    return {
        "containers": host.check_output(CONTAINERS),
        "volumes": host.check_output("docker volume ls -q | sort"),
        "proxy": host.check_output("cd /etc/nginx && find . -type f -exec sha256sum {} + | sort"),
        "data": host.check_output("cd /var/lib/vaultwarden && find . ! -name '*-wal' ! -name '*-shm' ! -path './tmp*' "
                                  "-printf '%p %U %G %m\\n' | sort"),
    }  # fmt: skip


def assert_old_server(
    host: Host, vault: Vault, account: Account, run_module: Module, kept: set[str], before: dict[str, str]
) -> None:
    """The old release serves, live updates work, all items are there, nothing strange is left."""
    assert state(host) == before
    assert vault.request("GET", "/api/version").json() == OLD
    assert kept <= items_of(Session(vault, account))
    live = run_module("live_update", admin_token=vault.settings["vaultwarden_admin_token"])
    assert not live.get("failed"), live


def words(done: subprocess.CompletedProcess[str]) -> str:
    """All output as one line."""
    return " ".join((done.stdout + done.stderr).split())


@contextlib.contextmanager
def replaced(host: Host, path: str, command: str) -> Iterator[None]:
    """Something on the host changed by a command, and put back."""
    host.check_output(f"cp -a {path} {path}.good")
    try:
        host.check_output(command)
        yield
    finally:
        host.check_output(f"mv {path}.good {path}")


FAILURES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "image missing in the registry": (
        {"vaultwarden_version": "1.37.99"}, ("1.37.99", "manifest unknown", "not stopped")),
    "image that exits at start": ({"vaultwarden_version": "1.37.91"}, ("broken on purpose", "exit code 7")),
    "failed migration": ({"vaultwarden_version": "1.37.92"}, ("Error running migrations",)),
    "healthy but its hub is dead": ({"vaultwarden_version": "1.37.93"}, ("VW-",)),
    "never answers": ({"vaultwarden_version": "1.37.94", "vaultwarden_start_timeout": 4}, ("does not answer",)),
    "proxy that sends everything astray": (
        {"vaultwarden_version": NEW, "notifications_check_wait": 1,
         "reverse_proxy_routes": [{"match": "prefix", "path": "/", "upstream": "127.0.0.1:3999"}]}, ("VW-B28", "502")),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_upgrade_is_undone(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str], name: str
) -> None:
    """The message names the cause, and the host is as it was."""
    variables, expected = FAILURES[name]
    before = state(host)
    done = run_playbook("upgrade", **variables)
    assert done.returncode == 2, words(done)
    for word in expected:
        assert word in words(done)
    if "not stopped" not in expected:
        assert "The upgrade was undone" in words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_a_configuration_that_the_proxy_refuses_is_undone(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """A foreign fault makes the whole check fail after the swap."""
    before = state(host)
    host.check_output("echo 'nonsense on;' > /etc/nginx/conf.d/zz-foreign.conf")
    try:
        done = run_playbook("upgrade", vaultwarden_version=NEW)
    finally:
        host.check_output("rm /etc/nginx/conf.d/zz-foreign.conf")
    assert done.returncode == 2, words(done)
    assert "zz-foreign.conf" in words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_a_disk_without_room_is_refused(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """Before anything is touched."""
    before = state(host)
    host.check_output("mkdir -p /run/small && mount -t tmpfs -o size=1m tmpfs /run/small")
    try:
        done = run_playbook("upgrade", vaultwarden_version=NEW, vaultwarden_upgrade_dir="/run/small/upgrades")
    finally:
        host.check_output("umount /run/small")
    assert done.returncode == 2, words(done)
    assert "vaultwarden_upgrade_dir" in words(done)
    assert "Nothing has been changed" in words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


@pytest.fixture
def second_host(vault: Vault) -> Iterator[Host]:
    """Another host of the fleet, with the same old release."""
    address = f"{vault.address.rpartition('.')[0]}.107"
    lab = [sys.executable, "-m", "lab"]
    up = [*lab, "up", "--replace", f"{SECOND}={address}@host-trixie"]
    subprocess.run(up, cwd=PROJECT, check=True, capture_output=True)
    yield Host.get_host(f"docker://{SECOND}")
    subprocess.run([*lab, "down", SECOND], cwd=PROJECT, check=True, capture_output=True)


class Interrupted:
    """A run of the upgrade that is killed once its output or the journal shows a mark."""

    def __init__(self, version: str) -> None:
        inventories = (SCENARIO / "inventory", PROJECT / "molecule" / "shared" / "inventory")
        self.process = subprocess.Popen(
            ["ansible-playbook", *(f"--inventory={path}" for path in inventories),
             f"--extra-vars=vaultwarden_version={version}", "playbooks/upgrade.yml"],
            cwd=PROJECT, env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill_at(self, mark: str) -> None:
        """Read until a task is announced, and kill everything of the run, at once and without a word."""
        assert self.process.stdout
        for line in self.process.stdout:
            if mark in line:
                break
        else:
            raise AssertionError(f"the run ended before {mark}")
        self.kill()

    def kill(self) -> None:
        """As the machine of the operator would, losing its power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def journal(host: Host) -> dict[str, Any]:
    """The journal of swaps; empty before the first."""
    shown = host.run("cat %s", JOURNAL)
    return dict(json.loads(shown.stdout)) if shown.rc == 0 else {}


def wait_for_step(host: Host, *steps: str) -> None:
    """Wait until the journal shows one of the steps."""
    deadline = time.monotonic() + 60
    while journal(host).get("step") not in steps:
        assert time.monotonic() < deadline, journal(host)
        time.sleep(0.02)


@pytest.mark.parametrize(
    "mark",
    [
        "Swap | Fetch the image",
        "Container | Have the container",
        "Swap | Swap the containers",
        "Nginx | Write the site",
        "Prove | Probe both hubs",
        "Commit | Drop the old",
    ],
)
def test_a_run_that_is_killed_is_taken_up_by_the_next(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str], mark: str
) -> None:
    """The next run, to a release that does not work, ends with the old server, whatever was left."""
    before = state(host)
    Interrupted(NEW).kill_at(mark)
    done = run_playbook("upgrade", vaultwarden_version="1.37.91")
    assert done.returncode == 2, words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_a_host_that_is_restarted_in_the_middle_is_put_right_by_the_next_run(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """While the new server starts; after the restart the old one must not have come up beside it."""
    before = state(host)
    run = Interrupted("1.37.95")
    wait_for_step(host, "starting")
    subprocess.run(["docker", "restart", "--time", "1", vault.name], check=True, capture_output=True)
    run.kill()
    host.check_output("systemctl is-system-running --wait || true")
    refused = run_playbook("site", vaultwarden_version=OLD)
    assert refused.returncode == 2, words(refused)
    assert "upgrade.yml" in words(refused)
    done = run_playbook("upgrade", vaultwarden_version="1.37.91")
    assert done.returncode == 2, words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_a_fleet_stops_at_its_first_failure(
    host: Host, vault: Vault, account: Account, run_module: Module, kept: set[str], second_host: Host
) -> None:
    """The first host is put back, and the others are not touched."""
    before = state(host)
    spare = [SCENARIO / "spare"]
    deployed = play("site", f"--limit={SECOND}", inventories=spare, notifications_check_live_update="never")
    assert deployed.returncode == 0, words(deployed)
    untouched = second_host.check_output(CONTAINERS)
    done = play("upgrade", inventories=spare, vaultwarden_version="1.37.91")
    assert done.returncode == 2, words(done)
    assert "NO MORE HOSTS LEFT" in words(done)
    assert f"ok: [{SECOND}]" not in words(done)
    assert second_host.check_output(CONTAINERS) == untouched
    assert_old_server(host, vault, account, run_module, kept, before)


class Writer(threading.Thread):
    """Creates items as fast as the server takes them, and remembers those that it acknowledged."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.acknowledged, self.stopping = session, set[str](), threading.Event()

    def run(self) -> None:
        """Until told to stop, or until the server no longer answers."""
        while not self.stopping.is_set():
            try:
                self.acknowledged.add(add_item(self.session))
            except (AssertionError, OSError, ValueError):
                return


def test_an_upgrade_to_the_current_release_loses_nothing(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """Written until the very stop; the second port is gone, the old container too, and a second run changes nothing."""
    writer = Writer(Session(vault, account))
    writer.start()
    done = run_playbook("upgrade", vaultwarden_version=NEW)
    writer.stopping.set()
    writer.join()
    assert done.returncode == 0, words(done)
    assert len(writer.acknowledged) > 10
    assert vault.request("GET", "/api/version").json() == NEW
    assert kept | writer.acknowledged <= items_of(Session(vault, account))
    live = run_module("live_update", admin_token=vault.settings["vaultwarden_admin_token"])
    assert not live.get("failed"), live
    containers = host.check_output("docker ps -a --format '{{.Names}} {{.Ports}}'")
    assert containers.startswith("vaultwarden ")
    assert "3012->" not in containers
    assert "3012" not in host.file(SITE).content_string
    assert "WEBSOCKET_ENABLED" not in host.check_output("docker inspect vaultwarden")
    assert journal(host)["step"] == "committed"
    again = run_playbook("upgrade", vaultwarden_version=NEW)
    assert "changed=0" in words(again), words(again)


def test_what_cannot_be_upgraded_is_refused(host: Host, run_playbook: Playbook) -> None:
    """A downgrade, with the way to do it; and the other playbook names this one."""
    down = run_playbook("upgrade", vaultwarden_version="1.36.0")
    assert down.returncode == 2
    assert "restore" in words(down)
    site = run_playbook("site", vaultwarden_version="1.36.0")
    assert site.returncode == 2
    assert "upgrade.yml" in words(site)
