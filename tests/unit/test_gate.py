# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate after a start, and the release of an image, with a real HTTP server and a script for the docker command."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.modules import container_gate, image_version
from tests.unit.fake_module import run_module

Docker = Callable[[dict[str, str]], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Install a docker command that answers by its first words; what it does not know fails."""

    def install(answers: dict[str, str]) -> None:
        lines = ["#!/bin/sh", 'case "$*" in']
        for number, (words, text) in enumerate(answers.items()):
            (tmp_path / str(number)).write_text(text)
            lines.append(f'"{words}"*) cat {tmp_path}/{number};;')
        script = tmp_path / "docker"
        script.write_text("\n".join([*lines, "*) echo unknown >&2; exit 1;;", "esac", ""]))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


def state(status: str, restarts: int = 0, code: int = 0) -> str:
    """What the engine says of a container."""
    return json.dumps([{"State": {"Status": status, "ExitCode": code, "StartedAt": "now"}, "RestartCount": restarts}])


@contextlib.contextmanager
def server(version: str) -> Iterator[str]:
    """A server that is alive and of some version."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(version if self.path == "/api/version" else "now").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def gate(url: str, **more: Any) -> dict[str, Any]:
    """Run the gate."""
    return run_module(container_gate.main, container="vault", url=url, timeout=0.4, **more)


def test_a_server_that_answers_passes(docker: Docker) -> None:
    """With the version that it says."""
    docker({"container inspect": state("running")})
    with server("1.37.2") as url:
        done = gate(url, version="1.37.2")
    assert (done["changed"], done["version"]) == (False, "1.37.2")


def test_another_server_on_the_port_is_noticed(docker: Docker) -> None:
    """An answer alone proves nothing."""
    docker({"container inspect": state("running")})
    with server("1.28.1") as url:
        assert "vaultwarden_http_port" in gate(url, version="1.37.2")["msg"]


def test_a_container_that_keeps_exiting_fails_although_something_answers(docker: Docker) -> None:
    """With its last words and what its exit code means."""
    docker({"container inspect": state("restarting", 5, 12), "logs": "Error loading config: no such thing"})
    with server("1.37.2") as url:
        done = gate(url)
    assert done["failed"] is True
    assert "refused its configuration" in done["msg"]
    assert "no such thing" in done["msg"]


def test_a_silent_server_fails_in_time(docker: Docker) -> None:
    """Running, and not answering."""
    docker({"container inspect": state("running"), "logs": ""})
    assert "does not serve" in gate("http://127.0.0.1:1")["msg"]


def test_a_container_that_is_not_there(docker: Docker) -> None:
    """A failure, but in check mode before the first run."""
    docker({})
    assert "no container vault" in gate("http://127.0.0.1:1")["msg"]
    assert gate("http://127.0.0.1:1", _ansible_check_mode=True)["changed"] is False


@pytest.mark.parametrize(
    ("answers", "version"),
    [
        ({"image inspect -f {{index": "1.37.2\n", "image inspect": "sha256:1"}, "1.37.2"),
        ({"image inspect -f {{index": "\n", "image inspect": "x", "run": "Vaultwarden 1.37.2\nmore"}, "1.37.2"),
        ({}, ""),
    ],
    ids=["label", "asked", "no engine"],
)
def test_the_release_of_an_image(docker: Docker, answers: dict[str, str], version: str) -> None:
    """From its label, else from the server in it; empty rather than a failure where there is no engine yet."""
    docker({**answers, **({"version": "x", "pull": ""} if answers else {})})
    assert run_module(image_version.main, image="vaultwarden/server:latest")["version"] == version


def test_an_image_that_does_not_tell_is_refused(docker: Docker) -> None:
    """With what to set instead."""
    docker({"version": "", "pull": "", "image inspect -f {{index": "\n", "image inspect": "x", "run": "hello"})
    assert "release number" in run_module(image_version.main, image="x/y:latest")["msg"]
