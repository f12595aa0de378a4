# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxies, each with the configuration that the role's own templates and defaults make of the given routes."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import yaml

from ansible_collections.vaultwire.stack.plugins.filter import proxy as proxy_filters
from ansible_collections.vaultwire.stack.plugins.module_utils import _layout, _proxy

from .install import ROOT
from .run import HOST
from .world import ORIGIN, PAGE, Authority, process, run, wait_until_alive

ROLE = ROOT / "roles" / "reverse_proxy"
PAGE_PORT = 8999
NUMBERS = ("http_port", "max_clients", "read_timeout")
Render = Callable[..., str]

NGINX = """\
daemon off;
pid {folder}/nginx.pid;
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
    include {folder}/site.conf;
}}
"""


class Proxy(NamedTuple):
    """A product: how it tells its version, what it is given, and how it is checked and started."""

    name: str
    version: tuple[str, ...]
    #: Path below the folder of a run -> text, made by rendering templates.
    files: Callable[[Render, Path, Authority], dict[str, str]]
    check: tuple[str, ...]
    start: tuple[str, ...]
    #: What its log says of the hub: the status is the first group.
    logged: str

    def __str__(self) -> str:
        return self.name


def nginx_files(render: Render, folder: Path, authority: Authority) -> dict[str, str]:
    """The site, and a main file that keeps everything in the folder."""
    return {"nginx.conf": NGINX.format(folder=folder), "site.conf": render("nginx/site.conf.j2")}


def caddy_files(render: Render, folder: Path, authority: Authority) -> dict[str, str]:
    """The role has Caddy's folder in its templates; here it is another."""
    own = {"options.caddy": render("caddy/options.caddy.j2"), "site-vault.caddy": render("caddy/site.caddy.j2")}
    main = _proxy.caddyfile_with_imports("", f"{folder}/options.caddy", f"{folder}/site-*.caddy")
    certificate = {"vault.pem": authority.certificate.read_text("ascii"), "vault.key": authority.key.read_text("ascii")}
    moved = {path: text.replace("/etc/caddy/vaultwire/", f"{folder}/") for path, text in own.items()}
    return {"Caddyfile": main, **moved, **certificate}


def haproxy_files(render: Render, folder: Path, authority: Authority) -> dict[str, str]:
    """There is no syslog in the namespace, so requests are logged to the output."""
    rendered = {
        "conf.d/port-443.cfg": render("haproxy/port.cfg.j2"),
        "conf.d/port-80.cfg": render("haproxy/redirect.cfg.j2"),
        "conf.d/site.cfg": render("haproxy/site.cfg.j2"),
    }
    return {
        "haproxy.cfg": "global\n\tmaxconn 4096\n",
        **{
            path: text.replace("log /dev/log local0", "log stdout format raw local0") for path, text in rendered.items()
        },
        "hosts-443.map": _proxy.with_host("", HOST, "clients"),
        "origins-80.map": _proxy.with_host("", HOST, ORIGIN),
        "certs-443/vault.pem": authority.certificate.read_text("ascii") + authority.key.read_text("ascii"),
    }


NGINX_COMMAND = ("nginx", "-p", "{folder}", "-e", "{folder}/error.log", "-c", "nginx.conf")
CADDY_CONFIG = ("--config", "{folder}/Caddyfile", "--adapter", "caddyfile")
HAPROXY_COMMAND = ("haproxy", "-db", "-f", "{folder}/haproxy.cfg", "-f", "{folder}/conf.d")
PROXIES = (
    Proxy(
        "nginx",
        ("nginx", "-v"),
        nginx_files,
        (*NGINX_COMMAND, "-t"),
        NGINX_COMMAND,
        r'"GET /notifications/hub HTTP/1.1" (\d+)',
    ),
    Proxy(
        "caddy",
        ("caddy", "version"),
        caddy_files,
        ("caddy", "validate", *CADDY_CONFIG),
        ("caddy", "run", *CADDY_CONFIG),
        r'"uri":"/notifications/hub".*"status":(\d+)',
    ),
    Proxy(
        "haproxy",
        ("haproxy", "-v"),
        haproxy_files,
        (*HAPROXY_COMMAND, "-c"),
        HAPROXY_COMMAND,
        r" (\d+) \d+ \S+ GET /notifications/hub HTTP/",
    ),
)


