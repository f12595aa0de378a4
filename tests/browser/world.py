# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients meet behind a proxy: a server, a page, and a throwaway authority."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.vaultwire.stack.plugins.module_utils import _layout
from lab.server import executables, parse_choice

from .install import HERE, MODULES, ROOT
from .run import HOST

ORIGIN = f"https://{HOST}"
START_SECONDS = 60.0

#: Served to Chromium from the vault's own address.
PAGE = (
    HERE / "page" / "index.html",
    HERE / "page" / "vault.js",
    MODULES / "@microsoft" / "signalr" / "dist" / "browser" / "signalr.min.js",
    MODULES / "@microsoft" / "signalr-protocol-msgpack" / "dist" / "browser" / "signalr-protocol-msgpack.min.js",
)


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """A command that has to succeed; its words are in the error where it does not."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}")


class Authority:
    """An authority for one run, and the vault's certificate by it. Chromium trusts it by its own database."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.key, self.certificate = (folder / name for name in ("ca.pem", "vault.key", "vault.pem"))
        self.home = folder / "home"
        database = self.home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        ca_options = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        new_key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
        names = ("-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "vault.key", "-out", "vault.pem")
        request = ("openssl", "req", "-x509", *new_key)
        own = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Throwaway authority")
        run(*request, *own, *ca_options, cwd=folder)
        run(*request, *signed, "-subj", f"/CN={HOST}", *names, cwd=folder)
        store = ("certutil", "-d", f"sql:{database}")
        run(*store, "-N", "--empty-password")
        run(*store, "-A", "-t", "C,,", "-n", "throwaway", "-i", str(self.ca))


def wait_until_alive(url: str, context: ssl.SSLContext | None = None) -> None:
    """Wait until something answers with 200."""
    end = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def process(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    """A program for the time of a block, with its words in a file."""
    with log.open("wb") as stream:
        started = subprocess.Popen(command, cwd=log.parent, env=env, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


def server_command(version: str) -> tuple[list[str], dict[str, str]]:
    """The real executable where LAB_SERVER is a folder of them, else the stand-in."""
    folder = parse_choice(os.environ.get("LAB_SERVER"), ROOT).folder
    if folder is None:
        return [sys.executable, "-m", "lab.stand_in"], {"APP_VERSION": version, "PYTHONPATH": str(ROOT)}
    found = executables(folder)
    if version not in found:
        raise RuntimeError(f"LAB_SERVER is {folder}, where there is no executable vaultwarden-{version}.")
    return [str(found[version])], {}


@contextlib.contextmanager
def server(version: str, folder: Path) -> Iterator[_layout.LayoutPlan]:
    """A server of that release in the layout that the collection chooses for it."""
    plan = _layout.plan_layout(_layout.parse_version(version))
    command, more = server_command(version)
    (folder / "data").mkdir(parents=True)
    env = {
        "PATH": os.environ["PATH"],
        "DATA_FOLDER": str(folder / "data"),
        "DOMAIN": ORIGIN,
        "I_REALLY_WANT_VOLATILE_STORAGE": "true",
        "LOGIN_RATELIMIT_MAX_BURST": "500",
        "ROCKET_ADDRESS": "127.0.0.1",
        "ROCKET_PORT": str(plan.container_ports["http"]),
        "SIGNUPS_ALLOWED": "true",
        "WEB_VAULT_ENABLED": "false",
        **plan.environment,
        **more,
    }
    with process(command, folder / "server.log", env):
        wait_until_alive(f"http://127.0.0.1:{plan.container_ports['http']}/alive")
        yield plan


@contextlib.contextmanager
def page(folder: Path, port: int) -> Iterator[None]:
    """The page's files, for a proxy to fetch."""
    (folder / "live").mkdir()
    for path in PAGE:
        shutil.copy(path, folder / "live")
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
    with process(command, folder / "page.log"):
        wait_until_alive(f"http://127.0.0.1:{port}/live/index.html")
        yield
