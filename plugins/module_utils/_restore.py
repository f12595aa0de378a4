# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a backup in the place of a server's data, with a journal, so that a failure puts the old data back.

The archive is unpacked and checked beside the data before anything stops. Then the server is stopped, its data moved
aside, the new data moved in, and the server started. Moves stay on one file system, so they take no time and no space.
Once a server has run on data, that data is never removed: an undo keeps it aside, and a restore that was cut off after
its server had started is ended only by the operator's word.
Linux, Python 3.8 and later, no Ansible imports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import json
import os
import shutil
import sqlite3
import typing as t

from ._backup import (
    DATABASE,
    MANIFEST,
    SPARE_BYTES,
    UTC,
    BackupError,
    Entry,
    Manifest,
    Run,
    check_database,
    connect,
    read_archive,
    schema_rows,
    sync_directory,
)
from ._internal import InternalError
from ._layout import LayoutError, parse_version
from ._swap import Engine, SwapError, wait_alive

#: Steps in order. The journal names the one that is under way; "done" is the end of each.
STEPS = ("staged", "stopping", "emptying", "filling", "starting", "started")
DONE = "done"

ASIDE, STAGING, FAILED = ".before-restore-", ".restoring-", ".failed-restore-"
#: Steps from which on a server may have run on the restored data.
SERVED = ("starting", "started")


class RestoreError(Exception):
    """A restore that was refused or undone. The text says why, and what state the host is in."""


@dataclasses.dataclass
class Record:
    """One restore, as the journal holds it. ``aside`` keeps the old data, ``staging`` the unpacked archive.

    ``owner``: user and group of the data directory before, ``new_owner`` after. ``failed`` keeps what an undo finds
    that is not the old data. ``served``: whether a server was started on the restored data. ``old``: device and inode
    of each entry of the old data, by its name. ``begun``: when, in UTC.
    """

    container: str
    data_dir: str
    aside: str
    staging: str
    url: str
    timeout: float
    owner: t.List[int]
    new_owner: t.List[int]
    failed: str = ""
    was_running: bool = False
    served: bool = True
    old: t.Dict[str, t.List[int]] = dataclasses.field(default_factory=dict)
    archive: str = ""
    begun: str = ""
    step: str = "staged"

    def __post_init__(self) -> None:
        # A journal of an earlier release names no place for it.
        self.failed = self.failed or self.aside.replace(ASIDE, FAILED)

    @property
    def undecided(self) -> bool:
        """Whether users may have written to the restored data, and nobody has said yet that it stays."""
        return self.step in SERVED and self.served


