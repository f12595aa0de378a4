# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the scenario's inventory to write into, and one run of adopt over all hosts."""

from __future__ import annotations

import shutil

import pytest
from adoption import HOSTS, SCENARIO, Adopted, look, play, shown


@pytest.fixture(scope="session")
def adopted(tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    """The playbook with all its words, next to the inventory."""
    folder = tmp_path_factory.mktemp("adopt") / "inventory"
    shutil.copytree(SCENARIO / "inventory", folder)
    before = {name: look(name) for name in HOSTS}
    done = play(folder, "adopt", "-vvv", "--diff")
    assert done.returncode == 0, shown(done)
    return Adopted(folder, done.stdout + done.stderr, before, {name: look(name) for name in HOSTS})
