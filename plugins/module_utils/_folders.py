# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a folder of the host really is, or will be once it is made. Python 3.8 and later, Linux; changes nothing."""

from __future__ import annotations

import os
import stat
import typing as t

MOUNTS = "/proc/self/mountinfo"
#: Kinds of file systems whose files lie on another machine, where SQLite has no shared memory to lock with.
NETWORK_SHARES = frozenset(
    (
        "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "ceph", "afs", "glusterfs", "fuse.sshfs",
        "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.davfs2",
    )
)  # fmt: skip


def file_system(path: str, table: t.Optional[str] = None) -> str:
    """Type of the file system that holds a path."""
    best, kind = -1, ""
    with open(table or MOUNTS, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            left, __, right = line.partition(" - ")
            place = left.split(" ")[4].replace("\\040", " ")
            if (place == "/" or below(os.path.realpath(path), place)) and len(place) >= best:
                best, kind = len(place), right.split(" ")[0]
    return kind


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder.rstrip("/") or path.startswith(folder.rstrip("/") + "/")


def describe_folder(path: str) -> t.Dict[str, t.Any]:
    """``{path, real, obstacle, file_system, network_share}``; ``obstacle`` is what is in the way, or empty."""
    kind = file_system(path)
    return {
        "path": path,
        "real": os.path.realpath(path),
        "obstacle": _obstacle(path),
        "file_system": kind,
        "network_share": kind in NETWORK_SHARES,
    }


def _obstacle(path: str) -> str:
    """The first part of a path that keeps it from being a folder, or from staying the same one."""
    place = ""
    for part in path.strip("/").split("/"):
        place = f"{place}/{part}"
        try:
            status = os.lstat(place)
        except OSError:
            return ""  # the rest is to be made
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid != 0:
                return f"{place} is a link that belongs to user {status.st_uid}, who may turn it elsewhere"
            if not os.path.isdir(place):
                return f"{place} is a link to no folder"
        elif not stat.S_ISDIR(status.st_mode):
            return f"{place} is no folder"
    return ""