class Journal:
    """The record of the last restore of a container, on disk."""

    def __init__(self, directory: str, container: str) -> None:
        self.path = os.path.join(directory, f".restore-{container}.json")

    def read(self) -> t.Optional[Record]:
        """The record, or None where there is none."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                return Record(**json.load(stream))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as exc:
            raise RestoreError(
                f"The journal of restores {self.path} is damaged ({exc}), so nobody can tell whether one was cut off. "
                f"If the data folder is right, and has no neighbour with {ASIDE.strip('.-')} in its name that you miss "
                f"data of, remove the journal and run again. Nothing has been restored."
            ) from exc

    def write(self, record: Record) -> None:
        """Put the record on disk in one step, before what it announces is done."""
        # Only now: a restore that is refused makes nothing on the host.
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        temporary = f"{self.path}.new"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            json.dump(dataclasses.asdict(record), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.path)
        sync_directory(os.path.dirname(self.path))


def unfinished(directory: str, container: str) -> str:
    """What a restore of a container that has not come to rest means, as a sentence; empty where there is none.

    Raises RestoreError for a journal that cannot be read.
    """
    record = Journal(directory, container).read() if directory else None
    if record is None or record.step == DONE:
        return ""
    if record.undecided:
        return undecided(record)
    return (
        f"A restore of {container} was cut off at the step {record.step}{_since(record)}: its data from before is in "
        f"{record.aside} or {record.data_dir}. Run playbooks/restore.yml, which puts it back before it does anything "
        f"else. Until then {record.data_dir} may be empty, and a server on it would serve an empty vault."
    )


def undecided(record: Record) -> str:
    """The two ways to end a restore whose server has started, as sentences."""
    return (
        f"A restore of {record.container}{_since(record)} was cut off after its server had started on the restored "
        f"data, so users may have written to it since. Run playbooks/restore.yml with -e "
        f"vaultwarden_backup_unfinished=keep to keep the restored data and all that was written, or with "
        f"=undo to return to the data from before in {record.aside}; what was written since is then kept in "
        f"{record.failed}."
    )


def _since(record: Record) -> str:
    return f" (begun {record.begun})" if record.begun else ""


# Refusals, before anything changes


def current_schema(data_dir: str) -> t.Optional[t.List[str]]:
    """The migrations that the present database has been through, or None where there is no such database."""
    path = os.path.join(data_dir, DATABASE)
    if not os.path.isfile(path):
        return None
    # Without a -wal nobody is writing, and nothing has to be made beside the database to read it.
    options = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"
    try:
        with contextlib.closing(connect(path, options)) as connection:
            return schema_rows(connection)
    except sqlite3.Error:
        return None  # a database that is beyond reading is a reason to restore, not one against it


def newer_problem(manifest: Manifest, version: str, schema: t.Optional[t.Sequence[str]]) -> t.Optional[str]:
    """Why a server cannot read the data of an archive, or None. ``schema``: the migrations of its present database."""
    advice = (
        "No release undoes the migrations of a newer one. Deploy the release that the backup is from, or upgrade "
        "first, then restore."
    )
    try:
        if parse_version(manifest.server_version) > parse_version(version):
            return f"The backup is from release {manifest.server_version}, and the server is {version}. {advice}"
    except LayoutError:
        if schema is None:
            return (
                f"The backup does not tell its release ({manifest.server_version or 'unknown'}), the server's is "
                f"{version or 'unknown'}, and there is no database to compare with: it cannot be told whether the "
                f"server can read it. {advice}"
            )
    unknown = sorted(set(manifest.schema) - set(schema)) if schema is not None else []
    if unknown:
        return (
            f"The backup's database has been through {len(unknown)} migrations that this server does not have, the "
            f"last is {unknown[-1]}. {advice}"
        )
    return None


def neighbour(data_dir: str, kind: str, stamp: str) -> str:
    """A folder on the data's own file system: beside it, or inside it where it is a file system by itself."""
    parent = os.path.dirname(data_dir)
    if os.path.ismount(data_dir) or os.stat(parent).st_dev != os.stat(data_dir).st_dev:
        return os.path.join(data_dir, f"{kind}{stamp}")
    return f"{data_dir}{kind}{stamp}"


def require_plain_data(data_dir: str) -> None:
    """Refuse data with a file system of its own below it, which cannot be moved aside. Raises RestoreError."""
    entries = sorted(os.listdir(data_dir)) if os.path.isdir(data_dir) else []
    mounts = [path for path in (os.path.join(data_dir, name) for name in entries) if os.path.ismount(path)]
    if mounts:
        raise RestoreError(
            f"{', '.join(mounts)} is a file system of its own inside the data, which cannot be moved aside. Unmount "
            f"it, or restore by hand. Nothing has been restored."
        )


def require_space(manifest: Manifest, data_dir: str) -> None:
    """The old data is kept, so the new data needs room of its own."""
    place = data_dir
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    needed, free = manifest.size + SPARE_BYTES, shutil.disk_usage(place).free
    if free < needed:
        raise RestoreError(
            f"The restore needs {needed >> 20} MB beside {data_dir}, since the present data is kept, and {free >> 20} "
            f"MB are free. Make room. Nothing has been restored."
        )


# Unpacking


