# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients meet: a server, the role's own nginx configuration in front of it, and a throwaway authority."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jinja2
import yaml
from ansible.plugins.test.core import version_compare

from ansible_collections.vaultwire.stack.plugins.module_utils import _layout
from lab.server import executables, parse_choice

from .run import HERE, HOST, MODULES, ROOT

ORIGIN = f"https://{HOST}"
ROLE = ROOT / "roles" / "reverse_proxy"
START_SECONDS = 20.0

NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
# The namespace of somebody who is not root knows no other user.
user root;
worker_processes 1;
events {{
    worker_connections 128;
}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{
        text/html html;
        text/javascript js;
    }}
    include {folder}/site.conf;
}}
"""

PAGE = (
    HERE / "page" / "index.html",
    HERE / "page" / "vault.js",
    MODULES / "@microsoft" / "signalr" / "dist" / "browser" / "signalr.min.js",
    MODULES / "@microsoft" / "signalr-protocol-msgpack" / "dist" / "browser" / "signalr-protocol-msgpack.min.js",
)
#: The page's own files. They have to come from the vault's origin over the network: Chromium takes a page that a test
#: hands to it for one of the public internet, and lets none of those open a socket to a private address.
LOCATION = """\
    location ^~ /live/ {{
        root {folder};
    }}

    ssl_certificate """


def run(*command: str, cwd: Path | None = None) -> None:
    """A command that has to succeed; its words are in the error where it does not."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
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
        started.wait(10)


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


def site(plan: _layout.LayoutPlan, authority: Authority, folder: Path) -> str:
    """The role's template, with the role's defaults and the routes of the plan."""
    # Ansible removes the newline after a block, so this has to.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.tests["version"] = version_compare
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    ciphers = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__reverse_proxy_cipher_list"]
    shown = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    release = re.search(r"nginx/([\d.]+)", shown)
    routes = [
        {"match": route.match, "path": route.path, "upstream": f"127.0.0.1:{plan.container_ports[route.upstream]}"}
        for route in plan.routes
    ]
    return environment.get_template("nginx/site.conf.j2").render(
        **{
            **defaults,
            "reverse_proxy_routes": routes,
            "__reverse_proxy_name": "clients",
            "__reverse_proxy_address": {"host": HOST, "port": 443, "base_path": "", "origin": ORIGIN},
            "__reverse_proxy_host": {"ipv6": False},
            "__reverse_proxy_version": release[1] if release else "",
            "__reverse_proxy_hops_by": "",
            "__reverse_proxy_certificate": authority.certificate,
            "__reverse_proxy_key": authority.key,
            "__reverse_proxy_ciphers": ":".join(ciphers),
            "__reverse_proxy_access_log": folder / "access.log",
            "__reverse_proxy_error_log": folder / "error.log",
        }
    )


def without_upgrade(text: str) -> str:
    """The same site with the lines removed that pass an upgrade on."""
    changed = re.sub(r"^ *proxy_set_header (Upgrade|Connection) .*\n", "", text, flags=re.MULTILINE)
    if text.count("\n") - changed.count("\n") != 2:
        raise ValueError("the role's template no longer has exactly two lines that pass an upgrade on")
    return changed


@contextlib.contextmanager
def nginx(text: str, folder: Path, authority: Authority) -> Iterator[None]:
    """nginx with that site."""
    page = folder / "live"
    page.mkdir(exist_ok=True)
    for path in PAGE:
        shutil.copy(path, page)
    with_page = text.replace("    ssl_certificate ", LOCATION.format(folder=folder), 1)
    (folder / "site.conf").write_text(with_page, encoding="utf-8")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder), encoding="utf-8")
    run("nginx", "-t", "-p", str(folder), "-c", "nginx.conf")
    with process(["nginx", "-p", str(folder), "-c", "nginx.conf"], folder / "output.log"):
        wait_until_alive(f"{ORIGIN}/alive", ssl.create_default_context(cafile=str(authority.ca)))
        yield
