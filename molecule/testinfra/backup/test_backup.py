# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as the timer makes them: complete under load, private, quiet, and not too many."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import tarfile
import time
from pathlib import Path

from backups import Playbook, archives, data_dir, fire
from items import Writer, add_item
from testinfra.host import Host
from vault import Account, Session, Vault

WARM_UP = 25


def brought(host: Host, path: str, folder: Path) -> Path:
    """An archive, unpacked here by another program than the one that wrote it."""
    target = folder / "archive"
    target.mkdir()
    packed = folder / "archive.tar"
    packed.write_bytes(host.file(path).content)
    subprocess.run(["tar", "-xf", packed, "-C", target], check=True)
    return target


def test_the_timer_waits_and_comes_back_after_a_reboot(host: Host, vault: Vault) -> None:
    """Running and enabled, with a next time."""
    timer = host.service(f"vaultwire-backup-{vault.container}.timer")
    assert timer.is_running
    assert timer.is_enabled
    assert f"vaultwire-backup-{vault.container}.timer" in host.check_output("systemctl list-timers --no-pager")


def test_a_backup_under_load_has_all_that_was_acknowledged(
    host: Host, vault: Vault, account: Account, writer: Writer, tmp_path: Path
) -> None:
    """Every item that the server had said yes to, in a database that is whole; and the server noticed nothing."""
    deadline = time.monotonic() + 20
    while len(writer.acknowledged) < WARM_UP and time.monotonic() < deadline:
        time.sleep(0.05)
    before = set(writer.acknowledged)
    path = fire(host, vault)
    after = len(writer.acknowledged)
    writer.stop()
    assert len(before) >= WARM_UP
    assert after > len(before), "the writer stood still during the backup, so nothing was proven"
    folder = brought(host, path, tmp_path)
    with sqlite3.connect(folder / "db.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {row[0] for row in database.execute("SELECT uuid FROM ciphers")}
    assert before <= stored
    assert (folder / "rsa_key.pem").read_bytes() == host.file(f"{data_dir(vault)}/rsa_key.pem").content
    with tarfile.open(tmp_path / "archive.tar") as archive:
        assert archive.getnames()[0] == "manifest.json"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["server_version"] == vault.settings["vaultwarden_version"]
    assert "missing" in manifest
    assert manifest["schema"]


def test_a_backup_leaves_nothing_of_root_in_the_data(host: Host, vault: Vault) -> None:
    """Also with the server stopped, when SQLite has to make its shared memory anew."""
    host.check_output("docker stop -t 5 %s", vault.container)
    try:
        host.check_output("rm -f '%s/db.sqlite3-shm'" % data_dir(vault))  # noqa: UP031
        fire(host, vault)
    finally:
        host.check_output("docker start %s", vault.container)
    uid = vault.settings.get("vaultwarden_uid", 10080)
    assert host.check_output(f"find '{data_dir(vault)}' ! -uid {uid}") == ""


def test_archives_are_for_root_alone(host: Host, vault: Vault) -> None:
    """They hold the key that signs logins."""
    folder = host.file("/var/backups/vaultwarden")
    assert (folder.mode, folder.user) == (0o700, "root")
    for path in archives(host, vault):
        found = host.file(path)
        assert (found.mode, found.user, found.group) == (0o600, "root", "root")
    assert host.run("find /var/backups/vaultwarden -name '.making-*'").stdout == ""


def test_nothing_secret_is_said(host: Host, vault: Vault, account: Account) -> None:
    """Neither in the journal nor in the settings of the program."""
    said = host.check_output("journalctl --no-pager -o cat -u vaultwire-backup-%s", vault.container)
    said += host.file(f"/etc/vaultwire/backup-{vault.container}.json").content_string
    assert f"{vault.container}-" in said
    for secret in (vault.settings["vaultwarden_admin_token"], account.email, account.password, "PRIVATE KEY"):
        assert secret not in said


def test_old_archives_go_and_the_newest_stay(host: Host, vault: Vault) -> None:
    """Those of other containers, and strange files, are none of its business."""
    host.check_output("touch /var/backups/vaultwarden/%s.bak-20200101T000000.000Z.tar", vault.container)
    command = f"python3 /usr/local/lib/vaultwire/backup.py make /etc/vaultwire/backup-{vault.container}.json"
    for __ in range(3):
        host.check_output(command)
    kept = archives(host, vault)
    assert host.file(f"/var/backups/vaultwarden/{vault.container}.bak-20200101T000000.000Z.tar").exists
    host.check_output("rm /var/backups/vaultwarden/%s.bak-20200101T000000.000Z.tar", vault.container)
    assert len([path for path in kept if ".bak-" not in path]) == 3
    newest = host.check_output(command).partition(": ")[0]
    assert archives(host, vault)[-1] == newest
    assert host.run("python3 /usr/local/lib/vaultwire/backup.py verify %s", newest).rc == 0


def test_a_second_run_changes_nothing(vault: Vault, run_playbook: Playbook) -> None:
    """The timer is set already; the scenario's inventory wants no backup in each run."""
    done = run_playbook("backup")
    assert done.returncode == 0, done.stdout
    assert "changed=0 " in done.stdout
    assert "are kept: fresh. The timer runs daily." in " ".join(done.stdout.split())


def test_the_server_still_takes_writes(vault: Vault, account: Account) -> None:
    """After all those backups."""
    assert add_item(Session(vault, account))
