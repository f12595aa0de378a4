# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that span several settings of the reverse proxy. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _products, _shapes
from ._domain import DomainError, parse_domain
from ._layout import LayoutError, check_port

Settings = t.Mapping[str, t.Any]

#: Seconds between two pings of the server on every socket; a proxy that waits less cuts idle sockets.
SERVER_PING_SECONDS = 15

_SITE = re.compile(r"[a-z][a-z0-9-]{0,30}")
_BODY = re.compile(r"(\d+)([kKmMgG]?)")
#: The same choice as for the other proxies, in the names of Traefik's language.
TRAEFIK_CIPHERS = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    for key in ("ECDSA", "RSA")
)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
#: Why a proxy cannot hand on the address that a trusted hop tells in a header.
_HEADER_PASSED_ON = {
    "traefik": "passes a header on from trusted hops as it is, what the client claims included",
    "lighttpd": "tells the server the hop's own address whatever the hop says",
}
#: Proxies that no distribution packages, and how one gets them.
_BY_HAND = {
    "traefik": f"Put the program of a release from {_products.FACTS['traefik_rules'].first} on at "
    "/usr/local/bin/traefik, then run again."
}
_LISTS = {
    "routes": "{match: prefix, path: /, upstream: '127.0.0.1:8080'}",
    "admin_networks": '"192.0.2.0/24"',
    "trusted_hops": '"192.0.2.10"',
    "replaces": "/etc/nginx/conf.d/old.conf",
}
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_ABSOLUTE = re.compile(r"/[^/\0]+(/[^/\0]+)+")


def find_problems(settings: Settings) -> t.List[str]:
    """Every reason why these settings cannot work, as full sentences; keys without ``reverse_proxy_``."""
    checks = (
        _check_domain,
        _check_routes,
        _check_numbers,
        _check_names,
        _check_admin_networks,
        _check_hops,
        _check_replaces,
    )
    problems, sound = _shapes.checked(settings, "reverse_proxy_", _LISTS, {})
    if not all(isinstance(route, t.Mapping) for route in sound["routes"]):
        problems.append("reverse_proxy_routes has an entry that is not a mapping with match, path and upstream.")
        sound["routes"] = []
    # A port of -e is a string. What is none at all is said by the rule over numbers.
    port = _shapes.whole_number(sound["http_port"])
    sound["http_port"] = sound["http_port"] if port is None else port
    return [*problems, *(problem for check in checks for problem in check(sound))]


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
        host, __, port = upstream.rpartition(":")
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
        if isinstance(settings["http_port"], bool) or settings["http_port"] != 0:
            check_port(settings["http_port"], "reverse_proxy_http_port")
    except LayoutError as exc:
        yield str(exc)
    timeout, clients = (_shapes.whole_number(settings[name]) for name in ("read_timeout", "max_clients"))
    if timeout is None or timeout <= SERVER_PING_SECONDS:
        yield (
            f"reverse_proxy_read_timeout is {settings['read_timeout']!r}. The server pings each {SERVER_PING_SECONDS} "
            f"seconds, so idle clients would be cut off all the time. Set it above that, 60 or more."
        )
    if clients is None or clients < 1:
        yield f"reverse_proxy_max_clients is {settings['max_clients']!r}. Give a number, 1 or more."


def _check_names(settings: Settings) -> t.Iterator[str]:
    if not _SITE.fullmatch(str(settings["site"])):
        yield f"reverse_proxy_site is {settings['site']!r}. Use lower-case letters, digits and -, a letter first."
    if not _BODY.fullmatch(str(settings["max_body"])):
        yield f"reverse_proxy_max_body is {settings['max_body']!r}. Give a size such as 525M."


def _check_admin_networks(settings: Settings) -> t.Iterator[str]:
    for network in settings["admin_networks"]:
        try:
            ipaddress.ip_network(str(network))
        except ValueError:
            yield (
                f"reverse_proxy_admin_networks holds {network!r}. List addresses or networks such as 192.0.2.0/24 or "
                f"2001:db8::/32, without bits set behind the prefix."
            )


