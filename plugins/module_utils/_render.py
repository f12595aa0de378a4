# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for proxies that the collection does not run: what each can carry. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _render_envoy, _render_kubernetes
from ._domain import parse_domain
from ._proxy import Settings, body_bytes

_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?")
_IN_CONTAINER = "runs in a container, where loopback is the container itself"
_IN_POD = "runs in a pod, where loopback is the pod itself"
_NO_PROXY_PROTOCOL = "gets no PROXY header by this file. Empty it, or have the hops tell the address in a header"


#: Where DSM's own entry finds the server of our file, on loopback of the NAS.
_SYNOLOGY_PORT = 18443
#: Seconds that a connection to the server may wait for the next request. The server itself closes after five.
_UPSTREAM_IDLE = 4


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
        documents=_render_envoy.envoy,
    ),
    "istio": Product(
        "Istio",
        "istio.yml",
        "kubectl apply -n <the namespace of the ingress gateway> -f istio.yml",
        "istioctl analyze istio.yml",
        apart=_IN_POD,
        refuses={
            "admin_networks": "compares paths as its mesh tidies them. Empty it for this product, and deny the admin "
            "page by an AuthorizationPolicy after setting pathNormalization to DECODE_AND_MERGE_SLASHES",
            "trusted_hops": "counts hops for a whole gateway. Empty it for this product, and set numTrustedProxies in "
            "the annotation proxy.istio.io/config of the gateway",
        },
        documents=_render_kubernetes.istio,
    ),
    "kubernetes_gateway": Product(
        "the Gateway API of Kubernetes",
        "gateway.yml",
        "set gatewayClassName to one of kubectl get gatewayclass, then kubectl apply -n <namespace> -f gateway.yml",
        "kubectl apply --dry-run=server -n <namespace> -f gateway.yml",
        apart=_IN_POD,
        refuses={
            "admin_networks": "has no rule for networks. Empty it for this product, and use a policy of your "
            "implementation",
            "trusted_hops": "has no word on it. Empty it for this product, and name the hops to your implementation",
        },
        documents=_render_kubernetes.gateway,
    ),
    "kubernetes_ingress": Product(
        "ingress-nginx",
        "ingress.yml",
        "kubectl apply -n <namespace> -f ingress.yml",
        "kubectl apply --dry-run=server -n <namespace> -f ingress.yml",
        apart=_IN_POD,
        refuses={
            "trusted_hops": "believes hops of the whole cluster. Empty it for this product, and set "
            "use-forwarded-headers and proxy-real-ip-cidr in the ConfigMap of the controller",
        },
        documents=_render_kubernetes.ingress,
    ),
    "npm": Product(
        "Nginx Proxy Manager",
        "advanced.conf",
        "paste all into the tab Advanced of the proxy host; have no entry in the tab Custom locations",
        "the list of proxy hosts says Online after saving",
        apart=_IN_CONTAINER,
        refuses={"proxy_protocol": _NO_PROXY_PROTOCOL},
    ),
    "pound": Product(
        "Pound",
        "pound.cfg",
        "/etc/pound.cfg, or the file that the package names; restart Pound",
        "pound -c",
        refuses={
            "trusted_hops": "hands over the address of whoever connects: before 4.18 it can't do otherwise. Empty it "
            "for this product, or choose another proxy",
        },
    ),
    "relayd": Product(
        "relayd of OpenBSD",
        "relayd.conf",
        "/etc/relayd.conf, then rcctl enable relayd and rcctl restart relayd",
        "relayd -n -f /etc/relayd.conf",
        apart="runs on another host, where loopback is that host",
        refuses={
            "admin_networks": "compares paths as they were sent, so another spelling would pass. Empty it for this "
            "product, and leave vaultwarden_admin_token empty or choose another proxy",
            "trusted_hops": "hands over the address of whoever connects and knows no other. Empty it for this product",
        },
    ),
    "swag": Product(
        "SWAG",
        "vaultwarden.subdomain.conf",
        "copy to /config/nginx/proxy-confs/ under a name ending in .subdomain.conf; restart the container",
        "docker exec swag nginx -t",
        apart=_IN_CONTAINER,
        refuses={"proxy_protocol": _NO_PROXY_PROTOCOL},
    ),
    "synology": Product(
        "Synology DSM",
        "http.vaultwire.conf",
        "/usr/local/etc/nginx/conf.d/ on the NAS, as root, under a name that begins with http.; then nginx -s reload",
        "nginx -t",
        apart="runs on the NAS, where loopback is the NAS itself",
        refuses={
            "trusted_hops": "hands over the address of whoever connects to DSM. Empty it for this product, and name "
            "the hops to DSM",
        },
    ),
}


