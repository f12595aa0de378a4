# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of the host: what is in the way of a path, where it leads, and on what file system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fake_module import run_module
from test_settings import settings

from ansible_collections.vaultwire.stack.plugins.module_utils import _folders, _settings
from ansible_collections.vaultwire.stack.plugins.modules import deployment_info


def test_the_type_of_a_file_system(tmp_path: Path) -> None:
    """The longest mount point wins."""
    table = tmp_path / "mountinfo"
    rows = ["1 0 0:1 / / rw - ext4 /dev/a rw", f"2 1 0:2 / {tmp_path} rw shared:1 - nfs4 h:/x rw",
            f"3 1 0:3 / {tmp_path}-other rw - xfs /dev/b rw"]  # fmt: skip
    table.write_text("\n".join(rows) + "\n", encoding="ascii")
    assert _folders.file_system(str(tmp_path / "data"), str(table)) == "nfs4"
    assert _folders.file_system("/srv", str(table)) == "ext4"


def test_a_place_is_below_a_mount_only_where_its_parts_are(tmp_path: Path) -> None:
    """A name that begins alike, a mount over a mount, a blank in a name, and a link from elsewhere."""
    table, shared = tmp_path / "mountinfo", tmp_path / "my disk"
    shared.mkdir()
    (tmp_path / "link").symlink_to(shared)
    rows = ["1 0 0:1 / / rw - ext4 /dev/a rw", f"2 1 0:2 / {tmp_path}/vault rw - nfs4 h:/x rw",
            f"3 1 0:3 / {tmp_path}/my\\040disk rw - xfs /dev/b rw",
            f"4 1 0:4 / {tmp_path}/my\\040disk rw - cifs //h/x rw"]  # fmt: skip
    table.write_text("\n".join(rows) + "\n", encoding="ascii")
    kinds = {name: _folders.file_system(str(tmp_path / name), str(table)) for name in ("vault2", "my disk/x", "link/x")}
    assert kinds == {"vault2": "ext4", "my disk/x": "cifs", "link/x": "cifs"}


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("nfs", True), ("nfs4", True), ("cifs", True), ("smb3", True), ("9p", True), ("ceph", True),
        ("glusterfs", True), ("fuse.sshfs", True), ("fuse.rclone", True),
        ("ext4", False), ("xfs", False), ("zfs", False), ("overlay", False), ("fuseblk", False),
    ],
)  # fmt: skip
def test_network_shares_are_told_from_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, share: bool
) -> None:
    """By the type of the file system, which the description names."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - {kind} x rw\n", encoding="ascii")
    monkeypatch.setattr(_folders, "MOUNTS", str(table))
    described = _folders.describe_folder(str(tmp_path))
    assert (described["file_system"], described["network_share"]) == (kind, share)


def found(path: str, **changes: Any) -> dict[str, Any]:
    """A folder as a host describes it."""
    return {"path": path, "real": path, "obstacle": "", "file_system": "ext4", "network_share": False, **changes}


def problems(data: dict[str, Any], config: dict[str, Any] | None = None, **changes: Any) -> str:
    """What is said of these folders."""
    config = config or found("/etc/vaultwarden")
    given = settings(data_dir=data["path"], config_dir=config["path"], **changes)
    return " ".join(_settings.folder_problems(given, [data, config]))


def test_a_folder_that_is_to_be_made_is_fine(tmp_path: Path) -> None:
    """Below folders and below links that are root's."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "srv").symlink_to(tmp_path / "disk")
    for path in (tmp_path / "new" / "vault", tmp_path / "disk", tmp_path / "srv" / "vault"):
        described = _folders.describe_folder(str(path))
        expected = "" if os.getuid() == 0 or "srv" not in str(path) else "belongs to user"
        assert expected in described["obstacle"] and bool(expected) == bool(described["obstacle"])
    assert described["real"] == str(tmp_path / "disk" / "vault")
    assert problems(found("/srv/vault", real="/disk/vault")) == ""