def unpack(archive: str, target: str, uid: int, gid: int) -> Manifest:
    """Unpack a checked archive into a new folder, everything with its owner and mode, and check the database."""
    os.mkdir(target, 0o700)

    @contextlib.contextmanager
    def receive(entry: Entry) -> t.Iterator[t.BinaryIO]:
        path = os.path.join(target, entry.path)
        _make_folders(target, os.path.dirname(entry.path), uid, gid)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), entry.mode | 0o600)
            os.fsync(stream.fileno())

    manifest = read_archive(archive, receive)
    if check_database(os.path.join(target, DATABASE)) != manifest.schema:
        raise BackupError(
            f"The archive {archive} cannot be used: its {MANIFEST} and its database name other migrations."
        )
    for place, __, ___ in os.walk(target):
        sync_directory(place)
    return manifest


def _make_folders(root: str, below: str, uid: int, gid: int) -> None:
    path = root
    for part in below.split("/") if below else []:
        path = os.path.join(path, part)
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            os.chown(path, uid, gid)


def _sweep(data_dir: str) -> None:
    """Remove what a host that went down has left of archives half unpacked: no journal knows of them yet."""
    for folder, prefix in ((os.path.dirname(data_dir), os.path.basename(data_dir) + STAGING), (data_dir, STAGING)):
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.startswith(prefix):
                _remove(os.path.join(folder, name))


def _remove(path: str) -> None:
    """Remove a directory with all that it holds; of anything else, links among it, the entry alone."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


# The restore itself


class Restore:
    """From the old data to the new, or back."""

    def __init__(self, engine: Engine, journal: Journal, record: Record) -> None:
        self.engine, self.journal, self.record = engine, journal, record

    def step(self, name: str) -> None:
        """Announce a step."""
        self.record.step = name
        self.journal.write(self.record)

    def forward(self, unpack_now: t.Callable[[], object]) -> None:
        """Swap the data and start the server. Whatever goes wrong is undone before this raises RestoreError.

        ``unpack_now`` fills ``staging`` once the server is stopped, where that was not done before.
        """
        record = self.record
        try:
            self.step("staged")
            found = self.engine.inspect(record.container)
            record.was_running = bool(found and found["State"]["Running"])
            self.step("stopping")
            if record.was_running:
                self.engine.call("stop", "--time", "30", record.container)
            unpack_now()
            record.old = _identities(record.data_dir)
            os.mkdir(record.aside, 0o700)
            sync_directory(os.path.dirname(record.aside))
            self.step("emptying")
            _move_all(record.data_dir, record.aside)
            self.step("filling")
            _move_all(record.staging, record.data_dir)
            os.rmdir(record.staging)
            os.chown(record.data_dir, *record.new_owner)
            # Before the server can have written anything: from here on its data is kept, whatever happens.
            record.served = found is not None
            self.step("starting")
            if found:
                self.engine.call("start", record.container)
                wait_alive(self.engine, record.container, record.url, record.timeout)
        except Exception as exc:
            # What nobody expects is undone as well, since the server is down. Its own text may quote a secret.
            self._undo_after(exc, _told(exc, f"the step {record.step}"))
        # Without a server nothing is left to be proven, nor to be undone.
        self.step("started" if found else DONE)

    def _undo_after(self, cause: Exception, told: str) -> t.NoReturn:
        try:
            self.back()
        except Exception as exc:
            raise RestoreError(
                f"The restore failed: {told} It could not be undone in full either: "
                f"{_told(exc, f'undoing the step {self.record.step}')} The old data is in "
                f"{self.record.data_dir} or {self.record.aside}."
            ) from cause
        raise RestoreError(
            f"The restore failed and was undone, the old data is in place again: {told} {self.kept()}".rstrip()
        ) from cause

    def kept(self) -> str:
        """Where an undo has put data that is not the old one, as a sentence; empty where there was none."""
        if not os.path.isdir(self.record.failed):
            return ""
        return (
            f"What was in the data directory meanwhile is kept in {self.record.failed}; remove it if nobody misses it."
        )

    def back(self) -> None:
        """Undo whatever the journal says was begun, and start the server on its old data. Can be repeated."""
        record = self.record
        if record.step == DONE:
            return
        found = self.engine.inspect(record.container)
        if found and found["State"]["Running"] and record.step not in ("staged", "stopping"):
            self.engine.call("stop", "--time", "30", record.container)
        if record.step in ("filling", *SERVED, "clearing"):
            self.step("clearing")
            self._set_aside(record.failed if record.served else record.staging, strangers=False)
        if record.step in ("emptying", "clearing", "returning"):
            # A server that something started on the emptied directory has made files there, a -wal of its own among
            # them, which would be played back into the old database.
            self._set_aside(record.failed, strangers=True)
            self.step("returning")
            _move_all(record.aside, record.data_dir)
        os.chown(record.data_dir, *record.owner)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(record.aside)
        if os.path.lexists(record.staging):
            _remove(record.staging)  # a copy of what the archive holds, on which no server has run
        if found and record.was_running:
            self.engine.call("start", record.container)
            wait_alive(self.engine, record.container, record.url, record.timeout)
        self.step(DONE)

    def _set_aside(self, target: str, strangers: bool) -> None:
        """Move what is in the data directory to ``target``: all of it, or what is not of the old data."""
        record = self.record
        names = [
            name
            for name, identity in _identities(record.data_dir).items()
            if not strangers or record.old.get(name) != identity
        ]
        if not names:
            return
        while any(os.path.lexists(os.path.join(target, name)) for name in names):
            target += "-again"  # a server was started once more, after an undo that was cut off
        os.makedirs(target, mode=0o700, exist_ok=True)
        sync_directory(os.path.dirname(target))
        _move(names, record.data_dir, target)


def _told(exc: Exception, step: str) -> str:
    """What may be said of a failure: of one that nobody expects, its own text may quote a secret."""
    known = isinstance(exc, (SwapError, BackupError, OSError))
    text = str(exc if known else InternalError(exc, step, "The restore"))
    return text if text.endswith((".", "?")) else f"{text}."


def _entries(folder: str) -> t.List[str]:
    """The names in a directory, but for the directories of restores."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [name for name in names if not name.startswith((ASIDE, STAGING, FAILED))]


