# SPDX-License-Identifier: GPL-3.0-or-later
"""The swap of containers against an engine made of a dictionary: every step can fail, be cut off, and is undone."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _swap
from ansible_collections.vaultwire.stack.plugins.module_utils._commands import CommandTimeout
from ansible_collections.vaultwire.stack.plugins.module_utils._swap import Engine, Journal, Record, Swap, SwapError

OLD, NEW = "old-id", "new-id"
BEFORE = {"db.sqlite3": "old database", "db.sqlite3-wal": "not yet in it", "rsa_key.pem": "key", "config.json": "{}"}


class Killed(BaseException):
    """The worker is killed: nothing of it runs any further."""


class FakeEngine:
    """Containers as a dictionary; starting the new one writes to the data, as a migration does."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.fail_at = ""
        self.mounts_secrets = True
        self.containers: dict[str, dict[str, Any]] = {
            OLD: {"Name": "/vault", "Status": "running", "Restart": "always"},
            NEW: {"Name": "/vault.next", "Status": "created", "Restart": "unless-stopped"},
        }

    def run(self, command: list[str]) -> tuple[int, str, str]:
        """What AnsibleModule.run_command would return."""
        verb = command[1]
        if verb == self.fail_at:
            return 1, "", f"{verb} refused"
        return 0, getattr(self, f"do_{verb}", lambda *__: "")(*command[2:]), ""

    def find(self, key: str) -> str:
        """Identifier of a container given by identifier or name."""
        return next((i for i, c in self.containers.items() if key in (i, c["Name"].lstrip("/"))), "")

    def do_rename(self, key: str, name: str) -> str:
        assert not self.find(name), f"the name {name} is taken"
        self.containers[self.find(key)]["Name"] = f"/{name}"
        return ""

    def do_update(self, _option: str, policy: str, key: str) -> str:
        self.containers[self.find(key)]["Restart"] = policy
        return ""

    def do_stop(self, *arguments: str) -> str:
        self.containers[self.find(arguments[-1])]["Status"] = "exited"
        return ""

    def do_start(self, key: str) -> str:
        identifier = self.find(key)
        others = [c for i, c in self.containers.items() if i != identifier and c["Status"] == "running"]
        assert not others, "two servers on one database"
        self.containers[identifier]["Status"] = "running"
        if identifier == NEW:
            (self.data_dir / "db.sqlite3").write_text("migrated")
            (self.data_dir / "db.sqlite3-wal").unlink(missing_ok=True)
            (self.data_dir / "db.sqlite3-shm").write_text("new")
        return ""

    def do_rm(self, *arguments: str) -> str:
        self.containers.pop(self.find(arguments[-1]))
        return ""


class FakeInspect(Engine):
    """The engine's commands, with inspection answered from the dictionary."""

    def __init__(self, fake: FakeEngine) -> None:
        super().__init__(fake.run)
        self.fake = fake

    def inspect(self, container: str) -> dict[str, Any] | None:
        identifier = self.fake.find(container)
        if not identifier:
            return None
        found = self.fake.containers[identifier]
        state = {"Status": found["Status"], "ExitCode": 1}
        mounts = [{"Source": str(self.fake.data_dir.parent / "etc" / "secrets")}] if self.fake.mounts_secrets else []
        return {"Id": identifier, "Name": found["Name"], "State": state, "Mounts": mounts}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Data of the old server, and a proxy's configuration."""
    data = tmp_path / "data"
    (data / "attachments").mkdir(parents=True)
    (data / "attachments" / "a").write_text("kept")
    for name, text in BEFORE.items():
        (data / name).write_text(text)
    (tmp_path / "proxy" / "conf.d").mkdir(parents=True)
    (tmp_path / "proxy" / "conf.d" / "site.conf").write_text("old route")
    (tmp_path / "proxy" / "enabled").symlink_to("conf.d/site.conf")
    for folder, text in (("secrets", "old secret"), ("secrets.next", "new secret")):
        (tmp_path / "etc" / folder).mkdir(parents=True, mode=0o700)
        (tmp_path / "etc" / folder / "admin_token").write_text(text)
        (tmp_path / "etc" / folder / "admin_token").chmod(0o400)
    return tmp_path


