# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make clients` installs and needs; the tests with the clients themselves are in tests/browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.browser import run

FOLDER = Path(run.__file__).parent


def test_the_lock_file_pins_every_package_and_names_no_registry() -> None:
    """With an address in it, everybody else's npm would go there."""
    packages = json.loads((FOLDER / run.LOCK).read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [version for version in wanted.values() if not re.search(r"(^|@)\d+\.\d+\.\d+$", version)] == []


def test_what_is_missing_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is installed or started."""
    monkeypatch.setattr(
        shutil, "which", lambda name, path: None if name in ("chromium", "certutil") else f"/bin/{name}"
    )
    monkeypatch.setattr(run, "install", lambda: pytest.fail("it went on"))
    monkeypatch.delenv(run.INSIDE, raising=False)
    assert run.main([]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "[clients] chromium is missing. Install the package chromium, then run make clients again.",
        "[clients] certutil is missing. Install the package libnss3-tools, then run make clients again.",
    ]
