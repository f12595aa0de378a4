# SPDX-License-Identifier: GPL-3.0-or-later
"""What is supported is said in several places, and each of them says the same."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.controllers import CONTROLLERS, Controller
from lab.paths import SUITES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
import matrix

ROOT = Path(__file__).resolve().parent.parent.parent
FLOOR = ".".join(CONTROLLERS[0].packages()["ansible-core"].split(".")[:2])
PASSED: dict[str, Any] = {
    "passed": 41, "failed": 0,
    "versions": {"python": "3.11.2", "community.docker": "4.8.5", "docker": "26.1.5", "nginx": "1.26"},
}  # fmt: skip


def load(name: str) -> Any:
    """A YAML file."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def words_of(name: str) -> str:
    """A document, without its line breaks."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def test_the_oldest_core_that_is_tested_is_the_floor() -> None:
    """Of the collection, and of each role."""
    assert load("meta/runtime.yml")["requires_ansible"] == f">={FLOOR}.0"
    for path in ROOT.glob("roles/*/meta/main.yml"):
        assert load(str(path))["galaxy_info"]["min_ansible_version"] == FLOOR, path


def test_community_docker_has_one_window() -> None:
    """In the package, in the file for plain ansible-core, and in words."""
    window = load("galaxy.yml")["dependencies"]["community.docker"]
    assert load("requirements.yml")["collections"] == [{"name": "community.docker", "version": window}]
    for name in ("README.md", "docs/support.md"):
        assert f"{matrix.docker_window()}" in words_of(name), name


def test_the_readme_has_the_controllers() -> None:
    """Every core and every Python, and until when the oldest is supported."""
    found = re.search(r"^\| Controller \|(.*)\|(.*)\|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    supported, tested = found.groups()
    assert f"ansible-core {FLOOR} or later, Python {CONTROLLERS[0].python} or later" in supported
    assert f"core {FLOOR} until {matrix.UNTIL}" in supported
    cores = {".".join(each.packages()["ansible-core"].split(".")[:2]) for each in CONTROLLERS}
    assert cores | {each.python for each in CONTROLLERS} == set(re.findall(r"\b\d\.\d+\b", tested))


def test_the_readme_says_which_ansible_each_python_gets() -> None:
    """As requirements.txt has it, for Python 3.11 and for those after it."""
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    old, new = (
        ".".join(Controller("any", "bookworm", python).packages()["ansible-core"].split(".")[:2])
        for python in ("3.11", "3.12")
    )
    assert f"Python 3.11 gets ansible-core {old}, its last; Python 3.12 and later get ansible-core {new}." in text


def test_the_table_has_every_controller_with_every_host() -> None:
    """As they are now: a pin that moves makes the whole row void until make matrix ran again."""
    rows = [row for row in (ROOT / "docs" / "support.md").read_text(encoding="utf-8").splitlines() if row[:2] == "| "]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert len(cells) == len(CONTROLLERS)
    for each, (core, python, docker, unit, *hosts) in zip(CONTROLLERS, cells, strict=True):
        assert core == f"ansible-core {each.packages()['ansible-core']}"
        assert python.startswith(each.python)
        assert len(hosts) == len(SUITES)
        assert re.fullmatch(r"\d+\.\d+\.\d+|not run", docker)
        assert all(re.fullmatch(r"\d+ passed.*|not run", cell) for cell in [unit, *hosts]), core


def test_the_text_around_the_table_is_current() -> None:
    """It names releases and floors that are read from elsewhere."""
    shown = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    texts = [
        [line for line in text.splitlines() if not line.startswith("| ansible-core")]
        for text in (shown, matrix.page({}))
    ]
    assert texts[0] == texts[1]


def test_a_cell_says_what_came_of_it() -> None:
    """Passed with versions, failed, or not run."""
    assert matrix.said(PASSED) == "41 passed (Docker 26.1.5, nginx 1.26)"
    assert matrix.said({"passed": 900, "failed": 0}) == "900 passed"
    assert matrix.said({"passed": 3, "failed": 1, "versions": {}}) == "FAILED, 1 of 4"
    assert matrix.said(None) == "not run"


def test_the_page_has_what_was_found() -> None:
    """In the row of the controller and in the column of the host."""
    first = CONTROLLERS[0]
    rows = [row for row in matrix.page({f"{first.name}:trixie": PASSED}).splitlines() if row.startswith("| ansible-")]
    said = "41 passed (Docker 26.1.5, nginx 1.26)"
    assert rows[0] == f"| ansible-core 2.19.14 | 3.11.2 | 4.8.5 | not run | not run | {said} | not run |"
    assert all(row.count("not run") == 5 for row in rows[1:])


@pytest.mark.parametrize(
    ("window", "expected"),
    [(">=4.8.5", "4.8.5 or later"), (">=4.8.5,!=5.0.0,!=5.0.1", "4.8.5 or later, but not 5.0.0 or 5.0.1")],
)
def test_a_window_in_words(window: str, expected: str) -> None:
    """As a sentence has it."""
    assert matrix.words(window) == expected


def test_results_of_other_code_are_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed since has not passed."""
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "results.json")
    assert matrix.known_results() == {}
    matrix.RESULTS.write_text(json.dumps({"code": matrix.code(), "results": {"a": PASSED}}), encoding="utf-8")
    assert matrix.known_results() == {"a": PASSED}
    matrix.RESULTS.write_text(json.dumps({"code": "other", "results": {"a": PASSED}}), encoding="utf-8")
    assert matrix.known_results() == {}


def test_a_strange_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a typing error would run nothing and be a success."""
    monkeypatch.setenv("CONTROLLER", "core-2.21,core-2.9")
    with pytest.raises(SystemExit, match=r"CONTROLLER names core-2\.9"):
        matrix.chosen("CONTROLLER", [each.name for each in CONTROLLERS])
