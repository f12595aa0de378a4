# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores: whole or refused, put in place or put back. The engine is played; SQLite and tar are real."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _backup, _restore
from ansible_collections.vaultwire.stack.plugins.modules import vault_backup, vault_restore
from tests.unit.fake_module import run_module, within_limit

NAME = "vault"
KEY = "-----BEGIN PRIVATE KEY-----\nNl9xQ\n-----END PRIVATE KEY-----\n"
SCHEMA = ["20180114171611", "20230131222222"]


class Docker:
    """Plays the engine for one container; ``log`` has the commands, without those that only ask."""

    def __init__(self, exists: bool = True, **config: Any) -> None:
        self.exists, self.running, self.log = exists, True, list[str]()
        self.config = {"Image": "docker.io/vaultwarden/server:1.31.0", "Env": [], "Labels": {}, **config}
        #: Whether it answers no more, while the container may run on.
        self.down = False
        #: What the next starts come to, then "answers" for ever.
        self.starts: list[str] = []

    def __call__(self, _module: AnsibleModule | None, command: list[str], **__: Any) -> tuple[int, str, str]:
        verb = command[1]
        if verb == "container":
            if self.down:
                return 1, "", "Cannot connect to the Docker daemon. Is the docker daemon running?"
            if not self.exists:
                return 1, "", "no such container"
            state = {"Running": self.running, "Status": "running" if self.running else "exited", "ExitCode": 12}
            return 0, json.dumps([{"Id": "1", "Name": NAME, "Config": self.config, "State": state}]), ""
        if verb == "logs":
            return 0, "", "the reason"
        self.log.append(verb)
        self.running = verb == "start" and (self.starts.pop(0) if self.starts else "answers") == "answers"
        return 0, "", ""


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    """An engine whose container answers as long as it runs."""
    played = Docker()
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, command, **__: played(self, within_limit(command)))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        "ansible_collections.vaultwire.stack.plugins.module_utils._swap._answers", lambda __: played.running
    )
    return played


