# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a running server: a consistent copy of its SQLite database and its files, in one checked archive.

This file is also the program that the timer runs, so it needs nothing but Python 3.8 and its standard library.

An archive is a plain tar. What fills it is encrypted and does not compress; in return no archive can grow when it is
unpacked, and its size is the space that a restore needs. The manifest comes first and names every file with its size,
mode and SHA-256.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t
import urllib.parse
import urllib.request

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]
Receive = t.Callable[["Entry"], t.ContextManager[t.Any]]

#: datetime.UTC, which is newer than Python 3.8.
UTC = datetime.timezone(datetime.timedelta())

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "db.sqlite3"
#: Folders of the server whose content nothing else can bring back. Icons are fetched again.
FOLDERS = ("attachments", "sends", "templates")

ATTEMPTS = 3
CHUNK = 1024 * 1024
LARGEST_MANIFEST = 64 * CHUNK
LOCK_SECONDS = 600.0
#: For a question to the engine. The program has no other module of the collection beside it.
COMMAND_SECONDS = 60.0
SPARE_BYTES = 64 * CHUNK
STAGING = ".making-"

_TOP_LEVEL = re.compile(r"db\.sqlite3|config\.json|rsa_key[A-Za-z0-9._-]*")
_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION_LABEL = "org.opencontainers.image.version"


class BackupError(Exception):
    """A backup that cannot be made or used. The text says why, and what to do."""


class ChangedError(Exception):
    """A file changed or went away while it was read; another attempt will find it at rest."""


class Settings(t.NamedTuple):
    """What to back up, and where to. ``url`` is where the server itself answers."""

    container: str
    data_dir: str
    directory: str
    keep: int
    url: str = ""


class Entry(t.NamedTuple):
    """One file of an archive."""

    path: str
    size: int
    mode: int
    sha256: str


class Manifest(t.NamedTuple):
    """What an archive says of itself. ``missing``: files that the database names and the data folder lacks."""

    created: str
    container: str
    server_version: str
    schema: t.List[str]
    files: t.List[Entry]
    missing: t.List[str]
    skipped: t.List[str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)


class Archive(t.NamedTuple):
    """A finished archive in the backup directory."""

    path: str
    created: str
    size: int
    age_seconds: int


class Made(t.NamedTuple):
    """A new archive, and the old ones that went for it."""

    path: str
    manifest: Manifest
    removed: t.List[str]


# Which files


