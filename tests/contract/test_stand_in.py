# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in answers as the real server was recorded to: every step of every recording, compared strictly."""

from __future__ import annotations

import pytest

from .cases import Replays, check, section_steps, start_steps, upgrade_steps
from .servers import stand_in


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Replays:
    """Outcomes of replays against the stand-in."""
    return Replays(stand_in, tmp_path_factory.mktemp("stand-in"))


@pytest.mark.parametrize(("version", "section", "step"), section_steps())
def test_it_answers_as_recorded(replays: Replays, version: str, section: str, step: str) -> None:
    """Status, headers, key names, types, frames and their order."""
    check(replays.section(version, section)[step])


@pytest.mark.parametrize(("version", "step"), start_steps())
def test_it_starts_or_refuses_as_recorded(replays: Replays, version: str, step: dict[str, object]) -> None:
    """The same settings stop it, with the same exit status."""
    check(replays.start(version, step))


@pytest.mark.parametrize("step", upgrade_steps())
def test_its_data_lives_on_as_recorded(replays: Replays, step: str) -> None:
    """One data folder through upgrades and back."""
    check(replays.upgrade()[step])
