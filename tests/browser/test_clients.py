# SPDX-License-Identifier: GPL-3.0-or-later
"""A change made by one real client is shown by another, decrypted; and nothing of it leaves the machine."""

from __future__ import annotations

import errno
import platform
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from .clients import CLI_2023, CLI_2026, Cli, CommandLine, Window
from .conftest import Running
from .world import Authority, nginx, site, without_upgrade

CREATED, CHANGED = "Type 1", "Type 0"
Open = Callable[[str], Window]


def test_nothing_can_leave(open_window: Open, proxied: Running) -> None:
    """There is no route out, neither for a program nor for a page."""
    with pytest.raises(OSError) as caught:
        socket.create_connection(("192.0.2.1", 443), timeout=5)
    assert caught.value.errno == errno.ENETUNREACH
    reach = "fetch('https://192.0.2.1/', {mode: 'no-cors'}).then(() => 'out', () => 'no way')"
    assert open_window("somebody").page.evaluate(reach) == "no way"


def test_a_change_in_one_browser_session_is_shown_by_another(
    open_window: Open, proxied: Running, register: Callable[[str], None], email: str
) -> None:
    """Two contexts share nothing; the second never asks, it is told."""
    register(email)
    first, second = open_window("A"), open_window("B")
    first.login(email)
    second.login(email)
    second.do("listen")
    assert second.channel() == "live"
    item = first.do("create", "made by A")
    second.wait_for_name(item, "made by A")
    first.do("rename", item, "renamed by A")
    second.wait_for_name(item, "renamed by A")
    second.picture(f"browser-{proxied.plan.version}")
    assert (second.names(), second.frames()) == (["renamed by A"], [CREATED, CHANGED])
    assert first.complaints + second.complaints == []


def test_without_the_upgrade_lines_there_is_no_live_channel(
    open_window: Open,
    running: Running,
    authority: Authority,
    register: Callable[[str], None],
    email: str,
    tmp_path: Path,
) -> None:
    """The same site less two lines: the vault works, the page says that it is not live and never learns of a change."""
    with nginx(without_upgrade(site(running.plan, authority, tmp_path)), tmp_path, authority):
        register(email)
        first, second = open_window("A"), open_window("B")
        first.login(email)
        second.login(email)
        second.do("listen")
        assert second.channel().startswith("no live channel: ")
        item = first.do("create", "made by A")
        first.do("show", item)
        assert first.names() == ["made by A"]
        second.picture(f"refused-{running.plan.version}")
        assert (second.names(), second.frames()) == ([], [])
        assert first.complaints == []
        assert any("WebSocket" in line for line in second.complaints)
    # The attempt came to the proxy, and no switch of protocols out of it: nothing in front of it is to blame.
    answers = re.findall(r'"GET /notifications/hub HTTP/1.1" (\d+)', (tmp_path / "access.log").read_text("utf-8"))
    assert answers and "101" not in answers


@pytest.mark.parametrize("cli", [CLI_2023, CLI_2026], ids=str)
def test_a_change_by_the_command_line_is_shown_by_a_browser(
    open_window: Open,
    proxied: Running,
    authority: Authority,
    register: Callable[[str], None],
    email: str,
    cli: Cli,
    tmp_path: Path,
) -> None:
    """The official client signs in, creates and edits with its own cryptography."""
    if cli is CLI_2026 and proxied.plan.layout == "legacy":
        pytest.skip("this release of the client does not sign in to servers that old")
    if cli is CLI_2026 and platform.machine() != "x86_64":
        pytest.skip("its Node is installed for x86_64 only")
    register(email)
    window = open_window("B")
    window.login(email)
    window.do("listen")
    assert window.channel() == "live"
    line = CommandLine(cli, tmp_path / "profile", authority, email)
    item = line.create("made by bw")
    window.wait_for_name(item["id"], "made by bw")
    line.rename(item, "renamed by bw")
    window.wait_for_name(item["id"], "renamed by bw")
    window.picture(f"bw-{cli.release}-{proxied.plan.version}")
    assert (window.names(), window.frames()) == (["renamed by bw"], [CREATED, CHANGED])
    assert line.name_of(item["id"]) == "renamed by bw"
    assert window.complaints == []
