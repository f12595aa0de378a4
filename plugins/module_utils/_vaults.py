# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding every vault of a host, however it was made, and what is in front of it. Changes nothing.

Values of secrets never leave this module but through ``secret_values``. Linux, Python 3.8 and later.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import http.client
import json
import os
import re
import typing as t

from . import _client_log, _settings, _sites
from ._folders import NETWORK_SHARES, below, file_system
from ._host import Run, describe_container
from ._internal import named
from ._layout import (
    ANONYMOUS_HUB_PATH,
    DEFAULT_WEBSOCKET_PORT,
    HUB_PATH,
    LEGACY_VARIABLES,
    MODERN_VARIABLES,
    LayoutError,
    Version,
    era_of,
    parse_version,
)

Data = t.Mapping[str, t.Any]

_IMAGE = re.compile(r"(^|/)(vaultwarden|vaultwarden/server|bitwardenrs/server(-\w+)?|mprasil/bitwarden)$")
_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
_SOURCE = re.compile(r"dani-garcia/(vaultwarden|bitwarden_rs)(\.git)?/?$")
_SOURCE_LABELS = ("org.opencontainers.image.source", "org.opencontainers.image.url")
_OWN_LABEL = "org.vaultwire.layout"
_COMPOSE = "com.docker.compose."
_DATABASE_FILES = ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm")
_HTTP_PORT = 80
_ASK_SECONDS = 1.0
_LARGEST_FILE = 1024 * 1024
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
#: Variables that end like the name of a secret's file and are none.
_PLAIN_FILES = frozenset({"LOG_FILE", "CONFIG_FILE", "ENV_FILE", "SSL_CERT_FILE"})
#: Beyond the names that the role refuses in the environment: what looks like a secret is treated as one.
_MORE_SECRET_NAMES = re.compile(r"(PASS|PWD|PASSPHRASE|CREDENTIALS?|DSN)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\$argon2|-----BEGIN |[a-zA-Z][\w+.-]*://[^/@\s]*:[^/@\s]*@")
_WHOLE_HASH = re.compile(r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+(\$[A-Za-z0-9+/=]+){2}")
_PART_OF_HASH = re.compile(r"argon2(id|i|d)|=\d+,t=\d+,p=\d+")
#: Options of a container that the role does not know: their names in the engine's answers -> on its command line.
_OTHER_OPTIONS = {
    "CapAdd": "--cap-add",
    "CpuQuota": "--cpu-quota",
    "CpuShares": "--cpu-shares",
    "CpusetCpus": "--cpuset-cpus",
    "Devices": "--device",
    "Dns": "--dns",
    "ExtraHosts": "--add-host",
    "GroupAdd": "--group-add",
    "Links": "--link",
    "NanoCpus": "--cpus",
    "Privileged": "--privileged",
    "Sysctls": "--sysctl",
    "VolumesFrom": "--volumes-from",
}
_DEFAULT_SHM = 64 * 1024 * 1024
_NANO = 10**9
#: Beginnings of labels that say where a container comes from, or are dealt with by themselves.
_KNOWN_LABELS = (_COMPOSE, "org.opencontainers.", "org.vaultwire.", "traefik.")


def gather(run: Run, proxies: t.Mapping[str, Data], root: str = "") -> t.Dict[str, t.Any]:
    """``{vaults, sites, unreadable}``: all vaults, the sites that speak of one, and what could not be read.

    ``proxies`` is what proxies_info says: name -> ``{version}``.
    """
    with named("the part vaults"):
        inspected = _inspect(run)
        containers = [data for data, __ in inspected]
        vaults = [
            {**_describe(data, image), "proxy_as_client": _client_log.proxy_as_client(run, data, containers)}
            for data, image in inspected
            if is_vault(data, image)
        ]
    with named("the part sites"):
        return _with_sites(vaults, proxies, root)


def _with_sites(vaults: t.List[t.Dict[str, t.Any]], proxies: t.Mapping[str, Data], root: str) -> t.Dict[str, t.Any]:
    addresses = _own_addresses()
    sites: t.List[t.Dict[str, t.Any]] = []
    unreadable: t.List[str] = []
    for name, reader in _sites.READERS.items():
        if name in proxies:
            try:
                found = reader(lambda pattern: read_files(root + pattern), str(proxies[name].get("version", "")))
                sites.extend(describe_sites(found, vaults, addresses))
            except _sites.NotUnderstood as exc:
                unreadable.append(f"The configuration of {name} has {exc}.")
            except OSError as exc:
                unreadable.append(
                    f"The configuration of {name} has a file that cannot be read: {exc.filename} ({exc.strerror})."
                )
    for vault in vaults:
        own = [site for site in sites if site["vault"] == vault["name"]]
        vault["layout"] = layout_in_use(vault, own)
        vault["leftovers"].extend(_stale_routes(vault, own))
    return {"vaults": vaults, "sites": sites, "unreadable": unreadable}


def secret_values(run: Run, name: str) -> t.Dict[str, str]:
    """The secrets of one container, by the server's names for them; those in files are read from the host."""
    for data, image in _inspect(run):
        if data["Name"].lstrip("/") == name and is_vault(data, image):
            environment = own_environment(data, image)
            found = {key: value for key, value in environment.items() if value and is_secret(key, value)}
            files = {key: text_of(on_host(data, path)) for key, path in secret_file_names(environment).items()}
            found.update({key: text for key, text in files.items() if text})
            return found
    return {}


def text_of(path: str) -> str:
    """A file's content as the server reads it; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read(_LARGEST_FILE).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def seal(values: t.Mapping[str, str], key: str) -> str:
    """Values in a form that may pass through Ansible, which shows all that a host answers when asked for many words.

    The key has to be used once only. What is shown is worthless without it, and it is never shown.
    """
    return _masked(json.dumps(dict(values)).encode(), key).hex()


def unseal(text: str, key: str) -> t.Dict[str, str]:
    """The values again. Raises ValueError for anything that was not sealed with this key."""
    values = json.loads(_masked(bytes.fromhex(text), key))
    return {str(name): str(value) for name, value in values.items()}


def _masked(data: bytes, key: str) -> bytes:
    stream = hashlib.shake_256(key.encode()).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _inspect(run: Run) -> t.List[t.Tuple[Data, Data]]:
    """All containers, each with its image, in the order of their names."""
    code, out, __ = run(["docker", "container", "ls", "--all", "--quiet", "--no-trunc"])
    if code != 0 or not out.split():
        return []
    # A container that goes away meanwhile makes the command fail, and the others are printed all the same.
    out = run(["docker", "container", "inspect", *out.split()])[1]
    containers = json.loads(out or "[]")
    images: t.Dict[str, Data] = {}
    wanted = sorted({data["Image"] for data in containers})
    if wanted:
        out = run(["docker", "image", "inspect", *wanted])[1]
        images = {data["Id"]: data for data in json.loads(out or "[]")}
    pairs = [(data, images.get(data["Image"], {})) for data in containers]
    return sorted(pairs, key=lambda pair: str(pair[0]["Name"]))


def is_vault(data: Data, image: Data) -> bool:
    """By the name of the image, or by the labels that the project's images carry, whatever they are called here."""
    name = image_name(data, image).partition("@")[0]
    repository = name if "/" in name.rpartition(":")[2] else name.rpartition(":")[0] or name
    labels = {**((image.get("Config") or {}).get("Labels") or {}), **(data["Config"].get("Labels") or {})}
    return (
        bool(_IMAGE.search(repository))
        or _OWN_LABEL in labels
        or any(_SOURCE.search(labels.get(label, "")) for label in _SOURCE_LABELS)
    )


def image_name(data: Data, image: Data) -> str:
    """What the container was started from; by one of its image's names where only its number was given."""
    name: str = data["Config"]["Image"]
    return (image.get("RepoTags") or [name])[0] if _IMAGE_ID.fullmatch(name) else name


def own_environment(data: Data, image: Data) -> t.Dict[str, str]:
    """The variables that somebody set, without those that the image brings."""

    def variables(config: t.Optional[Data]) -> t.Dict[str, str]:
        pairs = (entry.partition("=") for entry in (config or {}).get("Env") or [])
        return {name: value for name, __, value in pairs}

    brought = variables(image.get("Config"))
    return {name: value for name, value in variables(data["Config"]).items() if brought.get(name) != value}


def is_secret(name: str, value: str) -> bool:
    """Whether a variable must not be shown: by its name, or because its value looks like a secret."""
    return (
        name in _settings.SECRET_VARIABLES
        or bool(_settings._SECRET_NAME.search(name) or _MORE_SECRET_NAMES.search(name))
        or bool(_SECRET_VALUE.match(value))
    )


def secret_file_names(environment: t.Mapping[str, str]) -> t.Dict[str, str]:
    """Variable -> path inside the container, for those that are read from a file."""
    return {
        name[: -len("_FILE")]: path
        for name, path in environment.items()
        if name.endswith("_FILE") and name not in _PLAIN_FILES
    }


def token_form(token: str) -> str:
    """What an admin token is by its form: empty, ``hash``, ``damaged`` (a hash that lost a part) or ``plain``."""
    if _WHOLE_HASH.fullmatch(token):
        return "hash"
    if _PART_OF_HASH.search(token):
        return "damaged"
    return "plain" if token else ""


def _admin_token(data: Data, environment: t.Mapping[str, str]) -> str:
    place = secret_file_names(environment).get("ADMIN_TOKEN")
    return text_of(on_host(data, place)) if place else environment.get("ADMIN_TOKEN", "")


def on_host(data: Data, path: str) -> str:
    """Where a path inside the container lies on the host; empty where it is in the container itself."""
    best = max(
        (mount for mount in data.get("Mounts") or [] if below(path, mount["Destination"])),
        key=lambda mount: len(mount["Destination"]),
        default=None,
    )
    if best is None:
        return ""
    rest = path[len(best["Destination"].rstrip("/")) :]
    return str(best.get("Source", "").rstrip("/") + rest)


def _describe(data: Data, image: Data) -> t.Dict[str, t.Any]:
    environment = own_environment(data, image)
    effective = {**dict(entry.split("=", 1) for entry in data["Config"].get("Env") or [] if "=" in entry)}
    http_port = _number(effective.get("ROCKET_PORT"), _HTTP_PORT)
    config = _config_json(data, environment)
    named = {**data, "Config": {**data["Config"], "Image": image_name(data, image)}}
    found = describe_container(named)
    version, source = _running_version(data, found, effective, http_port), "server"
    if not version:
        version, source = found["version"], _source_of(found)
    vault = {
        **{key: value for key, value in found.items() if key != "exists"},
        "name": data["Name"].lstrip("/"),
        "id": data["Id"],
        "version": version,
        "version_from": source if version else "",
        "era": _era(version),
        "managed": _OWN_LABEL in (data["Config"].get("Labels") or {}),
        "compose": _compose(data),
        "environment_names": sorted(environment),
        "environment": {key: environment[key] for key in sorted(environment) if not is_secret(key, environment[key])},
        # An empty secret is as good as none.
        "secret_names": sorted(key for key, value in environment.items() if value and is_secret(key, value)),
        "secret_files": secret_file_names(environment),
        "admin_token_form": token_form(_admin_token(data, environment)),
        "database": _database(environment.get("DATABASE_URL", "")),
        "http_port": http_port,
        "websocket_port": _number(environment.get("WEBSOCKET_PORT"), DEFAULT_WEBSOCKET_PORT),
        "websocket_enabled": environment.get("WEBSOCKET_ENABLED", "").lower() in _TRUE,
        "live": _live(environment, version),
        "addresses": _addresses(data),
        "user": data["Config"].get("User") or "",
        "restart": ((data.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
        "network_mode": (data.get("HostConfig") or {}).get("NetworkMode") or "",
        "networks": sorted((data.get("NetworkSettings") or {}).get("Networks") or {}),
        "custom_command": _custom_command(data, image),
        "other_options": other_options(data),
        "other_labels": other_labels(data, image),
        "limits": _limits(data.get("HostConfig") or {}),
        "label_router": any(name.startswith("traefik.") for name in data["Config"].get("Labels") or {}),
        "config_json": config,
        "data": _data(data, os.path.join("/", effective.get("DATA_FOLDER") or "data")),
    }
    vault["leftovers"] = leftovers(vault, data["Config"].get("ExposedPorts") or {})
    return vault


def _number(text: t.Optional[str], default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def _era(version: str) -> str:
    parsed = _parsed(version)
    return era_of(parsed) if parsed else ""


def _parsed(version: str) -> t.Optional[Version]:
    try:
        return parse_version(version)
    except LayoutError:
        return None


def _source_of(found: Data) -> str:
    tag = _parsed(found["tag"]) if found["tag"] else None
    return "tag" if tag and str(tag) == found["version"] else "label"


def _compose(data: Data) -> t.Dict[str, str]:
    labels = data["Config"].get("Labels") or {}
    names = {"project": "project", "service": "service", "folder": "project.working_dir"}
    return {key: labels.get(_COMPOSE + label, "") for key, label in names.items() if _COMPOSE + "project" in labels}


def _database(url: str) -> str:
    scheme = re.match(r"(mysql|postgres(?:ql)?)://", url)
    if scheme:
        return "mysql" if scheme.group(1) == "mysql" else "postgresql"
    return "sqlite" if not url else "sqlite at a path of its own"


def _live(environment: t.Mapping[str, str], version: str) -> bool:
    """Whether the server has a live channel at all, as it is set."""
    era = _era(version)
    if era == "legacy":
        return environment.get("WEBSOCKET_ENABLED", "").lower() in _TRUE
    return era != "single_port" or environment.get("ENABLE_WEBSOCKET", "").lower() not in _FALSE


def _addresses(data: Data) -> t.List[str]:
    networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
    return sorted(entry["IPAddress"] for entry in networks.values() if entry.get("IPAddress"))


def _custom_command(data: Data, image: Data) -> bool:
    config = image.get("Config")
    if not config:
        return False
    return any((data["Config"].get(key) or []) != (config.get(key) or []) for key in ("Cmd", "Entrypoint"))


def other_options(data: Data) -> t.List[str]:
    """Options that no setting of the role stands for, in the notation of the engine's command line."""
    config = data.get("HostConfig") or {}
    found = [
        f"{flag} {_shown(name, config[name])}".strip() for name, flag in _OTHER_OPTIONS.items() if config.get(name)
    ]
    if config.get("ShmSize") not in (None, 0, _DEFAULT_SHM):
        found.append(f"--shm-size {config['ShmSize']}")
    hostname = data["Config"].get("Hostname") or ""
    # By itself a container has the beginning of its identifier as its name.
    if hostname and not data["Id"].startswith(hostname):
        found.append(f"--hostname {hostname}")
    return found


def _shown(name: str, value: t.Any) -> str:
    """The value of an option as one would write it; nothing for a switch."""
    if value is True:
        return ""
    if name == "NanoCpus":
        return f"{value / _NANO:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in sorted(value.items()))
    entries = value if isinstance(value, list) else [value]
    return ", ".join(str(entry.get("PathOnHost", "")) if isinstance(entry, dict) else str(entry) for entry in entries)


def other_labels(data: Data, image: Data) -> t.List[str]:
    """Names of labels that somebody gave the container, for programs that go by them; never a value."""
    brought = (image.get("Config") or {}).get("Labels") or {}
    own = data["Config"].get("Labels") or {}
    return sorted(name for name in own if name not in brought and not name.startswith(_KNOWN_LABELS))


def _limits(config: Data) -> t.Dict[str, t.Any]:
    """What bounds the container: its log, bytes of memory and number of processes, 0 for none.

    Of the log's options only those that bound it have a value here; others may be secrets of where the log goes to.
    """
    log = config.get("LogConfig") or {}
    options = log.get("Config") or {}
    return {
        "log_driver": log.get("Type") or "",
        "log_max_size": options.get("max-size", ""),
        "log_max_files": options.get("max-file", ""),
        "other_log_options": sorted(set(options) - {"max-size", "max-file"}),
        "memory": config.get("Memory") or 0,
        "pids": max(config.get("PidsLimit") or 0, 0),
    }


def _running_version(data: Data, found: Data, environment: t.Mapping[str, str], http_port: int) -> str:
    """What the server itself says, asked at its published port, else at the container's own address."""
    if data["State"]["Status"] != "running" or environment.get("ROCKET_TLS"):
        return ""
    base = re.sub(r"^\w+://[^/]*", "", environment.get("DOMAIN", "")).rstrip("/")
    places = [
        ("127.0.0.1" if port["address"] in ("0.0.0.0", "::") else port["address"], port["host"])
        for port in found["published_ports"]
        if port["container"] == http_port
    ]
    for host, port in [*places, *((address, http_port) for address in _addresses(data))]:
        connection = http.client.HTTPConnection(host, port, timeout=_ASK_SECONDS)
        try:
            connection.request("GET", f"{base}/api/version")
            answer = json.loads(connection.getresponse().read(200))
            if isinstance(answer, str) and _parsed(answer):
                return str(_parsed(answer))
        except (OSError, ValueError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return ""


def _config_json(data: Data, environment: t.Mapping[str, str]) -> t.Dict[str, t.Any]:
    """What the admin page saved: names of the keys, those that override a variable, and values the role decides."""
    folder = os.path.join("/", environment.get("DATA_FOLDER") or "data")
    path = on_host(data, environment.get("CONFIG_FILE") or f"{folder}/config.json")
    result: t.Dict[str, t.Any] = {"present": False, "broken": False, "names": [], "overrides": [], "values": {}}
    try:
        with open(path, encoding="utf-8") as stream:
            saved = json.load(stream)
    except OSError:
        return result
    except ValueError:
        return {**result, "present": True, "broken": True}
    if not isinstance(saved, dict):
        return {**result, "present": True, "broken": True}
    values = {str(key).upper(): value for key, value in saved.items() if value is not None}
    return {
        "present": True,
        "broken": False,
        "names": sorted(values),
        "overrides": sorted(set(values) & set(environment)),
        "values": {key: _settings.as_text(values[key]) for key in sorted(_settings.MANAGED_VARIABLES) if key in values},
    }


def _data(data: Data, folder: str) -> t.Dict[str, t.Any]:
    """The data folder: what is mounted there, whose it is, and what it holds."""
    mounts = data.get("Mounts") or []
    mount = next((entry for entry in mounts if entry["Destination"].rstrip("/") == folder.rstrip("/")), None)
    result: t.Dict[str, t.Any] = {"folder": folder, "type": "", "path": on_host(data, folder), "volume": "",
                                  "nested": [], "uid": None, "gid": None, "database_bytes": 0, "free_bytes": 0,
                                  "file_system": "", "network_share": False}  # fmt: skip
    if mount:
        result["type"] = mount["Type"]
        result["volume"] = mount.get("Name", "") if mount["Type"] == "volume" else ""
    path = result["path"] = os.path.normpath(result["path"]) if result["path"] else ""
    result["nested"] = sorted(
        entry["Destination"] for entry in mounts if entry is not mount and below(entry["Destination"], folder)
    )
    with contextlib.suppress(OSError):
        status, room = os.stat(path), os.statvfs(path)
        result.update(uid=status.st_uid, gid=status.st_gid, free_bytes=room.f_bavail * room.f_frsize)
        result["file_system"] = file_system(path)
        result["network_share"] = result["file_system"] in NETWORK_SHARES
    for name in _DATABASE_FILES:
        with contextlib.suppress(OSError):
            result["database_bytes"] += os.stat(os.path.join(path, name)).st_size
    return result


def leftovers(vault: Data, exposed: t.Iterable[str]) -> t.List[t.Dict[str, str]]:
    """What still speaks of another layout: ``[{kind, name, text}]``; kind is variable, port, exposed or route."""
    found = []
    era, names = vault["era"], vault["environment_names"]
    ignored = {"single_port": LEGACY_VARIABLES, "bridge": MODERN_VARIABLES, "legacy": MODERN_VARIABLES}.get(era, ())
    for name in (name for name in ignored if name in names):
        found.append({"kind": "variable", "name": name, "text": f"Release {vault['version']} ignores {name}."})
    port = vault["websocket_port"]
    second = [entry for entry in vault["published_ports"] if entry["container"] == port]
    unused = era == "single_port" or (era in ("legacy", "bridge") and not vault["websocket_enabled"])
    for entry in second if unused else []:
        place = f"{entry['address']}:{entry['host']}"
        text = f"Port {port} is published on {place}, and the server does not listen there."
        found.append({"kind": "port", "name": place, "text": text})
    if era == "single_port" and not second and f"{port}/tcp" in exposed:
        found.append({"kind": "exposed", "name": str(port), "text": f"The image only mentions port {port}; harmless."})
    return found


def _stale_routes(vault: Data, sites: t.Iterable[Data]) -> t.List[t.Dict[str, str]]:
    if vault["era"] != "single_port":
        return []
    return [
        {
            "kind": "route",
            "name": site["file"],
            "text": f"{site['file']} sends {route['path']} to the second port, where nothing listens any more.",
        }
        for site in sites
        for route in site["routes"].values()
        if route["port"] == "websocket"
    ]


def layout_in_use(vault: Data, sites: t.Iterable[Data]) -> str:
    """Where clients' live channel really goes; only the releases that know both layouts leave a choice."""
    if vault["era"] != "bridge":
        return str(vault["era"])
    ports = {site["routes"]["hub"]["port"] for site in sites} - {""}
    if ports:
        return "legacy" if "websocket" in ports else "single_port"
    published = any(entry["container"] == vault["websocket_port"] for entry in vault["published_ports"])
    return "legacy" if vault["websocket_enabled"] and published else "single_port"


def describe_sites(
    sites: t.Iterable[_sites.Site], vaults: t.List[t.Dict[str, t.Any]], addresses: t.Set[str]
) -> t.List[t.Dict[str, t.Any]]:
    """The sites that speak of a vault: because they send something there, or because they bear its name."""
    result = []
    for site in sites:
        for vault in vaults:
            domain = vault["config_json"]["values"].get("DOMAIN") or vault["environment"].get("DOMAIN", "")
            host, base = _split_domain(domain)
            paths = {"root": f"{base}/", "hub": base + HUB_PATH, "anonymous_hub": base + ANONYMOUS_HUB_PATH}
            routes = {name: _route(site, path, vault, addresses) for name, path in paths.items()}
            _mark_dead_port(routes, vault)
            if any(route["port"] for route in routes.values()) or (host and host in site.names):
                result.append(
                    {
                        "provider": site.provider,
                        "file": site.file,
                        "names": site.names,
                        "listen": site.listen,
                        "tls_certificate": site.certificate,
                        "tls_key": site.key,
                        "shared": site.shared,
                        "vault": vault["name"],
                        "routes": routes,
                    }
                )
                break
    return result


def _mark_dead_port(routes: t.Mapping[str, t.Dict[str, t.Any]], vault: Data) -> None:
    """The second port is meant also where nothing listens there: same host as the rest of the site, that number."""
    place = f"{routes['root']['upstream'].rpartition(':')[0]}:{vault['websocket_port']}"
    for route in routes.values():
        if routes["root"]["port"] and not route["port"] and route["upstream"] == place:
            route["port"] = "websocket"


def _split_domain(domain: str) -> t.Tuple[str, str]:
    found = re.match(r"\w+://([^/:]+|\[[^\]]*\])(?::\d+)?(/.*)?$", domain)
    return (found.group(1).lower(), (found.group(2) or "").rstrip("/")) if found else ("", "")


def _route(site: _sites.Site, path: str, vault: Data, addresses: t.Set[str]) -> t.Dict[str, t.Any]:
    target = site.route(path)
    port = port_of(vault, target.upstream, addresses)
    return {"path": path, "upstream": target.upstream, "upgrade": target.upgrade, "port": port}


def port_of(vault: Data, upstream: str, addresses: t.Set[str]) -> str:
    """``http`` or ``websocket`` where an upstream is that port of the vault; else empty."""
    host, __, port = upstream.rpartition(":")
    host = host.strip("[]")
    kinds = {vault["http_port"]: "http", vault["websocket_port"]: "websocket"}
    if host in (vault["name"], *vault["addresses"]) and port.isdecimal():
        return kinds.get(int(port), "")
    for entry in vault["published_ports"]:
        here = host in ("localhost", entry["address"]) or (
            entry["address"] in ("0.0.0.0", "::") and (host in addresses or host.startswith("127.") or host == "::1")
        )
        if here and str(entry["host"]) == port:
            return kinds.get(entry["container"], "")
    return ""


def _own_addresses(table: str = "/proc/net/fib_trie") -> t.Set[str]:
    """This host's IPv4 addresses."""
    found: t.Set[str] = set()
    with contextlib.suppress(OSError), open(table, encoding="ascii") as stream:
        last = ""
        for line in stream:
            address = re.search(r"\|-- (\S+)", line)
            last = address.group(1) if address else last
            if "host LOCAL" in line:
                found.add(last)
    return found


def read_files(pattern: str) -> t.List[t.Tuple[str, str]]:
    """Files by path or pattern, in order, without directories. Raises OSError, which names the file."""
    paths = [path for path in sorted(glob.glob(pattern)) if not os.path.isdir(path)]
    return [(path, _read(path)) for path in paths]


def _read(path: str) -> str:
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "no regular file", path)  # opening a named pipe would wait for ever
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read(_LARGEST_FILE + 1)
    if len(text) > _LARGEST_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return text