def belongs(path: str) -> bool:
    """Whether a path, relative and with plain parts, is one that archives hold."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\x00-\x1f\x7f\\]", path):
        return False
    return bool(_TOP_LEVEL.fullmatch(path)) if len(parts) == 1 else parts[0] in FOLDERS


def files_below(data_dir: str) -> t.Tuple[t.List[str], t.List[str]]:
    """Paths of the files to keep beside the database, and of what is left out since it is no regular file."""
    found, skipped = [], []
    for name in sorted(os.listdir(data_dir)):
        if name in FOLDERS and os.path.isdir(os.path.join(data_dir, name)) and not _is_link(data_dir, name):
            for folder, directories, files in os.walk(os.path.join(data_dir, name)):
                below = os.path.relpath(folder, data_dir)
                found += [f"{below}/{entry}" for entry in files]
                skipped += [f"{below}/{entry}" for entry in directories if _is_link(folder, entry)]
        elif name != DATABASE and (_TOP_LEVEL.fullmatch(name) or name in FOLDERS):
            found.append(name)
    wanted = [path for path in found if belongs(path) and _is_regular(os.path.join(data_dir, path))]
    return sorted(wanted), sorted({*skipped, *found} - set(wanted))


def _is_link(folder: str, name: str) -> bool:
    return os.path.islink(os.path.join(folder, name))


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def open_below(root: str, path: str) -> t.Iterator[t.BinaryIO]:
    """Open a file below a folder that another user may write to: no part of the path may be a symbolic link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = path.split("/")
        for parent in parents:
            inner = os.open(parent, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        stream = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
    except OSError as exc:
        raise ChangedError(f"{path}: {exc.strerror}") from exc
    finally:
        os.close(folder)
    with stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ChangedError(f"{path} is no regular file")
        yield stream


def read_entry(root: str, path: str) -> Entry:
    """Size, mode and checksum of a file."""
    digest, size = hashlib.sha256(), 0
    with open_below(root, path) as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
            size += len(chunk)
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o777
    return Entry(path, size, mode, digest.hexdigest())


# The database


def copy_database(source: str, target: str) -> None:
    """A consistent copy through SQLite's own backup call, while the server goes on reading and writing.

    Everything that was committed before the call is in it. The database is opened for reading only; what SQLite has to
    make beside it (-shm, -wal) it gives to the database's owner.
    """
    if not _is_regular(source):
        raise BackupError(
            f"There is no database {source}. Only SQLite is backed up here: for MySQL or PostgreSQL use their own "
            f"tools. If the data lies elsewhere, set vaultwarden_data_dir."
        )
    try:
        with contextlib.closing(connect(source, "mode=ro")) as live:
            _copy_from(live, target)
    except sqlite3.Error as exc:
        raise BackupError(f"The database {source} cannot be copied: {exc}.") from exc
    os.chmod(target, 0o600)


def _copy_from(live: sqlite3.Connection, target: str) -> None:
    with contextlib.closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        # One file that is complete by itself; the server turns its -wal on again when it starts.
        copy.execute("PRAGMA journal_mode = DELETE")


def connect(path: str, options: str) -> sqlite3.Connection:
    """Open a database with options of SQLite's address form."""
    return sqlite3.connect(f"file:{urllib.parse.quote(path)}?{options}", uri=True, timeout=30)


def check_database(path: str) -> t.List[str]:
    """Have SQLite check a copy that nothing else uses; return the rows of its schema."""
    try:
        with contextlib.closing(connect(path, "mode=ro&immutable=1")) as copy:
            verdict = [row[0] for row in copy.execute("PRAGMA integrity_check")]
            if verdict != ["ok"]:
                raise BackupError(f"The database is damaged: {'; '.join(map(str, verdict[:3]))}.")
            return schema_rows(copy)
    except sqlite3.Error as exc:
        raise BackupError(f"The database is damaged, or none of the server: {exc}.") from exc


def schema_rows(connection: sqlite3.Connection) -> t.List[str]:
    """The migrations that a database has been through."""
    query = "SELECT version FROM __diesel_schema_migrations ORDER BY version"
    return [str(row[0]) for row in connection.execute(query)]


def referenced(path: str) -> t.Set[str]:
    """Files that a copied database says there are: attachments, and files that are sent."""
    named = set()
    with contextlib.closing(connect(path, "mode=ro&immutable=1")) as copy:
        # An old or foreign schema may lack a table; then it names no files.
        with contextlib.suppress(sqlite3.Error):
            named |= {f"attachments/{a}/{b}" for a, b in copy.execute("SELECT cipher_uuid, id FROM attachments")}
        with contextlib.suppress(sqlite3.Error):
            for uuid, data in copy.execute("SELECT uuid, data FROM sends WHERE atype = 1"):
                with contextlib.suppress(ValueError, AttributeError):
                    content = json.loads(data)
                    name = content.get("id") or content.get("Id")
                    named |= {f"sends/{uuid}/{name}"} if name else set()
    return named


# The server


def server_facts(run: Run, settings: Settings) -> t.Tuple[str, t.List[str]]:
    """The server's release, or empty, and the names of its environment."""
    version, names = "", []
    code, out, __ = run(["docker", "container", "inspect", settings.container])
    if code == 0:
        config = json.loads(out)[0]["Config"]
        names = [entry.partition("=")[0] for entry in config.get("Env") or []]
        tag = str(config["Image"]).partition("@")[0].rpartition(":")[2]
        version = release((config.get("Labels") or {}).get(_VERSION_LABEL, "")) or release(tag)
    return _asked_version(settings.url) or version, names


def where_installed(run: Run) -> Run:
    """The same, with the exit code that a shell has for a program that is not there."""

    def call(command: t.List[str]) -> t.Tuple[int, str, str]:
        if shutil.which(command[0]) is None:
            return 127, "", f"{command[0]} is not installed"
        return run(command)

    return call


def release(text: str) -> str:
    """The release number that a text begins with, or empty."""
    found = _RELEASE.match(text)
    return found.group(1) if found else ""


def _asked_version(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/version", timeout=5) as answer:
            return release(str(json.loads(answer.read(1000))))
    except (OSError, ValueError, http.client.HTTPException):
        return ""


# Making


def make_backup(settings: Settings, run: Run) -> Made:
    """Make an archive, read it back, and drop the oldest ones beyond the number to keep. Raises BackupError."""
    os.makedirs(settings.directory, mode=0o700, exist_ok=True)
    with lock(settings.directory):
        for name in os.listdir(settings.directory):
            if name.startswith(STAGING):  # left by a run that was killed
                shutil.rmtree(os.path.join(settings.directory, name))
        version, names = server_facts(run, settings)
        if {"DATABASE_URL", "DATABASE_URL_FILE"} & set(names):
            raise BackupError(
                f"The container {settings.container} has a database of its own choice (DATABASE_URL). Only the SQLite "
                f"database in the data folder is backed up here: use the tools of that database."
            )
        require_space(settings)
        path, manifest = _attempts(settings, version)
        return Made(path, manifest, prune(settings))


def require_space(settings: Settings) -> None:
    """Refuse to begin what would fill the file system."""
    paths = (
        [*files_below(settings.data_dir)[0], DATABASE, f"{DATABASE}-wal"] if os.path.isdir(settings.data_dir) else []
    )
    size = sum(_size(os.path.join(settings.data_dir, path)) for path in paths)
    size += _size(os.path.join(settings.data_dir, DATABASE))  # for a while it is there twice
    free = shutil.disk_usage(settings.directory).free
    if free < size + SPARE_BYTES:
        raise BackupError(
            f"A backup needs {(size + SPARE_BYTES) >> 20} MB in {settings.directory}, and {free >> 20} MB are free. "
            f"Make room, or set vaultwarden_backup_dir to a larger file system."
        )


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _attempts(settings: Settings, version: str) -> t.Tuple[str, Manifest]:
    for attempt in range(1, ATTEMPTS + 1):
        folder = tempfile.mkdtemp(prefix=STAGING, dir=settings.directory)
        try:
            return _build(settings, version, folder)
        except ChangedError as exc:
            if attempt == ATTEMPTS:
                raise BackupError(f"A file changed each time while it was read: {exc}.") from exc
        except OSError as exc:
            raise BackupError(f"The backup could not be written: {exc}.") from exc
        finally:
            shutil.rmtree(folder)
    raise AssertionError("unreachable")


def _build(settings: Settings, version: str, folder: str) -> t.Tuple[str, Manifest]:
    """The database first, then the files: one that the database names was written before its row."""
    copy_database(os.path.join(settings.data_dir, DATABASE), os.path.join(folder, DATABASE))
    schema = check_database(os.path.join(folder, DATABASE))
    paths, skipped = files_below(settings.data_dir)
    now = datetime.datetime.now(UTC)
    manifest = Manifest(
        created=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        container=settings.container,
        server_version=version,
        schema=schema,
        files=[read_entry(folder, DATABASE), *(read_entry(settings.data_dir, path) for path in paths)],
        missing=sorted(referenced(os.path.join(folder, DATABASE)) - set(paths)),
        skipped=skipped,
    )
    unfinished = os.path.join(folder, "archive.tar")
    write_archive(unfinished, manifest, lambda path: folder if path == DATABASE else settings.data_dir)
    if read_archive(unfinished) != manifest:
        raise BackupError("The archive reads back otherwise than it was written. Look at the disk.")
    stamp = re.sub("[-:]", "", manifest.created)
    path = os.path.join(settings.directory, f"{settings.container}-{stamp}.tar")
    os.rename(unfinished, path)
    sync_directory(settings.directory)
    return path, manifest


def write_archive(path: str, manifest: Manifest, root_of: t.Callable[[str], str]) -> None:
    """Write the manifest and all files, and have them on disk. ``root_of`` tells the folder a file comes from."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = json.dumps(_as_json(manifest), indent=1).encode()
            archive.addfile(_member(Entry(MANIFEST, len(text), 0o600, "")), io.BytesIO(text))
            for entry in manifest.files:
                with open_below(root_of(entry.path), entry.path) as content:
                    reader = _Reader(content)
                    try:
                        archive.addfile(_member(entry), reader)  # type: ignore[arg-type]
                    except OSError as exc:
                        if reader.size < entry.size and not exc.errno:
                            raise ChangedError(f"{entry.path} became shorter") from exc
                        raise
                if reader.digest.hexdigest() != entry.sha256:
                    raise ChangedError(f"{entry.path} changed")
        stream.flush()
        os.fsync(stream.fileno())


class _Reader:
    """A file that is hashed as it is read."""

    def __init__(self, stream: t.BinaryIO) -> None:
        self._stream, self.digest, self.size = stream, hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self.digest.update(chunk)
        self.size += len(chunk)
        return chunk


def _member(entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.path)
    member.size, member.mode, member.mtime = entry.size, entry.mode, int(time.time())
    return member


def _as_json(manifest: Manifest) -> t.Dict[str, t.Any]:
    return {"format": FORMAT, **manifest._asdict(), "files": [entry._asdict() for entry in manifest.files]}


# Reading


def read_archive(path: str, receive: t.Optional[Receive] = None) -> Manifest:
    """Check an archive from beginning to end; hand each file to ``receive``, which opens what it is written to.

    Raises BackupError, whose text begins with the archive's path, for anything that write_archive does not make.
    """
    try:
        with open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            manifest = _read_manifest(archive, os.fstat(stream.fileno()).st_size)
            waiting = {entry.path: entry for entry in manifest.files}
            for member in iter(archive.next, None):
                entry = waiting.pop(member.name, None)
                if entry is None:
                    raise BackupError(f"it holds {member.name!r}, which its manifest does not name at this place")
                _require_plain(member)
                _take(archive, member, entry, receive)
            if waiting:
                raise BackupError(f"it is cut off: {len(waiting)} files are missing, among them {min(waiting)}")
            return manifest
    except BackupError as exc:
        raise BackupError(f"The archive {path} cannot be used: {exc}.") from exc
    # What tarfile raises for a damaged header depends on the damage, and on the version of Python.
    except (OSError, tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as exc:
        raise BackupError(
            f"The archive {path} cannot be used: it is no tar archive, damaged or cut off ({exc})."
        ) from exc


def _read_manifest(archive: tarfile.TarFile, archive_size: int) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST:
        raise BackupError(f"its first file is not {MANIFEST}, so it is no backup of this collection")
    _require_plain(first)
    if first.size > LARGEST_MANIFEST:
        raise BackupError(f"its manifest claims {first.size} bytes, more than any has")
    content = archive.extractfile(first)
    manifest = parse_manifest(content.read(LARGEST_MANIFEST) if content else b"")
    if manifest.size > archive_size:
        raise BackupError(
            f"it is cut off, or its manifest is false: that claims {manifest.size} bytes, and the archive has "
            f"{archive_size}"
        )
    return manifest


def _require_plain(member: tarfile.TarInfo) -> None:
    # A sparse file could claim any size without filling the archive.
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or getattr(member, "sparse", None) is not None:
        raise BackupError(f"{member.name!r} in it is no plain file but a link, device, folder or the like")


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, entry: Entry, receive: t.Optional[Receive]) -> None:
    """Read one file through, and pass it on."""
    if member.size != entry.size:
        raise BackupError(f"{entry.path} in it has {member.size} bytes, and the manifest says {entry.size}")
    content = archive.extractfile(member)
    digest, left = hashlib.sha256(), entry.size
    with receive(entry) if receive else contextlib.nullcontext() as target:
        while left and content:
            chunk = content.read(min(CHUNK, left))
            if not chunk:
                raise BackupError(f"it is cut off in {entry.path}")
            digest.update(chunk)
            left -= len(chunk)
            if target is not None:
                target.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"{entry.path} in it is damaged, its checksum is another than the manifest's")


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest, trusting nothing in it."""
    try:
        raw = json.loads(content.decode())
        version = raw["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise BackupError("its manifest cannot be read") from exc
    if version != FORMAT:
        raise BackupError(
            f"it has format {version!r}, and this release reads format {FORMAT}. Use the release it is from"
        )
    try:
        files = [Entry(*(entry[name] for name in Entry._fields)) for entry in raw["files"]]
        manifest = Manifest(**{**{name: raw[name] for name in Manifest._fields}, "files": files})
    except (KeyError, TypeError) as exc:
        raise BackupError("its manifest is incomplete") from exc
    _require_types(manifest)
    for entry in files:
        _require_sane(entry)
    paths = [entry.path for entry in files]
    if len(set(paths)) != len(paths) or DATABASE not in paths:
        raise BackupError(f"its manifest names a file twice, or no {DATABASE}")
    return manifest


def _require_types(manifest: Manifest) -> None:
    texts = [manifest.created, manifest.container, manifest.server_version]
    for rows in (manifest.schema, manifest.missing, manifest.skipped):
        texts += rows if isinstance(rows, list) else [rows]
    if not all(isinstance(text, str) for text in texts) or not isinstance(manifest.schema, list):
        raise BackupError("its manifest is malformed")


def _require_sane(entry: Entry) -> None:
    """One line of the manifest: a place inside the data folder, and numbers that are some."""
    if not isinstance(entry.path, str) or not belongs(entry.path):
        raise BackupError(f"it names {entry.path!r}, which does not belong into a data folder")
    numbers = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (entry.size, entry.mode))
    if not numbers or entry.mode > 0o777 or not isinstance(entry.sha256, str) or not _SHA256.fullmatch(entry.sha256):
        raise BackupError(f"its manifest is malformed at {entry.path}")


# Keeping


def archives(directory: str, container: str) -> t.List[Archive]:
    """The finished archives of a container, newest first. Their names tell when they were made.

    Those of a time to come are from a clock that was wrong, then or now. They come last: one that is made now must not
    be taken for older than they are, or the next pruning would remove it.
    """
    pattern = re.compile(re.escape(container) + r"-(\d{8}T\d{6}\.\d{3}Z)\.tar")
    found = []
    for name in sorted(os.listdir(directory), reverse=True) if os.path.isdir(directory) else []:
        match = pattern.fullmatch(name)
        if match:
            path = os.path.join(directory, name)
            moment = datetime.datetime.strptime(match.group(1), "%Y%m%dT%H%M%S.%fZ")
            moment = moment.replace(tzinfo=UTC)
            created = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            found.append(Archive(path, created, _size(path), int(time.time() - moment.timestamp())))
    found.sort(key=lambda archive: archive.age_seconds < 0)
    return [archive._replace(age_seconds=max(archive.age_seconds, 0)) for archive in found]


def prune(settings: Settings) -> t.List[str]:
    """Remove the oldest archives beyond the number to keep; return their paths."""
    surplus = [archive.path for archive in archives(settings.directory, settings.container)[max(settings.keep, 1) :]]
    for path in surplus:
        os.unlink(path)
    return surplus


@contextlib.contextmanager
def lock(directory: str, seconds: float = LOCK_SECONDS) -> t.Iterator[None]:
    """One backup or restore at a time in a directory; whoever comes second waits."""
    with open(os.path.join(directory, ".lock"), "w", encoding="ascii") as stream:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BackupError(
                        f"Another backup or restore still runs in {directory} after {seconds:g} s."
                    ) from None
                time.sleep(0.1)
        yield


def sync_directory(path: str) -> None:
    """Have a directory's entries on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# The program


def run_command(command: t.List[str]) -> t.Tuple[int, str, str]:
    """What AnsibleModule.run_command does, for the program."""
    try:
        # The program has no module that could run it.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except OSError as exc:
        return 127, "", str(exc)
    except subprocess.TimeoutExpired:
        raise BackupError(
            f"{' '.join(command)} did not end within {COMMAND_SECONDS:g} s, and was ended. Look at 'systemctl status "
            f"docker' and 'journalctl --unit docker'."
        ) from None
    return done.returncode, done.stdout, done.stderr


def summary(path: str, manifest: Manifest) -> str:
    """An archive in one line."""
    line = f"{path}: {len(manifest.files)} files, {manifest.size} bytes, release {manifest.server_version or 'unknown'}"
    if manifest.missing:
        line += f"; {len(manifest.missing)} files that the database names were not there, first {manifest.missing[0]}"
    if manifest.skipped:
        line += (
            f"; {len(manifest.skipped)} entries left out since they are no regular files, first {manifest.skipped[0]}"
        )
    return line


def read_settings(path: str) -> Settings:
    """The settings of the program. Raises BackupError for a file that is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return Settings(**json.load(stream))
    except (ValueError, TypeError) as exc:
        raise BackupError(f"The settings in {path} cannot be read ({exc}). Run playbooks/backup.yml again.") from exc


def main(arguments: t.Optional[t.Sequence[str]] = None) -> int:
    """``make SETTINGS`` makes a backup as a JSON file says; ``verify ARCHIVE`` checks one."""
    parser = argparse.ArgumentParser(description="Back up a vaultwarden data folder, or check a backup.")
    parser.add_argument("action", choices=["make", "verify"])
    parser.add_argument("file", help="settings for make, archive for verify")
    given = parser.parse_args(arguments)
    try:
        if given.action == "verify":
            line = summary(given.file, read_archive(given.file))
        else:
            made = make_backup(read_settings(given.file), run_command)
            line = summary(made.path, made.manifest)
    # What is not expected ends with its place in the journal.
    except (BackupError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
