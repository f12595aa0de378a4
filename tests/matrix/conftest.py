# SPDX-License-Identifier: GPL-3.0-or-later
"""The cell of the support table that is tested: --controller and --suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.matrix.cell import Cell


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name controller and host."""
    parser.addoption("--controller", required=True, help="a name of lab/controllers.py")
    parser.addoption("--suite", required=True, help="Debian of the host")


@pytest.fixture(scope="session")
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    """The controller, and a fresh host. The host stays: the tests of what is deployed come afterwards."""
    made = Cell(request.config.getoption("--controller"), request.config.getoption("--suite"))
    made.prepare()
    yield made
