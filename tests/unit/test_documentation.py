# SPDX-License-Identifier: GPL-3.0-or-later
"""Every plugin states its author and its first release in one form, and no release that is still to come."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
#: All kinds of plugin, so that one of a new kind is not left out.
DOCUMENTED = sorted(
    path for path in (ROOT / "plugins").rglob("*.py") if "\nDOCUMENTATION = " in path.read_text(encoding="utf-8")
)
FIRST_RELEASE = re.compile(r'^version_added: "(\d+\.\d+\.\d+)"$', re.MULTILINE)


def numbers(version: str) -> tuple[int, ...]:
    """A release as numbers, to compare it."""
    return tuple(int(part) for part in version.split("."))


def documentation(path: Path) -> str:
    """The text of a plugin's DOCUMENTATION."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return str(ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no DOCUMENTATION")


def test_every_module_is_documented() -> None:
    """The tests below would pass over one that is not."""
    assert set((ROOT / "plugins" / "modules").glob("*.py")) <= set(DOCUMENTED)


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: path.stem)
def test_the_first_release_is_quoted_and_not_a_later_one(path: Path) -> None:
    """Unquoted, a release of two numbers would be a float."""
    found = FIRST_RELEASE.findall(documentation(path))
    current = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    assert len(found) == 1, f'{path}: write version_added: "{current}", with the quotation marks'
    assert numbers(found[0]) <= numbers(current), f"{path}: {found[0]} comes after {current} of galaxy.yml"


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: path.stem)
def test_the_author_has_one_form(path: Path) -> None:
    """Name and account, which ansible-test demands."""
    assert yaml.safe_load(documentation(path))["author"] == ["vaultwire contributors (@vaultwire)"]
