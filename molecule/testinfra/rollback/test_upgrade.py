# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades of a host in the old layout: each fault is really made, and the old server is back as it was.

The tests run in order on one host; each begins and ends with the old release, but the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from actions import PROJECT, SCENARIO, Module, Playbook, play
from items import add_item, items_of, writing
from testinfra.host import Host
from vault import Account, Session, Vault

from ansible_collections.vaultwire.stack.plugins.module_utils import _swap

OLD, NEW = "1.28.1", "1.37.2"
SECOND = "vw-rollback-second"
CONTAINERS = "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Image}}'"
UPGRADES = "/var/lib/vaultwire/upgrades/vaultwarden"
JOURNAL = f"{UPGRADES}/journal.json"
SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
SECRETS = "/etc/vaultwarden/secrets"
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


@pytest.fixture(scope="module")
def kept(vault: Vault, account: Account) -> set[str]:
    """Items that must be there after everything."""
    session = Session(vault, account)
    return {add_item(session) for __ in range(5)}


def state(host: Host) -> dict[str, str]:
    """What has to be the same after a failed upgrade."""
    return {
        "containers": host.check_output(CONTAINERS),
        "volumes": host.check_output("docker volume ls -q | sort"),
        "proxy": host.check_output("cd /etc/nginx && find . -type f -exec sha256sum {} + | sort"),
        "data": host.check_output("cd /var/lib/vaultwarden && find . ! -name '*-wal' ! -name '*-shm' ! -path './tmp*' "
                                  "-printf '%p %U %G %m\\n' | sort"),
        "secrets": host.check_output("cd /etc/vaultwarden && find . -printf '%p %U %G %m\\n' | sort; "
                                     "find . -type f -exec sha256sum {} + | sort"),
        "copies": host.run(f"find {UPGRADES} -mindepth 2 -path '*/failed' -prune -o -mindepth 2 -print | sort").stdout,
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
    """The message names the cause; the host is as it was, its secrets too, and what was written until the stop."""
    variables, expected = FAILURES[name]
    before = state(host)
    with writing(Session(vault, account)) as writer:
        done = run_playbook("upgrade", vaultwarden_admin_token="changed-in-this-run", **variables)
    assert done.returncode == 2, words(done)
    for word in expected:
        assert word in words(done)
    if "not stopped" not in expected:
        assert "The upgrade was undone" in words(done)
        assert "and has been proven. Mend the cause" in words(done)
    assert len(writer.acknowledged) > 10
    assert_old_server(host, vault, account, run_module, kept | writer.acknowledged, before)


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


@contextlib.contextmanager
def small_disk(host: Host, megabytes: int) -> Iterator[str]:
    """A folder on a file system of its own."""
    host.check_output(f"mkdir -p /run/small && mount -t tmpfs -o size={megabytes}m tmpfs /run/small")
    try:
        yield "/run/small/upgrades"
    finally:
        host.check_output("umount /run/small")


def test_a_disk_without_room_is_refused(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """Before anything is touched, but not before a release with a known fault was warned of."""
    before = state(host)
    with small_disk(host, 1) as folder:
        done = run_playbook("upgrade", vaultwarden_version="1.37.0", vaultwarden_upgrade_dir=folder)
    assert done.returncode == 2, words(done)
    assert "Release 1.37.0 is known for a fault" in words(done)
    assert "vaultwarden_upgrade_dir" in words(done)
    assert "Nothing has been changed" in words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


class Interrupted:
    """A run of the upgrade to which something happens once its output or the journal shows a mark."""

    def __init__(self, version: str, **variables: str) -> None:
        self.output = ""
        inventories = (SCENARIO / "inventory", PROJECT / "molecule" / "shared" / "inventory")
        self.process = subprocess.Popen(
            ["ansible-playbook", *(f"--inventory={path}" for path in inventories),
             f"--extra-vars={json.dumps({'vaultwarden_version': version, **variables})}", "playbooks/upgrade.yml"],
            cwd=PROJECT, env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, mark: str) -> None:
        """Read until a task is announced."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if mark in line:
                return
        raise AssertionError(f"the run ended before {mark}: {self.output}")

    def finish(self) -> str:
        """All that it said, once it has failed."""
        rest, __ = self.process.communicate()
        assert self.process.returncode == 2, self.output + rest
        return " ".join((self.output + rest).split())

    def kill(self) -> None:
        """As the machine of the operator would, losing its power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def journal(host: Host) -> dict[str, Any]:
    """The journal of swaps; empty before the first."""
    shown = host.run("cat %s", JOURNAL)
    return dict(json.loads(shown.stdout)) if shown.rc == 0 else {}


def restart(vault: Vault, host: Host) -> None:
    """The whole host, without asking it."""
    subprocess.run(["docker", "restart", "--time", "1", vault.name], check=True, capture_output=True)
    # At first there is not even a bus to ask systemd on.
    host.check_output("timeout 90 sh -c 'until docker info > /dev/null 2>&1; do sleep 0.2; done'")
    host.check_output("systemctl is-system-running --wait || true")


def wait_for_step(host: Host, *steps: str) -> None:
    """Wait until the journal shows one of the steps."""
    deadline = time.monotonic() + 60
    while journal(host).get("step") not in steps:
        assert time.monotonic() < deadline, journal(host)
        time.sleep(0.02)


def test_a_disk_that_fills_up_during_the_copy_is_undone(
    host: Host, vault: Vault, account: Account, run_module: Module, kept: set[str]
) -> None:
    """Room enough when it was asked for, and gone when the copy needs it."""
    large = "/var/lib/vaultwarden/rsa_key.large"
    host.check_output(f"head -c 20000000 /dev/zero > {large} && chown 10080:10080 {large}")
    try:
        before = state(host)
        with small_disk(host, 120) as folder:
            run = Interrupted(NEW, vaultwarden_upgrade_dir=folder)
            run.wait_for("Swap | Fetch the image")
            host.check_output(
                "fallocate -l $(($(df --output=avail -B1 /run/small | tail -n 1) - 8000000)) /run/small/x"
            )
            said = run.finish()
            left = host.check_output("cat /run/small/upgrades/vaultwarden/journal.json")
    finally:
        host.check_output(f"rm {large}")
    assert "No space left on device" in said
    assert "The upgrade was undone" in said
    assert json.loads(left)["copied"] == [], "the copy went through"
    before["data"] = "\n".join(line for line in before["data"].splitlines() if "rsa_key.large" not in line)
    assert_old_server(host, vault, account, run_module, kept, before)


@pytest.mark.parametrize(
    "mark",
    [
        "Swap | Fetch the image",
        "Container | Create or update the container",
        "Swap | Swap the containers",
        "Nginx | Write the site",
        "Prove | Probe both hubs",
        "Commit | Drop the old",
    ],
)
def test_a_run_that_is_killed_is_taken_up_by_the_next(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str], mark: str
) -> None:
    """The next run, which wants the old release, ends with the old server and nothing of the new one."""
    before = state(host)
    with writing(Session(vault, account)) as writer:
        run = Interrupted(NEW, vaultwarden_admin_token="changed-in-this-run")
        run.wait_for(mark)
        run.kill()
    done = run_playbook("upgrade", vaultwarden_version=OLD)
    assert done.returncode == 0, words(done)
    assert_old_server(host, vault, account, run_module, kept | writer.acknowledged, before)


@pytest.fixture(scope="module")
def prepared(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], None]:
    """Have everything that a swap finds: the container, its secrets, and on the host a program that does it alone."""
    folder = tmp_path_factory.mktemp("swap")
    name = str(host.backend.name)
    package = f"/root/{_swap.__package__.replace('.', '/')}"
    host.check_output("mkdir -p %s", package)
    for source, target in (
        (f"{Path(_swap.__file__).parent}/.", package),
        (Path(__file__).with_name("cut_off.py"), "/root/cut_off.py"),
    ):
        subprocess.run(["docker", "cp", str(source), f"{name}:{target}"], check=True, capture_output=True)

    def prepare() -> None:
        # The stamp of a folder is its time; a folder of the test before may still hold what the new server had made.
        host.check_output(f"rm -rf {UPGRADES}/by-hand && cp -a {SECRETS} {SECRETS}.next && echo x > {SECRETS}.next/x")
        new = host.check_output(
            "docker create --name vaultwarden.next --user 10080:10080 --env ROCKET_PORT=8080 "
            f"--publish 127.0.0.1:8080:8080 --volume /var/lib/vaultwarden:/data vaultwarden/server:{NEW}"
        )
        record = _swap.Record(
            name="vaultwarden", old_id=host.check_output("docker inspect -f '{{.Id}}' vaultwarden"), new_id=new,
            source=OLD, target=NEW, data_dir="/var/lib/vaultwarden", folder=f"{UPGRADES}/by-hand", uid=10080,
            gid=10080, old_url="http://127.0.0.1:8080", new_url="http://127.0.0.1:8080", timeout=30.0,
            old_restart="unless-stopped", proxy_dir="/etc/nginx", proxy_service="nginx", secrets_dir=SECRETS,
        )  # fmt: skip
        (folder / "record.json").write_text(json.dumps(dataclasses.asdict(record)), encoding="ascii")
        command = ["docker", "cp", str(folder / "record.json"), f"{name}:/root/record.json"]
        subprocess.run(command, check=True, capture_output=True)

    return prepare


