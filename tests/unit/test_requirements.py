# SPDX-License-Identifier: GPL-3.0-or-later
"""What gets installed is named with version and hash, and fits what is asked for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ("requirements", "requirements-dev")
ENTRY = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)(.*)\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", re.MULTILINE)


def text_of(name: str) -> str:
    """A file beside the README."""
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str) -> dict[str, str]:
    """Package -> version."""
    return {found[1]: found[2] for found in ENTRY.finditer(text_of(f"{name}.txt"))}


def asked(name: str) -> dict[str, str]:
    """Package as it is locked -> version, empty where any will do."""
    found = re.findall(r"^([A-Za-z][A-Za-z0-9_.-]*)(?:==(\S+))?$", text_of(f"{name}.in"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_of_these_inputs(name: str) -> None:
    """Whoever changes an input runs tools/lock-requirements."""
    inputs = "".join(text_of(f"{each}.in") for each in FILES).encode()
    assert text_of(f"{name}.txt").splitlines()[0].split()[-1] == hashlib.sha256(inputs).hexdigest()


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_a_hash(name: str) -> None:
    """And no line of the file is anything else."""
    assert ENTRY.sub("", text_of(f"{name}.txt")).splitlines()[1:] == []
    assert len(locked(name)) >= len(asked(name)) > 5


@pytest.mark.parametrize("name", FILES)
def test_what_is_asked_for_is_what_is_locked(name: str) -> None:
    """A direct pin decides."""
    found = locked(name)
    for package, version in asked(name).items():
        assert version in ("", found[package]), package


def test_the_tests_run_with_the_versions_that_users_get() -> None:
    """One file is a part of the other."""
    assert locked("requirements").items() <= locked("requirements-dev").items()
