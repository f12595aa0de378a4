# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest behind a tag, asked from an engine that is played on a socket."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_module import run_module

from ansible_collections.vaultwire.stack.plugins.modules import image_digest

DIGEST = f"sha256:{'5e' * 32}"
IMAGE = "docker.io/vaultwarden/server:1.37.2"
GOOD = {
    "Descriptor": {"digest": DIGEST},
    "Platforms": [
        {"os": "linux", "architecture": "arm64"},
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v6"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
    ],
}


class Engine(http.server.BaseHTTPRequestHandler):
    """Says what a test wants."""

    status: ClassVar[int] = 200
    said: ClassVar[bytes] = b""
    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer with it."""
        self.paths.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)

    def address_string(self) -> str:
        """Of a socket of the file system there is none."""
        return ""

    def log_message(self, *__: Any) -> None:
        """Say nothing."""


@pytest.fixture
def place() -> Iterator[str]:
    """A socket with such an engine; its path must be short."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "engine"))
        with socketserver.ThreadingUnixStreamServer(path, Engine) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            Engine.paths.clear()
            yield path
            server.shutdown()


def ask(place: str, status: int, said: object, image: str = IMAGE) -> dict[str, Any]:
    """Run the module against an engine that says this."""
    Engine.status, Engine.said = status, said if isinstance(said, bytes) else json.dumps(said).encode()
    return run_module(image_digest.main, image=image, socket=place, timeout=5)


def test_an_engine_that_stays_silent_is_not_waited_for_any_longer() -> None:
    """It takes the connection, and that is all."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        path = str(Path(folder, "engine"))
        silent.bind(path)
        silent.listen()
        result = run_module(image_digest.main, image=IMAGE, socket=path, timeout=1)
    assert "timed out" in result["msg"]
    assert path in result["msg"]


def test_the_digest_and_the_platforms_are_told(place: str) -> None:
    """Each platform once; variants of one are of no use to anybody who reads the line."""
    result = ask(place, 200, GOOD)
    assert (result["digest"], result["changed"]) == (DIGEST, False)
    assert result["platforms"] == ["linux/amd64", "linux/arm", "linux/arm64"]
    assert Engine.paths == [f"/distribution/{IMAGE}/json"]


@pytest.mark.parametrize("platforms", [None, []])
def test_an_image_without_a_list_has_a_digest_all_the_same(place: str, platforms: list[Any] | None) -> None:
    """Old registries say nothing of platforms."""
    assert ask(place, 200, {**GOOD, "Platforms": platforms})["platforms"] == []


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (404, {"message": "manifest unknown"}, [IMAGE, "manifest unknown", "vaultwarden_version"]),
        (403, {"message": "pull access denied"}, [IMAGE, "denied", "vaultwarden_image"]),
        (401, {"message": "authentication required"}, [IMAGE, "for everyone to fetch", "authentication"]),
        (500, {"message": "reference not found"}, [IMAGE, "for everyone to fetch", "vaultwarden_version"]),
        (500, GOOD, ["cannot be asked", "status 500"]),
        (500, {"message": "manifest unknown: x"}, [IMAGE, "vaultwarden_version"]),
        (500, {"message": "dial tcp: connection refused"}, [IMAGE, "cannot be asked", "refused", "port is open"]),
        (500, {}, ["cannot be asked", "status 500"]),
        (200, {"Descriptor": None}, ["cannot be asked", "status 200"]),
        (200, {"Descriptor": {"digest": "sha256:1\"\nvaultwarden_x: 1"}}, ["which is no digest", "\\n", "Nothing"]),
        (200, [], ["cannot be asked"]),
        (200, b"<html>", ["no answer", "playbooks/site.yml"]),
    ],
    ids=[
        "unknown tag",
        "not for everyone",
        "no login",
        "not found",
        "failed",
        "unknown, told otherwise",
        "down",
        "no words",
        "no digest",
        "another text",
        "list",
        "HTML",
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_said_with_its_remedy(place: str, status: int, said: object, words: list[str]) -> None:
    """Each names what is in the way, and what to set or to look at."""
    result = ask(place, status, said)
    assert result["failed"]
    assert [word for word in words if word not in result["msg"]] == []


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    """By its socket."""
    result = run_module(image_digest.main, image=IMAGE, socket=str(tmp_path / "none"))
    assert str(tmp_path / "none") in result["msg"]
    assert "Install and start it" in result["msg"]


def test_a_name_cannot_leave_its_place_in_the_request(place: str) -> None:
    """The role refuses such names; the module does not depend on it."""
    ask(place, 200, GOOD, image="x?y z#1:2")
    assert Engine.paths == ["/distribution/x%3Fy%20z%231:2/json"]
