# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swapping one server container for another on the same data, with a journal, so that nothing is ever lost.

The new container has been created under another name and never started. The swap stops the old one, copies what a
migration may change, starts the new one and waits until it answers. Every step is written to the journal before it is
taken. Whatever ends the swap early, the journal says how to undo it, and undoing twice does no harm. The old
container is kept, stopped and under another name, until the new one has been proven from outside.

Linux, Python 3.8 and later, no Ansible imports. ``Run`` is AnsibleModule.run_command or anything of its shape.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import http.client
import json
import os
import shutil
import time
import typing as t
import urllib.error
import urllib.request

from ._commands import CommandTimeout, shown
from ._internal import InternalError

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

#: What a start of another release may change in the data folder. Attachments and sends are never migrated.
DATABASE_FILES = ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm")
PRECIOUS_PREFIXES = ("rsa_key", "config.json")

#: Steps in order. A journal that ends before "healthy" is undone; one that ends there waits for its proof.
STEPS = ("begin", "named", "stopped", "copied", "owned", "starting", "healthy")
FINAL = ("committed", "rolled_back")

#: Nobody but the server's user has to look into its data.
DATA_MODE = 0o700

POLL_SECONDS = 0.02
LOG_LINES = 20
#: How long a proxy may take to give up a port after its reload.
PORT_SECONDS = 10
#: Beyond the size of the copy, so that the server itself does not run out of space.
SPARE_BYTES = 64 * 1024 * 1024


class SwapError(Exception):
    """The swap cannot be done, or was undone. The text says why, and what state the host is in."""


@dataclasses.dataclass
class Record:
    """One swap, as the journal holds it. Containers are known by their identifiers, which names do not change.

    ``owners``: path below the data folder -> [uid, gid] before the new owner was set; ``data_mode``: the folder's
    permission bits before, or -1 where they stayed.
    ``copied``: files that were copied; ``proxy_files``: path -> name of the copy, or null where there was no file.
    ``secrets_dir``: folder of the server's secrets; the new ones wait in ``<secrets_dir>.next``, and those of the old
    server in ``<secrets_dir>.old``. ``secrets_new``: the old server has none there.
    ``milliseconds``: how long each part of the outage took.
    """

    name: str
    old_id: str
    new_id: str
    source: str
    target: str
    data_dir: str
    folder: str
    uid: int
    gid: int
    old_url: str
    new_url: str
    timeout: float
    old_restart: str = "no"
    data_mode: int = -1
    proxy_dir: str = ""
    proxy_service: str = ""
    proxy_action: str = "reload"
    secrets_dir: str = ""
    secrets_new: bool = False
    step: str = "begin"
    reason: str = ""
    owners: t.Dict[str, t.List[int]] = dataclasses.field(default_factory=dict)
    copied: t.List[str] = dataclasses.field(default_factory=list)
    proxy_files: t.Dict[str, t.Optional[str]] = dataclasses.field(default_factory=dict)
    milliseconds: t.Dict[str, int] = dataclasses.field(default_factory=dict)


class Journal:
    """The record of the last swap of a container, on disk, and the lock that its worker holds."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "journal.json")

    def read(self) -> t.Optional[Record]:
        """The record, or None where there was no swap yet."""
        try:
            with open(self.path, encoding="utf-8") as stream:
                return Record(**json.load(stream))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as exc:
            raise SwapError(
                f"The journal of upgrades {self.path} is damaged ({exc}), so nobody can tell whether one was cut off. "
                f"Look at 'docker ps --all': if there is one container and its data is right, remove the journal and "
                f"run again."
            ) from exc

    def write(self, record: Record) -> None:
        """Put the record on disk in one step, before anything it announces is done."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        temporary = f"{self.path}.new"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(dataclasses.asdict(record), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.path)
        _sync_directory(self.directory)

    @contextlib.contextmanager
    def lock(self, seconds: float) -> t.Iterator[None]:
        """Hold the journal. A worker of an earlier run that is still at it is waited for."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with open(os.path.join(self.directory, "lock"), "w", encoding="ascii") as stream:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise SwapError(f"Another swap of this container still runs after {seconds:g} s.") from None
                    time.sleep(0.1)
            yield


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_unfinished(directory: str) -> bool:
    """Whether the last swap that a folder's journal tells of has not come to rest."""
    record = Journal(directory).read()
    return record is not None and record.step not in FINAL


