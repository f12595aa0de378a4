# SPDX-License-Identifier: GPL-3.0-or-later
"""One test a recorded step, with the section replayed once when its first step is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .replay import VERSIONS, Outcome, fixture, replay_section, replay_start
from .servers import Kind
from .upgrade import Life

STARTS = "start-up refusals"
MakeKind = Callable[[str], Kind]


def section_steps(versions: tuple[str, ...] = VERSIONS) -> list[object]:
    """Every step of every section but the start-ups."""
    return [
        pytest.param(version, name, step["name"], id=f"{version}, {name}: {step['name']}")
        for version in versions
        for name, section in fixture(version)["sections"].items()
        if name != STARTS
        for step in section["steps"]
    ]


def start_steps(versions: tuple[str, ...] = VERSIONS) -> list[object]:
    """Every start with other settings."""
    return [
        pytest.param(version, step, id=f"{version}: {step['name']}")
        for version in versions
        for step in fixture(version)["sections"][STARTS]["steps"]
    ]


def upgrade_steps() -> list[object]:
    """Every step in the life of one data folder."""
    return [pytest.param(step["name"], id=step["name"]) for step in fixture("upgrade")["steps"]]


class Replays:
    """Runs what is asked for once and remembers the outcome."""

    def __init__(self, make_kind: MakeKind, place: Path) -> None:
        self._make_kind = make_kind
        self._place = place
        self._outcomes: dict[str, Outcome] = {}

    def section(self, version: str, name: str) -> Outcome:
        """The outcome of a section."""
        key = f"{version}-{name}".replace(" ", "-")
        if key not in self._outcomes:
            self._outcomes[key] = replay_section(self._make_kind(version), version, name, self._place / key)
        return self._outcomes[key]

    def start(self, version: str, step: dict[str, object]) -> list[str]:
        """The outcome of one start."""
        place = self._place / f"{version}-{step['name']}".replace(" ", "-").replace("/", "")
        return replay_start(self._make_kind(version), version, step, place)

    def upgrade(self) -> Outcome:
        """The outcome of the upgrades."""
        if "upgrade" not in self._outcomes:
            self._outcomes["upgrade"] = Life(self._make_kind, self._place / "upgrade").run()
        return self._outcomes["upgrade"]


def check(problems: list[str]) -> None:
    """Fail with one difference a line."""
    assert not problems, "\n" + "\n".join(problems)