def _check_hops(settings: Settings) -> t.Iterator[str]:
    for hop in settings["trusted_hops"]:
        try:
            if ipaddress.ip_network(str(hop)).prefixlen == 0:
                yield (
                    f"reverse_proxy_trusted_hops holds {hop!r}, which is everybody, so each client could claim any "
                    f"address. List the addresses of the proxies in front of this one."
                )
        except ValueError:
            yield (
                f"reverse_proxy_trusted_hops holds {hop!r}. List addresses or networks such as 192.0.2.0/24 or "
                f"2001:db8::/32, without bits set behind the prefix."
            )
    if not _HEADER.fullmatch(str(settings["trusted_header"])):
        yield (
            f"reverse_proxy_trusted_header is {settings['trusted_header']!r}. Give one header's name, such as "
            f"X-Forwarded-For."
        )
    if settings["proxy_protocol"] and not settings["trusted_hops"]:
        yield (
            "reverse_proxy_proxy_protocol is set without reverse_proxy_trusted_hops. List the proxies whose PROXY "
            "header is to be believed."
        )
    if settings["provider"] == "lighttpd" and settings["proxy_protocol"] and settings["http_port"]:
        yield (
            "reverse_proxy_proxy_protocol is set for lighttpd, whose port for plain http belongs to its main file and "
            "cannot expect it. Set reverse_proxy_http_port to 0, and redirect in front."
        )
    reason = _HEADER_PASSED_ON.get(settings["provider"])
    if reason and settings["trusted_hops"] and not settings["proxy_protocol"]:
        yield (
            f"reverse_proxy_trusted_hops is set for {settings['provider']}, which {reason}. Have the hops speak the "
            f"PROXY protocol and set reverse_proxy_proxy_protocol, or choose another proxy."
        )


def hop_problem(provider: str, version: str, hops: t.Sequence[str]) -> str:
    """Why a proxy of this version cannot believe trusted hops; empty where it can. Without a version: a package."""
    if provider != "caddy" or not hops or _products.holds("caddy_nearest_hop", version):
        return ""
    first = _products.FACTS["caddy_nearest_hop"].first
    return (
        f"reverse_proxy_trusted_hops is set, and this host has Caddy {version or 'of the distribution'}. From {first} "
        f"on Caddy looks for the client from the nearest hop backwards; before that it believes the first address, "
        f"which every client can choose. Install a newer Caddy, or choose another proxy."
    )


def host_problem(provider: str, host: t.Mapping[str, t.Any], package: str) -> str:
    """Why this host cannot have the proxy, empty where it can. ``host``: what deployment_info returned."""
    found = (host.get("proxies") or {}).get(provider)
    by_hand = _BY_HAND.get(provider)
    if found is None and by_hand:
        return f"This host has no program {provider}, and the distribution has no package of it. {by_hand}"
    if found is None and host.get("os_family") != "debian":
        return (
            f"This host has no {provider}, and it is neither Debian nor Ubuntu, so the names of its packages are not "
            f"known here. Install {package} and openssl yourself, then run again."
        )
    lacking = _products.missing(provider, found["version"]) if found else None
    if found is None or lacking is None:
        return ""
    return (
        f"This host has {provider} {found['version']}, which is older than {lacking.first}. "
        f"{by_hand or 'Install a newer one, or choose another proxy.'}"
    )


def other_networks(hops: t.Iterable[str]) -> t.List[str]:
    """Every network but the given ones, as few as possible: who is not trusted, where only that can be said."""
    # IPv4 clients of a socket for both have their address written in IPv6, where a rule for IPv4 fits as well.
    mapped: t.Any = ipaddress.ip_network("::ffff:0:0/96")
    rest: t.List[t.Any] = [ipaddress.ip_network("0.0.0.0/0"), *ipaddress.ip_network("::/0").address_exclude(mapped)]
    trusted: t.List[t.Any] = [ipaddress.ip_network(hop) for hop in hops]
    for hop in trusted:
        rest = [
            part
            for network in rest
            for part in (
                network.address_exclude(hop)
                if network.version == hop.version and hop.subnet_of(network)
                else ([] if network.version == hop.version and network.subnet_of(hop) else [network])
            )
        ]
    return [str(network) for network in sorted(rest, key=lambda network: (network.version, network))]


def _check_replaces(settings: Settings) -> t.Iterator[str]:
    for path in settings["replaces"]:
        if not _ABSOLUTE.fullmatch(str(path)) or "/../" in f"{path}/":
            yield f"reverse_proxy_replaces holds {path!r}. List absolute paths of files, without .. in them."


def split_problems(address: str, trusted: t.Sequence[str], asks: bool) -> t.List[str]:
    """What keeps a proxy on another host from reaching the server at ``address``, as sentences.

    ``asks``: the server believes only proxies with a private address, unless it is told of ``trusted`` ones.
    """
    found = ipaddress.ip_address(address)
    if found.is_loopback:
        return [
            f"vaultwarden_bind_address is {address}, where no other host gets. Set it to the one private address of "
            f"the server that the proxy connects to."
        ]
    if asks and found.is_global and not trusted:
        return [
            f"vaultwarden_bind_address is {address}, a public address, so the proxy has one as well, and the server "
            f"would take the proxy for the client. Set vaultwarden_trusted_proxies to the address that the proxy "
            f"connects from, and filter the port by it."
        ]
    return []