def routes(plan: _layout.LayoutPlan) -> list[dict[str, str]]:
    """The plan's rules as the role takes them."""
    return [
        {"match": route.match, "path": route.path, "upstream": f"127.0.0.1:{plan.container_ports[route.upstream]}"}
        for route in plan.routes
    ]


def renderer(proxy: Proxy, rules: Sequence[dict[str, str]], authority: Authority, folder: Path) -> Render:
    """A function that renders a template of the role with the role's defaults and these rules.

    The page's own files get rules, too, as they have to come from the vault's origin over the network: Chromium takes
    a page that a test hands to it for one of the public internet, and lets none of those open a socket to a private
    address.
    """
    # As Ansible has it: the newline after a block goes, the one at the end stays.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = proxy_filters.FilterModule().filters()
    environment.filters.update({f"vaultwire.stack.{name}": function for name, function in filters.items()})
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    ciphers = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__reverse_proxy_cipher_list"]
    page = [{"match": "exact", "path": f"/live/{path.name}", "upstream": f"127.0.0.1:{PAGE_PORT}"} for path in PAGE]
    variables = {
        **defaults,
        "reverse_proxy_site": "vault",
        "reverse_proxy_routes": [*page, *rules],
        "__reverse_proxy_name": "clients",
        "__reverse_proxy_dir": folder,
        "__reverse_proxy_address": {"host": HOST, "port": 443, "base_path": "", "origin": ORIGIN},
        "__reverse_proxy_host": {"ipv6": False},
        "__reverse_proxy_version": version(proxy),
        # Numbers, which the role makes of what the command line gives as strings.
        **{f"__reverse_proxy_{name}": defaults[f"reverse_proxy_{name}"] for name in NUMBERS},
        "__reverse_proxy_hops_by": "",
        "__reverse_proxy_certificate": authority.certificate,
        "__reverse_proxy_key": authority.key,
        "__reverse_proxy_ciphers": ":".join(ciphers),
        "__reverse_proxy_access_log": folder / "access.log",
        "__reverse_proxy_error_log": folder / "error.log",
    }
    return lambda name: environment.get_template(name).render(variables)


def version(proxy: Proxy) -> str:
    """What the program says of itself."""
    done = subprocess.run(proxy.version, capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found[0] if found else ""


def unchanged(text: str) -> str:
    """The site as the role writes it."""
    return text


def without_upgrade(text: str) -> str:
    """nginx's site with the lines removed that pass an upgrade on."""
    return re.sub(r"^ *proxy_set_header (Upgrade|Connection) .*\n", "", text, flags=re.MULTILINE)


@contextlib.contextmanager
def serve(
    proxy: Proxy,
    rules: Sequence[dict[str, str]],
    folder: Path,
    authority: Authority,
    spoil: Callable[[str], str] = unchanged,
) -> Iterator[None]:
    """The proxy with these rules, checked by itself first."""
    folder.mkdir(exist_ok=True)
    files = proxy.files(renderer(proxy, rules, authority, folder), folder, authority)
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(spoil(text), encoding="utf-8")
    place = {"folder": str(folder)}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    run(*(word.format(**place) for word in proxy.check), cwd=folder, env=env)
    with process([word.format(**place) for word in proxy.start], folder / "output.log", env):
        wait_until_alive(f"{ORIGIN}/alive", ssl.create_default_context(cafile=str(authority.ca)))
        yield


def logs(folder: Path) -> str:
    """All that a proxy logged, once it has ended."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.log")))