#: What a shell exits with for a program that is not there.
_NOT_INSTALLED = 127
_NO_CONTAINER = "no such container"


class Engine:
    """The few commands of the engine that a swap needs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def call(self, *arguments: str) -> str:
        """A command that must succeed."""
        code, out, err = self._run(["docker", *arguments])
        if code != 0:
            raise SwapError(f"docker {arguments[0]} failed: {(err or out).strip()}")
        return out.strip()

    def inspect(self, container: str) -> t.Optional[t.Dict[str, t.Any]]:
        """What the engine knows of a container, or None.

        An engine that does not answer says nothing about that. The container may run, so its data must not be moved.
        """
        code, out, err = self._run(["docker", "container", "inspect", container])
        if code == 0:
            return t.cast("t.Dict[str, t.Any]", json.loads(out)[0])
        if code == _NOT_INSTALLED or _NO_CONTAINER in err.lower():
            return None
        raise SwapError(f"docker container inspect {container} failed: {(err or out).strip()}")

    def identifier(self, container: str) -> str:
        """A container's identifier, or empty."""
        found = self.inspect(container)
        return str(found["Id"]) if found else ""

    def log(self, container: str) -> str:
        """The end of a container's log."""
        __, out, err = self._run(["docker", "logs", "--tail", str(LOG_LINES), container])
        return "\n".join(line for line in (out + err).splitlines() if line.strip())


def copy_size(data_dir: str) -> int:
    """Bytes that the cold copy takes."""
    total = 0
    for path in files_to_copy(data_dir):
        with contextlib.suppress(FileNotFoundError):
            total += os.path.getsize(path)
    return total


def files_to_copy(data_dir: str) -> t.List[str]:
    """What the cold copy holds: the database with its companions, the signing keys, the saved settings."""
    if not os.path.isdir(data_dir):
        return []
    names = sorted(os.listdir(data_dir))
    wanted = [name for name in names if name in DATABASE_FILES or name.startswith(PRECIOUS_PREFIXES)]
    return [path for path in (os.path.join(data_dir, name) for name in wanted) if os.path.isfile(path)]


def space_problem(data_dir: str, directory: str) -> t.Optional[str]:
    """Why the copy would not fit, or None. ``directory`` or its nearest parent tells the file system."""
    place = directory
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    needed, free = copy_size(data_dir) + SPARE_BYTES, shutil.disk_usage(place).free
    if free >= needed:
        return None
    return (
        f"The copy of the database needs {needed >> 20} MB in {directory}, and {free >> 20} MB are free. Make room, or "
        f"set vaultwarden_upgrade_dir to a larger file system."
    )


def wait_alive(engine: Engine, container: str, url: str, timeout: float) -> None:
    """Wait until a container runs and answers. Raises SwapError, with the end of its log, when it never will."""
    deadline = time.monotonic() + timeout
    first: t.Optional[int] = None
    while True:
        if _answers(f"{url}/alive"):
            return
        found = engine.inspect(container)
        if found is None:
            raise SwapError("The container is gone.")
        state, restarts = found["State"], int(found.get("RestartCount", 0))
        first = restarts if first is None else first
        ended = state["Status"] in ("exited", "dead") or restarts > first + 1
        if ended or time.monotonic() > deadline:
            seen = f"its state is {state['Status']}, its last exit code {state['ExitCode']}"
            raise SwapError(
                f"The server does not answer at {url}/alive: {seen}. The end of its log says:\n{engine.log(container)}"
            )
        time.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


