# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of the server's container, each filled for real: the log, the memory, the processes."""

from __future__ import annotations

import json
from typing import Any

import mishaps
import pytest
from actions import Playbook
from soundness import answers, wait_until
from testinfra.host import Host
from vault import Vault

LIFTED: dict[str, Any] = {"vaultwarden_log_max_size": "", "vaultwarden_memory_limit": "", "vaultwarden_pids_limit": 0}
#: What the settings give by default: three files of ten megabytes, and 2048 processes; the memory is the inventory's.
LOG_OPTIONS, MEMORY, PIDS = {"max-size": "10m", "max-file": "3"}, 512 * 2**20, 2048
LOG_BYTES = 3 * 10 * 10**6
#: Starts more processes than there may be.
FORKS = "i=0; while [ $i -lt 2500 ]; do i=$((i + 1)); sleep 60 & done"


def limits(host: Host, vault: Vault) -> tuple[Any, ...]:
    """What the engine says: options of the log, bytes of memory, number of processes; empty and 0 for no limit."""
    config = json.loads(host.check_output("docker inspect %s", vault.container))[0]["HostConfig"]
    return config["LogConfig"]["Config"], config["Memory"], config["PidsLimit"] or 0


def test_a_log_without_end_stays_within_its_files(host: Host, vault: Vault) -> None:
    """More than it may have, where the server writes; the newest lines are the ones that stay."""
    lines = "(yes 'one of many lines of the log' | head -c 40000000; echo the last line) > /proc/1/fd/1"
    host.check_output("docker exec %s sh -c %s", vault.container, lines)
    wait_until(lambda: "the last line" in host.check_output("docker logs --tail 50 %s", vault.container), "it is read")
    path = host.check_output("docker inspect -f '{{.LogPath}}' %s", vault.container)
    sizes = [int(size) for size in host.check_output(f"stat -c %s {path}*").split()]
    assert len(sizes) == 3, sizes
    assert sum(sizes) < LOG_BYTES * 1.01, sizes
    assert answers(vault)


def test_a_server_that_takes_all_memory_is_killed_and_comes_back(host: Host, vault: Vault) -> None:
    """By the kernel, within its container: nothing else of the host dies."""
    engine = host.check_output("systemctl show -p MainPID docker")
    mishaps.starve_server(host)
    wait_until(lambda: answers(vault), "the vault is back without a run")
    assert host.check_output("systemctl show -p MainPID docker") == engine


def test_a_fork_bomb_stays_in_its_container(host: Host, vault: Vault) -> None:
    """It is refused, and the server, which has its threads, goes on; nor is the host out of processes."""
    before = mishaps.server_process(host)
    try:
        refused = host.run("docker exec %s sh -c %s", vault.container, FORKS)
        assert "Cannot fork" in refused.stderr, (refused.stdout, refused.stderr)
        assert answers(vault)
        assert mishaps.server_process(host) == before
    finally:
        host.check_output("docker restart -t 5 %s", vault.container)
    wait_until(lambda: answers(vault), "the vault is back")


def site(host: Host, vault: Vault, run_playbook: Playbook, *, changes: bool, **variables: Any) -> str:
    """Run the playbook, which makes another container or changes nothing at all; what it printed."""
    done = run_playbook("site", notifications_check_live_update="never", **variables)
    assert done.returncode == 0, done.stdout
    assert ("changed=0 " in done.stdout) is not changes, done.stdout
    assert host.check_output("docker inspect -f '{{.State.Status}}' %s", vault.container) == "running"
    return done.stdout


def test_limits_can_be_lifted(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """Each by its own setting, with one new container, and then no change."""
    if vault.legacy:
        pytest.skip("the same on every release")
    site(host, vault, run_playbook, changes=True, **LIFTED)
    assert limits(host, vault) == ({}, 0, 0)
    site(host, vault, run_playbook, changes=False, **LIFTED)


def test_a_host_that_cannot_hold_limits_is_named_and_left_in_peace(
    host: Host, vault: Vault, run_playbook: Playbook
) -> None:
    """Its kernel offers nothing to limit memory and processes by, and the engine would drop the limits in silence."""
    if vault.legacy:
        pytest.skip("the same on every release")
    with mishaps.without_controllers(host, "memory", "pids"):
        said = site(host, vault, run_playbook, changes=True)
        assert limits(host, vault) == (LOG_OPTIONS, 0, 0)
        for setting in ("vaultwarden_memory_limit (512m)", "vaultwarden_pids_limit (2048)"):
            assert f"{setting} has no effect" in said
        site(host, vault, run_playbook, changes=False)
    assert "has no effect" not in site(host, vault, run_playbook, changes=True)
    assert limits(host, vault) == (LOG_OPTIONS, MEMORY, PIDS)
