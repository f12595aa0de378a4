# SPDX-License-Identifier: GPL-3.0-or-later
"""The same recordings, replayed against real executables: proof that the fixtures say what the server does.

Set ``LAB_SERVER`` to a folder with ``vaultwarden-<version>`` executables, as for the lab.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .cases import Replays, check, section_steps, start_steps, upgrade_steps
from .replay import VERSIONS, fixture
from .servers import Kind, real

FOLDER = Path(os.environ.get("LAB_SERVER", "auto"))
PRESENT = tuple(version for version in VERSIONS if os.access(FOLDER / f"vaultwarden-{version}", os.X_OK))

pytestmark = pytest.mark.skipif(
    not PRESENT, reason="LAB_SERVER is not a folder with executables named vaultwarden-<version>"
)


def _kind(version: str) -> Kind:
    return real(version, FOLDER)


@pytest.fixture(scope="module")
def replays(tmp_path_factory: pytest.TempPathFactory) -> Replays:
    """Outcomes of replays against the real server."""
    return Replays(_kind, tmp_path_factory.mktemp("real"))


@pytest.mark.parametrize(("version", "section", "step"), section_steps(PRESENT))
def test_it_answers_as_recorded(replays: Replays, version: str, section: str, step: str) -> None:
    """Status, headers, key names, types, frames and their order."""
    check(replays.section(version, section)[step])


@pytest.mark.parametrize(("version", "step"), start_steps(PRESENT))
def test_it_starts_or_refuses_as_recorded(replays: Replays, version: str, step: dict[str, object]) -> None:
    """The same settings stop it, with the same exit status."""
    check(replays.start(version, step))


@pytest.mark.skipif(
    not set(fixture("upgrade")["order"]) <= set(PRESENT), reason="LAB_SERVER lacks a version that the upgrade needs"
)
@pytest.mark.parametrize("step", upgrade_steps())
def test_its_data_lives_on_as_recorded(replays: Replays, step: str) -> None:
    """One data folder through upgrades and back."""
    check(replays.upgrade()[step])