class Swap:
    """The swap itself."""

    def __init__(self, engine: Engine, journal: Journal, record: Record, run: Run) -> None:
        self.engine, self.journal, self.record, self._run = engine, journal, record, run

    def step(self, name: str) -> None:
        """Announce a step."""
        self.record.step = name
        self.journal.write(self.record)

    def forward(self) -> None:
        """From the old container to the new one, up to the point where the new one answers.

        Whatever goes wrong is undone before this raises SwapError.
        """
        record = self.record
        try:
            os.makedirs(record.folder, mode=0o700)
            if record.secrets_dir:
                # Left by a commit that was cut off; it must not pass for the secrets of this old server.
                _drop(f"{record.secrets_dir}.old")
            self._save_proxy()
            self.step("begin")
            self.step("named")
            self._name_for_the_swap()
            begin = time.monotonic()
            self.step("stopped")
            self.engine.call("stop", "-t", "30", record.old_id)
            stopped = time.monotonic()
            self.step("copied")
            self._copy()
            self.step("owned")
            self._own()
            self._exchange_secrets()
            copied = time.monotonic()
            self.step("starting")
            self.engine.call("start", record.new_id)
            started = time.monotonic()
            wait_alive(self.engine, record.new_id, record.new_url, record.timeout)
            healthy = time.monotonic()
        except Exception as exc:
            # What nobody expects is undone as well, since the server is down. Its own text may quote a secret.
            known = isinstance(exc, (SwapError, OSError))
            why = exc if known else InternalError(exc, f"the step {record.step}", "The swap")
            self.back(f"The swap from {record.source} to {record.target} failed: {why}")
            raise SwapError(self.record.reason) from exc
        record.milliseconds = {
            "stop": _ms(stopped - begin),
            "copy": _ms(copied - stopped),
            "start": _ms(started - copied),
            "boot": _ms(healthy - started),
            "outage": _ms(healthy - begin),
        }
        self.step("healthy")

    def _name_for_the_swap(self) -> None:
        """Names and restart policy change while the old server still runs, so that they cost no outage."""
        record = self.record
        # With "always" the engine would start the old container beside the new one after a reboot.
        self.engine.call("update", "--restart", "no", record.old_id)
        self.engine.call("rename", record.old_id, f"{record.name}.old")
        self.engine.call("rename", record.new_id, record.name)

    def _copy(self) -> None:
        """A cold copy: the server is stopped, and its -wal and -shm belong to the database."""
        target = os.path.join(self.record.folder, "data")
        os.makedirs(target, mode=0o700, exist_ok=True)
        paths = files_to_copy(self.record.data_dir)
        for path in paths:
            copy = os.path.join(target, os.path.basename(path))
            shutil.copy2(path, copy)
            status = os.stat(path)
            os.chown(copy, status.st_uid, status.st_gid)
            with open(copy, "rb") as stream:
                os.fsync(stream.fileno())
        self.record.copied = [os.path.basename(path) for path in paths]
        self.journal.write(self.record)

    def _own(self) -> None:
        """Give the data to the user that the new server runs as; remember who had it."""
        record = self.record
        wanted = (record.uid, record.gid)
        for path in _walk(record.data_dir):
            status = os.lstat(path)
            if (status.st_uid, status.st_gid) != wanted:
                record.owners[os.path.relpath(path, record.data_dir)] = [status.st_uid, status.st_gid]
        mode = os.stat(record.data_dir).st_mode & 0o7777
        if mode != DATA_MODE:
            record.data_mode = mode
        self.journal.write(record)
        os.chmod(record.data_dir, DATA_MODE)
        for name in record.owners:
            os.lchown(os.path.join(record.data_dir, name), *wanted)

    def _exchange_secrets(self) -> None:
        """The new server's secrets take the place of the old one's, which are moved as they are."""
        secrets = self.record.secrets_dir
        if secrets and os.path.isdir(f"{secrets}.next"):
            os.rename(secrets, f"{secrets}.old")
            os.rename(f"{secrets}.next", secrets)
            _sync_directory(os.path.dirname(secrets))

    def _save_proxy(self) -> None:
        """Copy every file of the proxy's configuration, to put back whatever a later step makes of it."""
        record = self.record
        if not record.proxy_dir or not os.path.isdir(record.proxy_dir):
            return
        target = os.path.join(record.folder, "proxy")
        os.makedirs(target, mode=0o700, exist_ok=True)
        for number, path in enumerate(p for p in _walk(record.proxy_dir) if os.path.isfile(p) or os.path.islink(p)):
            copy = os.path.join(target, str(number))
            shutil.copy2(path, copy, follow_symlinks=False)
            record.proxy_files[path] = str(number)

    def back(self, reason: str) -> None:
        """Undo whatever the journal says was begun, and start the old server. Can be repeated.

        Raises SwapError, which says where everything is.
        """
        record = self.record
        try:
            self._back(reason)
        except Exception as exc:
            known = isinstance(exc, (SwapError, OSError))
            why = str(exc if known else InternalError(exc, f"undoing the step {record.step}", "The swap"))
            raise SwapError(
                f"The upgrade could not be undone in full: {why.rstrip('.')}. The server may be down. Its data is in "
                f"{record.data_dir}, what was saved of it in {record.folder}. Run playbooks/upgrade.yml again, which "
                f"goes on with the undoing. What had happened before: {record.reason}"
            ) from exc

    def _back(self, reason: str) -> None:
        record = self.record
        record.reason = record.reason or reason
        if record.step == "copied":
            # Half a copy serves nobody, and may be what filled the disk that the journal needs.
            shutil.rmtree(os.path.join(record.folder, "data"), ignore_errors=True)
        self.journal.write(record)
        if self.engine.inspect(record.new_id) is not None:
            self.engine.call("rm", "--force", record.new_id)
        if STEPS.index(record.step) >= STEPS.index("starting"):
            self._put_data_back()
            # From here on the data is the old server's again: undoing twice must not touch what it writes.
            self.step("owned")
        for name, (uid, gid) in record.owners.items():
            with contextlib.suppress(FileNotFoundError):
                os.lchown(os.path.join(record.data_dir, name), uid, gid)
        if record.data_mode >= 0:
            os.chmod(record.data_dir, record.data_mode)
        self._put_secrets_back()
        # The proxy first: the new site may hold a port that the old container published.
        self._put_proxy_back()
        self._old_server_again()
        self.step("rolled_back")
        # The copies are in place again; what the new server made of the data is all that is worth keeping.
        for name in ("data", "proxy"):
            _drop(os.path.join(record.folder, name))
        _drop_if_empty(record.folder)

    def _put_data_back(self) -> None:
        """The copy in place of what the new server made of it; that is kept beside the copy, not lost."""
        record = self.record
        source, aside = os.path.join(record.folder, "data"), os.path.join(record.folder, "failed")
        os.makedirs(aside, mode=0o700, exist_ok=True)
        for path in files_to_copy(record.data_dir):
            kept = os.path.join(aside, os.path.basename(path))
            if not os.path.exists(kept):
                shutil.copy2(path, kept)
            os.unlink(path)
        for name in record.copied:
            target = os.path.join(record.data_dir, name)
            shutil.copy2(os.path.join(source, name), target)
            status = os.stat(os.path.join(source, name))
            os.chown(target, status.st_uid, status.st_gid)

    def _put_secrets_back(self) -> None:
        """The old server's secrets as they were; none where it had none."""
        secrets = self.record.secrets_dir
        if not secrets:
            return
        if os.path.isdir(f"{secrets}.old"):
            _drop(secrets)
            os.rename(f"{secrets}.old", secrets)
        _drop(f"{secrets}.next")
        if self.record.secrets_new:
            _drop(secrets)
            _drop_if_empty(os.path.dirname(secrets))

    def _old_server_again(self) -> None:
        record = self.record
        old = self.engine.inspect(record.old_id)
        if old is None:
            raise SwapError(
                f"The old container {record.old_id[:12]} is gone, so it cannot be started again. Its data is as it "
                f"was, in {record.data_dir}; a copy is in {record.folder}."
            )
        if old["Name"].lstrip("/") != record.name:
            self.engine.call("rename", record.old_id, record.name)
        self.engine.call("update", "--restart", record.old_restart, record.old_id)
        if old["State"]["Status"] != "running":
            self._start_old()
        if record.old_url:
            wait_alive(self.engine, record.old_id, record.old_url, record.timeout)

    def _start_old(self) -> None:
        """Start the old container; a port that the proxy gives up while it reloads is waited for."""
        deadline = time.monotonic() + PORT_SECONDS
        while True:
            try:
                self.engine.call("start", self.record.old_id)
                return
            except SwapError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _put_proxy_back(self) -> None:
        """Every file of the proxy as it was; the proxy is reloaded when one of them differed."""
        record = self.record
        if not record.proxy_files:
            return
        differing = 0
        for path in list(_walk(record.proxy_dir)):
            if (os.path.isfile(path) or os.path.islink(path)) and path not in record.proxy_files:
                os.unlink(path)
                differing += 1
        for path, name in record.proxy_files.items():
            copy = os.path.join(record.folder, "proxy", str(name))
            if not _same(path, copy):
                _replace(copy, path)
                differing += 1
        if differing:
            command = ["systemctl", record.proxy_action, record.proxy_service]
            if not os.path.isdir("/run/systemd/system"):
                command = ["service", record.proxy_service, record.proxy_action]
            self._tell(command)

    def _tell(self, command: t.List[str]) -> None:
        """Have the proxy read its files. A proxy that does not must not keep the old server from being started."""
        try:
            code, out, err = self._run(command)
            problem = f"{shown(command)} failed: {(err or out).strip()}" if code != 0 else ""
        except CommandTimeout as exc:
            problem = str(exc)
        if problem and problem not in self.record.reason:
            self.record.reason += f" The proxy's files are as they were, but it may not have read them: {problem}"

    def commit(self, keep: int) -> None:
        """The new server is proven: drop the old container, and copies beyond the newest ones."""
        if self.engine.inspect(self.record.old_id) is not None:
            self.engine.call("rm", self.record.old_id)
        # Both may hold secrets, and nothing returns to them any more.
        _drop(os.path.join(self.record.folder, "proxy"))
        if self.record.secrets_dir:
            _drop(f"{self.record.secrets_dir}.old")
        self.step("committed")
        copies = sorted(entry.path for entry in os.scandir(self.journal.directory) if entry.is_dir())
        for path in copies[: max(len(copies) - keep, 0)]:
            shutil.rmtree(path)


