# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the report in Chromium: it renders, filters, is quiet, and can be read by everybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_cases import HOSTILE, fleet, healthy

from ansible_collections.vaultwire.stack.plugins.plugin_utils import _report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
#: `make setup` installs it; who runs the unit tests alone may do without.
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; make setup installs it")

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "roles" / "notifications_check" / "templates"

#: Texts whose contrast with what is behind them is below that of WCAG AA, which is 4.5.
FAINT = """() => {
  const parts = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = (color) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = parts(color).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor, [, , , alpha = 1] = parts(color);
      if (alpha === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, style = getComputedStyle(node);
    if (!walk.currentNode.data.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const text = node.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(text), light(behind(node))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) faint.push(`${walk.currentNode.data.trim()}: ${text}`);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests. Without its sandbox, which needs more than a container grants; the pages are ours."""
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page, with everything it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_context(**options).new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.goto(path.as_uri())

    def hosts(self) -> set[str]:
        """Names of the hosts that are shown."""
        return {text for text in self.page.locator(".host:visible h3").all_inner_texts() if text != HOSTILE}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a fleet and that of one host."""
    folder = tmp_path_factory.mktemp("report")
    found = {}
    for name, proofs in (("fleet", fleet()), ("one", {"vault-1": healthy("vault-1")})):
        found[name] = folder / f"{name}.html"
        text = _report.render(_report.shape(proofs, "2026-01-02T03:04:05Z"), str(TEMPLATES))
        found[name].write_text(text, encoding="utf-8")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("name", ["fleet", "one"])
def test_a_page_is_quiet_and_can_be_read(
    browser: Any, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    """No request but its own, no word on the console, nothing wider than the screen, and enough contrast."""
    opened = Opened(browser, pages[name], viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.page.evaluate(FAINT) == []
    assert (opened.asked, opened.said) == ([pages[name].as_uri()], [])


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_hosts_are_filtered_by_severity(browser: Any, pages: dict[str, Path], scripts: bool) -> None:
    """By keyboard, and also where scripts are switched off."""
    opened = Opened(browser, pages["fleet"], java_script_enabled=scripts)
    opened.page.get_by_role("radio", name="All 12").focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.get_by_role("radio", name="Errors 4").is_checked()
    assert opened.hosts() == {"vault-9", "vault-10", "vault-11"}
    opened.page.keyboard.press("ArrowRight")
    assert opened.hosts() == {"vault-8"}
    assert opened.page.get_by_role("searchbox").count() == int(scripts)


def test_hosts_are_found_by_their_text(browser: Any, pages: dict[str, Path]) -> None:
    """By name, code or version, together with the severity; how many are left is announced."""
    opened = Opened(browser, pages["fleet"])
    field = opened.page.get_by_role("searchbox", name="Find")
    field.fill("1.30.5")
    assert opened.hosts() == {"vault-7"}
    assert opened.page.get_by_role("status").inner_text() == "1 of 12 hosts shown"
    field.fill("vw-a01")
    assert opened.hosts() == {"vault-10"}
    opened.page.get_by_role("radio", name="Warnings").check(force=True)
    assert opened.hosts() == set()
    assert opened.page.get_by_role("status").inner_text() == "0 of 12 hosts shown"


def test_everything_has_a_name(browser: Any, pages: dict[str, Path]) -> None:
    """Hosts, plots and the group of filters, as a screen reader is told of them."""
    page = Opened(browser, pages["fleet"]).page
    assert page.get_by_role("article", name="vault-10", exact=True).count() == 1
    assert page.get_by_role("group", name="Show hosts by their worst finding").count() == 1
    assert page.get_by_role("img", name="Live update: create 6.1 ms, rename 4.9 ms, delete 5.3 ms").count() >= 1
    assert page.get_by_role("heading", level=2).all_inner_texts() == ["What to do next", "Hosts"]


def test_a_printed_page_shows_every_host_in_full(browser: Any, pages: dict[str, Path]) -> None:
    """Hosts that are folded on the screen are not on paper."""
    page = Opened(browser, pages["fleet"]).page
    inside = page.get_by_role("article", name="vault-1", exact=True).get_by_text("What was proved")
    assert not inside.evaluate("(node) => node.checkVisibility()")
    page.emulate_media(media="print")
    assert inside.evaluate("(node) => node.checkVisibility()")
