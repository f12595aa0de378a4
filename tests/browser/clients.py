# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients themselves: pages in Chromium, and the Bitwarden command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .install import BUILD, HERE, MODULES, NODE
from .world import ORIGIN, Authority, process, wait_until_alive

PASSWORD = "correct horse battery staple"
#: Milliseconds to wait for a page. A change is shown within some, or never, since no page asks; the rest is for
#: machines that do much else at the time.
SHOWN_WITHIN = 30_000
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
    """One release of the Bitwarden command line."""

    release: str
    module: str

    def __str__(self) -> str:
        return f"bw {self.release}"


CLI_2023 = Cli("2023.9.1", "bw-2023")
CLI_2026 = Cli("2026.8.0", "bw-2026")
#: Where `bw serve` listens, in the namespace.
SERVE = ("127.0.0.1", 8087)
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CommandLine:
    """A signed-in command line with a profile of its own.

    It is started for each command up to the login. From then on it stays, as `bw serve`, since its start takes longer
    than all that it is asked to do.
    """

    def __init__(self, cli: Cli, profile: Path, authority: Authority, email: str) -> None:
        profile.mkdir()
        self.cli = cli
        self._command = [str(NODE), "--require", str(HERE / "no_argon2.cjs"), str(MODULES / cli.module / "build/bw.js")]
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(profile),
            "BITWARDENCLI_APPDATA_DIR": str(profile),
            "NODE_EXTRA_CA_CERTS": str(authority.ca),
            "NODE_NO_WARNINGS": "1",
            "BW_PW": PASSWORD,
        }
        self._log = profile / "serve.log"
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
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"bw {arguments[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    @contextlib.contextmanager
    def serving(self) -> Iterator[CommandLine]:
        """Keep it running for the time of a block."""
        host, port = SERVE
        with process([*self._command, "serve", "--hostname", host, "--port", str(port)], self._log, self._env):
            wait_until_alive(f"http://{host}:{port}/status")
            yield self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the running command line, and the data of its answer.

        It finds what it wrote or fetched itself only a little later, so it is asked again while it does not.
        """
        request = urllib.request.Request(
            f"http://{SERVE[0]}:{SERVE[1]}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        end = time.monotonic() + SHOWN_WITHIN / 1000
        while True:
            try:
                with LOCAL.open(request, timeout=60) as answer:
                    return json.load(answer).get("data")
            except urllib.error.HTTPError as exc:
                said = exc.read().decode(errors="replace")
                if "Not found" not in said or time.monotonic() > end:
                    raise RuntimeError(f"bw refused {method} {path}: {said}") from exc
                time.sleep(0.05)

    def create(self, name: str) -> Any:
        """A new item."""
        return self.ask("POST", "/object/item", {"type": 1, "name": name, "login": {"username": "somebody"}})

    def rename(self, item: Any, name: str) -> None:
        """Another name for it."""
        self.ask("PUT", f"/object/item/{item['id']}", {**item, "name": name})

    def name_of(self, item: str) -> str:
        """The name it reads after a fresh look at the server."""
        self.ask("POST", "/sync")
        return str(self.ask("GET", f"/object/item/{item}")["name"])
