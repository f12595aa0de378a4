# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a backup on the controller: the same, private, not shown, and not half a success where it fails."""

from __future__ import annotations

import base64
import hashlib
import tarfile
from pathlib import Path

import pytest
from backups import Playbook, archives
from testinfra.host import Host
from vault import Vault


def on_host(host: Host, path: str) -> str:
    """The archive's digest, counted by the host itself."""
    return str(host.check_output("sha256sum %s", path)).split()[0]


def _once(vault: Vault) -> None:
    if vault.legacy:
        pytest.skip("the same on every release")


def test_a_backup_comes_to_the_controller(host: Host, vault: Vault, run_playbook: Playbook, tmp_path: Path) -> None:
    """Byte for byte, for its owner alone; its signing key is not shown with many words either. Then nothing changes."""
    copies = tmp_path / "copies"
    wanted = {"vaultwarden_backup_fetch_dir": str(copies)}
    done = run_playbook("backup", "-vvv", "--diff", vaultwarden_backup_now=True, **wanted)
    assert done.returncode == 0, done.stdout
    newest = archives(host, vault)[-1]
    (copy,) = (copies / vault.name).iterdir()
    assert copy.name == Path(newest).name
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == on_host(host, newest)
    assert [path.stat().st_mode & 0o777 for path in (copy, copy.parent, copies)] == [0o600, 0o700, 0o700]
    with tarfile.open(copy) as archive:
        member = archive.extractfile("rsa_key.pem")
        assert member
        key = member.read()
    said = done.stdout + done.stderr
    # A line of the key, and the archive as it travels: in base64, at each of the three offsets.
    line = key.splitlines()[2]
    for shown in (line, *(base64.b64encode(line[offset:])[4:40] for offset in range(3))):
        assert shown.decode() not in said
    assert vault.settings["vaultwarden_admin_token"] not in said

    again = run_playbook("backup", **wanted)
    assert again.returncode == 0, again.stdout
    assert "changed=0 " in again.stdout
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_check_mode_brings_and_makes_nothing(host: Host, vault: Vault, run_playbook: Playbook, tmp_path: Path) -> None:
    """Not even the directory."""
    _once(vault)
    before = archives(host, vault)
    wanted = str(tmp_path / "copies")
    done = run_playbook("backup", "--check", "--diff", vaultwarden_backup_now=True, vaultwarden_backup_fetch_dir=wanted)
    assert done.returncode == 0, done.stdout
    assert archives(host, vault) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", ["file", "read-only", "relative"])
def test_a_directory_that_cannot_be_used_is_named_before_a_backup(
    host: Host, vault: Vault, run_playbook: Playbook, tmp_path: Path, case: str
) -> None:
    """With the setting, and nothing is made on the host: a file in the way, a read-only place, no path."""
    _once(vault)
    (tmp_path / "file").write_text("in the way\n", encoding="ascii")
    place = {"file": str(tmp_path / "file"), "read-only": "/proc/copies", "relative": "copies"}[case]
    before = archives(host, vault)
    done = run_playbook("backup", vaultwarden_backup_now=True, vaultwarden_backup_fetch_dir=place)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0, said
    assert f"vaultwarden_backup_fetch_dir is {place}" in said.replace('\\"', "").replace('"', "")
    assert "No backup was made." in said
    assert archives(host, vault) == before


def test_archives_can_be_elsewhere_and_at_another_time(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """The timer's own backup goes there as well; and back, with the archives that were made in each place."""
    _once(vault)
    here, there = archives(host, vault), "/srv/other backups"
    wanted = {"vaultwarden_backup_dir": there, "vaultwarden_backup_schedule": "*-*-* 03:30:00"}
    unit = f"vaultwire-backup-{vault.container}"
    done = run_playbook("backup", vaultwarden_backup_now=True, **wanted)
    assert done.returncode == 0, done.stdout
    host.check_output("systemctl start %s.service", unit)
    made = host.check_output("ls -1 %s", there).split("\n")
    assert len(made) == 2 and all(name.startswith(f"{vault.container}-") for name in made)
    assert (host.file(there).mode, host.file(f"{there}/{made[0]}").mode) == (0o700, 0o600)
    assert "03:30:00" in host.check_output("systemctl show -p TimersCalendar %s.timer", unit)
    assert archives(host, vault) == here

    host.check_output("rm %s", f"{there}/{made[1]}")
    host.check_output("mv %s %s", f"{there}/{made[0]}", f"{there}/{vault.container}-20200101T000000.000Z.tar")
    late = run_playbook("backup", vaultwarden_backup_max_age=1, **wanted)
    assert "TOO OLD" in late.stdout
    assert "changed=0 " in late.stdout
    assert "are kept: fresh" in run_playbook("backup", vaultwarden_backup_max_age=0, **wanted).stdout

    off = run_playbook("backup", vaultwarden_backup_schedule="")
    assert off.returncode == 0, off.stdout
    assert host.run("systemctl cat %s.timer", unit).rc != 0
    back = run_playbook("backup")
    assert back.returncode == 0, back.stdout
    assert host.service(f"{unit}.timer").is_running
    assert archives(host, vault) == here