def _identities(folder: str) -> t.Dict[str, t.List[int]]:
    """Device and inode of each entry of a directory, by its name: a file of the same name is not the same file."""
    found = ((name, os.lstat(os.path.join(folder, name))) for name in _entries(folder))
    return {name: [status.st_dev, status.st_ino] for name, status in found}


def _move_all(source: str, target: str) -> None:
    """Move every entry of a directory into another on the same file system, but for the directories of restores."""
    _move(_entries(source), source, target)


def _move(names: t.Iterable[str], source: str, target: str) -> None:
    for name in names:
        place = os.path.join(target, name)
        if os.path.lexists(place):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), place)  # a rename would remove what is there
        os.rename(os.path.join(source, name), place)
    for folder in (target, source):
        if os.path.isdir(folder):
            sync_directory(folder)


class Wanted(t.NamedTuple):
    """What to restore, and for which server."""

    archive: str
    data_dir: str
    container: str
    directory: str
    version: str
    uid: int
    gid: int
    url: str
    timeout: float
    journal: str


def check(wanted: Wanted, engine: Engine, manifest: t.Optional[Manifest] = None) -> Manifest:
    """Everything that can be refused before anything changes. Raises BackupError or RestoreError.

    ``manifest``: that of the archive, where it has been read.
    """
    manifest = manifest or read_archive(wanted.archive)
    # Without a container the present database may be of any release, and says nothing of the one to come.
    schema = current_schema(wanted.data_dir) if engine.inspect(wanted.container) else None
    problem = newer_problem(manifest, wanted.version, schema)
    if problem:
        raise RestoreError(f"{problem} Nothing has been restored.")
    require_plain_data(wanted.data_dir)
    require_space(manifest, wanted.data_dir)
    return manifest


