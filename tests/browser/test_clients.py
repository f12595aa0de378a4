# SPDX-License-Identifier: GPL-3.0-or-later
"""A change made by one real client is shown by another, decrypted; and nothing of it leaves the machine."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutPlan, parse_version, plan_layout

from .clients import CommandLine, Window
from .conftest import VERSIONS
from .proxies import PROXIES, Proxy, logs, routes, serve, without_upgrade
from .world import Authority

CREATED, CHANGED = "Type 1", "Type 0"
Open = Callable[[str], Window]
NGINX = PROXIES[0]


def test_nothing_can_leave(browser: Any) -> None:
    """There is no route out, neither for a program nor for a page."""
    with pytest.raises(OSError) as caught:
        socket.create_connection(("192.0.2.1", 443), timeout=5)
    assert caught.value.errno == errno.ENETUNREACH
    reach = "fetch('https://192.0.2.1/', {mode: 'no-cors'}).then(() => 'out', () => 'no way')"
    context = browser.new_context()
    assert context.new_page().evaluate(reach) == "no way"
    context.close()


def test_a_change_in_one_browser_session_is_shown_by_another(open_window: Open, site: str, email: str) -> None:
    """Two contexts share nothing; the second never asks, it is told."""
    first, second = open_window("A"), open_window("B")
    first.login(email)
    second.login(email)
    second.do("listen")
    assert second.channel() == "live"
    item = first.do("create", "made by A")
    second.wait_for_name(item, "made by A")
    first.do("rename", item, "renamed by A")
    second.wait_for_name(item, "renamed by A")
    second.picture(f"browser-{site}")
    assert (second.names(), second.frames()) == (["renamed by A"], [CREATED, CHANGED])
    assert first.complaints + second.complaints == []


def test_a_change_by_the_command_line_is_shown_by_a_browser(
    open_window: Open, site: str, email: str, command_line: CommandLine
) -> None:
    """The official client creates and edits with its own cryptography."""
    window = open_window("B")
    window.login(email)
    window.do("listen")
    assert window.channel() == "live"
    item = command_line.create("made by bw")
    window.wait_for_name(item["id"], "made by bw")
    command_line.rename(item, "renamed by bw")
    window.wait_for_name(item["id"], "renamed by bw")
    window.picture(f"{str(command_line.cli).replace(' ', '-')}-{site}")
    assert (window.names(), window.frames()) == (["renamed by bw"], [CREATED, CHANGED])
    assert command_line.name_of(item["id"]) == "renamed by bw"
    assert window.complaints == []


def test_with_the_rules_of_the_other_layout_there_is_no_live_channel(
    open_window: Open, plan: LayoutPlan, proxy: Proxy, authority: Authority, email: str, tmp_path: Path
) -> None:
    """What an upgrade of the server alone leaves behind, and what old guides forget: the hub goes to the wrong port."""
    other = next(version for version in VERSIONS if version != str(plan.version))
    wrong = routes(plan_layout(parse_version(other)))
    with serve(proxy, wrong, tmp_path, authority):
        refuse_to_be_live(open_window, email, f"{proxy}-{plan.version}")
    assert_the_proxy_is_to_blame(proxy, tmp_path)


def test_without_the_upgrade_lines_there_is_no_live_channel(
    open_window: Open, plan: LayoutPlan, authority: Authority, email: str, tmp_path: Path
) -> None:
    """The same site less two lines. The other proxies pass upgrades on by themselves."""
    with serve(NGINX, routes(plan), tmp_path, authority, without_upgrade):
        refuse_to_be_live(open_window, email, f"no-upgrade-{plan.version}")
    assert_the_proxy_is_to_blame(NGINX, tmp_path)


def refuse_to_be_live(open_window: Open, email: str, name: str) -> None:
    """The vault works; the page says that it is not live, and never learns of a change."""
    first, second = open_window("A"), open_window("B")
    first.login(email)
    second.login(email)
    second.do("listen")
    assert second.channel().startswith("no live channel: ")
    item = first.do("create", "made by A")
    first.do("show", item)
    assert first.names() == ["made by A"]
    second.picture(f"refused-{name}")
    assert (second.names(), second.frames()) == ([], [])
    assert first.complaints == []
    assert any("WebSocket" in line for line in second.complaints)


def assert_the_proxy_is_to_blame(proxy: Proxy, folder: Path) -> None:
    """The attempt came to the proxy and was refused by it or behind it; and the token of the attempt is in no log."""
    text = logs(folder)
    answers = re.findall(proxy.logged, text)
    assert answers and all(int(status) >= 400 for status in answers)
    assert "access_token" not in text
