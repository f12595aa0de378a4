# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that change as one: written and proven, or put back; secrets that arrive as they are."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _files
from ansible_collections.vaultwire.stack.plugins.modules import checked_files, secret_files
from tests.unit.fake_module import run_module

ADDED = "user www;\nworker_rlimit_nofile 20;\nevents {\n\tworker_connections 768;\n}\n"
CONF = "user www;\nevents {\n\tworker_connections 768;\n}\n"


def checked(tmp_path: Path, check: list[str], **more: Any) -> dict[str, Any]:
    """Run checked_files over one file."""
    arguments: dict[str, Any] = {
        "files": [{"path": str(tmp_path / "site.conf"), "content": "new\n"}],
        "check": check,
        "marker": str(tmp_path / "run" / "reload"),
        **more,
    }
    return run_module(checked_files.main, **arguments)


def test_new_content_is_written_and_remembered(tmp_path: Path) -> None:
    """The marker stays until the reload, and makes the next run report a change again."""
    assert checked(tmp_path, ["true"])["changed"] is True
    assert (tmp_path / "site.conf").read_text() == "new\n"
    again = checked(tmp_path, ["true"])
    assert (again["changed"], again["written"], again["pending"]) == (True, [], True)
    (tmp_path / "run" / "reload").unlink()
    assert checked(tmp_path, ["false"])["changed"] is False


def test_a_refusal_puts_everything_back(tmp_path: Path) -> None:
    """Content and mode as before, files that were not there gone, the checker's words in the message."""
    old = tmp_path / "site.conf"
    old.write_text("old\n")
    old.chmod(0o640)
    files = [{"path": str(old), "content": "new\n"}, {"path": str(tmp_path / "other.conf"), "content": "x"}]
    done = checked(tmp_path, ["sh", "-c", "echo unknown directive >&2; exit 1"], files=files)
    assert done["failed"] is True
    assert "unknown directive" in done["msg"]
    assert "files are as they were" in done["msg"]
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("old\n", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "site.conf"]
    assert not (tmp_path / "run" / "reload").exists()


def test_a_missing_checker_puts_everything_back(tmp_path: Path) -> None:
    """Not being able to prove it is no proof."""
    done = checked(tmp_path, ["/nonexistent/checker"])
    assert done["failed"] is True
    assert not (tmp_path / "site.conf").exists()


def test_check_mode_shows_and_writes_nothing(tmp_path: Path) -> None:
    """The difference is there to be read."""
    done = checked(tmp_path, ["false"], _ansible_check_mode=True, _ansible_diff=True)
    assert done["changed"] is True
    assert done["diff"][0]["after"] == "new\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_wanted_goes(tmp_path: Path) -> None:
    """And the next run has nothing to do."""
    (tmp_path / "site.conf").write_text("old\n")
    files = [{"path": str(tmp_path / "site.conf"), "state": "absent"}]
    assert checked(tmp_path, ["true"], files=files)["changed"] is True
    (tmp_path / "run" / "reload").unlink()
    assert checked(tmp_path, ["true"], files=files)["changed"] is False


def test_a_crash_in_the_middle_puts_everything_back(tmp_path: Path) -> None:
    """Whatever kind of failure it is."""
    first, second = tmp_path / "first", tmp_path / "missing" / "second"
    first.write_text("old")
    changes = [
        (_files.Wanted(str(path), b"new", 0o644, os.getuid(), os.getgid()), _files.read_file(str(path)))
        for path in (first, second)
    ]
    with pytest.raises(OSError, match="missing"):
        _files.apply_checked(changes, lambda: None)
    assert first.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file that is written finds no room."""
    calls: list[int] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("full")
def test_a_full_disk_changes_no_file(tmp_path: Path) -> None:
    """Not even the one that there was room for, and nobody needs room to put things back."""
    paths = tmp_path / "one.conf", tmp_path / "two.conf"
    for path in paths:
        path.write_text("old\n")
    done = checked(tmp_path, ["true"], files=[{"path": str(path), "content": "new\n"} for path in paths])
    assert done["failed"] is True
    assert "No space left on device" in done["msg"]
    assert "true says" not in done["msg"]
    assert [path.read_text() for path in paths] == ["old\n", "old\n"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.conf", "run", "two.conf"]
    assert not (tmp_path / "run" / "reload").exists()


def test_what_a_crash_left_is_taken_by_the_next_run(tmp_path: Path) -> None:
    """A file half written, or a link that somebody put in its place."""
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / ".vaultwire-site.conf").symlink_to(tmp_path / "elsewhere")
    assert checked(tmp_path, ["true"])["changed"] is True
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run", "site.conf"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (_files.Limit("f", "worker_connections", 9000), CONF.replace("768", "9000")),
        (_files.Limit("f", "worker_connections", 700), CONF),
        (_files.Limit("f", "worker_rlimit_nofile", 20, "^events"), ADDED),
        (_files.Limit("f", "worker_rlimit_nofile", 20), CONF),
    ],
    ids=["raised", "high enough", "added", "no place"],
)  # fmt: skip
def test_a_limit_is_raised_and_never_lowered(limit: _files.Limit, expected: str) -> None:
    """Once done, there is nothing left to do."""
    assert _files.raise_limit(CONF, limit) == expected
    assert _files.raise_limit(expected, limit) == expected


def test_limits_of_one_file_are_raised_together(tmp_path: Path) -> None:
    """Two directives of one file do not undo each other; a file that is missing is passed over."""
    conf = tmp_path / "nginx.conf"
    conf.write_text(CONF)
    limits = [
        {"path": str(conf), "directive": "worker_connections", "minimum": 9000},
        {"path": str(conf), "directive": "worker_rlimit_nofile", "minimum": 9500, "before": "^events"},
        {"path": str(tmp_path / "none.conf"), "directive": "x", "minimum": 1},
    ]
    assert checked(tmp_path, ["true"], limits=limits)["changed"] is True
    assert conf.read_text() == CONF.replace("768", "9000").replace("events", "worker_rlimit_nofile 9500;\nevents")


def secrets(directory: Path, values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run secret_files with the owner that runs the tests."""
    return run_module(
        secret_files.main, directory=str(directory), secrets=values, uid=os.getuid(), gid=os.getgid(), **more
    )


