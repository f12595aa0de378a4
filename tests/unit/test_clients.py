# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make clients` installs and needs; the tests with the clients themselves are in tests/browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.shell import LabError
from tests.browser import install, run

Calls = list[list[str]]


def test_the_lock_file_pins_every_package_and_names_no_registry() -> None:
    """With an address in it, everybody else's npm would go there."""
    packages = json.loads((install.HERE / install.LOCK).read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((install.HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [version for version in wanted.values() if not re.search(r"(^|@)\d+\.\d+\.\d+$", version)] == []


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Calls]:
    """A machine without some programs, on which nothing is really installed."""

    def make(*programs: str) -> Calls:
        calls: Calls = []
        monkeypatch.setattr(install, "UNPACKED", tmp_path / "programs")
        monkeypatch.setattr(install, "install_clients", lambda: None)
        monkeypatch.setattr(install, "install_packages", lambda packages: calls.append(["installed", *packages]))
        monkeypatch.setattr(shutil, "which", lambda name, path: None if name in programs else f"/bin/{name}")
        monkeypatch.setattr(install, "run_logged", lambda command, log: calls.append(command))
        return calls

    return make


def test_nothing_is_fetched_where_everything_is_there(lacking: Callable[..., Calls]) -> None:
    """A second run asks nobody."""
    calls = lacking()
    assert install.main() == 0
    assert calls == []


def test_chromium_alone_is_installed(lacking: Callable[..., Calls]) -> None:
    """Of all that is missing; the rest is only downloaded."""
    calls = lacking("chromium")
    assert install.main() == 0
    assert calls == [["installed", "chromium"]]


def test_a_proxy_is_unpacked_and_never_installed(
    lacking: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So that no service starts; its start finds the libraries that came with it."""
    calls = lacking("haproxy")
    archives, tree = tmp_path / "programs" / "archives", tmp_path / "programs" / "tree"

    def download(command: list[str], log: Path) -> None:
        calls.append(command)
        (archives / "haproxy_2_amd64.deb").touch()

    def extract(command: list[str]) -> None:
        assert command == ["dpkg-deb", "--extract", str(archives / "haproxy_2_amd64.deb"), str(tree)]
        for path, text in {
            "usr/sbin/haproxy": '#!/bin/sh\necho "$LD_LIBRARY_PATH $1"\n',
            "usr/lib/x/liblua.so.5": "",
        }.items():
            (tree / path).parent.mkdir(parents=True)
            (tree / path).write_text(text, encoding="utf-8")
            (tree / path).chmod(0o755)

    monkeypatch.setattr(install, "run_logged", download)
    monkeypatch.setattr(install, "run", extract)
    assert install.main() == 0
    assert [command[:3] for command in calls] == [["apt-get", "install", "--download-only"]]
    started = subprocess.run([tmp_path / "programs/bin/haproxy", "-v"], capture_output=True, text=True, check=True)
    assert started.stdout == f"{tree}/usr/lib/x -v\n"
    assert not archives.exists()


def test_what_cannot_be_had_is_an_error_and_not_skipped(
    lacking: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a network nothing is started, and the message names programs and packages."""
    lacking("haproxy", "certutil")

    def offline(command: list[str], log: Path) -> None:
        raise LabError(f"'{command[0]}' failed (100)")

    monkeypatch.setattr(install, "run_logged", offline)
    monkeypatch.setattr(run, "enter", lambda arguments: pytest.fail("it went on"))
    monkeypatch.delenv(run.INSIDE, raising=False)
    assert run.main([]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "[clients] haproxy is missing; it is in the package haproxy.",
        "[clients] certutil is missing; it is in the package libnss3-tools.",
    ]
    assert "failed (100)" in lines[2]
    assert "are not skipped" in lines[3]