def test_what_is_in_the_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own path, which may be above the folder."""
    (tmp_path / "file").write_text("", encoding="ascii")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "other").symlink_to(tmp_path / "file")
    original = os.lstat

    def lstat(path: str) -> os.stat_result:
        status = original(path)
        return os.stat_result((*status[:4], 0, *status[5:])) if str(path).startswith(str(tmp_path)) else status

    monkeypatch.setattr(os, "lstat", lstat)
    for name, words in (("file", "is no folder"), ("lost", "link to no folder"), ("other", "link to no folder")):
        obstacle = _folders.describe_folder(str(tmp_path / name / "vault"))["obstacle"]
        assert obstacle.startswith(str(tmp_path / name)) and words in obstacle
        said = problems(found("/srv/vault", obstacle=obstacle))
        assert "vaultwarden_data_dir is /srv/vault" in said and obstacle in said and "elsewhere" in said


def test_a_link_that_somebody_else_may_turn_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The role would hand over whatever it leads to by then."""
    (tmp_path / "link").symlink_to(tmp_path)
    original = os.lstat

    def lstat(path: str) -> os.stat_result:
        status = original(path)
        return os.stat_result((*status[:4], 1000, *status[5:])) if str(path).endswith("link") else status

    monkeypatch.setattr(os, "lstat", lstat)
    assert "belongs to user 1000" in _folders.describe_folder(str(tmp_path / "link" / "vault"))["obstacle"]


@pytest.mark.parametrize("real", ["/etc", "/", "/var/lib", "/proc/1", "/dev/shm"])
def test_a_link_to_a_folder_of_the_system_is_refused(real: str) -> None:
    """As the folder itself is, by its name."""
    said = problems(found("/srv/vault", real=real))
    assert f"leads to {real}" in said and "vaultwarden_data_dir" in said


def test_a_folder_of_the_system_is_no_link_to_itself() -> None:
    """It is refused by its name already, in other words."""
    assert "leads to" not in problems(found("/var/lib"))


def test_links_must_not_bring_both_folders_together() -> None:
    """Secrets would lie among the data, where a backup takes them along."""
    said = problems(found("/srv/vault", real="/disk/one"), found("/srv/config", real="/disk/one/config"))
    assert "vaultwarden_data_dir" in said and "vaultwarden_config_dir" in said and "two folders" in said


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, True),
        ({"environment": {"ENABLE_DB_WAL": True}}, True),
        ({"environment": {"ENABLE_DB_WAL": False}}, False),
        ({"environment": {"ENABLE_DB_WAL": "false"}}, False),
        ({"secrets": {"DATABASE_URL": "postgresql://u:Nl9xQ@db/v"}}, False),
        ({"secrets": {"DATABASE_URL": "/data/Nl9xQ.sqlite3"}}, True),
    ],
)
def test_a_network_share_is_refused_where_sqlite_needs_shared_memory(changes: dict[str, Any], refused: bool) -> None:
    """The configuration may lie on one, and the address of a database is a secret."""
    share = {"file_system": "nfs4", "network_share": True}
    said = problems(found("/srv/vault", **share), **changes)
    assert bool(said) is refused
    if refused:
        assert [
            word for word in ("/srv/vault", "(nfs4)", "local disk", "ENABLE_DB_WAL", "nobrl") if word not in said
        ] == []
    assert "Nl9xQ" not in said
    assert problems(found("/srv/vault"), found("/etc/vaultwarden", **share), **changes) == ""


def test_the_module_describes_what_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file system of the nearest mount above, also of a folder that is not there."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path} rw - cifs //h/x rw\n", encoding="ascii")
    monkeypatch.setattr(_folders, "MOUNTS", str(table))
    path = str(tmp_path / "new")
    result = run_module(deployment_info.main, container="no-such-vault", folders=[path])
    assert result["folders"] == [found(path, file_system="cifs", network_share=True)]
    assert run_module(deployment_info.main, container="no-such-vault")["folders"] == []