def test_secrets_arrive_byte_for_byte_and_stay_private(tmp_path: Path) -> None:
    """No line break is added, nobody else may read, and nothing of the value is printed."""
    token = "pl$ain 'to\"ken` {{ x }} \\ \u00e4"
    directory = tmp_path / "config" / "secrets"
    done = secrets(directory, {"admin_token": token})
    assert (done["changed"], done["written"]) == (True, ["admin_token"])
    assert (directory / "admin_token").read_bytes() == token.encode()
    assert (directory.stat().st_mode & 0o777, (directory / "admin_token").stat().st_mode & 0o777) == (0o700, 0o400)
    assert 'to\\"ken' not in done["printed"]
    assert secrets(directory, {"admin_token": token})["changed"] is False


def test_secrets_that_are_gone_are_removed(tmp_path: Path) -> None:
    """A revoked secret must not lie around."""
    secrets(tmp_path / "s", {"a": "1", "b": "2"})
    done = secrets(tmp_path / "s", {"a": "1"})
    assert (done["removed"], done["written"]) == (["b"], [])
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["a"]


def test_check_mode_writes_no_secret(tmp_path: Path) -> None:
    """And says which file it would be."""
    done = secrets(tmp_path / "s", {"a": "Nl9xQ"}, _ansible_check_mode=True, _ansible_diff=True)
    assert (done["changed"], done["written"]) == (True, ["a"])
    assert "Nl9xQ" not in done["printed"]
    assert not (tmp_path / "s").exists()


def test_secrets_that_nobody_has_read_are_known_to_the_next_run(tmp_path: Path) -> None:
    """The marker stands from before they change until the caller removes it."""
    directory, marker = tmp_path / "s", str(tmp_path / "run" / "restart")
    assert secrets(directory, {"a": "1"}, marker=marker)["pending"] is False
    again = secrets(directory, {"a": "1"}, marker=marker)
    assert (again["written"], again["pending"]) == ([], True)
    Path(marker).unlink()
    assert secrets(directory, {"a": "1"}, marker=marker)["pending"] is False
    assert not Path(marker).exists()


def test_a_full_disk_changes_no_secret(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A message in place of a traceback, and nothing is owed."""
    directory, marker = tmp_path / "s", tmp_path / "run" / "restart"
    secrets(directory, {"a": "1", "b": "2"})
    request.getfixturevalue("full")
    done = secrets(directory, {"a": "Nl9xQ", "b": "Nl9xQ"}, marker=str(marker))
    assert done["failed"] is True
    assert "No space left on device" in done["msg"]
    assert "Nl9xQ" not in done["printed"]
    assert [(directory / name).read_text() for name in "ab"] == ["1", "2"]
    assert sorted(path.name for path in directory.iterdir()) == ["a", "b"]
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A"])
def test_names_of_secrets_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    """The value is not shown either."""
    done = secrets(tmp_path / "s", {name: "Nl9xQ"})
    assert done["failed"] is True
    assert "Nl9xQ" not in done["printed"]


def test_files_are_made_of_others_without_showing_them(tmp_path: Path) -> None:
    """A certificate and its key in one file: in order, private, and not in the differences."""
    (tmp_path / "c.pem").write_text("certificate\n")
    (tmp_path / "c.key").write_text("Nl9xQ\n")
    files = [
        {
            "path": str(tmp_path / "both.pem"),
            "mode": "0600",
            "sources": [str(tmp_path / "c.pem"), str(tmp_path / "c.key")],
        }
    ]
    done = checked(tmp_path, ["true"], files=files, _ansible_diff=True)
    assert (tmp_path / "both.pem").read_text() == "certificate\nNl9xQ\n"
    assert (tmp_path / "both.pem").stat().st_mode & 0o777 == 0o600
    assert "Nl9xQ" not in str(done)
    assert done["diff"][0]["after"] == "(not shown)\n"


def test_a_group_that_is_missing_is_named_before_anything_is_written(tmp_path: Path) -> None:
    """With root's group instead, a proxy without root could not read its key. Check mode may run ahead of a package."""
    files = [{"path": str(tmp_path / "key"), "content": "x", "group": "no-such-group"}]
    assert checked(tmp_path, ["true"], files=files, _ansible_check_mode=True)["changed"] is True
    result = checked(tmp_path, ["true"], files=files)
    assert result["failed"] and "no group no-such-group" in result["msg"] and not (tmp_path / "key").exists()