def recover(engine: Engine, journal: Journal) -> bool:
    """Undo a restore that was cut off before its server was started; say whether there was one.

    Raises RestoreError for one whose server was started: what users have written since is not undone unasked.
    """
    record = journal.read()
    if record is None or record.step == DONE:
        return False
    if record.undecided:
        raise RestoreError(f"{undecided(record)} Nothing has been restored.")
    try:
        Restore(engine, journal, record).back()
    except Exception as exc:
        raise RestoreError(
            f"An earlier restore was cut off, and its undoing failed: {_told(exc, f'undoing the step {record.step}')} "
            f"The old data is in {record.data_dir} or {record.aside}."
        ) from exc
    return True


def restore(wanted: Wanted, run: Run) -> t.Tuple[Manifest, Record]:
    """Put the archive's data in place and start the server. The caller proves it, then commits or undoes."""
    engine, journal = Engine(run), Journal(wanted.journal, wanted.container)
    # The archive is judged before an earlier restore is undone for its sake.
    manifest = read_archive(wanted.archive)
    recover(engine, journal)
    try:
        _sweep(wanted.data_dir)
    except OSError as exc:
        raise RestoreError(
            f"What an earlier restore has left cannot be removed: {exc}. Nothing has been restored."
        ) from exc
    check(wanted, engine, manifest)
    if not os.path.isdir(wanted.data_dir):
        os.makedirs(os.path.dirname(wanted.data_dir), mode=0o755, exist_ok=True)
        os.mkdir(wanted.data_dir, 0o700)
    status = os.stat(wanted.data_dir)
    now = datetime.datetime.now(UTC)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    record = Record(
        container=wanted.container,
        data_dir=wanted.data_dir,
        aside=neighbour(wanted.data_dir, ASIDE, stamp),
        staging=neighbour(wanted.data_dir, STAGING, stamp),
        failed=neighbour(wanted.data_dir, FAILED, stamp),
        url=wanted.url,
        timeout=wanted.timeout,
        owner=[status.st_uid, status.st_gid],
        new_owner=[wanted.uid, wanted.gid],
        served=False,
        archive=wanted.archive,
        begun=now.strftime("%Y-%m-%d %H:%M UTC"),
    )

    def fill() -> None:
        unpack(wanted.archive, record.staging, wanted.uid, wanted.gid)

    # Inside the data the server owns the directory above, and could put its own in the place of what root unpacks.
    late = os.path.dirname(record.staging) == wanted.data_dir
    if not late:
        try:
            fill()
        except (BackupError, OSError) as exc:
            shutil.rmtree(record.staging, ignore_errors=True)
            raise RestoreError(f"{exc} Nothing has been restored.") from exc
    Restore(engine, journal, record).forward(fill if late else lambda: None)
    return manifest, record


def conclude(
    wanted_step: t.Literal["committed", "undone"], directory: str, container: str, run: Run
) -> t.Tuple[bool, str]:
    """End a restore whose server has started: keep it, or put the old data back.

    Returns whether there was one, and where other data than that in place is kept, as a sentence.
    """
    engine, journal = Engine(run), Journal(directory, container)
    record = journal.read()
    if record is None or record.step == DONE:
        return False, ""
    begun = Restore(engine, journal, record)
    if wanted_step == "committed":
        if not record.undecided:
            raise RestoreError(
                f"The restore of {container} was cut off at the step {record.step}, before its server started, so "
                f"there is nothing to keep. Run playbooks/restore.yml, which puts the old data back first."
            )
        begun.step(DONE)
        return True, f"The data from before is in {record.aside}."
    try:
        begun.back()
    except Exception as exc:
        told = _told(exc, f"undoing the step {record.step}")
        raise RestoreError(
            f"The old data could not be put back: {told} It is in {record.data_dir} or {record.aside}."
        ) from exc
    return True, begun.kept()
