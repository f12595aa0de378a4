# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faults of a host are really made: all of them, but for those that are named with a reason."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from ansible_collections.vaultwire.stack.plugins.module_utils import _host_findings

PATH = Path(__file__).resolve().parents[2] / "molecule" / "testinfra" / "host_faults" / "made.py"


def table() -> Any:
    """The table of the tests on a host, as a module."""
    spec = importlib.util.spec_from_file_location("made", PATH)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["made"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


MADE = table()


def finding(entry: str) -> str:
    """The finding that an entry is named after."""
    names = [name for name in _host_findings.TEXTS if entry == name or entry.startswith(f"{name}_")]
    return max(names, key=len)


def test_every_fault_of_a_host_is_made_or_excused() -> None:
    """A finding without a host that had it is a guess, and so is an excuse for one that had it."""
    made = {"unreadable", *MADE.MADE_ELSEWHERE, *(finding(entry) for entry in MADE.MADE)}
    assert made == set(_host_findings.TEXTS) - set(MADE.NOT_MADE)
    assert set(MADE.NOT_MADE) <= set(_host_findings.TEXTS)
    assert all(len(reason) > 40 for reason in MADE.NOT_MADE.values())
    assert len(MADE.NOT_MADE) <= 2


def test_what_is_made_elsewhere_has_its_test_and_its_code_there() -> None:
    """A test that was renamed makes no fault any more."""
    for name, (file, test) in MADE.MADE_ELSEWHERE.items():
        source = (PATH.parent.parent / file).read_text(encoding="utf-8")
        body = source.partition(f"def {test}(")[2].partition("\n\n\n")[0]
        assert f"{_host_findings.TEXTS[name].code}: " in body, name


def test_each_is_looked_for_under_its_own_code() -> None:
    """And nothing is called a fault that would be said of the sound deployment, too."""
    for name, made in MADE.MADE.items():
        assert made.findings[0].startswith(f"{_host_findings.TEXTS[finding(name)].code}: "), name
        assert all(re.search(r"\bNAME\b", text) for text in made.findings), name
    assert MADE.SOUND.findings == ()