class Place:
    """A host's folders below a temporary one."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.archives = root, root / "lib" / "data", root / "backups"
        self.data.mkdir(parents=True)
        self.database = sqlite3.connect(self.data / "db.sqlite3", check_same_thread=False, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL",
            "CREATE TABLE __diesel_schema_migrations (version TEXT PRIMARY KEY)",
            "CREATE TABLE ciphers (uuid TEXT PRIMARY KEY)",
            "CREATE TABLE attachments (id TEXT, cipher_uuid TEXT)",
            "CREATE TABLE sends (uuid TEXT, atype INTEGER, data TEXT)",
        ):
            self.database.execute(statement)
        self.database.executemany("INSERT INTO __diesel_schema_migrations VALUES (?)", [(row,) for row in SCHEMA])
        (self.data / "rsa_key.pem").write_text(KEY)
        (self.data / "rsa_key.pem").chmod(0o600)

    def add(self, path: str, content: bytes = b"x") -> None:
        """A file in the data."""
        (self.data / path).parent.mkdir(parents=True, exist_ok=True)
        (self.data / path).write_bytes(content)

    def back_up(self, **more: Any) -> dict[str, Any]:
        """Run vault_backup."""
        arguments = {"container": NAME, "data_dir": str(self.data), "directory": str(self.archives), **more}
        return run_module(vault_backup.main, **arguments)

    def restore(self, archive: str = "newest", **more: Any) -> dict[str, Any]:
        """Run vault_restore."""
        owner = {"uid": os.getuid(), "gid": os.getgid()}
        return run_module(
            vault_restore.main,
            **{
                "archive": archive, "container": NAME, "data_dir": str(self.data), "directory": str(self.archives),
                "version": "1.31.0", "timeout": 1, **owner, **more,
            },
        )  # fmt: skip

    def names(self) -> list[str]:
        """What lies beside the data, and in it, without what SQLite makes and removes."""
        return [name for name in self._names() if ".failed-restore-" not in name]

    def kept(self) -> list[str]:
        """What undone restores have kept, without the time in its name."""
        found = (re.sub(r".*[.]failed-restore-[^/]*", "", name) for name in self._names() if ".failed-restore-" in name)
        return sorted(name.lstrip("/") for name in found if name)

    def _names(self) -> list[str]:
        inside = (str(path.relative_to(self.root)) for path in (self.root / "lib").rglob("*"))
        return sorted(name for name in inside if not name.endswith(("-wal", "-shm")))


@pytest.fixture
def place(tmp_path: Path, docker: Docker) -> Place:
    """A host with a server that was used."""
    assert docker
    return Place(tmp_path)


def stored(archive: str, folder: Path) -> Path:
    """An archive, unpacked by tar."""
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


def test_everything_precious_is_in_the_archive(place: Place, tmp_path: Path) -> None:
    """What is fetched or made again is not; the database is complete without a -wal."""
    place.database.execute("INSERT INTO ciphers VALUES ('one')")
    for path in (
        "config.json",
        "rsa_key.pub.pem",
        "attachments/c/a",
        "sends/s/f",
        "icon_cache/i.png",
        "tmp/t",
        "db_1.sqlite3",
    ):
        place.add(path)
    done = place.back_up()
    assert (done["changed"], done["server_version"]) == (True, "1.31.0")
    folder = stored(done["path"], tmp_path / "stored")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        "attachments/c/a", "config.json", "db.sqlite3", "manifest.json", "rsa_key.pem", "rsa_key.pub.pem", "sends/s/f",
    ]  # fmt: skip
    assert list(sqlite3.connect(folder / "db.sqlite3").execute("SELECT uuid FROM ciphers")) == [("one",)]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["format"], manifest["schema"]) == (1, SCHEMA)
    assert manifest["files"][0]["sha256"] == hashlib.sha256((folder / "db.sqlite3").read_bytes()).hexdigest()
    assert Path(done["path"]).stat().st_mode & 0o777 == 0o600
    assert place.archives.stat().st_mode & 0o777 == 0o700
    assert "Nl9xQ" not in done["printed"]


def test_a_backup_has_all_that_was_committed_before_it_began(place: Place, tmp_path: Path) -> None:
    """While another connection writes without a pause."""
    committed, ended = list[str](), threading.Event()

    def write() -> None:
        while not ended.is_set():
            name = str(len(committed))
            place.database.execute("INSERT INTO ciphers VALUES (?)", (name,))
            committed.append(name)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            while len(committed) < 50 * (number + 1):
                pass
            before = set(committed)
            done = place.back_up()
            folder = stored(done["path"], tmp_path / str(number))
            rows = sqlite3.connect(folder / "db.sqlite3").execute("SELECT uuid FROM ciphers")
            assert before <= {row[0] for row in rows}
    finally:
        ended.set()
        thread.join()


def test_files_that_the_database_names_and_are_not_there_are_reported(place: Place) -> None:
    """The backup is made all the same."""
    place.database.execute("INSERT INTO attachments VALUES ('a', 'c'), ('b', 'c')")
    place.database.execute("INSERT INTO sends VALUES ('s', 1, '{\"id\": \"f\"}'), ('t', 0, '{}'), ('u', 1, 'no json')")
    place.add("attachments/c/a")
    done = place.back_up()
    assert done["missing"] == ["attachments/c/b", "sends/s/f"]


def test_links_are_not_followed_out_of_the_data(place: Place, tmp_path: Path) -> None:
    """The server's user could have root read any file for it."""
    (tmp_path / "secret").write_text("root's own")
    place.add("attachments/c/a")
    (place.data / "attachments" / "c" / "link").symlink_to(tmp_path / "secret")
    (place.data / "config.json").symlink_to(tmp_path / "secret")
    (place.data / "sends").symlink_to(tmp_path)
    done = place.back_up()
    assert done["left_out"] == ["attachments/c/link", "config.json", "sends"]
    assert b"root's own" not in Path(done["path"]).read_bytes()
    with pytest.raises(_backup.ChangedError), _backup.open_below(str(place.data), "sends/secret"):
        pass


