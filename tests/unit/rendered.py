# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered files as text, and a foreign proxy that runs one of them in front of the stand-in."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from ansible.plugins.filter.core import to_nice_yaml
from fake_module import run_module
from fake_server import ADMIN_TOKEN, StandIn

from ansible_collections.vaultwire.stack.plugins.module_utils import _render
from ansible_collections.vaultwire.stack.plugins.modules import hub_probe, live_update

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ROOT / "roles" / "reverse_proxy" / "templates"),
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)
TEMPLATES.filters["to_nice_yaml"] = to_nice_yaml
SERVER, HUB = "192.0.2.1:8080", "192.0.2.1:8081"


def settings(
    layout: str = "single_port", base: str = "", server: str = SERVER, hub: str = HUB, **changes: Any
) -> dict[str, Any]:
    first = [{"match": "exact", "path": f"{base}/notifications/hub", "upstream": hub}] if layout == "legacy" else []
    return {
        "domain": f"https://vault.example.com{base}",
        "routes": [*first, {"match": "prefix", "path": f"{base}/", "upstream": server}],
        "site": "vaultwarden",
        "http_port": 80,
        "certificate": "",
        "key": "",
        "max_body": "525M",
        "max_clients": 4000,
        "read_timeout": 90,
        "admin_networks": [],
        "admin_pattern": "^/+admin(/|$)",
        "trusted_hops": [],
        "trusted_header": "X-Forwarded-For",
        "proxy_protocol": False,
        **changes,
    }


def text(product: str, **chosen: Any) -> str:
    plan = _render.render_plan(settings(**chosen), product)
    return TEMPLATES.get_template(f"render/{product}.j2").render(plan=plan)


class Front(NamedTuple):
    """A proxy that runs: its ports, whom to trust, and its output, the access log included."""

    port: int
    http_port: int
    ca: str
    log: Path

    def ask(self, path: str, headers: dict[str, str] | None = None, secure: bool = True) -> tuple[int, str]:
        """The status, and where a redirect leads."""
        connection: http.client.HTTPConnection
        if secure:
            context = ssl.create_default_context(cadata=self.ca)
            # The authority has no key identifier, which Python 3.13 would refuse.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection("localhost", self.http_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Location", "")


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """A proxy of others for as long as the block lasts, from when it listens on a port of loopback."""
    with log.open("w") as output:
        proxy = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + 20
            while time.monotonic() < end and proxy.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            else:
                raise AssertionError(f"{command[0]} did not start: {log.read_text()}")
            yield
        finally:
            proxy.terminate()
            proxy.wait(20)


def proofs(server: StandIn, url: str, ca: str) -> tuple[list[str], list[str]]:
    """What the probe finds through a proxy, and which steps of a live update arrived.

    That a release is too old for current clients is no matter of the proxy.
    """
    arguments = {"url": url, "ca_content": ca, "timeout": 10}
    probe = run_module(hub_probe.main, **arguments, version=server.version)
    update = run_module(live_update.main, **arguments, admin_token=ADMIN_TOKEN)
    codes = [finding["code"] for finding in probe["diagnosis"] if finding["code"] != "VW-V03"]
    return codes, sorted(update.get("latencies", {}))
