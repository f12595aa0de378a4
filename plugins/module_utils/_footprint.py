# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each proxy has on a host of this collection's sites: what goes with one, what with the last, what stays.

Files are read through the function ``read``, so nothing here touches the host. Python 3.8 and later.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t

from . import _sites

#: Path or pattern -> [(path, text)], sorted; empty where nothing matches.
Read = t.Callable[[str], t.List[t.Tuple[str, str]]]
Action = t.Literal["reloaded", "restarted", "stopped"]

#: Copies of what was there, while a site moves from one proxy to another: <site>/<provider> below it.
MOVES = "/var/lib/vaultwire/moves"

_TRIAL = (
    "[ -e /etc/traefik/vaultwire-trial.yml ] || exit 0; "
    'said=$(timeout 2 traefik --configFile=/etc/traefik/vaultwire-trial.yml 2>&1); code=$?; echo "$said"; '
    '[ $code -eq 124 ] && [ -z "$said" ]'
)


class Footprint(t.NamedTuple):
    """One proxy. Patterns as in a shell; ``{site}`` stands for the name of a site."""

    process: str
    #: The file that makes a site, by which it is seen which ones there are.
    site: str
    #: The proxy's own checker, for the whole configuration.
    check: t.Tuple[str, ...]
    #: What goes with the site besides; a file that one of those that stay still names stays as well.
    own: t.Tuple[str, ...] = ()
    #: What goes with the last site.
    shared: t.Tuple[str, ...] = ()
    #: Folders that go when they are empty, inner ones first, and links that go when they point nowhere.
    folders: t.Tuple[str, ...] = ()
    #: Where else the proxy reads what it listens on, and how that is written.
    reads: t.Tuple[str, ...] = ()
    listens: str = ""
    #: Whether it needs more than a reload.
    restart: t.Literal["never", "last", "always"] = "never"