def test_a_file_that_changes_meanwhile_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the manifest says of a file is what the archive has; one that never rests is a failure."""
    place.add("attachments/c/a", b"old")
    real, changes = _backup.write_archive, [b"new", b"longer than before", b""]

    def meddle(*arguments: Any) -> None:
        if changes:
            place.add("attachments/c/a", changes.pop(0))
        real(*arguments)

    monkeypatch.setattr(_backup, "write_archive", meddle)
    assert "changed each time" in place.back_up()["msg"]
    place.add("attachments/c/a", b"old")
    changes.append(b"now")
    done = place.back_up()
    assert b"now" in Path(done["path"]).read_bytes()
    assert [path.name for path in place.archives.iterdir() if path.name.startswith(".making")] == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda place: (place.data / "db.sqlite3").rename(place.root / "gone"), "no database"),
        (lambda place: (place.data / "db.sqlite3").write_bytes(b"rubbish" * 1000), "cannot be copied|damaged"),
        (lambda place: place.database.execute("DROP TABLE __diesel_schema_migrations"), "none of the server"),
    ],
    ids=["none", "rubbish", "another program's"],
)
def test_what_is_no_database_of_the_server_is_refused(place: Place, spoil: Callable[[Place], Any], reason: str) -> None:
    """And leaves no archive."""
    place.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spoil(place)
    done = place.back_up()
    assert done["failed"] is True
    assert re.search(reason, done["msg"]), done["msg"]
    assert [path.name for path in place.archives.iterdir()] == [".lock"]


def test_a_damaged_database_is_never_called_a_backup(place: Place) -> None:
    """The pages copy well and every row can be read; only the check notices that an index disagrees."""
    value = "0123456789" * 4
    place.database.execute("INSERT INTO ciphers VALUES (?)", (value,))
    place.database.close()
    content = (place.data / "db.sqlite3").read_bytes()
    assert content.count(value.encode()) == 2
    (place.data / "db.sqlite3").write_bytes(content.replace(value.encode(), b"x" * 40, 1))
    done = place.back_up()
    assert "The database is damaged" in done["msg"]
    assert list(place.archives.glob("*.tar")) == []


def test_a_database_elsewhere_is_not_passed_over(place: Place, docker: Docker) -> None:
    """An old file in the data folder must not pass for it."""
    docker.config["Env"] = ["DATABASE_URL=mysql://u:Nl9xQ@db/v"]
    done = place.back_up()
    assert "DATABASE_URL" in done["msg"]
    assert "Nl9xQ" not in done["printed"]


def test_a_full_disk_is_noticed_before(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing begun."""
    monkeypatch.setattr("shutil.disk_usage", lambda __: type("Usage", (), {"free": 1 << 20}))
    assert "Make room" in place.back_up()["msg"]


def test_old_archives_of_this_container_go(place: Place) -> None:
    """The newest stay, and those of others."""
    place.archives.mkdir()
    other = place.archives / f"{NAME}-old-20200101T000000.000Z.tar"
    other.touch()
    for year in (2020, 2021, 2022):
        (place.archives / f"{NAME}-{year}0101T000000.000Z.tar").touch()
    done = place.back_up(keep=2)
    assert [Path(path).name for path in done["removed"]] == [
        f"{NAME}-20210101T000000.000Z.tar",
        f"{NAME}-20200101T000000.000Z.tar",
    ]
    assert [entry["path"] for entry in done["archives"]] == [
        done["path"],
        str(place.archives / f"{NAME}-20220101T000000.000Z.tar"),
    ]
    assert done["archives"][0]["age_seconds"] < 60
    assert other.exists()


def test_archives_of_a_clock_that_was_ahead_do_not_drive_out_new_ones(place: Place) -> None:
    """They are not the newest either, neither to restore nor to tell how old the newest is."""
    place.archives.mkdir()
    for year in (2020, 2098, 2099):
        (place.archives / f"{NAME}-{year}0101T000000.000Z.tar").touch()
    done = place.back_up(keep=3)
    assert done["removed"] == [str(place.archives / f"{NAME}-20980101T000000.000Z.tar")]
    assert [Path(entry["path"]).name[len(NAME) :][1:5] for entry in done["archives"][1:]] == ["2020", "2099"]
    assert done["archives"][0]["path"] == done["path"]


def test_check_mode_makes_no_backup(place: Place) -> None:
    """And says that it would; asked only to look, it changes nothing."""
    assert place.back_up(_ansible_check_mode=True)["changed"] is True
    assert place.back_up(make=False)["changed"] is False
    assert not place.archives.exists()


@pytest.mark.parametrize("module", [_backup, _restore, vault_backup, vault_restore])
def test_what_runs_on_hosts_is_python_3_8(module: ModuleType) -> None:
    """Formatters like newer forms."""
    ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_program_needs_nothing_but_python(place: Place, tmp_path: Path) -> None:
    """As the timer runs it: no Ansible, no package, its failure in one line and an exit code."""
    program = tmp_path / "backup.py"
    program.write_bytes(Path(_backup.__file__).read_bytes())
    settings = tmp_path / "settings.json"
    wanted = {"container": NAME, "data_dir": str(place.data), "directory": str(place.archives), "keep": 2, "url": ""}
    settings.write_text(json.dumps(wanted))
    run = [sys.executable, "-I", "-S", str(program)]
    made = subprocess.run([*run, "make", str(settings)], capture_output=True, text=True, check=True)
    path = made.stdout.partition(": ")[0]
    assert subprocess.run([*run, "verify", path], capture_output=True, text=True, check=True).stdout == made.stdout
    Path(path).write_bytes(Path(path).read_bytes()[:-30000])
    bad = subprocess.run([*run, "verify", path], capture_output=True, text=True, check=False)
    assert (bad.returncode, "cut off" in bad.stderr, bad.stderr.count("\n")) == (1, True, 1)


