# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores onto the same host and onto an empty one; what is refused; and what a failure leaves behind."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backups import ARCHIVES, PROJECT, SCENARIO, Playbook, data_dir, fire, items, play
from items import Writer, add_item
from testinfra.host import Host
from vault import Account, Session, Vault

from ansible_collections.vaultwire.stack.plugins.module_utils import _backup

EMPTY = "vw-backup-empty"


def state(host: Host, vault: Vault) -> str:
    """A text that changes when a restore has touched anything."""
    return host.check_output(
        "docker container inspect --format '{{.Id}} {{.State.StartedAt}}' "
        f"{vault.container}; ls -1a '{data_dir(vault)}' '{data_dir(vault)}/..'"
    )


def altered(host: Host, path: str, name: str, folder: Path, change: Callable[[Path], dict[str, Any]]) -> str:
    """A copy of an archive on the host; ``change`` edits files and says what the manifest is to say."""
    packed, unpacked = folder / f"{name}-in.tar", folder / name
    packed.write_bytes(host.file(path).content)
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", unpacked], check=True)
    manifest = _backup.read_archive(str(packed))
    manifest = manifest._replace(**change(unpacked))
    paths = sorted(
        str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file() and p.name != "manifest.json"
    )
    manifest = manifest._replace(files=[_backup.read_entry(str(unpacked), p) for p in paths])
    _backup.write_archive(str(folder / f"{name}.tar"), manifest, lambda __: str(unpacked))
    command = ["docker", "cp", str(folder / f"{name}.tar"), f"{host.backend.name}:/root/{name}.tar"]
    subprocess.run(command, check=True, capture_output=True)
    return f"/root/{name}.tar"


def newer(__: Path) -> dict[str, Any]:
    """From a release that does not exist yet."""
    return {"server_version": "1.99.0"}


def unstartable(folder: Path) -> dict[str, Any]:
    """Settings that the server refuses at its start."""
    (folder / "config.json").write_text(json.dumps({"domain": "vault.example.com"}))
    return {}


def test_what_cannot_work_is_refused_before_anything_changes(
    host: Host, vault: Vault, run_playbook: Playbook, tmp_path: Path
) -> None:
    """One fault on each host, with its reason; the server is not even restarted."""
    path = fire(host, vault)
    if vault.legacy:
        source, reason = altered(host, path, "newer", tmp_path, newer), "from release 1.99.0"
    else:
        source, reason = "/root/cut.tar", "cut off"
        host.check_output(f"head -c 40000 {path} > {source}")
    before = state(host, vault)
    done = run_playbook("restore", vaultwarden_backup_restore_from=source)
    assert done.returncode != 0
    assert reason in done.stdout
    assert "Nothing has been restored" in done.stdout
    assert state(host, vault) == before