@pytest.mark.parametrize("step", _swap.STEPS)
def test_a_swap_that_is_killed_on_the_host_can_be_undone_from_each_step(
    host: Host, vault: Vault, account: Account, run_module: Module, prepared: Callable[[], None], kept: set[str],
    step: str,
) -> None:  # fmt: skip
    """Its worker dies by SIGKILL with a real engine and real data, one step further each time."""
    before = state(host)
    prepared()
    with writing(Session(vault, account)) as writer:
        killed = host.run(f"python3 /root/cut_off.py /root/record.json {step}")
    assert killed.rc == 128 + signal.SIGKILL, killed.stderr
    assert journal(host)["step"] == step
    assert host.check_output("python3 /root/cut_off.py /root/record.json") == "rolled_back"
    assert_old_server(host, vault, account, run_module, kept | writer.acknowledged, before)


def test_a_host_that_is_restarted_in_the_middle_is_put_right_by_the_next_run(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """While the new server starts; after the restart the old one must not have come up beside it."""
    before = state(host)
    run = Interrupted("1.37.95")
    wait_for_step(host, "starting")
    restart(vault, host)
    run.kill()
    refused = run_playbook("site", vaultwarden_version=OLD)
    assert refused.returncode == 2, words(refused)
    assert "upgrade.yml" in words(refused)
    done = run_playbook("upgrade", vaultwarden_version="1.37.91")
    assert done.returncode == 2, words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_a_fleet_stops_at_its_first_failure(
    host: Host, vault: Vault, account: Account, run_module: Module, kept: set[str]
) -> None:
    """The first host is put back, and the other, which does not exist, is not even connected to."""
    before = state(host)
    done = play("upgrade", inventories=[SCENARIO / "spare"], vaultwarden_version="1.37.91")
    assert done.returncode == 2, words(done)
    assert "NO MORE HOSTS LEFT" in words(done)
    assert f"[{SECOND}]" not in words(done)
    assert_old_server(host, vault, account, run_module, kept, before)


def test_an_upgrade_to_the_current_release_loses_nothing(
    host: Host, vault: Vault, account: Account, run_module: Module, run_playbook: Playbook, kept: set[str]
) -> None:
    """Written until the very stop, while the host is restarted before the proof, which the next run makes up for.

    The second port is gone, the old container and all copies of secrets too, and a further run changes nothing.
    """
    with writing(Session(vault, account)) as writer:
        run = Interrupted(NEW)
        wait_for_step(host, "healthy")
        run.kill()
    restart(vault, host)
    identifier = host.check_output("docker inspect -f '{{.Id}}' vaultwarden")
    host.check_output("timeout 60 sh -c 'until curl -fs -o /dev/null http://127.0.0.1:8080/alive; do :; done'")
    done = run_playbook("upgrade", vaultwarden_version=NEW)
    assert host.check_output("docker inspect -f '{{.Id}}' vaultwarden") == identifier, "swapped once more"
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
    assert not host.file(f"{SECRETS}.old").exists
    assert not host.file(f"{journal(host)['folder']}/proxy").exists
    assert host.check_output(f"stat -c %a {journal(host)['folder']}") == "700"
    again = run_playbook("upgrade", vaultwarden_version=NEW)
    assert "changed=0" in words(again), words(again)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a downgrade": ({"vaultwarden_version": "1.36.0"}, "restore the backup that was made before"),
    "a moving tag": ({"vaultwarden_version": "latest"}, "vaultwarden_allow_floating_tag"),
    "a release that cannot be told": (
        {"vaultwarden_version": NEW, "vaultwarden_container_name": "nameless"}, "run it from an image with a release"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_upgraded_is_refused(host: Host, run_playbook: Playbook, name: str) -> None:
    """With what to do instead, before anything is changed."""
    variables, advice = REFUSED[name]
    if "nameless" in variables.values():
        source = f"$(docker create vaultwarden/server:{NEW})"
        host.check_output(f"docker commit --change 'LABEL org.opencontainers.image.version=' {source} vault:mine")
        host.check_output("docker create --name nameless vault:mine")
    done = run_playbook("upgrade", **variables)
    assert done.returncode == 2
    assert advice in words(done)
    assert "Nothing has been changed" in words(done)


def test_the_other_playbook_swaps_no_release(run_playbook: Playbook) -> None:
    """Where the newer one runs, it says at once what to set."""
    site = run_playbook("site", vaultwarden_version="1.36.0")
    assert site.returncode == 2
    assert "The release that runs is the newer one" in words(site), words(site)
    assert f"runs release {NEW}" in words(site)