# Archives that are not as they should be


def tar(path: Path, members: list[tuple[tarfile.TarInfo | str, bytes]]) -> str:
    """An archive of one's own making."""
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if isinstance(member, str):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def manifest(present: dict[str, bytes], **changes: Any) -> bytes:
    """A manifest for files."""
    entries = [
        {"path": name, "size": len(content), "mode": 0o600, "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in present.items()
    ]
    raw = {
        "format": 1, "created": "2026-01-01T00:00:00.000Z", "container": NAME, "server_version": "1.31.0",
        "schema": SCHEMA, "files": entries, "missing": [], "skipped": [], **changes,
    }  # fmt: skip
    return json.dumps(raw).encode()


def typed(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


DB = b"database"
ONE = {"db.sqlite3": DB}
HUGE = [{"path": "db.sqlite3", "size": 1 << 50, "mode": 0o600, "sha256": "0" * 64}]
BAD: dict[str, tuple[list[tuple[tarfile.TarInfo | str, bytes]], str]] = {
    "empty": ([], "first file is not manifest.json"),
    "no manifest first": ([("db.sqlite3", DB), ("manifest.json", manifest(ONE))], "first file is not manifest.json"),
    "no JSON": ([("manifest.json", b"{")], "manifest cannot be read"),
    "a list": ([("manifest.json", b"[]")], "manifest cannot be read"),
    "deep": ([("manifest.json", b"[" * 100000)], "manifest cannot be read"),
    "format": ([("manifest.json", manifest(ONE, format=2))], "has format 2"),
    "incomplete": ([("manifest.json", b'{"format": 1}')], "manifest is incomplete"),
    "wrong types": ([("manifest.json", manifest(ONE, schema="x"))], "malformed"),
    "no database": ([("manifest.json", manifest({"config.json": b""}))], "no db.sqlite3"),
    "huge": ([("manifest.json", manifest(ONE, files=HUGE))], "claims 1125899906842624 bytes"),
    "negative": ([("manifest.json", manifest(ONE, files=[{**HUGE[0], "size": -1}]))], "malformed at db.sqlite3"),
    "set-uid": ([("manifest.json", manifest(ONE, files=[{**HUGE[0], "mode": 0o4755}]))], "malformed at db.sqlite3"),
    "twice": ([("manifest.json", manifest(ONE, files=[HUGE[0] | {"size": 1}] * 2))], "names a file twice"),
    "missing file": ([("manifest.json", manifest(ONE))], "cut off: 1 files are missing"),
    "one too many": (
        [("manifest.json", manifest(ONE)), ("db.sqlite3", DB), ("attachments/x", b"")],
        "'attachments/x', which its manifest does not name",
    ),
    "same file again": ([("manifest.json", manifest(ONE)), ("db.sqlite3", DB), ("db.sqlite3", DB)], "does not name"),
    "checksum": ([("manifest.json", manifest(ONE)), ("db.sqlite3", b"databasf")], "db.sqlite3 in it is damaged"),
    "size": ([("manifest.json", manifest(ONE)), ("db.sqlite3", b"d")], "has 1 bytes, and the manifest says 8"),
    "symbolic link": (
        [("manifest.json", manifest(ONE)), (typed("db.sqlite3", tarfile.SYMTYPE, "/etc/shadow"), b"")],
        "no plain file",
    ),
    "hard link": (
        [("manifest.json", manifest(ONE)), (typed("db.sqlite3", tarfile.LNKTYPE, "x"), b"")],
        "no plain file",
    ),
    "device": ([("manifest.json", manifest(ONE)), (typed("db.sqlite3", tarfile.BLKTYPE), b"")], "no plain file"),
    "folder": ([("manifest.json", manifest(ONE)), (typed("db.sqlite3", tarfile.DIRTYPE), b"")], "no plain file"),
    "link as manifest": ([(typed("manifest.json", tarfile.SYMTYPE, "x"), b"")], "no plain file"),
}
for _path in (
    "../x", "/etc/passwd", "attachments/../../x", "attachments//x", "attachments", "db.sqlite3-wal", "x",
    "attachments/a\nb",
):  # fmt: skip
    BAD[f"path {_path!r}"] = ([("manifest.json", manifest({**ONE, _path: b""}))], "does not belong into a data folder")


@pytest.mark.parametrize("name", BAD)
def test_malformed_archives_are_refused_before_anything_changes(place: Place, docker: Docker, name: str) -> None:
    """Each with its reason; the server is not stopped, nothing is moved, nothing is written outside."""
    members, reason = BAD[name]
    before = place.names()
    done = place.restore(tar(place.root / "bad.tar", members))
    assert done["failed"] is True
    assert reason in done["msg"]
    assert "Nothing has been restored" in done["msg"]
    assert (place.names(), docker.log) == (before, [])


def test_a_sparse_file_cannot_claim_more_than_there_is(place: Place) -> None:
    """GNU tar's own form of it."""
    big = place.root / "db.sqlite3"
    with big.open("wb") as stream:
        stream.truncate(1 << 30)
    (place.root / "manifest.json").write_bytes(manifest(ONE))
    command = ["tar", "-cSf", "sparse.tar", "manifest.json", "db.sqlite3"]
    subprocess.run(command, cwd=place.root, check=True)
    assert "no plain file" in place.restore(str(place.root / "sparse.tar"))["msg"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_archive_is_refused(place: Place, share: float) -> None:
    """Wherever it was cut, and whatever a compressor made of it."""
    place.add("attachments/c/a", os.urandom(30000))
    whole = Path(place.back_up()["path"]).read_bytes()
    cut = place.root / "cut.tar"
    cut.write_bytes(whole[: int((len(whole) - 10240) * share)])
    done = place.restore(str(cut))
    assert "cannot be used" in done["msg"]
    subprocess.run(["gzip", "-k", str(cut)], check=True)
    assert "cannot be used" in place.restore(f"{cut}.gz")["msg"]


def test_every_flipped_byte_of_content_is_noticed(place: Place) -> None:
    """One in each kilobyte of the archive up to its last file; padding is nobody's content."""
    place.add("attachments/c/a", os.urandom(3000))
    path = place.back_up()["path"]
    whole = Path(path).read_bytes()
    with tarfile.open(path) as archive:
        last = archive.getmembers()
    for member in last:
        for offset in range(member.offset_data, member.offset_data + member.size, 1024):
            changed = bytearray(whole)
            changed[offset] ^= 1
            spoiled = place.root / "spoiled.tar"
            spoiled.write_bytes(changed)
            with pytest.raises(_backup.BackupError):
                _backup.read_archive(str(spoiled))


# Restores


def test_a_restore_brings_back_the_data_of_then(place: Place, docker: Docker) -> None:
    """Files, modes, no -wal of the old database beside the new one; the old data is kept as it was."""
    place.add("attachments/c/a", b"then")
    place.database.execute("INSERT INTO ciphers VALUES ('then')")
    place.back_up()
    place.database.execute("INSERT INTO ciphers VALUES ('later')")
    place.add("attachments/c/a", b"later")
    place.add("icon_cache/i", b"later")
    done = place.restore()
    assert (done["changed"], done["server_version"]) == (True, "1.31.0")
    assert docker.log == ["stop", "start"]
    assert sorted(path.name for path in place.data.iterdir()) == ["attachments", "db.sqlite3", "rsa_key.pem"]
    assert (place.data / "attachments" / "c" / "a").read_bytes() == b"then"
    assert (place.data / "rsa_key.pem").stat().st_mode & 0o777 == 0o600
    assert list(sqlite3.connect(place.data / "db.sqlite3").execute("SELECT uuid FROM ciphers")) == [("then",)]
    aside = Path(done["aside"])
    assert aside.parent == place.data.parent
    assert (aside / "db.sqlite3-wal").exists()
    assert (aside / "icon_cache" / "i").read_bytes() == b"later"
    assert place.restore(state="committed")["changed"] is True
    assert place.restore(state="committed")["changed"] is False
    assert place.restore(state="undone")["changed"] is False
    assert "Nl9xQ" not in done["printed"]


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
def test_an_archive_half_unpacked_goes_with_the_next_restore(place: Place, docker: Docker, inside: bool) -> None:
    """The host went down before the journal knew of it; a folder of another name is nobody's business."""
    place.back_up()
    left = place.data / ".restoring-x" if inside else Path(f"{place.data}.restoring-x")
    other = Path(f"{place.data}2.restoring-x")
    for folder in (left, other):
        folder.mkdir()
        (folder / "db.sqlite3").write_text("half")
    assert place.restore()["changed"] is True
    assert not left.exists()
    assert other.exists()


def test_a_damaged_journal_stops_a_restore(place: Place, docker: Docker) -> None:
    """Whether there is something to undo cannot be told any more."""
    place.back_up()
    (place.archives / f".restore-{NAME}.json").write_text('{"step": ')
    before = place.names()
    done = place.restore()
    assert done["failed"] is True
    assert "is damaged" in done["msg"]
    assert "Nothing has been restored" in done["msg"]
    assert (place.names(), docker.log) == (before, [])


def test_a_restore_that_was_not_proven_can_be_undone(place: Place, docker: Docker) -> None:
    """Everything as it was, the server on its old data, and what it was told since is kept."""
    place.back_up()
    place.add("icon_cache/i", b"later")
    before = place.names()
    place.restore()
    assert place.names() != before
    place.add("attachments/c/new", b"written since")
    undone = place.restore(state="undone")
    assert undone["changed"] is True
    assert place.names() == before
    assert place.kept() == ["attachments", "attachments/c", "attachments/c/new", "db.sqlite3", "rsa_key.pem"]
    assert f"kept in {place.data}.failed-restore-" in undone["kept"]
    assert (docker.running, docker.log) == (True, ["stop", "start", "stop", "start"])


def test_a_server_that_does_not_answer_gets_its_old_data_back(place: Place, docker: Docker) -> None:
    """With the end of its log in the message."""
    place.back_up()
    place.add("icon_cache/i", b"later")
    before = place.names()
    docker.starts = ["exits"]
    done = place.restore()
    assert done["failed"] is True
    assert "was undone" in done["msg"]
    assert "the reason" in done["msg"]
    assert (place.names(), docker.running) == (before, True)


def test_an_engine_that_does_not_answer_is_not_taken_for_one_without_the_server(place: Place, docker: Docker) -> None:
    """The server may run, and would write into files that are moved or gone."""
    place.back_up()
    place.add("icon_cache/i", b"later")
    before = place.names()
    docker.down = True
    done = place.restore()
    assert done["failed"] and "docker daemon running? Nothing has been restored." in done["msg"], done["msg"]
    assert "internal_error" not in done and place.names() == before
    docker.down = False
    place.restore()
    after, docker.down = place.names(), True
    undone = place.restore(state="undone")
    assert "could not be put back" in undone["msg"] and place.names() == after
    docker.down = False
    assert place.restore(state="undone")["changed"] and (place.names(), docker.running) == (before, True)


def test_an_error_of_its_own_while_it_undoes_still_says_where_the_data_is(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of the exception may quote what it read."""
    place.back_up()
    docker.starts = ["exits"]

    def broken(__: _restore.Restore) -> None:
        raise KeyError(KEY)

    monkeypatch.setattr(_restore.Restore, "back", broken)
    done = place.restore()
    assert "The old data is in" in done["msg"] and "KeyError in undoing the step starting" in done["msg"]
    assert "Nl9xQ" not in done["msg"]


@pytest.mark.parametrize("step", ["staged", "stopping", "emptying", "filling", "starting", "clearing", "returning"])
def test_a_restore_that_was_cut_off_is_undone_by_the_next(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At every step, in the middle of the moves as well; then the next restore does its own.

    But for one that was cut off after its server had started, since users may have written since: it is refused.
    """
    place.back_up()
    for name in ("icon_cache/i", "attachments/c/a", "sends/s/f"):
        place.add(name, b"later")
    before = place.names()
    real_write, real_rename = _restore.Journal.write, os.rename
    moves: list[str] = []

    def write(self: _restore.Journal, record: _restore.Record) -> None:
        real_write(self, record)
        if record.step == step and step not in ("emptying", "filling", "clearing", "returning"):
            raise KeyboardInterrupt
        moves.clear()

    def rename(source: str, target: str) -> None:
        if json.loads((place.archives / f".restore-{NAME}.json").read_text())["step"] == step and moves:
            raise KeyboardInterrupt
        moves.append(source)
        real_rename(source, target)

    docker.starts = ["exits"] if step in ("clearing", "returning") else []
    with monkeypatch.context() as patch:
        patch.setattr(_restore.Journal, "write", write)
        patch.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            place.restore()
    docker.starts = []
    # An archive that is none undoes nothing.
    cut_off = place.names()
    (place.archives / "none.tar").write_bytes(b"none")
    assert "cannot be used" in place.restore("none.tar")["msg"] and place.names() == cut_off
    if step == "starting":
        place.add("attachments/c/new", b"written since")
        refused = place.restore()["msg"]
        assert "vaultwarden_backup_unfinished=keep" in refused and "=undo" in refused
        assert place.restore(state="undone")["changed"] is True
        assert "attachments/c/new" in place.kept()
    # The next one puts the old data back before it compares releases.
    assert "Nothing has been restored" in place.restore(version="1.28.1")["msg"]
    assert (place.names(), docker.running) == (before, True)
    assert "failed" not in place.restore()


def cut_off_at(place: Place, monkeypatch: pytest.MonkeyPatch, step: str, announced: bool = True) -> None:
    """Run a restore whose process ends when its journal has announced a step, or just before."""
    real_write = _restore.Journal.write

    def write(self: _restore.Journal, record: _restore.Record) -> None:
        if announced or record.step != step:
            real_write(self, record)
        if record.step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_restore.Journal, "write", write)
        with pytest.raises(KeyboardInterrupt):
            place.restore()


@pytest.mark.parametrize("announced", [True, False])
def test_a_server_started_on_the_emptied_directory_leaves_nothing_beside_the_old_database(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    """Its -wal would be played back into the old database, and pass every check of it."""
    place.database.executemany("INSERT INTO ciphers VALUES (?)", [(f"user-{number}",) for number in range(400)])
    place.back_up()
    place.database.close()
    cut_off_at(place, monkeypatch, "filling", announced)
    stranger = sqlite3.connect(place.data / "db.sqlite3", isolation_level=None)
    stranger.execute("PRAGMA journal_mode = WAL")
    stranger.execute("CREATE TABLE ciphers (uuid TEXT PRIMARY KEY)")
    stranger.executemany("INSERT INTO ciphers VALUES (?)", [(f"stranger-{number}",) for number in range(300)])
    assert (place.data / "db.sqlite3-wal").exists()
    docker.running = True
    assert place.restore(state="undone")["changed"] is True
    stranger.close()
    found = sqlite3.connect(place.data / "db.sqlite3").execute("SELECT count(*), min(uuid) FROM ciphers").fetchone()
    assert found == (400, "user-0")


@pytest.mark.parametrize("step", ["emptying", "filling", "starting", "started"])
def test_unfinished_work_is_named(place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    place.back_up()
    assert _restore.unfinished(str(place.archives), NAME) == ""
    cut_off_at(place, monkeypatch, step)
    told = _restore.unfinished(str(place.archives), NAME)
    assert "playbooks/restore.yml" in told and f"{place.data}.before-restore-" in told
    assert ("vaultwarden_backup_unfinished=keep" in told) is (step in _restore.SERVED)
    kept = place.restore(state="committed")
    if step in _restore.SERVED:
        assert kept["changed"] and "The data from before is in" in kept["kept"]
    else:
        assert "there is nothing to keep" in kept["msg"]
        place.restore(state="undone")
    assert _restore.unfinished(str(place.archives), NAME) == ""


def test_a_refused_restore_makes_no_directory(place: Place, docker: Docker) -> None:
    """The journal's is made when there is something to write down."""
    place.back_up()
    journal = place.root / "state" / "journal"
    assert "from release 1.31.0" in place.restore(version="1.28.1", journal_directory=str(journal))["msg"]
    assert not journal.parent.exists()
    place.restore(journal_directory=str(journal))
    assert (journal / f".restore-{NAME}.json").exists()


def test_a_link_in_the_place_of_an_unpacked_archive_is_removed_alone(place: Place, docker: Docker) -> None:
    """The server can make one in its own directory."""
    place.back_up()
    other = place.root / "other"
    other.mkdir()
    (other / "file").touch()
    (place.data / ".restoring-x").symlink_to(other)
    assert place.restore()["changed"] is True
    assert (other / "file").exists() and not (place.data / ".restoring-x").is_symlink()


def test_an_archive_is_unpacked_inside_the_data_only_after_the_stop(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server owns the directory above, and could put links in the place of what root unpacks."""
    place.back_up()
    states: list[bool] = []
    real = _restore.unpack

    def unpack(*arguments: Any) -> Any:
        states.append(docker.running)
        return real(*arguments)

    monkeypatch.setattr(_restore, "unpack", unpack)
    place.restore()
    assert states == [True]
    place.restore(state="committed")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(place.data))
    assert "failed" not in place.restore()
    assert states == [True, False]


def test_data_with_a_file_system_inside_is_refused_before_the_stop(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add("attachments/c/a")
    place.back_up()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(place.data / "attachments"))
    assert "attachments is a file system of its own" in place.restore()["msg"]
    assert docker.log == []


def test_migrations_that_the_present_server_does_not_have_are_refused(place: Place, docker: Docker) -> None:
    """Its database tells which it has. Without a server the present data says nothing."""
    place.back_up()
    place.database.execute("DELETE FROM __diesel_schema_migrations WHERE version = ?", SCHEMA[1:])
    done = place.restore()
    assert f"the last is {SCHEMA[1]}" in done["msg"]
    assert docker.log == []
    docker.exists = False
    assert "failed" not in place.restore()


def test_an_empty_host_gets_the_data_alone(place: Place, docker: Docker) -> None:
    """No container is started that is not there; the folder is made."""
    place.back_up()
    docker.exists = False
    done = place.restore(data_dir=str(place.root / "new" / "data"))
    assert done["changed"] is True
    assert (place.root / "new" / "data" / "db.sqlite3").exists()
    assert (place.root / "new" / "data").stat().st_mode & 0o777 == 0o700
    assert docker.log == []


def test_a_host_without_an_engine_is_an_empty_one(
    place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is missing must not end the module."""
    place.back_up()
    monkeypatch.setattr("shutil.which", lambda __: None)
    assert place.restore(data_dir=str(place.root / "new" / "data"))["changed"] is True
    assert "is not there" in place.restore("none.tar")["msg"]
    assert place.back_up()["server_version"] == ""
    assert docker.log == []


def test_a_full_disk_refuses_the_restore(place: Place, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the old data is kept."""
    place.back_up()
    monkeypatch.setattr("shutil.disk_usage", lambda __: type("Usage", (), {"free": 1 << 20}))
    assert "Make room. Nothing has been restored." in place.restore()["msg"]
    assert docker.log == []


def test_check_mode_judges_the_archive_and_changes_nothing(place: Place, docker: Docker) -> None:
    """An archive that would be refused is refused."""
    place.back_up()
    before = place.names()
    assert place.restore(_ansible_check_mode=True)["changed"] is True
    assert "from release 1.31.0" in place.restore(_ansible_check_mode=True, version="1.28.1")["msg"]
    assert place.restore(_ansible_check_mode=True, state="undone")["changed"] is False
    assert (place.names(), docker.log) == (before, [])


@pytest.mark.parametrize(
    ("archive", "text"), [("", "No archive is named"), ("newest", "newest is not there"), ("x.tar", "x.tar")]
)
def test_an_archive_that_is_not_there_is_answered_with_those_that_are(place: Place, archive: str, text: str) -> None:
    """Nothing is guessed."""
    if archive != "newest":
        place.back_up()
    done = place.restore(archive)
    assert text in done["msg"]
    assert (f"{NAME}-2" in done["msg"]) is (archive != "newest")


@pytest.mark.parametrize(
    ("archived", "server", "rows", "problem"),
    [
        ("1.31.0", "1.31.0", SCHEMA, ""),
        ("1.28.1", "1.37.2", [*SCHEMA, "x"], ""),
        ("1.37.2", "1.37.1", None, "from release 1.37.2"),
        ("1.31.0", "1.31.0", SCHEMA[:1], "1 migrations that this server does not have"),
        ("", "1.31.0", None, "cannot be told"),
        ("", "1.31.0", SCHEMA, ""),
        ("1.31.0", "", SCHEMA, ""),
        ("1.31.0", "", None, "cannot be told"),
    ],
)  # fmt: skip
def test_an_archive_newer_than_the_server_is_refused(
    archived: str, server: str, rows: list[str] | None, problem: str
) -> None:
    """By release, and by the migrations that its database went through."""
    known = _backup.parse_manifest(manifest(ONE, server_version=archived))
    found = _restore.newer_problem(known, server, rows) or ""
    assert problem in found
    assert bool(problem) is bool(found)


def test_a_data_folder_that_is_a_file_system_keeps_everything_inside(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be moved across; the second restore leaves the first one's old data alone."""
    place.back_up()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(place.data))
    first = Path(place.restore()["aside"])
    assert first.parent == place.data
    assert first.name.startswith(".before-restore-")
    first.rename(place.data / ".before-restore-earlier")
    place.restore(state="committed")
    place.restore()
    assert (place.data / ".before-restore-earlier" / "db.sqlite3").exists()