def recover(swap: Swap, target: str) -> str:
    """Bring a swap that was cut off to rest. Returns none, rolled_back or unproven (the new server answers).

    One that had reached its end but not its proof is kept where it leads to the wanted release.
    """
    record = swap.record
    if record.step in FINAL:
        return "none"
    if record.step == "healthy" and record.target == target:
        found = swap.engine.inspect(record.new_id)
        if found is not None and found["State"]["Status"] == "running" and _answers(f"{record.new_url}/alive"):
            return "unproven"
    swap.back(f"An earlier run was cut off while it swapped {record.source} for {record.target}.")
    return "rolled_back"


def discard(engine: Engine, name: str, secrets_dir: str) -> bool:
    """Drop what a run prepared that was cut off before its swap began. Tells whether there was anything.

    A container that was started is never touched, and neither are secrets that the server ``name`` uses.
    """
    try:
        found = engine.inspect(f"{name}.next")
    except SwapError:
        # A stopped engine is started later in the run. Nothing depends on what is left here until then.
        return False
    dropped = found is not None and found["State"]["Status"] == "created"
    if dropped:
        engine.call("rm", f"{name}.next")
    if secrets_dir:
        dropped = _drop(f"{secrets_dir}.next") or dropped
        if not uses(engine.inspect(name), secrets_dir):
            _drop_if_empty(secrets_dir)
            _drop_if_empty(os.path.dirname(secrets_dir))
    return dropped


def uses(container: t.Optional[t.Mapping[str, t.Any]], path: str) -> bool:
    """Whether a container, as the engine describes it, has a folder of the host mounted."""
    mounts = (container or {}).get("Mounts") or []
    return any(os.path.normpath(str(mount.get("Source"))) == os.path.normpath(path) for mount in mounts)


def _drop(path: str) -> bool:
    """Remove a folder with all in it. Tells whether it was there."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return False
    return True


def _drop_if_empty(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _walk(directory: str) -> t.Iterator[str]:
    """The directory and everything below it, without following symbolic links."""
    yield directory
    for folder, directories, files in os.walk(directory):
        for name in sorted(directories + files):
            yield os.path.join(folder, name)


def _same(path: str, copy: str) -> bool:
    if os.path.islink(copy) or os.path.islink(path):
        return os.path.islink(path) and os.path.islink(copy) and os.readlink(path) == os.readlink(copy)
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as one, open(copy, "rb") as other:
        return one.read() == other.read()


def _replace(copy: str, path: str) -> None:
    """A file from its copy, mode and times included, in one step."""
    temporary = f"{path}.vaultwire-new"
    shutil.copy2(copy, temporary, follow_symlinks=False)
    os.replace(temporary, path)
