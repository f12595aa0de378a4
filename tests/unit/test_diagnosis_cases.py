# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cases: every code in it exists, and every code is in it."""

from __future__ import annotations

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _host_findings
from tools.diagnosis_cases import CASES, HOST, NOBODY, PROBE, ROLES, SESSION

PROBE_CODES = {text.code for text in _diagnosis._TEXTS.values()}
HOST_CODES = {text.code for text in _host_findings.TEXTS.values()}


def test_cases_are_in_order_and_numbered_once() -> None:
    numbers = [case.number for case in CASES]
    assert numbers == sorted(set(numbers)) and len(numbers) == 89


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


def test_every_code_is_one_of_a_case_or_of_the_connection_or_of_the_unknown() -> None:
    in_table = {code for case in CASES for code in case.codes}
    missing = (PROBE_CODES | HOST_CODES) - in_table
    assert {code[3] for code in missing} <= {"T", "V", "W", "X"}, missing