def test_check_mode_judges_and_changes_nothing(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """An archive that would do is called a change."""
    if vault.legacy:
        pytest.skip("the same on every release")
    before = state(host, vault)
    done = run_playbook("restore", "--check", vaultwarden_backup_restore_from="newest")
    assert done.returncode == 0, done.stdout
    assert "changed=1 " in done.stdout
    assert state(host, vault) == before


def test_a_restore_brings_back_what_the_backup_had(
    host: Host, vault: Vault, account: Account, writer: Writer, run_playbook: Playbook
) -> None:
    """All items acknowledged before the backup; none made after it; the old data kept; owners and files right."""
    attachment = f"{data_dir(vault)}/attachments/one/two"
    uid = vault.settings.get("vaultwarden_uid", 10080)
    gid = vault.settings.get("vaultwarden_gid", 10080)
    host.check_output(f"install -d -o {uid} -g {gid} '{data_dir(vault)}/attachments/one'")
    host.check_output(f"head -c 3000000 /dev/urandom > '{attachment}' && chown {uid}:{gid} '{attachment}'")
    checksum = host.file(attachment).sha256sum
    before = set(writer.acknowledged)
    fire(host, vault)
    writer.stop()
    late = add_item(Session(vault, account))
    host.check_output(f"rm '{attachment}'")
    assert late in items(vault, account)
    done = run_playbook("restore", vaultwarden_backup_restore_from="newest")
    assert done.returncode == 0, done.stdout
    assert "log out and in" in done.stdout
    now = items(vault, account)
    assert before <= now
    assert late not in now
    assert host.file(attachment).sha256sum == checksum
    assert host.check_output(f"find '{data_dir(vault)}' ! -uid {uid} -o ! -gid {gid}") == ""
    kept = host.check_output(f"ls -1d '{data_dir(vault)}'.before-restore-*").splitlines()
    assert len(kept) == 1
    assert host.file(f"{kept[0]}/db.sqlite3").exists
    with Session(vault, account).hub():
        pass


def test_a_failure_brings_the_old_data_back(
    host: Host, vault: Vault, account: Account, run_playbook: Playbook, tmp_path: Path
) -> None:
    """A server that refuses its start on one host, one that cannot be proven on the other.

    Nothing of it is left but the data that the server was started on, which is named.
    """
    path = fire(host, vault)
    variables = {"vaultwarden_backup_restore_from": path}
    if vault.legacy:
        variables["vaultwarden_backup_restore_from"] = altered(host, path, "unstartable", tmp_path, unstartable)
        reason = "domain"
    else:
        variables["notifications_check_version"] = "1.36.0"
        reason = "1.36.0"
    add_item(Session(vault, account))
    before, names = items(vault, account), host.check_output(f"ls -1a '{data_dir(vault)}/..'")
    done = run_playbook("restore", **variables)
    assert done.returncode != 0
    assert "was undone" in done.stdout
    assert reason in done.stdout.lower()
    assert items(vault, account) == before
    kept = host.check_output(f"ls -1d '{data_dir(vault)}'.failed-restore-*")
    assert kept in done.stdout and host.file(f"{kept}/db.sqlite3").exists
    host.check_output("rm -r %s", kept)
    assert host.check_output(f"ls -1a '{data_dir(vault)}/..'") == names
    assert not host.file(f"{data_dir(vault)}/config.json").exists


@pytest.fixture
def empty_host(vault: Vault) -> Iterator[str]:
    """A host that has not even a container engine, at its own address."""
    address = f"{vault.address.rpartition('.')[0]}.82"
    lab = [sys.executable, "-m", "lab"]
    up = [*lab, "up", "--replace", f"{EMPTY}={address}@bare-bookworm"]
    subprocess.run(up, cwd=PROJECT, check=True, capture_output=True)
    yield address
    subprocess.run([*lab, "down", EMPTY], cwd=PROJECT, check=True, capture_output=True)


def test_another_host_takes_the_backup_of_an_older_release(
    host: Host, vault: Vault, account: Account, empty_host: str, tmp_path: Path
) -> None:
    """From the controller, onto a host that has nothing, migrated by the newer server, proven, with all items."""
    if not vault.legacy:
        pytest.skip("the older release is on the other host")
    before = items(vault, account)
    archive = tmp_path / Path(fire(host, vault)).name
    archive.write_bytes(host.file(f"{ARCHIVES}/{archive.name}").content)
    target = Host.get_host(f"docker://{EMPTY}")
    ahead = play("backup", EMPTY, "--check")
    assert ahead.returncode == 0, ahead.stdout
    assert not target.file(ARCHIVES).exists
    done = play("restore", EMPTY, vaultwarden_backup_restore_upload=str(archive))
    assert done.returncode == 0, done.stdout
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(target.file("/etc/vaultwire/tls/ca.pem").content_string, encoding="ascii")
    moved = Vault(EMPTY, empty_host, ca_file, {**vault.settings, "vaultwarden_version": "1.37.2"})
    with resolving(vault.host, empty_host):
        assert items(moved, account) == before
        with Session(moved, account).hub():
            pass
    assert target.file(f"{ARCHIVES}/uploads/{archive.name}").mode == 0o600


@contextlib.contextmanager
def resolving(name: str, address: str) -> Iterator[None]:
    """The vault's name leads to another host."""
    original = socket.getaddrinfo

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        # The fixture of the vault resolves the name to its own host; an address it passes on.
        return original(address if target == name else target, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


assert SCENARIO.name == "backup_restore", "these tests need the hosts of their scenario"
