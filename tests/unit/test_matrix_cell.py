# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a warning in a run of the support table."""

from __future__ import annotations

from tests.matrix.cell import Run

OUTPUT = """PLAY [x]
[WARNING]: No inventory was parsed, only implicit localhost is available
[WARNING]: VW-V03: The server is too old.
[WARNING]: Using a variable for a task's 'args' is unsafe
[DEPRECATION WARNING]: The `remove_values()` function is deprecated.
ok: [host]
"""


def test_a_warning_of_ansible_counts_and_a_finding_does_not() -> None:
    """A deprecation above all; without it nobody would see a release coming that breaks the collection."""
    found = Run(True, 0, OUTPUT).warnings
    assert [line.partition("]")[0] for line in found] == ["[WARNING", "[DEPRECATION WARNING"]
    assert "unsafe" in found[0]