_BEHIND_A_CONTAINER = (
    " If {0} is a proxy that is to stay, let it carry the vault: run playbooks/split.yml without a host in "
    "vault_proxy, and playbooks/render.yml for its files; see docs/proxies.md."
)


def port_problems(
    conflicts: t.Iterable[t.Mapping[str, t.Any]], previous: t.Sequence[t.Mapping[str, t.Any]], retire: bool
) -> t.List[str]:
    """Ports that stay taken, as sentences. ``previous``: the same site under other proxies, which is about to go.

    With ``retire`` those proxies are stopped and so give up all their ports.
    """
    problems = []
    for conflict in conflicts:
        old = next((site for site in previous if site["process"] == conflict["process"]), None)
        if old is None:
            container = conflict.get("container")
            problems.append(f"{conflict['text']}{_BEHIND_A_CONTAINER.format(container) if container else ''}")
            continue
        files = sorted({kept["file"] for kept in old["kept_ports"] if kept["port"] == conflict["port"]})
        if files and not retire:
            problems.append(
                f"The site {old['site']} is to move away from {old['provider']}, but {old['provider']} would keep port "
                f"{conflict['port']} for {', '.join(files)}. If nothing there is needed, set "
                f"reverse_proxy_retire_previous to true, which stops and disables {old['provider']} with all that it "
                f"serves."
            )
    return problems


def absent_files(paths: t.Iterable[str]) -> t.List[t.Dict[str, str]]:
    """Paths as entries of the module checked_files that take them away."""
    return [{"path": path, "state": "absent"} for path in paths]


def body_bytes(size: str) -> int:
    """``'525M'`` -> 550502400, with the units of nginx; 0 stands for no limit."""
    found = _BODY.fullmatch(str(size))
    return int(found.group(1)) * _UNITS[found.group(2).lower()] if found else 0


def caddyfile_with_imports(text: str, options: str, sites: str) -> str:
    """A Caddyfile that imports ``options`` into its global options, and ``sites`` at its end; the rest as it is.

    Global options are a block without a name, which has to come before everything but comments.
    """
    lines = text.splitlines()
    if not any(line.split() == ["import", options] for line in lines):
        first = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
        if lines and lines[first].strip() == "{":
            lines.insert(first + 1, f"\timport {options}")
        else:
            lines[:0] = ["{", f"\timport {options}", "}", ""]
    if not any(line.split() == ["import", sites] for line in lines):
        lines += ["", f"import {sites}"]
    return "\n".join(lines) + "\n"


