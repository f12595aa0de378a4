# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What releases of proxy products differ in: each fact once, with the release from which on it holds.

Pure: no Ansible imports. Python 3.8 and later. docs/proxies.md shows the same table.
"""

from __future__ import annotations

import re
import typing as t


class Since(t.NamedTuple):
    """A fact about a product that began with a release."""

    product: str
    #: First release with it, one for each series that got it, oldest first. All after the last one have it.
    releases: t.Tuple[t.Tuple[int, ...], ...]
    #: What holds from there on, for docs/proxies.md.
    says: str
    #: Whether the role cannot do without it.
    required: bool = False

    @property
    def first(self) -> str:
        """The first release that has it for good, as text."""
        return ".".join(map(str, self.releases[-1]))


FACTS: t.Dict[str, Since] = {
    "nginx_http2_directive": Since(
        "nginx", ((1, 25, 1),), "`http2 on` is a directive of its own; as a word of `listen` it is deprecated"
    ),
    "nginx_upstream_http11": Since(
        "nginx", ((1, 29, 7),), "speaks HTTP/1.1 to upstreams where `proxy_http_version` is not set; before, HTTP/1.0"
    ),
    "caddy_close_delay": Since("caddy", ((2, 7),), "knows `stream_close_delay`, so a reload does not cut sockets"),
    "caddy_nearest_hop": Since(
        "caddy",
        ((2, 8),),
        "can look for the client from the nearest hop backwards; before, it believes what clients claim",
    ),
    "apache_upgrade": Since("apache", ((2, 4, 47),), "`mod_proxy_http` passes upgrades on", required=True),
    "lighttpd_upgrade": Since("lighttpd", ((1, 4, 46),), "`proxy.header` passes upgrades on", required=True),
    "traefik_rules": Since(
        "traefik", ((3, 0),), "has the language of rules in which the site is written", required=True
    ),
    "traefik_engine_api": Since(
        "traefik", ((2, 11, 31), (3, 6, 1)), "asks the engine which interface it speaks; before, it insists on 1.24"
    ),
    "traefik_drops_query": Since(
        "traefik", ((3, 7),), "can leave the query out of its access log; before, only the whole path"
    ),
}


def holds(fact: str, version: str) -> t.Optional[bool]:
    """Whether a product of this version has a fact of ``FACTS``; None where the version is not known."""
    found = _numbers(version)
    if not any(found):
        return None
    releases = FACTS[fact].releases
    return found >= releases[-1] or any(found >= first and found[0] == first[0] for first in releases)


def missing(product: str, version: str) -> t.Optional[Since]:
    """What the role requires of a product and this version lacks, or None. A version not known lacks nothing."""
    for name, fact in FACTS.items():
        if fact.product == product and fact.required and holds(name, version) is False:
            return fact
    return None


def _numbers(version: str) -> t.Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
