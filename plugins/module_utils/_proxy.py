# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that span several settings of the reverse proxy. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ._domain import DomainError, parse_domain
from ._layout import LayoutError, check_port

Settings = t.Mapping[str, t.Any]

#: Seconds between two pings of the server on every socket; a proxy that waits less cuts idle sockets.
SERVER_PING_SECONDS = 15

_SITE = re.compile(r"[a-z][a-z0-9-]{0,30}")
_BODY = re.compile(r"\d+[kKmMgG]?")


def find_problems(settings: Settings) -> t.List[str]:
    """Every reason why these settings cannot work, as full sentences; keys without ``reverse_proxy_``."""
    checks = (_check_domain, _check_routes, _check_numbers, _check_names)
    return [problem for check in checks for problem in check(settings)]


def _check_domain(settings: Settings) -> t.Iterator[str]:
    try:
        domain = parse_domain(settings["domain"], "reverse_proxy_domain")
    except DomainError as exc:
        yield str(exc)
        return
    if domain.port == settings["http_port"]:
        yield (
            f"reverse_proxy_http_port and the port of reverse_proxy_domain are both {domain.port}. Change "
            f"reverse_proxy_http_port, or set it to 0 for no redirect from plain http."
        )
    for route in settings["routes"]:
        if not str(route.get("path", "")).startswith(f"{domain.base_path}/"):
            yield (
                f"reverse_proxy_routes has the path {route.get('path')!r}, which is not below the sub-path "
                f"{domain.base_path or '/'} of reverse_proxy_domain. The server mounts all its routes there."
            )


def _check_routes(settings: Settings) -> t.Iterator[str]:
    if not settings["routes"] or settings["routes"][-1].get("match") != "prefix":
        yield "reverse_proxy_routes must end with a rule for everything: match prefix, and the path of the vault."
    for route in settings["routes"]:
        upstream = str(route.get("upstream", ""))
        host, _, port = upstream.rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            check_port(port, "the port of an upstream")
        except (ValueError, LayoutError):
            yield (
                f"reverse_proxy_routes has the upstream {upstream!r}. Give an IP address and a port, such as "
                f"127.0.0.1:8080; a name such as localhost may resolve to an address where nothing listens."
            )


def _check_numbers(settings: Settings) -> t.Iterator[str]:
    try:
        if settings["http_port"] != 0:
            check_port(settings["http_port"], "reverse_proxy_http_port")
    except LayoutError as exc:
        yield str(exc)
    if int(settings["read_timeout"]) <= SERVER_PING_SECONDS:
        yield (
            f"reverse_proxy_read_timeout is {settings['read_timeout']}. The server pings each {SERVER_PING_SECONDS} "
            f"seconds, so idle clients would be cut off all the time. Set it above that, 60 or more."
        )
    if int(settings["max_clients"]) < 1:
        yield "reverse_proxy_max_clients must be 1 or more."


def _check_names(settings: Settings) -> t.Iterator[str]:
    if not _SITE.fullmatch(str(settings["site"])):
        yield f"reverse_proxy_site is {settings['site']!r}. Use lower-case letters, digits and -, a letter first."
    if not _BODY.fullmatch(str(settings["max_body"])):
        yield f"reverse_proxy_max_body is {settings['max_body']!r}. Give a size such as 525M."
