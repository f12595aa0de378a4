# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's controllers, as far as that needs no docker: what each installs, and how a program runs there."""

from __future__ import annotations

from itertools import pairwise

import pytest
from packaging.requirements import Requirement

from lab import controllers
from lab.controllers import CONTROLLERS, Controller
from lab.paths import REPOSITORY, SUITES
from lab.shell import LabError

LOCK = """# Written by a tool
one==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:00
one==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:00
two==3.1.post1 \\
    --hash=sha256:00 \\
    --hash=sha256:01
three==4 ; sys_platform == 'win32' \\
    --hash=sha256:00
four==5 ; implementation_name != 'PyPy' \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(("python", "version"), [("3.11", "1.0"), ("3.12", "2.0"), ("3.13", "2.0"), ("3.14", "2.0")])
def test_a_python_takes_its_lines_of_a_lock_file(python: str, version: str) -> None:
    """Markers are heeded, and 3.9 would be older than 3.12."""
    assert controllers.read_lock(LOCK, python) == {"one": version, "two": "3.1.post1", "four": "5"}
    assert controllers.read_lock(LOCK, "3.9")["one"] == "1.0"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
@pytest.mark.parametrize("python", sorted({each.python for each in CONTROLLERS}))
def test_the_lock_files_are_read_as_pip_reads_them(name: str, python: str) -> None:
    """Compared with what pip itself makes of the markers."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    where = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
             "implementation_name": "cpython", "platform_python_implementation": "CPython"}  # fmt: skip
    lines = [Requirement(line.rstrip("\\ ")) for line in text.splitlines() if line[:1].isalpha()]
    wanted = {each.name: str(each.specifier)[2:] for each in lines if not each.marker or each.marker.evaluate(where)}
    assert controllers.read_lock(text, python) == wanted


def test_a_marker_that_is_not_known_is_refused() -> None:
    """It would be heeded or not by chance."""
    with pytest.raises(LabError, match="platform_machine"):
        controllers.suits("platform_machine == 'x86_64'", "3.13")
    with pytest.raises(LabError, match="none that the lab can read"):
        controllers.suits("python_full_version < '3.12' and sys_platform == 'linux'", "3.13")


def test_every_core_is_there_once_and_runs_on_a_suite_of_the_lab() -> None:
    """Oldest first: the first one is the floor."""
    cores = [[int(part) for part in each.packages()["ansible-core"].split(".")[:2]] for each in CONTROLLERS]
    assert cores == sorted(cores)
    assert [b[1] - a[1] for a, b in pairwise(cores)] == [1] * (len(cores) - 1)
    assert {each.suite for each in CONTROLLERS} <= set(SUITES)
    for each, core in zip(CONTROLLERS, cores, strict=True):
        assert each.name == f"core-{core[0]}.{core[1]}"


def test_what_comes_instead_is_in_no_lock_file() -> None:
    """A controller that has nothing in place of the locked packages is what users get, hashes and all."""
    assert [each.name for each in CONTROLLERS if each.locked] == ["core-2.19", "core-2.21"]
    other = Controller("x", "trixie", "3.13", {"ansible-core": "2.0.0"})
    assert not other.locked
    assert other.packages()["ansible-core"] == "2.0.0"
    assert other.packages()["msgpack"] == controllers.controller("core-2.21").packages()["msgpack"]


def test_an_image_changes_its_name_with_every_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a pin that moved would be tested as it was."""
    known = controllers.controller("core-2.20")
    refs = {controllers.image_of(known), controllers.test_image_of(known)}
    moved = known._replace(instead={**known.instead, "ansible-core": "2.20.9"})
    refs |= {controllers.image_of(moved), controllers.test_image_of(moved)}
    refs.add(controllers.image_of(known._replace(suite="forky")))
    monkeypatch.setattr(controllers, "PIP", "pip==1")
    refs.add(controllers.image_of(known))
    assert len(refs) == 6


def test_an_unknown_controller_is_refused() -> None:
    """The message names those that there are."""
    with pytest.raises(LabError, match=r"core-2\.19, core-2\.20"):
        controllers.controller("core-1.0")


def test_a_program_sees_the_clone_and_cannot_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a folder that is named."""
    monkeypatch.setattr(controllers, "client", lambda: "docker")
    call = controllers.command("image", ["ansible", "--version"], {"A": "1"}, REPOSITORY / "build" / "x")
    assert call[-3:] == ["image", "ansible", "--version"]
    volumes = [value for option, value in pairwise(call) if option == "--volume"]
    assert volumes == [f"{REPOSITORY}:{REPOSITORY}:ro", f"{REPOSITORY}/build/x:{REPOSITORY}/build/x"]
    assert {"A=1", f"ANSIBLE_CONFIG={REPOSITORY}/ansible.cfg"} <= set(call)
