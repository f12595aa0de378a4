# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host runs to the variables that reproduce it. Pure: no Ansible imports, Python 3.8 and later.

The input is the result of the module deployment_info with details. What cannot be carried over is said in notes; what
would lose data, or leave the release in doubt, is a problem, and then nothing is to be written.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import typing as t

from . import _caps, _settings
from ._domain import DomainError, parse_domain
from ._engine import engine_problem, swarm_problem
from ._layout import ANONYMOUS_HUB, DEFAULT_HTTP_PORT, LayoutError, parse_image_version, parse_version

Vault = t.Mapping[str, t.Any]
Info = t.Mapping[str, t.Any]

#: What a note means: the run of site.yml changes it by itself; somebody has to do something before; it stays behind.
Kind = t.Literal["changes", "todo", "left_behind"]
HEADINGS: t.Dict[Kind, str] = {
    "todo": "To do before the next run of site or upgrade",
    "left_behind": "Cannot be taken over",
    "changes": "Will change with that run",
}

_DEFAULT_REGISTRY = "docker.io"
_OLD_IMAGES = re.compile(r"^docker\.io/(bitwardenrs/server|mprasil/bitwarden)")
_NEW_IMAGE = "docker.io/vaultwarden/server"
_WILDCARDS = frozenset({"0.0.0.0", "::"})
_FIRST_FREE_PORT = 1024
_PLAIN_PORT = 80
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
#: Variables that belong to the image or to options the role sets itself.
_DROPPED = frozenset({"PATH", "HOME", "ROCKET_PROFILE", "DEBIAN_FRONTEND"})
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_PLAIN_MOUNTS = frozenset({"/etc/localtime", "/etc/timezone"})


@dataclasses.dataclass
class Adoption:
    """What to write, and what to say.

    ``secrets``: the server's name of each secret -> the name of the variable that is to hold its value.
    ``notes``: ``{kind, text}``; ``problems``: why nothing can be written, empty where it can.
    """

    container: str = ""
    variables: t.Dict[str, t.Any] = dataclasses.field(default_factory=dict)
    secrets: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    notes: t.List[t.Dict[str, str]] = dataclasses.field(default_factory=list)
    problems: t.List[str] = dataclasses.field(default_factory=list)

    def note(self, kind: Kind, text: str) -> None:
        """Say something in the report."""
        self.notes.append({"kind": kind, "text": text})


def adopt(info: Info, container: str = "") -> Adoption:
    """Work out the variables of one container; with an empty name, of the only vault there is."""
    adoption = Adoption()
    problem = engine_problem(info.get("engine") or {})
    vault = None if problem else _choose(info["vaults"], container, adoption)
    problem = problem or swarm_problem(vault or {})
    if problem:
        adoption.problems.append(problem)
    if vault is None or problem:
        return adoption
    sites = [site for site in info.get("sites", []) if site["vault"] == vault["name"]]
    adoption.container = vault["name"]
    adoption.variables["vaultwarden_container_name"] = vault["name"]
    _adopt_release(vault, adoption)
    if adoption.problems:
        return adoption
    _adopt_domain(vault, sites, adoption)
    _adopt_data(vault, adoption)
    _adopt_layout(vault, sites, adoption)
    _adopt_ports(vault, sites, info.get("listeners", []), adoption)
    _adopt_identity(vault, adoption)
    _adopt_environment(vault, adoption)
    _adopt_secrets(vault, adoption)
    _adopt_limits(vault, info, adoption)
    _adopt_proxy(vault, sites, info, adoption)
    _adopt_the_rest(vault, adoption)
    return adoption


def report(adoption: Adoption) -> t.List[str]:
    """The notes as lines to read, most urgent first."""
    lines: t.List[str] = []
    for kind, heading in HEADINGS.items():
        texts = [note["text"] for note in adoption.notes if note["kind"] == kind]
        if texts:
            lines.extend([f"{heading}:", *(f"- {text}" for text in texts)])
    return lines


