# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proxies differ in when looked at from outside. Everything else the tests ask of all of them alike."""

from __future__ import annotations

from typing import NamedTuple

from testinfra.host import Host
from vault import Vault


class Proxy(NamedTuple):
    """One product: its service, where its logs are, and the answers it has of its own."""

    service: str
    logs: tuple[str, ...]
    #: Whether it writes to the journal rather than, or besides, to files.
    journal: bool = False
    #: What it says when the server is down.
    down: int = 502
    #: How it sends clients elsewhere. 308 keeps the method; 301 does for all that a browser types.
    redirect: int = 308
    #: What it says when the second port of the legacy layout closes a plain request.
    closed: int = 502
    #: What the distribution's own configuration listens on besides.
    ports: frozenset[int] = frozenset({80})
    #: Limits of its own besides the files of its processes: what shows them, and how many each client takes.
    limits: tuple[tuple[str, str, int], ...] = ()


#: What a running HAProxy says of itself.
SHOW_INFO = (
    "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); "
    "s.sendall(b'show info\\n'); print(s.makefile().read())\""
)
PROXIES = {
    "nginx": Proxy("nginx", ("/var/log/nginx",), limits=(("nginx -T 2>&1", r"^\s*worker_connections (\d+)", 2),)),
    "caddy": Proxy("caddy", ("/var/log/caddy",), journal=True),
    "apache": Proxy(
        "apache2", ("/var/log/apache2",), down=503, ports=frozenset({80, 443}),
        limits=(
            ("cat /etc/apache2/conf-enabled/*", r"^\s*MaxRequestWorkers (\d+)", 1),
            ("systemctl show --property TasksMax apache2", r"TasksMax=(\d+)", 1),
        ),
    ),
    "haproxy": Proxy("haproxy", (), journal=True, down=503, limits=((SHOW_INFO, r"^Maxconn: (\d+)", 1),)),
    "lighttpd": Proxy(
        "lighttpd", ("/var/log/lighttpd",), down=503, closed=500,
        limits=(
            ("lighttpd -p -f /etc/lighttpd/lighttpd.conf", r"server\.max-connections\s*=\s*(\d+)", 1),
            ("lighttpd -p -f /etc/lighttpd/lighttpd.conf", r"server\.max-fds\s*=\s*(\d+)", 2),
        ),
    ),
    "traefik": Proxy("vaultwire-traefik", ("/var/log/vaultwire-traefik",), journal=True, redirect=301),
}  # fmt: skip


def proxy_of(vault: Vault) -> Proxy:
    """The product in front of a vault."""
    return PROXIES[str(vault.settings.get("reverse_proxy_provider", "nginx"))]


def logged(host: Host, vault: Vault) -> str:
    """Everything that the proxy has logged."""
    proxy = proxy_of(vault)
    text = "".join(host.check_output("find %s -name '*.log' -type f -exec cat {} +", path) for path in proxy.logs)
    return text + (host.check_output("journalctl --no-pager --unit %s", proxy.service) if proxy.journal else "")