def with_host(text: str, host: str, value: str) -> str:
    """A map with one entry per host, as HAProxy reads it: the entry of ``host`` set, other sites' entries kept."""
    entries = dict(line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return "".join(f"{name} {entry}\n" for name, entry in sorted({**entries, host: value}.items()))


def apache_listen(ports: t.Iterable[int]) -> t.List[t.Dict[str, str]]:
    """One file per port, as entries of the module checked_files, that make Apache listen there."""
    return [
        {"path": f"/etc/apache2/conf-enabled/vaultwire-port-{port}.conf", "content": f"Listen {port}\n"}
        for port in sorted(ports)
    ]


def caddy_ports(ports: t.Iterable[int], hops: t.Sequence[str], header: str, protocol: bool) -> t.List[t.Dict[str, str]]:
    """Caddy's options for each port, as entries of the module checked_files: how it learns the client's address."""
    if not hops:
        return absent_files(f"/etc/caddy/vaultwire/port-{port}.caddy" for port in ports)
    trusted = " ".join(str(ipaddress.ip_network(hop)) for hop in hops)  # a bare address is refused
    # From the nearest hop backwards, since the first address is what the client claims.
    lines = [f"trusted_proxies static {trusted}", "trusted_proxies_strict", f"client_ip_headers {header}"]
    if protocol:
        # What others claim is passed over.
        wrapper = ["\tproxy_protocol {", f"\t\tallow {trusted}", "\t\tfallback_policy ignore", "\t}", "\ttls"]
        lines = ["listener_wrappers {", *wrapper, "}"]
    text = "".join(f"\t{line}\n" for line in lines)
    return [
        {
            "path": f"/etc/caddy/vaultwire/port-{port}.caddy",
            "content": f"# Written by the role vaultwire.stack.reverse_proxy. Changes made here are overwritten.\n"
            f"# All sites on this port share this file.\nservers :{port} {{\n{text}}}\n",
        }
        for port in ports
    ]


def traefik_static(settings: Settings, present: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
    """Traefik's own configuration: ``ports``, ``access_log``, ``error_log``, ``directory``, ``version``, ``hops``.

    Entry points of ``present``, the configuration that is there, stay: other sites use them.
    """
    points = {
        f"port-{port}": {
            "address": f":{port}",
            # An hour for the largest upload on a slow line; sockets are not subject to it.
            "transport": {"respondingTimeouts": {"readTimeout": "3600s", "idleTimeout": "180s"}},
            **({"proxyProtocol": {"trustedIPs": list(settings["hops"])}} if settings.get("hops") else {}),
        }
        for port in settings["ports"]
    }
    # Without the query, in which clients send their token; where that cannot be said, without the path.
    hidden: t.Dict[str, t.Any] = {"names": {"RequestPath": "drop", "RequestLine": "drop"}}
    if _products.holds("traefik_drops_query", str(settings["version"])):
        hidden = {"queryParameters": {"defaultMode": "drop"}}
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {**((present or {}).get("entryPoints") or {}), **points},
        "providers": {"file": {"directory": settings["directory"], "watch": True}},
        "log": {"level": "INFO", "filePath": settings["error_log"]},
        "accessLog": {"filePath": settings["access_log"], "fields": hidden},
    }


def traefik_trial(static: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The same configuration for a trial run beside the real one: no fixed port, and every complaint on the screen."""
    points = {name: {**point, "address": "127.0.0.1:0"} for name, point in static["entryPoints"].items()}
    return {
        "global": static["global"],
        "entryPoints": points,
        "providers": {"file": {**static["providers"]["file"], "watch": False}},
        "log": {"level": "ERROR", "noColor": True},
        "accessLog": {"fields": static["accessLog"]["fields"]},
    }


def traefik_site(settings: Settings) -> t.Dict[str, t.Any]:
    """One site for Traefik's file provider.

    ``name``, ``host``, ``port``, ``origin``, ``base_path``, ``http_port``, ``routes``, ``certificate``, ``key``,
    ``read_timeout``, ``admin_pattern`` and ``admin_networks``.
    """
    name, base = f"vaultwire-{settings['name']}", settings["base_path"]
    host = f"Host(`{settings['host']}`)"
    routers: t.Dict[str, t.Any] = {}
    services: t.Dict[str, t.Any] = {}
    middlewares: t.Dict[str, t.Any] = {}

    def add(kind: str, rule: str, priority: int, service: str, *used: str) -> None:
        routers[f"{name}-{kind}"] = {
            "entryPoints": [f"port-{settings['port']}"],
            "rule": f"{host} && {rule}",
            "priority": priority,
            "service": service,
            "tls": {"options": name},
            **({"middlewares": list(used)} if used else {}),
        }

    for number, route in enumerate(settings["routes"]):
        exact = route["match"] == "exact"
        service = f"{name}-{number}"
        services[service] = {
            "loadBalancer": {
                "servers": [{"url": f"http://{route['upstream']}"}],
                "passHostHeader": True,
                "serversTransport": name,
            }
        }
        add(str(number), f"{'Path' if exact else 'PathPrefix'}(`{route['path']}`)", 300 if exact else 100, service)
    if settings["admin_networks"]:
        allowed = f"{name}-admin"
        middlewares[allowed] = {"ipAllowList": {"sourceRange": list(settings["admin_networks"])}}
        add("admin", f"PathRegexp(`(?i){settings['admin_pattern']}`)", 400, service, allowed)
    if base:
        middlewares[f"{name}-slash"] = {
            "redirectRegex": {"regex": "^(https://[^/]+).*", "replacement": f"${{1}}{base}/", "permanent": True}
        }
        add("slash", f"Path(`{base}`)", 400, "noop@internal", f"{name}-slash")
    if settings["http_port"]:
        middlewares[f"{name}-https"] = {
            "redirectRegex": {
                "regex": "^http://[^/]+(.*)",
                "replacement": f"{settings['origin']}${{1}}",
                "permanent": True,
            }
        }
        routers[f"{name}-https"] = {
            "entryPoints": [f"port-{settings['http_port']}"],
            "rule": host,
            "service": "noop@internal",
            "middlewares": [f"{name}-https"],
        }
    timeout = f"{settings['read_timeout']}s"
    return {
        "http": {
            "routers": routers,
            "services": services,
            **({"middlewares": middlewares} if middlewares else {}),
            "serversTransports": {
                name: {
                    "disableHTTP2": True,
                    "forwardingTimeouts": {"responseHeaderTimeout": timeout, "idleConnTimeout": timeout},
                }
            },
        },
        "tls": {
            "certificates": [{"certFile": settings["certificate"], "keyFile": settings["key"]}],
            "options": {
                name: {
                    "minVersion": "VersionTLS12",
                    "cipherSuites": list(TRAEFIK_CIPHERS),
                    "alpnProtocols": ["h2", "http/1.1"],
                }
            },
        },
    }
