# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for proxies that the collection does not run: what each can carry. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ._domain import parse_domain
from ._proxy import Settings

_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?")


class Product(t.NamedTuple):
    """A proxy that others run. ``place``: where the file or text goes; ``admin``: knows networks for a path."""

    title: str
    file: str
    place: str
    container: bool
    admin: bool


PRODUCTS: t.Dict[str, Product] = {
    "cloudflared": Product(
        "Cloudflare Tunnel",
        "config.yml",
        "these rules go into /etc/cloudflared/config.yml, below tunnel and credentials-file; restart cloudflared",
        container=False,
        admin=False,
    ),
    "npm": Product(
        "Nginx Proxy Manager",
        "advanced.conf",
        "paste all into the tab Advanced of the proxy host; have no entry in the tab Custom locations",
        container=True,
        admin=True,
    ),
    "swag": Product(
        "SWAG",
        "vaultwarden.subdomain.conf",
        "copy to /config/nginx/proxy-confs/ under a name ending in .subdomain.conf; restart the container",
        container=True,
        admin=True,
    ),
}


def render_products(chosen: t.Union[str, t.Sequence[str]]) -> t.List[str]:
    """One name, a list or ``all`` -> the names, sorted and once each."""
    names = re.split(r"[\s,]+", chosen.strip()) if isinstance(chosen, str) else [str(name) for name in chosen]
    return sorted(PRODUCTS) if names == ["all"] else sorted(set(names) - {""})


def render_problems(settings: Settings, products: t.Sequence[str]) -> t.List[str]:
    """What these products cannot do of the settings, as full sentences; the settings are sound by themselves."""
    if not products:
        return [f"reverse_proxy_render_for is empty. Name one or more of {', '.join(sorted(PRODUCTS))}, or all."]
    problems = [
        f"reverse_proxy_routes has the path {route['path']!r}. Use letters, digits and ._~- between single slashes."
        for route in settings["routes"]
        if not _PATH.fullmatch(str(route["path"]))
    ]
    if settings["trusted_hops"]:
        problems.append(
            "reverse_proxy_trusted_hops is set, and the files hand over the address of whoever connects. Empty it, "
            "and name the hops in the product's own settings, such as set_real_ip_from."
        )
    for name in products:
        if name not in PRODUCTS:
            problems.append(
                f"reverse_proxy_render_for names {name!r}. Known are {', '.join(sorted(PRODUCTS))}, and all."
            )
            continue
        product = PRODUCTS[name]
        if settings["admin_networks"] and not product.admin:
            problems.append(
                f"reverse_proxy_admin_networks is set, and {product.title} has no rule for networks in its file. Empty "
                f"it for this product, and guard the admin page with a policy of Cloudflare Access."
            )
        loopback = any(_address(route).is_loopback for route in settings["routes"])
        if product.container and loopback:
            problems.append(
                f"reverse_proxy_routes has an upstream on loopback, and {product.title} runs in a container, where "
                f"loopback is the container itself. Set vaultwarden_bind_address to a private address of the host."
            )
    return problems


def _address(route: t.Mapping[str, t.Any]) -> t.Any:
    return ipaddress.ip_address(str(route["upstream"]).rpartition(":")[0].strip("[]"))


def render_plan(settings: Settings, product: str) -> t.Dict[str, t.Any]:
    """What the template of ``product`` writes: the settings, the address in parts, and rules most specific first."""
    domain = parse_domain(settings["domain"], "reverse_proxy_domain")
    return {
        **PRODUCTS[product]._asdict(),
        "product": product,
        "site": settings["site"],
        "name": re.sub(r"[^a-z0-9]", "_", str(settings["site"])),
        "url": domain.url,
        "host": domain.host,
        "origin": domain.origin,
        "base": domain.base_path,
        "max_body": settings["max_body"],
        "read_timeout": int(settings["read_timeout"]),
        "admin_networks": list(settings["admin_networks"]),
        "admin_pattern": settings["admin_pattern"],
        "routes": [
            {
                **route,
                # Exact ends with the path; a prefix takes all below it. The language is that of Go.
                "pattern": f"^{re.escape(route['path'])}" + ("$" if route["match"] == "exact" else ""),
            }
            for route in settings["routes"]
        ],
    }
