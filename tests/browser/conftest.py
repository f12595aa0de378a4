# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests with real clients. They run inside the namespace that ``run.py`` makes, and nowhere else."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import sync_playwright

from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutPlan
from lab.server import parse_choice

from .clients import PASSWORD, Window
from .run import INSIDE, ROOT
from .world import Authority, nginx, server, site

#: Both layouts: two ports, and one.
VERSIONS = ("1.28.1", "1.37.2")


def pytest_configure() -> None:
    """Refuse to run where something could leave the machine."""
    if not os.environ.get(INSIDE):
        pytest.exit("The tests of real clients run in a namespace of their own: use make clients.", 4)


def pytest_report_header() -> str:
    """Which server is tested."""
    folder = parse_choice(os.environ.get("LAB_SERVER"), ROOT).folder
    return "server: the project's stand-in, not the real vaultwarden" if folder is None else f"server: real, {folder}"


class Running(NamedTuple):
    """One server that runs."""

    plan: LayoutPlan
    folder: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of this run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def browser(authority: Authority) -> Iterator[Any]:
    """One Chromium that trusts the authority. Without its sandbox, which needs more than a namespace grants."""
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--no-proxy-server"],
            env={**os.environ, "HOME": str(authority.home)},
        )
        yield started
        started.close()


@pytest.fixture(scope="module", params=VERSIONS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server, in each layout."""
    folder = tmp_path_factory.mktemp(f"server-{request.param}")
    with server(request.param, folder) as plan:
        yield Running(plan, folder)


@pytest.fixture
def proxied(running: Running, authority: Authority) -> Iterator[Running]:
    """The server behind the site that the role writes for it."""
    with nginx(site(running.plan, authority, running.folder), running.folder, authority):
        yield running


@pytest.fixture
def open_window(browser: Any) -> Iterator[Callable[[str], Window]]:
    """Opens pages, and closes them all."""
    opened: list[Window] = []

    def make(session: str) -> Window:
        opened.append(Window(browser, session))
        return opened[-1]

    yield make
    for window in opened:
        window.context.close()


@pytest.fixture
def email() -> str:
    """An address of its own for each test."""
    return f"{uuid.uuid4().hex[:8]}@example.com"


@pytest.fixture
def register(open_window: Callable[[str], Window]) -> Callable[[str], None]:
    """Makes an account with real keys."""

    def make(email: str) -> None:
        open_window("registration").do("register", email, PASSWORD)

    return make
