# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cases: every code in it exists, every code is in it, and every code has a test that makes the fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _host_findings
from tools.diagnosis_cases import CASES, HOST, NOBODY, PROBE, ROLES, SESSION

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = re.compile(r"VW-[A-Z]\d\d")
#: Where a server or proxy really gives the answer, on a socket.
ON_THE_WIRE = (
    "tests/unit/test_hub_probe.py",
    "molecule/testinfra/faults/test_faults.py",
    "molecule/testinfra/proxy_faults/configs.py",
)
ON_A_HOST = ("tests/unit/test_host_findings.py",)
PROBE_CODES = {text.code for text in _diagnosis._TEXTS.values()}
HOST_CODES = {text.code for text in _host_findings.TEXTS.values()}


def named_in(*files: str) -> set[str]:
    """All codes that these tests name."""
    return {code for file in files for code in CODE.findall((ROOT / file).read_text(encoding="utf-8"))}


def test_cases_are_in_order_and_numbered_once() -> None:
    numbers = [case.number for case in CASES]
    assert numbers == sorted(set(numbers)) and len(numbers) == 88


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_who_notices_a_case_has_a_code_for_it(case: object) -> None:
    found = next(entry for entry in CASES if entry is case)
    assert found.seen and set(found.seen) <= {PROBE, SESSION, HOST, ROLES, NOBODY}
    assert set(found.codes) <= PROBE_CODES | HOST_CODES
    if PROBE in found.seen:
        assert set(found.codes) & PROBE_CODES
    if HOST in found.seen:
        assert set(found.codes) & HOST_CODES
    if not {PROBE, HOST} & set(found.seen):
        assert not found.codes


def test_every_code_is_one_of_a_case_or_of_the_connection() -> None:
    in_table = {code for case in CASES for code in case.codes}
    missing = (PROBE_CODES | HOST_CODES) - in_table
    assert {code[3] for code in missing} <= {"T", "V", "W"}, missing


@pytest.mark.parametrize("code", sorted(PROBE_CODES))
def test_each_fault_of_the_probe_is_made_on_the_wire(code: str) -> None:
    assert code in named_in(*ON_THE_WIRE)


@pytest.mark.parametrize("code", sorted(HOST_CODES))
def test_each_fault_of_a_host_has_a_test(code: str) -> None:
    assert code in named_in(*ON_A_HOST)
