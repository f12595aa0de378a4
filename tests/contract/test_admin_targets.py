# SPDX-License-Identifier: GPL-3.0-or-later
"""Which request targets are the admin page to the server, byte by byte. The tests of the proxies go by this list."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from .replay import fixture
from .servers import Process, real, stand_in
from .test_real_server import FOLDER, PRESENT

TARGETS = fixture("admin_targets")
KINDS = [
    *((f"stand-in {version}", stand_in(version)) for version in ("1.28.1", "1.37.2")),
    *((f"real {version}", real(version, FOLDER)) for version in PRESENT),
]
PAGE = re.compile(rb"<title>(Stand-in|Vaultwarden) admin", re.IGNORECASE)


@pytest.fixture(
    scope="module",
    params=[pytest.param((kind, base), id=f"{name}{base}") for name, kind in KINDS for base in ("", "/vault")],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    """A server with an admin token, and its sub-path."""
    kind, base = request.param
    env = {"DOMAIN": f"https://vault.example{base}", "ADMIN_TOKEN": "contract"}
    process = Process(kind, tmp_path_factory.mktemp("targets"), env)
    assert process.wait() == "keeps running", process.log
    yield process, base
    process.stop()


def is_page(port: int, target: str) -> bool:
    """Whether the answer is the admin page, or its login."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: vault.example\r\nConnection: close\r\n\r\n".encode())
        return PAGE.search(b"".join(iter(lambda: sock.recv(65536), b""))) is not None


def test_the_admin_page_has_these_names_and_no_others(server: tuple[Process, str]) -> None:
    """The stand-in is as generous as the server, so that a gap in a proxy's rule shows."""
    process, base = server
    names = {"base": base, "encoded": "/%76ault" if base else "", "host": "vault.example"}
    for kind in ("page", "other"):
        found = {target: is_page(process.port("http"), target.format(**names)) for target in TARGETS[kind]}
        assert found == dict.fromkeys(TARGETS[kind], kind == "page")
