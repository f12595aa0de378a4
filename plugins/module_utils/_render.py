# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for proxies that the collection does not run: what each can carry. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _render_documents
from ._domain import parse_domain
from ._proxy import Settings

_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?")
_IN_CONTAINER = "runs in a container, where loopback is the container itself"
_HOPS_IN_NGINX = "hands over the address of whoever connects. Empty it, and name the hops by set_real_ip_from there"
_NO_PROXY_PROTOCOL = "gets no PROXY header by this file. Empty it, or have the hops tell the address in a header"


class Product(t.NamedTuple):
    """A proxy that others run.

    ``place``, ``check``: where the file goes, and what judges it there. ``apart``: why it can't reach an upstream on
    loopback; empty where it can. ``refuses``: what it can't do, by setting, with what to do instead. ``hop_header``:
    the one header that it believes of trusted hops; empty where that can be chosen. ``documents``: what makes the file
    where that is YAML.
    """

    title: str
    file: str
    place: str
    check: str
    apart: str = ""
    refuses: t.Mapping[str, str] = {}
    hop_header: str = ""
    documents: t.Optional[t.Callable[[Settings], t.List[t.Dict[str, t.Any]]]] = None


PRODUCTS: t.Dict[str, Product] = {
    "cloudflared": Product(
        "Cloudflare Tunnel",
        "config.yml",
        "these rules go into /etc/cloudflared/config.yml, below tunnel and credentials-file; restart cloudflared",
        "cloudflared tunnel ingress validate",
        refuses={
            "admin_networks": "has no rule for networks in its file. Empty it for this product, and guard the admin "
            "page with a policy of Cloudflare Access",
            "trusted_hops": "tells the client's address by itself. Empty it for this product",
        },
    ),
    "envoy": Product(
        "Envoy",
        "envoy.yaml",
        "/etc/envoy/envoy.yaml, readable by the user of Envoy like certificate and key; restart Envoy",
        "envoy --mode validate -c /etc/envoy/envoy.yaml",
        refuses={"proxy_protocol": _NO_PROXY_PROTOCOL},
        hop_header="X-Forwarded-For",
        documents=_render_documents.envoy,
    ),
    "npm": Product(
        "Nginx Proxy Manager",
        "advanced.conf",
        "paste all into the tab Advanced of the proxy host; have no entry in the tab Custom locations",
        "the list of proxy hosts says Online after saving",
        apart=_IN_CONTAINER,
        refuses={"trusted_hops": _HOPS_IN_NGINX},
    ),
    "swag": Product(
        "SWAG",
        "vaultwarden.subdomain.conf",
        "copy to /config/nginx/proxy-confs/ under a name ending in .subdomain.conf; restart the container",
        "docker exec swag nginx -t",
        apart=_IN_CONTAINER,
        refuses={"trusted_hops": _HOPS_IN_NGINX},
    ),
}


class Choice(t.TypedDict):
    """``products`` to write, ``problems`` that forbid to, and with ``all``, why others are left out."""

    products: t.List[str]
    problems: t.List[str]
    left_out: t.List[str]


def render_choice(settings: Settings, chosen: t.Union[str, t.Sequence[str]]) -> Choice:
    """One name, a list or ``all`` -> what is written of it; ``all`` is every product that can carry the settings."""
    names = re.split(r"[\s,]+", chosen.strip()) if isinstance(chosen, str) else [str(name) for name in chosen]
    wanted = sorted(set(names) - {""})
    problems = _problems_for_all(settings)
    if not wanted:
        problems.append(f"reverse_proxy_render_for is empty. Name one or more of {_known()}.")
    if wanted != ["all"]:
        problems += [problem for name in wanted for problem in render_problems(settings, name)]
        return {"products": wanted, "problems": problems, "left_out": []}
    left_out = {name: render_problems(settings, name) for name in PRODUCTS}
    products = sorted(name for name, reasons in left_out.items() if not reasons)
    reasons = [reason for name in sorted(left_out) for reason in left_out[name]]
    return {"products": products, "problems": problems + ([] if products else reasons), "left_out": reasons}


def _known() -> str:
    return f"{', '.join(sorted(PRODUCTS))}, or all"


def _problems_for_all(settings: Settings) -> t.List[str]:
    return [
        f"reverse_proxy_routes has the path {route['path']!r}. Use letters, digits and ._~- between single slashes."
        for route in settings["routes"]
        if not _PATH.fullmatch(str(route["path"]))
    ]


def render_problems(settings: Settings, name: str) -> t.List[str]:
    """What this product cannot do of the settings, as full sentences; the settings are sound by themselves."""
    if name not in PRODUCTS:
        return [f"reverse_proxy_render_for names {name!r}. Known are {_known()}."]
    product = PRODUCTS[name]
    problems = [
        f"reverse_proxy_{setting} is set, and {product.title} {reason}."
        for setting, reason in product.refuses.items()
        if settings[setting]
    ]
    header = str(settings["trusted_header"])
    if settings["trusted_hops"] and product.hop_header and header.lower() != product.hop_header.lower():
        problems.append(
            f"reverse_proxy_trusted_header is {header!r}, and {product.title} believes chosen hops only in "
            f"{product.hop_header}. Have the hops set that, and name it."
        )
    if product.apart and any(_address(route).is_loopback for route in settings["routes"]):
        problems.append(
            f"reverse_proxy_routes has an upstream on loopback, and {product.title} {product.apart}. Set "
            f"vaultwarden_bind_address to a private address of the host."
        )
    return problems


def _address(route: t.Mapping[str, t.Any]) -> t.Any:
    return ipaddress.ip_address(_render_documents.split_address(str(route["upstream"]))[0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def render_plan(settings: Settings, name: str) -> t.Dict[str, t.Any]:
    """What the template of a product writes: the settings, the address in parts, and rules most specific first."""
    product = PRODUCTS[name]
    domain = parse_domain(settings["domain"], "reverse_proxy_domain")
    plan = {
        "title": product.title,
        "file": product.file,
        "place": product.place,
        "check": product.check,
        "site": settings["site"],
        "name": re.sub(r"[^a-z0-9]", "_", str(settings["site"])),
        "url": domain.url,
        "host": domain.host,
        "host_is_name": not _is_address(domain.host),
        "port": domain.port,
        "origin": domain.origin,
        "base": domain.base_path,
        "http_port": int(settings["http_port"]),
        "certificate": settings["certificate"] or f"/etc/{name}/tls/fullchain.pem",
        "key": settings["key"] or f"/etc/{name}/tls/key.pem",
        "max_body": settings["max_body"],
        "max_clients": int(settings["max_clients"]),
        "read_timeout": int(settings["read_timeout"]),
        "admin_networks": list(settings["admin_networks"]),
        "admin_pattern": settings["admin_pattern"],
        "trusted_hops": list(settings["trusted_hops"]),
        "routes": [
            {
                **route,
                # Exact ends with the path; a prefix takes all below it. The language is that of Go.
                "pattern": f"^{re.escape(route['path'])}" + ("$" if route["match"] == "exact" else ""),
            }
            for route in settings["routes"]
        ],
    }
    return {**plan, "documents": product.documents(plan) if product.documents else []}