def _choose(vaults: t.Sequence[Vault], wanted: str, adoption: Adoption) -> t.Optional[Vault]:
    names = ", ".join(f"{vault['name']} ({vault['image']}, {vault['status']})" for vault in vaults)
    if not vaults:
        adoption.problems.append("No container of the server was found on this host, so there is nothing to take over.")
        return None
    if wanted:
        found = next((vault for vault in vaults if vault["name"] == wanted), None)
        if found is None:
            adoption.problems.append(f"adopt_container is {wanted!r}, which is no vault here. There is: {names}.")
        return found
    running = [vault for vault in vaults if vault["status"] == "running"] or list(vaults)
    if len(running) > 1:
        adoption.problems.append(f"Several vaults were found: {names}. Name one of them with adopt_container.")
        return None
    return running[0]


def _adopt_release(vault: Vault, adoption: Adoption) -> None:
    nameless = bool(re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", vault["image"]))
    repository, tag, digest = (_NEW_IMAGE, "", "") if nameless else split_image(vault["image"])
    try:
        version = parse_version(vault["version"])
    except LayoutError:
        adoption.problems.append(
            f"The release of {vault['name']} ({vault['image']}) cannot be told: the server does not answer, its image "
            f"has no version label, and the tag is no release number. Start it, then run again."
            if not vault["version"]
            else f"{vault['name']} runs release {vault['version']}, which is older than what is supported."
        )
        return
    adoption.variables["vaultwarden_version"] = _pinned(str(version), tag, digest, adoption)
    adoption.variables["vaultwarden_image"] = repository
    if nameless:
        adoption.note(
            "todo",
            f"The container was started from {vault['image'][:19]}, an image without a name. Look at "
            f"vaultwarden_image: the usual one was written.",
        )
    if _OLD_IMAGES.match(repository):
        adoption.note(
            "todo",
            f"{repository} gets no newer releases. For an upgrade set vaultwarden_image to {_NEW_IMAGE}, together with "
            f"vaultwarden_version.",
        )


def split_image(image: str) -> t.Tuple[str, str, str]:
    """``vaultwarden/server:1.28.1@sha256:...`` -> repository with its registry, tag, digest."""
    name, __, digest = image.partition("@")
    left, __, last = name.rpartition(":")
    repository, tag = (name, "") if not left or "/" in last else (left, last)
    first = repository.partition("/")[0]
    if "/" not in repository:
        repository = f"{_DEFAULT_REGISTRY}/library/{repository}"
    elif not ("." in first or ":" in first or first == "localhost"):
        repository = f"{_DEFAULT_REGISTRY}/{repository}"
    return repository, tag, digest


def _pinned(version: str, tag: str, digest: str, adoption: Adoption) -> str:
    """The tag where it names the release that runs, so that a variant and a digest stay; else the release."""
    try:
        parsed = parse_image_version(tag, allow_floating=True)
    except LayoutError:
        parsed = None
    if parsed is not None and str(parsed.version) == version:
        return f"{parsed.tag}@{digest}" if digest else parsed.tag
    adoption.note("changes", f"The image has the tag {tag or 'latest'!r}; the release that runs, {version}, is pinned.")
    if "alpine" in tag:
        adoption.note("changes", "The variant alpine is not kept, since its tag does not name a release.")
    return version


def _adopt_domain(vault: Vault, sites: t.Sequence[Vault], adoption: Adoption) -> None:
    saved = vault["config_json"]["values"].get("DOMAIN", "")
    domain = saved or vault["environment"].get("DOMAIN", "")
    if saved and saved != vault["environment"].get("DOMAIN", saved):
        adoption.note(
            "todo",
            f"config.json sets the address {saved}, which beats the variable. Remove DOMAIN from it in the admin page, "
            f"or it will beat vaultwarden_domain as well.",
        )
    if domain.endswith("/"):
        domain = domain.rstrip("/")
        adoption.note("changes", "The slash at the end of DOMAIN is left out; the server ignores it.")
    try:
        adoption.variables["vaultwarden_domain"] = parse_domain(domain).url
    except DomainError as exc:
        derived = _domain_of_sites(sites)
        text = f"DOMAIN is not set ({exc})" if not domain else str(exc)
        if derived:
            adoption.variables["vaultwarden_domain"] = derived
            adoption.note("todo", f"{text} {derived} was taken from {sites[0]['file']}: look whether it is right.")
        else:
            adoption.note("todo", f"{text} vaultwarden_domain was not written; set it.")


def _domain_of_sites(sites: t.Sequence[Vault]) -> str:
    """The one https address that the sites serve, or nothing where there is more than one."""
    found = set()
    for site in sites:
        for listen in site["listen"]:
            for name in site["names"]:
                if listen["tls"] and "." in name and re.fullmatch(r"[a-z0-9.-]+", name):
                    found.add(f"https://{name}" + ("" if listen["port"] == 443 else f":{listen['port']}"))
    return found.pop() if len(found) == 1 else ""


def _adopt_data(vault: Vault, adoption: Adoption) -> None:
    data = vault["data"]
    if not data["path"]:
        adoption.problems.append(
            f"Nothing is mounted at {data['folder']}: the data lie in the container {vault['name']} itself and would "
            f"go with it. Copy them out (docker cp) and start the container with them mounted first."
        )
        return
    if data["type"] == "volume" and re.fullmatch(r"[0-9a-f]{64}", data["volume"]):
        adoption.problems.append(
            f"The data of {vault['name']} lie in a volume without a name, which goes away with the container. Copy "
            f"them to a folder and start the container with it first."
        )
        return
    if data["nested"]:
        adoption.problems.append(
            f"{', '.join(data['nested'])} has a mount of its own inside the data, which the role cannot reproduce: "
            f"what lies there would be missing. Bring it into {data['path']} first."
        )
        return
    adoption.variables["vaultwarden_data_dir"] = data["path"]
    if data["type"] == "volume":
        adoption.note(
            "changes",
            f"The volume {data['volume']} is used by its folder {data['path']} from then on. Never remove it: "
            f"docker volume prune would count it as unused.",
        )
    if data["network_share"]:
        adoption.note("todo", f"{data['path']} is on a network share ({data['file_system']}), where SQLite breaks.")


def _adopt_layout(vault: Vault, sites: t.Sequence[Vault], adoption: Adoption) -> None:
    if vault["layout"] == "legacy" and vault["era"] == "bridge":
        adoption.variables["vaultwarden_layout"] = "legacy"
        adoption.note(
            "todo",
            f"Release {vault['version']} can do with one port; vaultwarden_layout: legacy keeps the second one as it "
            f"is now. Remove the line to switch, at the latest with an upgrade to a release without that port.",
        )
    if not vault["live"]:
        adoption.note("changes", "Live notifications are switched off in the server now; they will be on.")
    for leftover in vault["leftovers"]:
        if leftover["kind"] != "exposed":
            adoption.note("changes", f"{leftover['text']} It goes.")
    hubs = ["hub"]
    if parse_version(vault["version"]) >= ANONYMOUS_HUB:
        hubs.append("anonymous_hub")
    for site in sites:
        for name in hubs:
            route = site["routes"][name]
            if route["port"] and route["upgrade"] is False:
                adoption.note(
                    "changes", f"{site['file']} does not pass upgrades on for {route['path']}; the new site does."
                )


def _adopt_ports(vault: Vault, sites: t.Sequence[Vault], listeners: t.Sequence[Vault], adoption: Adoption) -> None:
    published = [port for port in vault["published_ports"] if port["container"] == vault["http_port"]]
    taken = {_PLAIN_PORT, *(listen["port"] for site in sites for listen in site["listen"])}
    taken |= _domain_ports(adoption)
    chosen = min(published, key=_preference) if published else None
    if chosen is None:
        adoption.note("changes", "The server's HTTP port is not published now; it will be, on 127.0.0.1 only.")
    elif chosen["address"] in _WILDCARDS:
        adoption.note(
            "changes",
            f"Port {chosen['host']} is open to the network on every address, in clear text and past the firewall; it "
            f"will be published on 127.0.0.1 only. Whoever comes in that way must use the proxy.",
        )
    address = "127.0.0.1" if chosen is None or chosen["address"] in _WILDCARDS else chosen["address"]
    adoption.variables["vaultwarden_bind_address"] = address
    own = {port["host"] for port in vault["published_ports"]}
    used = {entry["port"] for entry in listeners} - own | taken
    port = chosen["host"] if chosen else DEFAULT_HTTP_PORT
    if chosen and port in taken:
        moved = _free_port(used | {port})
        adoption.note("changes", f"Port {port} is for the proxy; the server moves to {moved} on {address}.")
        port = moved
    adoption.variables["vaultwarden_http_port"] = port if chosen else _free_port(used)
    if vault["http_port"] >= _FIRST_FREE_PORT:
        adoption.variables["vaultwarden_container_port"] = vault["http_port"]
    if vault["layout"] == "legacy":
        _adopt_second_port(vault, adoption)


def _preference(port: Vault) -> t.Tuple[bool, bool, int]:
    """Loopback first, then a single address, then every address."""
    return port["address"] in _WILDCARDS, port["address"] not in ("127.0.0.1", "::1"), port["host"]


def _domain_ports(adoption: Adoption) -> t.Set[int]:
    domain = adoption.variables.get("vaultwarden_domain")
    return {parse_domain(domain).port} if domain else {443}


def _free_port(used: t.Set[int]) -> int:
    return next(port for port in range(DEFAULT_HTTP_PORT, 65536) if port not in used)


def _adopt_second_port(vault: Vault, adoption: Adoption) -> None:
    published = [port for port in vault["published_ports"] if port["container"] == vault["websocket_port"]]
    chosen = min(published, key=_preference) if published else None
    adoption.variables["vaultwarden_websocket_port"] = chosen["host"] if chosen else vault["websocket_port"]
    if chosen is None:
        adoption.note("changes", "The second port, for the hub, is not published now; it will be, next to the first.")


def _adopt_identity(vault: Vault, adoption: Adoption) -> None:
    user, __, group = vault["user"].partition(":")
    data = vault["data"]
    if user.isdecimal() and int(user) > 0:
        adoption.variables["vaultwarden_uid"] = int(user)
        gid = int(group) if group.isdecimal() and int(group) > 0 else int(user)
        adoption.variables["vaultwarden_gid"] = gid
        if str(gid) != group:
            adoption.note("changes", f"The server's group becomes {gid}; it was {group or 'root'}.")
        return
    if user not in ("", "0", "root"):
        adoption.note(
            "todo", f"The container runs as {user!r}. Set vaultwarden_uid and vaultwarden_gid to its numbers."
        )
        return
    adoption.note(
        "changes",
        f"The server runs as root now and will run as vaultwarden_uid; all of {data['path']} "
        f"(now owned by {data['uid']}:{data['gid']}) has to belong to that number.",
    )


def _adopt_environment(vault: Vault, adoption: Adoption) -> None:
    environment = vault["environment"]
    _adopt_managed(environment, adoption)
    others: t.Dict[str, str] = {}
    for name, value in environment.items():
        if name in _settings.MANAGED_VARIABLES or name in _DROPPED or name in vault["secret_files"]:
            continue
        if name.endswith("_FILE") and name[: -len("_FILE")] in vault["secret_files"]:
            continue
        if name in ("ENV_FILE", "ROCKET_TLS"):
            why = {"ENV_FILE": "its settings are not seen from outside", "ROCKET_TLS": "TLS is the proxy's part"}[name]
            adoption.note("left_behind", f"{name}: {why}.")
        elif not _VARIABLE_NAME.fullmatch(name) or re.search(r"[\x00-\x1f]", value):
            adoption.note("left_behind", f"The variable {name}: its name or its value is not plain.")
        else:
            others[name] = value
    if others:
        adoption.variables["vaultwarden_environment"] = dict(sorted(others.items()))


def _adopt_managed(environment: t.Mapping[str, str], adoption: Adoption) -> None:
    """Variables that have a setting of the role."""
    word = environment.get("SIGNUPS_ALLOWED", "").strip().lower()
    adoption.variables["vaultwarden_signups_allowed"] = word not in _FALSE
    if word not in _FALSE:
        reason = "" if word in _TRUE else " (the server's default, since SIGNUPS_ALLOWED says nothing)"
        adoption.note("todo", f"Strangers may open accounts{reason}. Set vaultwarden_signups_allowed to false if not.")
    level = environment.get("LOG_LEVEL", "").lower()
    if level in _settings._LOG_LEVELS:
        adoption.variables["vaultwarden_log_level"] = level
    elif level:
        adoption.note("left_behind", f"LOG_LEVEL {level!r}: the role knows {', '.join(_settings._LOG_LEVELS)}.")
    if environment.get("IP_HEADER"):
        adoption.variables["vaultwarden_ip_header"] = environment["IP_HEADER"]
        if environment["IP_HEADER"] != "X-Real-IP":
            adoption.note(
                "todo", "The proxy's role sets X-Real-IP: remove vaultwarden_ip_header unless it does not serve."
            )
    _adopt_trusted(environment.get("IP_HEADER_TRUSTED_PROXIES", ""), adoption)


def _adopt_trusted(text: str, adoption: Adoption) -> None:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    good = []
    for entry in entries:
        try:
            if entry != "local":
                ipaddress.ip_network(entry, strict=False)
            good.append(entry)
        except ValueError:
            adoption.note("left_behind", f"IP_HEADER_TRUSTED_PROXIES {entry!r}: anyone could claim any address.")
    if good:
        adoption.variables["vaultwarden_trusted_proxies"] = good


def _adopt_secrets(vault: Vault, adoption: Adoption) -> None:
    names = sorted({*vault["secret_names"], *vault["secret_files"]})
    for name in names:
        if name in _settings.MANAGED_VARIABLES or not _VARIABLE_NAME.fullmatch(name) or name.startswith("ROCKET_"):
            adoption.note("left_behind", f"The variable {name}: it looks like a secret that the role has no place for.")
        elif name == "DATABASE_URL" and vault["database"].startswith("sqlite"):
            adoption.note(
                "left_behind", "DATABASE_URL names a file of its own; the role expects the database in its data folder."
            )
        else:
            adoption.secrets[name] = f"vault_vaultwarden_{name.lower()}"
    if vault["database"] in ("mysql", "postgresql"):
        adoption.note(
            "todo",
            f"The database is {vault['database']}. Its address must be reachable from the network vaultwarden, and "
            f"neither the backup nor the copy before an upgrade holds it: save it by its own means.",
        )
    references = {name: "{{ " + variable + " }}" for name, variable in adoption.secrets.items()}
    if "ADMIN_TOKEN" in references:
        adoption.variables["vaultwarden_admin_token"] = references.pop("ADMIN_TOKEN")
    if references:
        adoption.variables["vaultwarden_secrets"] = references


def _adopt_limits(vault: Vault, info: Info, adoption: Adoption) -> None:
    """Limits that have a setting of the role are taken over; where there was none, the role's defaults hold."""
    limits = vault["limits"]
    found = {
        "log_max_size": _engine_size(limits["log_max_size"]),
        "log_max_files": int(limits["log_max_files"]) if str(limits["log_max_files"]).isdecimal() else None,
        "memory_limit": _megabytes(limits["memory"]),
        "pids_limit": limits["pids"] or None,
    }
    if limits["log_driver"] not in _caps.FILE_DRIVERS:
        found.update(log_max_size=None, log_max_files=None)
    for key, value in found.items():
        if value is None:
            continue
        problem = _caps.problem_of(key, value)
        if problem:
            adoption.note("changes", f"{problem} The container has that limit now; the default of the role takes over.")
        else:
            adoption.variables[f"vaultwarden_{key}"] = value
    new = [f"vaultwarden_{key}" for key in ("log_max_size", "memory_limit", "pids_limit") if found[key] is None]
    if new:
        adoption.note("changes", f"The container gets limits that it does not have now, see {', '.join(new)}.")
    default = (info.get("engine") or {}).get("log_driver", "")
    if default and limits["log_driver"] not in ("", default):
        adoption.note(
            "left_behind",
            f"The option --log-driver {limits['log_driver']}: the log goes where the engine sends it by default "
            f"({default}).",
        )
    if limits["other_log_options"]:
        names = ", ".join(limits["other_log_options"])
        adoption.note("left_behind", f"Options of the log: --log-opt {names} (values are not shown).")


def _engine_size(text: str) -> t.Optional[str]:
    """A size as the engine takes it (``10M``, ``10mb``) in the role's notation; None where there is none."""
    return re.sub(r"i?b$", "", text.strip().lower()) or None


def _megabytes(size: int) -> t.Optional[str]:
    """Bytes as a limit of the role, rounded up; None where there is none."""
    return f"{-(-size // 2**20)}m" if size else None


def _adopt_proxy(vault: Vault, sites: t.Sequence[Vault], info: Info, adoption: Adoption) -> None:
    for text in info.get("unreadable", []):
        adoption.note("todo", f"{text} Set reverse_proxy_provider and reverse_proxy_replaces by hand.")
    providers = sorted({site["provider"] for site in sites})
    if len(providers) != 1:
        _without_site(vault, providers, info, adoption)
        return
    adoption.variables["reverse_proxy_provider"] = providers[0]
    pairs = sorted({(site["tls_certificate"], site["tls_key"]) for site in sites if site["tls_certificate"]})
    if len(pairs) == 1 and pairs[0][1]:
        certificate, key = pairs[0]
        adoption.variables["reverse_proxy_tls_certificate"] = certificate
        adoption.variables["reverse_proxy_tls_key"] = key
    else:
        adoption.note(
            "todo",
            "No certificate file was found in the site, so an internal authority would sign one that clients do not "
            "trust. Set reverse_proxy_tls_certificate and reverse_proxy_tls_key."
            if not pairs
            else "Several certificates were found. Set reverse_proxy_tls_certificate and reverse_proxy_tls_key.",
        )
    whole = sorted({site["file"] for site in sites if not site["shared"]})
    if whole:
        adoption.variables["reverse_proxy_replaces"] = whole
    for file in sorted({site["file"] for site in sites if site["shared"]}):
        adoption.note("todo", f"{file} has other sites, too: take the vault's part out of it by hand.")
    for site in sites:
        if any(route["upstream"] == "unknown" for route in site["routes"].values()):
            adoption.note("todo", f"{site['file']} has rules that were not understood: look what of them to keep.")
    _adopt_redirect(vault, providers[0], info, adoption)


def _without_site(vault: Vault, providers: t.Sequence[str], info: Info, adoption: Adoption) -> None:
    if vault["label_router"]:
        adoption.note("left_behind", "The labels for Traefik: requests will no longer reach the container that way.")
    if providers:
        adoption.note(
            "todo", f"Sites of {' and '.join(providers)} send to the vault. Set reverse_proxy_provider to one."
        )
        return
    found = sorted(name for name, proxy in info.get("proxies", {}).items() if proxy["running"])
    text = f"{' and '.join(found)} runs here, but none of its sites" if found else "No proxy of this host"
    adoption.note("todo", f"{text} is known to send to the vault. Set reverse_proxy_provider and the certificate.")


def _adopt_redirect(vault: Vault, provider: str, info: Info, adoption: Adoption) -> None:
    """Port 80 is for the redirect, unless something else sits there."""
    own = {port["host"] for port in vault["published_ports"]}
    holders = {entry["process"] for entry in info.get("listeners", []) if entry["port"] == _PLAIN_PORT}
    if _PLAIN_PORT not in own and holders - {provider}:
        adoption.variables["reverse_proxy_http_port"] = 0
        adoption.note(
            "changes", f"Port {_PLAIN_PORT} belongs to {', '.join(sorted(holders))}: no redirect is set up there."
        )


def _adopt_the_rest(vault: Vault, adoption: Adoption) -> None:
    if vault["compose"]:
        where = vault["compose"]["folder"] or "its folder"
        adoption.note(
            "todo",
            f"Compose made the container (project {vault['compose']['project']}, {where}). Take the service "
            f"{vault['compose']['service']} out of that file, or the next docker compose up starts a second server on "
            f"the same data.",
        )
    if vault["restart"] not in ("unless-stopped", "always"):
        adoption.note("changes", f"The restart policy {vault['restart']!r} becomes unless-stopped.")
    if vault["managed"]:
        adoption.note("changes", "This container was made by this collection already; its inventory may be somewhere.")
    for text in _left_behind(vault):
        adoption.note("left_behind", text)
    config = vault["config_json"]
    if config["broken"]:
        adoption.note("todo", "config.json is broken, so the server ignores all of it. Mend or remove it.")
    if config["overrides"]:
        names = ", ".join(config["overrides"])
        adoption.note("todo", f"config.json beats these variables, so changes to them do nothing: {names}.")


def _left_behind(vault: Vault) -> t.Iterator[str]:
    """Options of the container that no setting of the role stands for."""
    if vault["custom_command"]:
        yield "The container has a command of its own; the role starts the image's."
    for name in vault["other_options"]:
        yield f"The container's option {name}."
    if vault["other_labels"]:
        names = ", ".join(vault["other_labels"])
        yield f"The labels {names}: the new container lacks them, which matters to programs such as updaters."
    files = set(vault["secret_files"].values())
    for mount in vault["mounts"]:
        place = mount["destination"].rstrip("/")
        known = {vault["data"]["folder"].rstrip("/"), *_PLAIN_MOUNTS, *files}
        if place not in known and mount["type"] != "tmpfs":
            yield f"The mount of {mount['source']} at {place}."
    if vault["network_mode"] == "host" or set(vault["networks"]) - {"bridge", "vaultwarden", "host"}:
        names = ", ".join(vault["networks"]) or vault["network_mode"]
        yield f"The network {names}: the container gets one of its own, named vaultwarden."


# ------------------------------------------------------------------------------------------------------ the files


def main_file(adoption: Adoption) -> str:
    """host_vars/<host>/main.yml."""
    lines = [
        "---",
        f"# What the container {adoption.container} was, taken over by the playbook vaultwire.stack.adopt.",
        "# Every setting is explained in the defaults of its role. Secrets are in vault.yml next to this file.",
        *_comments(adoption),
        *(line for name, value in adoption.variables.items() for line in _yaml(name, value)),
    ]
    return "\n".join(lines) + "\n"


def _comments(adoption: Adoption) -> t.List[str]:
    return [f"# {line}".replace("\n", " ") for line in report(adoption)]


def _yaml(name: str, value: t.Any) -> t.List[str]:
    if isinstance(value, dict):
        return [f"{name}:", *(f"  {key}: {_scalar(entry)}" for key, entry in value.items())]
    if isinstance(value, list):
        return [f"{name}:", *(f"  - {_scalar(entry)}" for entry in value)]
    return [f"{name}: {_scalar(value)}"]


def _scalar(value: t.Any) -> str:
    """A scalar in the form that YAML and JSON share; a text that would be taken for a template is marked as none."""
    if not isinstance(value, str):
        return json.dumps(value)
    own = re.fullmatch(r"\{\{ vault_vaultwarden_\w+ \}\}", value)
    unsafe = "" if own or not re.search(r"\{[{%#]", value) else "!unsafe "
    return unsafe + json.dumps(value, ensure_ascii=False)


def vault_file(adoption: Adoption, values: t.Mapping[str, str]) -> str:
    """host_vars/<host>/vault.yml in clear text; empty where there is no secret."""
    lines = [
        f"{variable}: !unsafe {json.dumps(values[name], ensure_ascii=False)}"
        for name, variable in adoption.secrets.items()
        if name in values
    ]
    return "\n".join(["---", "# Secrets of the server.", *lines, ""]) if lines else ""


def secret_problems(adoption: Adoption, values: t.Mapping[str, str]) -> t.List[t.Dict[str, str]]:
    """Notes on secrets that are missing, or that would not arrive as they are; never a value."""
    notes = []
    for name, variable in adoption.secrets.items():
        problem = _settings.secret_problem(values[name]) if name in values else "could not be read from its file."
        if problem:
            notes.append({"kind": "todo", "text": f"The secret {name} {problem} It is to be in {variable}."})
    return notes
