# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests with real clients. They run inside the namespace that ``run.py`` makes, and nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import sync_playwright

from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutPlan
from lab.server import parse_choice

from .clients import CLI_2023, CLI_2026, PASSWORD, CommandLine, Window
from .install import ROOT
from .proxies import PAGE_PORT, PROXIES, Proxy, routes, serve
from .run import INSIDE
from .world import Authority, page, server

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


@pytest.fixture(scope="session", autouse=True)
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The page's files, behind every proxy."""
    with page(tmp_path_factory.mktemp("page"), PAGE_PORT):
        yield


@pytest.fixture(scope="module", params=VERSIONS)
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayoutPlan]:
    """A server that runs, in each layout."""
    with server(request.param, tmp_path_factory.mktemp(f"server-{request.param}")) as running:
        yield running


@pytest.fixture(params=PROXIES, ids=str)
def proxy(request: pytest.FixtureRequest) -> Proxy:
    """Each of the proxies."""
    return cast(Proxy, request.param)


@pytest.fixture
def site(plan: LayoutPlan, proxy: Proxy, authority: Authority, tmp_path: Path) -> Iterator[str]:
    """The server behind the site that the role writes for it; its name for pictures."""
    with serve(proxy, routes(plan), tmp_path / "proxy", authority):
        yield f"{proxy}-{plan.version}"


@pytest.fixture(scope="module")
def email(plan: LayoutPlan, browser: Any, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An account with real keys, made through nginx. A page shows only what it was told since its login."""
    address = f"{plan.version}@example.com"
    with serve(PROXIES[0], routes(plan), tmp_path_factory.mktemp("registration"), authority):
        window = Window(browser, "registration")
        window.do("register", address, PASSWORD)
        window.context.close()
    return address


@pytest.fixture(scope="module", params=[CLI_2023, CLI_2026], ids=str)
def command_line(
    request: pytest.FixtureRequest,
    plan: LayoutPlan,
    email: str,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CommandLine]:
    """The official client, signed in through nginx. It stays when the proxy is another."""
    cli = request.param
    if cli is CLI_2026 and plan.layout == "legacy":
        pytest.skip("this release of the client does not sign in to servers that old")
    folder = tmp_path_factory.mktemp("command-line")
    with serve(PROXIES[0], routes(plan), folder / "proxy", authority):
        line = CommandLine(cli, folder / "profile", authority, email)
    with line.serving():
        yield line


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