@pytest.fixture
def fake(place: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """The engine; a server answers when its container runs."""
    made = FakeEngine(place / "data")
    monkeypatch.setattr(_swap, "PORT_SECONDS", 0)

    def wait(engine: Engine, container: str, _url: str, _timeout: float) -> None:
        found = engine.inspect(container)
        if container == NEW and made.fail_at == "alive":
            raise SwapError("it does not answer")
        assert found is not None
        assert found["State"]["Status"] == "running"

    monkeypatch.setattr(_swap, "wait_alive", wait)
    monkeypatch.setattr(_swap, "_answers", lambda _url: made.containers.get(NEW, {}).get("Status") == "running")
    return made


def make(place: Path, fake: FakeEngine) -> Swap:
    """A swap that has not begun, or the one that the journal holds."""
    journal = Journal(str(place / "upgrades"))
    record = journal.read() or Record(
        name="vault", old_id=OLD, new_id=NEW, source="1.28.1", target="1.37.2", data_dir=str(place / "data"),
        folder=str(place / "upgrades" / "copy"), uid=os.getuid(), gid=os.getgid(), old_url="http://old",
        new_url="http://new", timeout=1, old_restart="always", proxy_dir=str(place / "proxy"), proxy_service="none",
        secrets_dir=str(place / "etc" / "secrets"),
    )  # fmt: skip
    return Swap(FakeInspect(fake), journal, record, fake.run)


def secrets_in(place: Path) -> dict[str, str]:
    """Folders of secrets -> what they hold; nobody else may look into them."""
    folders = sorted((place / "etc").iterdir())
    for folder in folders:
        assert (folder.stat().st_mode & 0o777, (folder / "admin_token").stat().st_mode & 0o777) == (0o700, 0o400)
    return {folder.name: (folder / "admin_token").read_text() for folder in folders}


def assert_as_before(place: Path, fake: FakeEngine) -> None:
    """The old server runs under its name, with its data and its policy; nothing of the new one is left."""
    assert fake.containers == {OLD: {"Name": "/vault", "Status": "running", "Restart": "always"}}
    data = place / "data"
    assert {path.name: path.read_text() for path in data.iterdir() if path.is_file()} == BEFORE
    assert (data / "attachments" / "a").read_text() == "kept"
    assert (place / "proxy" / "conf.d" / "site.conf").read_text() == "old route"
    assert (place / "proxy" / "enabled").is_symlink()
    assert secrets_in(place) == {"secrets": "old secret"}
    assert {path.name for path in (place / "upgrades").glob("copy/*")} <= {"failed"}
    assert json.loads((place / "upgrades" / "journal.json").read_text())["step"] == "rolled_back"


def test_the_swap_keeps_the_old_server_until_it_is_told(place: Path, fake: FakeEngine) -> None:
    """Stopped, renamed, and without a policy that would bring it back after a reboot."""
    swap = make(place, fake)
    swap.forward()
    assert swap.record.step == "healthy"
    assert fake.containers[NEW] == {"Name": "/vault", "Status": "running", "Restart": "unless-stopped"}
    assert fake.containers[OLD] == {"Name": "/vault.old", "Status": "exited", "Restart": "no"}
    copy = place / "upgrades" / "copy" / "data"
    assert {path.name: path.read_text() for path in copy.iterdir()} == BEFORE
    assert set(swap.record.milliseconds) == {"stop", "copy", "start", "boot", "outage"}
    assert secrets_in(place) == {"secrets": "new secret", "secrets.old": "old secret"}
    swap.commit(keep=3)
    assert list(fake.containers) == [NEW]
    assert secrets_in(place) == {"secrets": "new secret"}
    assert [path.name for path in (place / "upgrades" / "copy").iterdir()] == ["data"]
    assert (place / "data" / "db.sqlite3").read_text() == "migrated"


@pytest.mark.parametrize("verb", ["update", "stop", "start", "alive"])
def test_a_step_that_fails_is_undone(place: Path, fake: FakeEngine, verb: str) -> None:
    """The message names the cause; the old server runs as if nothing had been."""
    fake.fail_at = verb
    swap = make(place, fake)
    if verb in ("update", "start"):
        # The engine itself is broken: even undoing needs it, so the next run has to finish that.
        with pytest.raises(SwapError, match="refused"):
            swap.forward()
        fake.fail_at = ""
        assert _swap.recover(make(place, fake), "1.37.2") == "rolled_back"
    else:
        with pytest.raises(SwapError, match="failed"):
            swap.forward()
    assert_as_before(place, fake)


@pytest.mark.parametrize("error", [CommandTimeout(["docker", "start", OLD], 120), KeyError("hunter2"), OSError("full")])
def test_undoing_that_fails_says_that_the_server_may_be_down(
    place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A command that hung says nothing of the vault; and the next run goes on."""
    fake.fail_at = "alive"

    def fails(__: Swap) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Swap, "_old_server_again", fails)
        with pytest.raises(SwapError) as told:
            make(place, fake).forward()
    said = str(told.value)
    assert "The server may be down." in said and f"in {place / 'data'}, " in said and "upgrade.yml again" in said
    assert "it does not answer" in said and "hunter2" not in said
    assert _swap.recover(make(place, fake), "1.37.2") == "rolled_back"
    assert_as_before(place, fake)


def test_a_full_disk_during_the_copy_is_undone(place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a copy goes, since it may be what filled the disk."""
    original = shutil.copy2

    def full(source: str, target: str, **options: Any) -> Any:
        if source.endswith("rsa_key.pem") and "upgrades" in target:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(source, target, **options)

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(SwapError, match="No space left"):
        make(place, fake).forward()
    assert_as_before(place, fake)
    assert not (place / "upgrades" / "copy" / "data").exists()


@pytest.mark.parametrize("killed_at", _swap.STEPS)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "undone twice"])
def test_a_swap_that_is_cut_off_is_undone_by_the_next_run(
    place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, killed_at: str, twice: bool
) -> None:
    """Wherever it was killed, right after it had announced a step; the undoing itself may be cut off as well."""
    swap = make(place, fake)
    write = swap.journal.write

    def kill(record: Record) -> None:
        write(record)
        if record.step == killed_at:
            raise Killed

    monkeypatch.setattr(swap.journal, "write", kill)
    with pytest.raises(Killed):
        swap.forward()
    if twice:
        again = make(place, fake)
        monkeypatch.setattr(again, "_old_server_again", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            _swap.recover(again, "another")
    assert _swap.recover(make(place, fake), "another") == "rolled_back"
    assert_as_before(place, fake)
    assert _swap.recover(make(place, fake), "another") == "none"


def test_undoing_twice_keeps_what_the_old_server_wrote_in_between(
    place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the old server's start and the last entry of the journal: its new data must stay."""
    swap = make(place, fake)
    swap.forward()
    write = swap.journal.write

    def kill(record: Record) -> None:
        if record.step == "rolled_back":
            raise Killed
        write(record)

    monkeypatch.setattr(swap.journal, "write", kill)
    with pytest.raises(Killed):
        swap.back("no proof")
    (place / "data" / "db.sqlite3").write_text("written since")
    assert _swap.recover(make(place, fake), "1.37.2") == "rolled_back"
    assert (place / "data" / "db.sqlite3").read_text() == "written since"


def test_one_that_only_lacks_its_proof_is_kept_for_it(place: Path, fake: FakeEngine) -> None:
    """The next run goes on to the proxy and the proofs; towards another release it is undone."""
    make(place, fake).forward()
    assert _swap.recover(make(place, fake), "1.37.2") == "unproven"
    assert _swap.recover(make(place, fake), "1.36.0") == "rolled_back"
    assert_as_before(place, fake)


def test_a_rollback_puts_the_proxy_back_and_keeps_the_new_data_aside(place: Path, fake: FakeEngine) -> None:
    """Changed files as they were, added ones gone, removed ones there again."""
    swap = make(place, fake)
    swap.forward()
    (place / "proxy" / "conf.d" / "site.conf").write_text("new route")
    (place / "proxy" / "conf.d" / "added.conf").write_text("x")
    (place / "proxy" / "enabled").unlink()
    swap.back("no proof")
    assert_as_before(place, fake)
    assert sorted(path.name for path in (place / "proxy" / "conf.d").iterdir()) == ["site.conf"]
    assert (place / "upgrades" / "copy" / "failed" / "db.sqlite3").read_text() == "migrated"


def test_a_server_that_had_no_secrets_there_has_none_afterwards(place: Path, fake: FakeEngine) -> None:
    """One that was made by hand: the folder was made for the new container only."""
    shutil.rmtree(place / "etc" / "secrets")
    (place / "etc" / "secrets").mkdir(mode=0o700)
    swap = make(place, fake)
    swap.record.secrets_new = True
    swap.forward()
    assert (place / "etc" / "secrets" / "admin_token").read_text() == "new secret"
    swap.back("no proof")
    assert not (place / "etc").exists()


@pytest.mark.parametrize("between", [0, 1], ids=["before both moves", "between them"])
def test_secrets_are_put_back_wherever_their_exchange_was_cut_off(
    place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    """Two moves, and neither loses anything."""
    moves: list[str] = []
    rename = os.rename

    def kill(source: str, target: str) -> None:
        if len(moves) == between:
            raise Killed
        moves.append(source)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", kill)
        with pytest.raises(Killed):
            make(place, fake).forward()
    assert _swap.recover(make(place, fake), "another") == "rolled_back"
    assert_as_before(place, fake)


def test_old_secrets_that_a_commit_left_are_not_taken_for_those_of_now(place: Path, fake: FakeEngine) -> None:
    """They belong to a server that is gone."""
    shutil.copytree(place / "etc" / "secrets.next", place / "etc" / "secrets.old")
    swap = make(place, fake)
    swap.forward()
    swap.back("no proof")
    assert_as_before(place, fake)


@pytest.mark.parametrize("managed", [True, False], ids=["managed", "made by hand"])
def test_what_was_prepared_for_a_swap_that_never_began_goes(place: Path, fake: FakeEngine, managed: bool) -> None:
    """The container, unless it was started, and its secrets; those in use stay."""
    fake.mounts_secrets = managed
    if not managed:
        shutil.rmtree(place / "etc" / "secrets")
        (place / "etc" / "secrets").mkdir()
    secrets = str(place / "etc" / "secrets")
    assert _swap.discard(FakeInspect(fake), "vault", secrets)
    assert list(fake.containers) == [OLD]
    assert (place / "etc").exists() is managed
    assert not managed or secrets_in(place) == {"secrets": "old secret"}
    assert not _swap.discard(FakeInspect(fake), "vault", secrets)


def test_a_stopped_engine_is_no_reason_to_end_before_it_is_started(place: Path) -> None:
    """But it is not taken for one that has no container."""
    stopped = Engine(lambda command: (1, "", "Cannot connect to the Docker daemon. Is the docker daemon running?"))
    assert not _swap.discard(stopped, "vault", str(place / "etc" / "secrets"))
    assert set(secrets_in(place)) == {"secrets", "secrets.next"}
    with pytest.raises(SwapError, match="Is the docker daemon running"):
        stopped.inspect("vault")


@pytest.mark.parametrize(
    "answer", [(127, "", "docker is not installed"), (1, "[]", "Error response from daemon: No such container: vault")]
)
def test_a_container_that_is_not_there_is_none(answer: tuple[int, str, str]) -> None:
    """As the engine says it, and as it is without one."""
    assert Engine(lambda command: answer).inspect("vault") is None


def test_a_container_that_was_started_is_not_dropped(place: Path, fake: FakeEngine) -> None:
    """Whoever gave it that name uses it."""
    fake.containers[NEW]["Status"] = "exited"
    assert not _swap.discard(FakeInspect(fake), "vault", "")
    assert NEW in fake.containers


def test_the_owner_of_the_data_changes_and_comes_back(
    place: Path, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data of root for a server without root, and root's again afterwards."""
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    os.lchown(place / "data" / "attachments" / "a", 4321, 4322)
    (place / "data").chmod(0o755)
    swap = make(place, fake)
    swap.record.uid, swap.record.gid = 12345, 12346
    swap.forward()
    owners = {
        (path.stat().st_uid, path.stat().st_gid)
        for path in (place / "data").rglob("*")
        if path.name != "db.sqlite3-shm"
    }
    assert owners == {(12345, 12346)}
    assert (place / "data").stat().st_mode & 0o777 == 0o700
    swap.back("no proof")
    assert (place / "data").stat().st_mode & 0o777 == 0o755
    assert ((place / "data").stat().st_uid, (place / "data" / "db.sqlite3").stat().st_uid) == (0, 0)
    attachment = (place / "data" / "attachments" / "a").stat()
    assert (attachment.st_uid, attachment.st_gid) == (4321, 4322)
    assert_as_before(place, fake)


def test_only_the_newest_copies_are_kept(place: Path, fake: FakeEngine) -> None:
    """Old ones go when a new release is proven, not before."""
    for name in ("a", "b"):
        (place / "upgrades" / name).mkdir(parents=True)
    swap = make(place, fake)
    swap.forward()
    swap.commit(keep=2)
    assert sorted(path.name for path in (place / "upgrades").iterdir() if path.is_dir()) == ["b", "copy"]


def test_a_copy_that_would_not_fit_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is touched, with the variable that helps."""
    assert _swap.space_problem(str(place / "data"), str(place / "not" / "yet")) is None
    usage = shutil.disk_usage(place)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert "vaultwarden_upgrade_dir" in (_swap.space_problem(str(place / "data"), str(place / "upgrades")) or "")