#: Names that stand for several products.
GROUPS = {"kubernetes": ["kubernetes_gateway", "kubernetes_ingress"]}


class Choice(t.TypedDict):
    """``products`` to write, ``problems`` that forbid to, and with ``all``, why others are left out."""

    products: t.List[str]
    problems: t.List[str]
    left_out: t.List[str]


def render_choice(settings: Settings, chosen: t.Union[str, t.Sequence[str]]) -> Choice:
    """One name, a list or ``all`` -> what is written of it; ``all`` is every product that can carry the settings."""
    names = re.split(r"[\s,]+", chosen.strip()) if isinstance(chosen, str) else [str(name) for name in chosen]
    wanted = sorted({product for name in names for product in GROUPS.get(name, [name])} - {""})
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


#: Proxies that the role runs on a host, and that people run in containers as well.
_RUN_BY_THE_ROLE = ("apache", "caddy", "haproxy", "lighttpd", "nginx", "traefik")


def _other(settings: Settings, name: str) -> str:
    """What to do for a proxy without a file that has a name here."""
    if name not in _RUN_BY_THE_ROLE:
        return ""
    routes = ", ".join(f"{route['path']} to http://{route['upstream']}" for route in settings["routes"])
    return (
        f" On a host {name} is set up by reverse_proxy_provider and no file is needed. One in a container needs routes "
        f"of your own: {routes}."
    )


def _known() -> str:
    return f"{', '.join(sorted([*PRODUCTS, *GROUPS]))}, or all"


def _problems_for_all(settings: Settings) -> t.List[str]:
    return [
        f"reverse_proxy_routes has the path {route['path']!r}. Use letters, digits and ._~- between single slashes."
        for route in settings["routes"]
        if not _PATH.fullmatch(str(route["path"]))
    ]


def render_problems(settings: Settings, name: str) -> t.List[str]:
    """What this product cannot do of the settings, as full sentences; the settings are sound by themselves."""
    if name not in PRODUCTS:
        return [f"reverse_proxy_render_for names {name!r}. There are files for {_known()}.{_other(settings, name)}"]
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
    return ipaddress.ip_address(split_address(str(route["upstream"]))[0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def split_address(upstream: str) -> t.Tuple[str, int]:
    """``'[2001:db8::1]:8080'`` -> the address without brackets, and the port."""
    host, __, port = upstream.rpartition(":")
    return host.strip("[]"), int(port)


def any_spelling(path: str) -> str:
    """A regular expression for a path that is compared as it was sent: letters may be encoded, slashes doubled."""
    pattern = ""
    for part in path.strip("/").split("/"):
        pattern += "(?:/|%2f)+" + "".join(
            f"(?:{re.escape(letter)}|%{ord(letter.lower()):02x}|%{ord(letter.upper()):02x})" for letter in part
        )
    return f"(?i){pattern}(?:(?:/|%2f).*)?"


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
        "bundle": f"/etc/{name}/{settings['site']}.pem",
        "max_body": settings["max_body"],
        "max_body_bytes": body_bytes(settings["max_body"]),
        "max_clients": int(settings["max_clients"]),
        # Each client's socket, and a connection for all else.
        "connections": int(settings["max_clients"]) * 2 + 512,
        "upstream_idle": _UPSTREAM_IDLE,
        "inner_port": _SYNOLOGY_PORT,
        "read_timeout": int(settings["read_timeout"]),
        "admin_networks": list(settings["admin_networks"]),
        "admin_pattern": settings["admin_pattern"],
        "admin_spellings": any_spelling(f"{domain.base_path}/admin"),
        "trusted_hops": list(settings["trusted_hops"]),
        "trusted_header": settings["trusted_header"],
        "routes": [
            {
                **route,
                "address": split_address(route["upstream"])[0],
                "port": split_address(route["upstream"])[1],
                # Exact ends with the path; a prefix takes all below it. The language is that of Go.
                "pattern": f"^{re.escape(route['path'])}" + ("$" if route["match"] == "exact" else ""),
            }
            for route in settings["routes"]
        ],
    }
    return {**plan, "documents": product.documents(plan) if product.documents else []}
