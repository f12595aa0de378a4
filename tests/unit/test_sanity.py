# SPDX-License-Identifier: GPL-3.0-or-later
"""How tools/sanity.py chooses a core and prepares ansible-test; the tests themselves are run by make lint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools import run_tests, sanity

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def test_lint_runs_it() -> None:
    """With the newest core."""
    assert run_tests.LINTERS["sanity"] == ["python3", "tools/sanity.py"]


def fake_python(directory: Path, name: str) -> Path:
    """A program of that name."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_newest_python_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the path and among the versions of pyenv, and not among its starters or things of like names."""
    fake_python(tmp_path / "shims", "python3.98")
    fake_python(tmp_path / "bin", "python3.97-config")
    pyenv = fake_python(tmp_path / "pyenv" / "versions" / "3.96.0" / "bin", "python3.96")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert sanity.newest_python() == (96, pyenv)


def test_without_a_newer_python_the_running_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has a core already, so nothing is installed."""
    fake_python(tmp_path, "python3.5")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *__, **___: pytest.fail("nothing is to be installed"))
    assert sanity.newest_ansible_test() == BIN / "ansible-test"


def test_a_core_is_installed_once_and_by_its_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As requirements.txt has it, without the package of all collections; a list that changed is installed."""
    commands: list[list[str]] = []
    wanted: list[str] = []

    def run(command: list[str], **__: Any) -> None:
        commands.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True, exist_ok=True)
        else:
            wanted.append(Path(command[-1]).read_text(encoding="utf-8"))

    monkeypatch.setattr(sanity, "HOME", tmp_path)
    monkeypatch.setattr(sanity, "newest_python", lambda: (96, Path("/usr/bin/python3.96")))
    monkeypatch.setattr(subprocess, "run", run)
    for __ in range(2):
        assert sanity.newest_ansible_test() == tmp_path / "python3.96" / "bin" / "ansible-test"
    assert len(commands) == 2
    assert "--require-hashes" in commands[1] and "--no-deps" in commands[1]
    assert "ansible-core==" in wanted[0] and "--hash=sha256:" in wanted[0]
    assert not any(line.startswith("ansible==") for line in wanted[0].splitlines())
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    whole = [line for line in locked.splitlines() if line.startswith("ansible==")]
    assert whole and wanted[0].count("==") == locked.count("==") - sum(line.count("==") for line in whole)
    (tmp_path / "python3.96" / "requirements.txt").write_text("other", encoding="utf-8")
    sanity.newest_ansible_test()
    assert len(commands) == 4


def test_the_installer_has_the_name_that_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else ansible-test would try to fetch one."""
    monkeypatch.setattr(sanity, "HOME", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user" / ".config" / "pip").mkdir(parents=True)
    (tmp_path / "user" / ".config" / "pip" / "pip.conf").write_text("[global]\n", encoding="utf-8")
    sanity.prepare_home(BIN)
    (installer,) = (tmp_path / ".ansible" / "test" / "cache").iterdir()
    assert installer.name.startswith("get_pip_2") and installer.suffix == ".py"
    compile(installer.read_text(encoding="utf-8"), installer.name, "exec")
    assert (tmp_path / ".config" / "pip" / "pip.conf").exists()


def test_the_environment_has_no_settings_of_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would lead to another copy of the collection."""
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", "/elsewhere")
    made = sanity.environment(BIN)
    assert not any(name.startswith("ANSIBLE_") for name in made)
    assert made["HOME"] == str(sanity.HOME) and made["PATH"].startswith(f"{BIN}:")


def test_every_exception_has_its_reason() -> None:
    """And each core the same ones."""
    files = sorted((ROOT / "tests" / "sanity").glob("ignore-*.txt"))
    assert files
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines and all("  # " in line for line in lines), path
    assert len({path.read_text(encoding="utf-8") for path in files}) == 1