FOOTPRINTS: t.Dict[str, Footprint] = {
    "nginx": Footprint(
        process="nginx",
        site="/etc/nginx/conf.d/vaultwire-{site}.conf",
        check=("nginx", "-t"),
    ),
    "apache": Footprint(
        process="apache2",
        site="/etc/apache2/sites-enabled/vaultwire-{site}.conf",
        check=("apache2ctl", "configtest"),
        shared=("/etc/apache2/conf-enabled/vaultwire-*.conf", "/etc/systemd/system/apache2.service.d/vaultwire.conf"),
        folders=("/etc/systemd/system/apache2.service.d",),
        reads=(
            "/etc/apache2/apache2.conf",
            "/etc/apache2/ports.conf",
            "/etc/apache2/conf-enabled/*.conf",
            "/etc/apache2/sites-enabled/*.conf",
        ),
        listens=r"(?im)^[ \t]*Listen[ \t]+(?:\S*:)?(\d+)\b",
        # It can let go of a port only so.
        restart="last",
    ),
    "caddy": Footprint(
        process="caddy",
        site="/etc/caddy/vaultwire/site-{site}.caddy",
        # As the user it runs as: root would leave log files behind that it could not write to, and could read any key.
        check=(
            *("runuser", "-u", "caddy", "--"),
            *("caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
        ),
        own=("/etc/caddy/vaultwire/{site}.pem", "/etc/caddy/vaultwire/{site}.key"),
        shared=("/etc/caddy/vaultwire/options.caddy", "/etc/caddy/vaultwire/port-*.caddy"),
        folders=("/etc/caddy/vaultwire",),
    ),
    "haproxy": Footprint(
        process="haproxy",
        site="/etc/haproxy/conf.d/vaultwire-site-{site}.cfg",
        check=("haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg", "-f", "/etc/haproxy/conf.d"),
        own=("/etc/haproxy/vaultwire/certs-*/{site}.pem",),
        shared=(
            "/etc/haproxy/conf.d/vaultwire-port-*.cfg",
            "/etc/haproxy/vaultwire/*.map",
            "/etc/haproxy/vaultwire/certs-*/*.pem",
        ),
        folders=(
            "/etc/haproxy/vaultwire/certs-*",
            "/etc/haproxy/vaultwire",
            "/etc/systemd/system/haproxy.service.d",
        ),
        reads=("/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d/*.cfg"),
        listens=r"(?m)^[ \t]*bind[ \t]+(?:\S*:)?(\d+)\b",
    ),
    "lighttpd": Footprint(
        process="lighttpd",
        site="/etc/lighttpd/conf-enabled/95-vaultwire-site-{site}.conf",
        check=("lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf"),
        own=("/etc/lighttpd/vaultwire/{site}.pem",),
        shared=(
            "/etc/lighttpd/conf-enabled/9?-vaultwire*.conf",
            "/etc/lighttpd/vaultwire/*.pem",
            "/etc/systemd/system/lighttpd.service.d/vaultwire.conf",
        ),
        folders=(
            "/etc/lighttpd/vaultwire/empty",
            "/etc/lighttpd/vaultwire",
            "/etc/systemd/system/lighttpd.service.d",
        ),
        reads=("/etc/lighttpd/lighttpd.conf", "/etc/lighttpd/conf-enabled/*.conf"),
        listens=r"(?m)^[ \t]*(?:server\.port[ \t]*:?=|\$SERVER\[\"socket\"\][ \t]*==[ \t]*\"[^\"]*:)[ \t]*(\d+)\b",
        # It has given up root by then, and could read no key any more.
        restart="always",
    ),
    "traefik": Footprint(
        process="traefik",
        site="/etc/traefik/vaultwire/{site}.yml",
        # Traefik has no checker. A second one starts with these files, on ports that nobody else has, and must still
        # run after two seconds without a word of complaint.
        check=("sh", "-c", _TRIAL),
        own=("/etc/traefik/vaultwire/{site}.pem", "/etc/traefik/vaultwire/{site}.key"),
        shared=(
            "/etc/traefik/vaultwire.yml",
            "/etc/traefik/vaultwire-trial.yml",
            "/etc/systemd/system/vaultwire-traefik.service",
        ),
        folders=("/etc/traefik/vaultwire", "/etc/systemd/system/*.wants/vaultwire-traefik.service"),
        reads=("/etc/traefik/vaultwire.yml",),
        listens=r"(?m)^[ \t]*address:[ \t]*'?\"?[^ \n]*?:(\d+)\b",
    ),
}


class Removal(t.NamedTuple):
    """What removing a site does: ``files`` by path, None for one that goes, else its new text."""

    files: t.Dict[str, t.Optional[str]]
    last: bool


def is_own(path: str) -> bool:
    """Whether a file is a site of this collection, which the next run writes again."""
    return any(fnmatch.fnmatchcase(path, mark.site.format(site="*")) for mark in FOOTPRINTS.values())


def sites_of(provider: str, read: Read) -> t.List[str]:
    """Names of the sites that a proxy has, sorted."""
    before, __, after = FOOTPRINTS[provider].site.partition("{site}")
    return [path[len(before) : -len(after)] for path, __ in read(f"{before}*{after}")]


def removal(provider: str, site: str, read: Read) -> Removal:
    """What has to be removed and changed for a site to be gone; nothing for one that is not there."""
    mark = FOOTPRINTS[provider]
    last = not [name for name in sites_of(provider, read) if name != site]
    files: t.Dict[str, t.Optional[str]] = dict.fromkeys(_paths(read, (mark.site, *mark.own), site))
    shared = _paths(read, mark.shared, site)
    if last:
        files.update(dict.fromkeys(shared))
        if provider == "caddy":
            files.update(_caddyfile(read))
        if provider == "haproxy":
            files.update(_haproxy_service(read))
        return Removal(files, True)
    if provider == "haproxy":
        files.update(_haproxy_maps(site, read))
    stays = [text for path in shared if path not in files for __, text in read(path)]
    return Removal({path: text for path, text in files.items() if not any(path in other for other in stays)}, False)


def _paths(read: Read, patterns: t.Iterable[str], site: str) -> t.List[str]:
    return [path for pattern in patterns for path, __ in read(pattern.format(site=site))]


def _caddyfile(read: Read) -> t.Dict[str, t.Optional[str]]:
    """The Caddyfile without our imports, and without the global options if there was nothing else in them."""
    found: t.Dict[str, t.Optional[str]] = {}
    for path, text in read(_sites.CADDY_MAIN):
        rest = re.sub(r"\n?^[ \t]*import[ \t]+/etc/caddy/vaultwire/\S+[ \t]*$", "", text, flags=re.MULTILINE)
        if rest != text:
            rest = re.sub(r"\A((?:[ \t]*(?:#.*)?\n)*)\{\s*\}\n*", r"\1", rest)
            found[path] = rest.rstrip("\n") + "\n" if rest.strip() else ""
    return found


def _haproxy_service(read: Read) -> t.Dict[str, t.Optional[str]]:
    """Our addition to the service, unless somebody else's file is read only thanks to it."""
    foreign = [path for path, __ in read("/etc/haproxy/conf.d/*.cfg") if "/vaultwire-" not in path]
    return {} if foreign else dict.fromkeys(_paths(read, ["/etc/systemd/system/haproxy.service.d/vaultwire.conf"], ""))


def _haproxy_maps(site: str, read: Read) -> t.Dict[str, t.Optional[str]]:
    """The maps of the ports without the site's hosts; a port that no host is left on goes."""
    name = re.sub("[^a-z0-9]", "_", site)
    hosts = {path: _entries(text) for path, text in read("/etc/haproxy/vaultwire/hosts-*.map")}
    kept = {path: {host: to for host, to in found.items() if to != name} for path, found in hosts.items()}
    gone = {host for found in hosts.values() for host in found} - {host for found in kept.values() for host in found}
    origins = {path: _entries(text) for path, text in read("/etc/haproxy/vaultwire/origins-*.map")}
    kept.update({path: {h: to for h, to in found.items() if h not in gone} for path, found in origins.items()})
    files: t.Dict[str, t.Optional[str]] = {}
    for path, before in {**hosts, **origins}.items():
        if kept[path] != before:
            files[path] = "".join(f"{host} {to}\n" for host, to in sorted(kept[path].items())) or None
        if not kept[path]:
            port = path.rpartition("-")[2].partition(".")[0]
            files.update(dict.fromkeys(_paths(read, [f"/etc/haproxy/conf.d/vaultwire-port-{port}.cfg"], "")))
    return files


def _entries(text: str) -> t.Dict[str, str]:
    lines = (line.split(None, 1) for line in text.splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2 and not words[0].startswith("#")}


def kept_ports(provider: str, gone: Removal, read: Read) -> t.List[t.Dict[str, t.Any]]:
    """Ports that a proxy goes on listening on without the site, as ``{port, file}``; none that is not understood."""
    mark = FOOTPRINTS[provider]
    if provider == "traefik" and gone.last:
        return []
    found: t.Set[t.Tuple[int, str]] = set()

    def left(pattern: str) -> t.List[t.Tuple[str, str]]:
        changed = ((path, gone.files.get(path, text)) for path, text in read(pattern))
        return [(path, text) for path, text in changed if text is not None]

    if provider in _sites.READERS:
        try:
            sites = _sites.READERS[provider](left, "")
        except _sites.NotUnderstood:
            sites = []
        found = {(entry["port"], site.file) for site in sites for entry in site.listen}
        if provider == "caddy":  # which redirects from there to every site with TLS
            found |= {(80, site.file) for site in sites if any(entry["tls"] for entry in site.listen)}
    for pattern in mark.reads:
        for path, text in left(pattern):
            found |= {(int(port), path) for port in re.findall(mark.listens, text)}
    return [{"port": port, "file": file} for port, file in sorted(found)]


def action_after(provider: str, gone: Removal, read: Read) -> Action:
    """What the service needs when the files are gone. Without any port these would not start again."""
    if gone.last and (provider == "traefik" or (provider == "haproxy" and not kept_ports(provider, gone, read))):
        return "stopped"
    restart = FOOTPRINTS[provider].restart
    return "restarted" if restart == "always" or (restart == "last" and gone.last) else "reloaded"


def own_sites(read: Read, unfinished: t.Iterable[t.Tuple[str, str]] = ()) -> t.List[t.Dict[str, t.Any]]:
    """Every site of this collection on the host: ``{provider, site, process, kept_ports}``, sorted.

    ``unfinished`` names moves, as (site, provider), that were cut off when the site may have been gone already.
    """
    pairs = {(provider, site) for provider in FOOTPRINTS for site in sites_of(provider, read)}
    pairs |= {(provider, site) for site, provider in unfinished if provider in FOOTPRINTS}
    return [
        {
            "provider": provider,
            "site": site,
            "process": FOOTPRINTS[provider].process,
            "kept_ports": kept_ports(provider, removal(provider, site, read), read),
        }
        for provider, site in sorted(pairs)
    ]
