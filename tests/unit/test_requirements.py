# SPDX-License-Identifier: GPL-3.0-or-later
"""What gets installed is named with version and hash, and fits what is asked for."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ansible_collections.vaultwire.stack.plugins.module_utils import _packages

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ("requirements", "requirements-dev")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
BACKSLASH = "\\ "
ENTRY = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)(.*)\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", re.MULTILINE)


def text_of(name: str) -> str:
    """A file beside the README."""
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str) -> list[Requirement]:
    """Every package as pip reads it, with its version and where it is for."""
    return [
        Requirement(f"{found[1]}=={found[2]}{found[3].rstrip(BACKSLASH)}")
        for found in ENTRY.finditer(text_of(f"{name}.txt"))
    ]


def asked(name: str) -> list[Requirement]:
    """What an input names itself."""
    lines = [line for line in text_of(f"{name}.in").splitlines() if line[:1].isalpha()]
    return [Requirement(line) for line in lines]


def installed(requirements: list[Requirement], python: str) -> dict[str, str]:
    """Package -> version (empty where any will do) that a Python takes of a list; none of them twice."""
    where = {"python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython",
             "platform_python_implementation": "CPython", "sys_platform": "linux"}  # fmt: skip
    taken = [each for each in requirements if each.marker is None or each.marker.evaluate(where)]
    found = {str(canonicalize_name(each.name)): str(each.specifier).removeprefix("==") for each in taken}
    assert len(found) == len(taken), "a package stands there twice"
    return found


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


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_asked_for_is_what_is_locked(name: str, python: str) -> None:
    """A direct pin decides, for each Python."""
    found = installed(locked(name), python)
    for package, version in installed(asked(name), python).items():
        assert version in ("", found[package]), package


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tests_run_with_the_versions_that_users_get(python: str) -> None:
    """One file is a part of the other."""
    assert installed(locked("requirements"), python).items() <= installed(locked("requirements-dev"), python).items()


@pytest.mark.parametrize(("python", "core"), [("3.11", "2.19"), ("3.12", "2.21"), ("3.13", "2.21"), ("3.14", "2.21")])
def test_each_python_gets_the_newest_ansible_that_runs_on_it(python: str, core: str) -> None:
    """Core 2.20 and later need Python 3.12, and one file serves all."""
    assert installed(locked("requirements"), python)["ansible-core"].startswith(f"{core}.")


def test_an_execution_environment_has_what_the_plugins_import() -> None:
    """ansible-builder reads names from the file; each has a floor, no pin, and what is locked satisfies it."""
    described = yaml.safe_load(text_of("meta/execution-environment.yml"))["dependencies"]
    assert all((ROOT / name).is_file() for name in described.values())
    wanted = [Requirement(line) for line in text_of(described["python"]).splitlines() if line[:1].isalpha()]
    assert {each.name for each in wanted} == {*_packages.PACKAGES, "requests"}
    for python in PYTHONS:
        found = installed(locked("requirements"), python)
        for each in wanted:
            assert [clause.operator for clause in each.specifier] == [">="], each
            assert found[each.name] in each.specifier, each


def test_the_plugins_import_nothing_else() -> None:
    """Every import in the plugins is of Python itself, of what Ansible brings along, or in the table of packages."""
    of_ansible = {"ansible", "ansible_collections", "jinja2", "markupsafe", "yaml"}
    named: set[str] = set()
    for path in ROOT.glob("plugins/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named.add(str(node.module).partition(".")[0])
    assert named - sys.stdlib_module_names - of_ansible == set(_packages.PACKAGES.values())
