# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may set for the server: the rules that span several settings, and the environment they make.

Pure: no Ansible imports. The settings arrive as one mapping whose keys are the role's variables without their
``vaultwarden_`` prefix. Messages name the variable and the remedy, and never hold the value of a secret.
"""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t

from . import _caps, _shapes
from ._domain import DomainError, parse_domain
from ._layout import (
    LEGACY_VARIABLES,
    MODERN_VARIABLES,
    VERSION_VARIABLE,
    WEBSOCKET_PORT_VARIABLE,
    LayoutError,
    LayoutPlan,
    check_port,
    parse_image_version,
    parse_version,
    plan_layout,
)

Settings = t.Mapping[str, t.Any]

#: Where the secrets directory of the host appears inside the container.
SECRETS_MOUNT = "/run/secrets/vaultwarden"

#: The log file inside the container, in the folder of the data; and the time in each line. With the zone, since the
#: container's may be another one than that of the host, whose programs read the file.
LOG_FILE = "/data/vaultwarden.log"
LOG_TIME = "%Y-%m-%d %H:%M:%S.%3f%z"

#: Variables the role sets itself, and the role variable that decides each.
MANAGED_VARIABLES: t.Dict[str, str] = {
    "DOMAIN": "vaultwarden_domain",
    "DATA_FOLDER": "vaultwarden_data_dir",
    "ROCKET_PORT": "vaultwarden_container_port",
    "ROCKET_ADDRESS": "vaultwarden_bind_address",
    "SIGNUPS_ALLOWED": "vaultwarden_signups_allowed",
    "LOG_LEVEL": "vaultwarden_log_level",
    "IP_HEADER": "vaultwarden_ip_header",
    "IP_HEADER_TRUSTED_PROXIES": "vaultwarden_trusted_proxies",
    **dict.fromkeys((*LEGACY_VARIABLES, *MODERN_VARIABLES), "vaultwarden_layout"),
}

#: Variables whose value must not stand in a container's environment, where every user of the engine reads it.
SECRET_VARIABLES = frozenset(
    {
        "ADMIN_TOKEN",
        "DATABASE_URL",
        "SMTP_PASSWORD",
        "PUSH_INSTALLATION_ID",
        "PUSH_INSTALLATION_KEY",
        "YUBICO_SECRET_KEY",
        "DUO_SKEY",
        "HIBP_API_KEY",
        "SSO_CLIENT_SECRET",
    }
)
_SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|_KEY|_SKEY)$")
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_PUSH_KEYS = ("PUSH_INSTALLATION_ID", "PUSH_INSTALLATION_KEY")
#: What each region of push keys needs; the addresses are a pair, and those of the US are the server's own defaults.
_PUSH_REGIONS: t.Dict[str, t.Dict[str, str]] = {
    "us": {"PUSH_ENABLED": "true"},
    "eu": {
        "PUSH_ENABLED": "true",
        "PUSH_RELAY_URI": "https://api.bitwarden.eu",
        "PUSH_IDENTITY_URI": "https://identity.bitwarden.eu",
    },
}
_CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}")
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._:-]*(/[a-z0-9][a-z0-9._-]*)+")
# One path without empty parts and '.', each part no longer than a file system takes.
_PATH = re.compile(r"(/(?!\./|\.$)[^/\x00-\x1f\x7f:,]{1,255})+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Folders that are not one program's own; their owner and mode must stay.
_SHARED_FOLDERS = frozenset(
    (
        "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt", "/proc",
        "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/usr/bin", "/usr/lib", "/usr/local",
        "/usr/sbin", "/usr/share", "/var/backups", "/var/cache", "/var/lib", "/var/lib/docker", "/var/local",
        "/var/log", "/var/mail", "/var/opt", "/var/run", "/var/spool", "/var/tmp", "/var/www",
    )
)  # fmt: skip
_KERNEL_FOLDERS = ("/proc/", "/sys/", "/dev/")
#: The fewest that make sense, and the most that the kernel grants by itself (fs.nr_open).
_OPEN_FILES = (1024, 2**20)
#: The host's side of the HTTP port, of which the layout model knows nothing.
_HOST_PORT_VARIABLE = "vaultwarden_http_port"
#: The folder of a volume that nobody has named.
_ANONYMOUS_VOLUME = re.compile(r"/volumes/[0-9a-f]{64}(/|$)")
_OTHER_DATABASE = re.compile(r"(mysql|postgres(ql)?):")
#: The highest number that engines take for a user or group.
_HIGHEST_ID = 2**31 - 1
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_LOG_MARK = re.compile(r"[0-9A-Za-z]{16,64}")
_LISTS = {"trusted_proxies": '"192.0.2.10"'}
_MAPPINGS = {"environment": 'INVITATION_ORG_NAME: "Example"', "secrets": 'SMTP_PASSWORD: "..."'}
_LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "off")


def find_problems(settings: Settings) -> t.List[str]:
    """Every reason why these settings cannot work, as full sentences; empty when there is none."""
    checks = (
        _check_layout,
        _check_domain,
        _check_image,
        _check_archive,
        _check_paths,
        _check_network,
        _check_open_files,
        _caps.find_problems,
        _check_identity,
        _check_header,
        _check_admin_token,
        _check_environment,
        _check_secrets,
        _check_log_mark,
        _check_push,
    )
    problems, sound = _shapes.checked(settings, "vaultwarden_", _LISTS, _MAPPINGS)
    return [_shortened(problem) for problem in (*problems, *(text for check in checks for text in check(sound)))]


def _matches(pattern: t.Pattern[str], value: object) -> bool:
    """Whether a value is a text of this form; that of a variable without a value would read None."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _shortened(text: str) -> str:
    """A message that quotes a value without end, cut so that it can still be read."""
    return re.sub(r"\S{200,}", lambda found: f"{found.group()[:60]}...", text)


def release_known(settings: Settings) -> bool:
    """Whether the release is known; that behind a moving tag is not until its image is on the host."""
    version, allowed = settings["version"], bool(settings["allow_floating_tag"])
    return bool(settings.get("resolved_version")) or parse_image_version(version, allowed).version is not None


def plan_for(settings: Settings) -> LayoutPlan:
    """The layout plan of these settings. Raises LayoutError or DomainError."""
    version = settings.get("resolved_version") or settings["version"]
    return plan_layout(
        parse_version(version),
        layout=settings["layout"],
        http_port=settings["container_port"],
        websocket_port=_websocket_port(settings),
        base_path=parse_domain(settings["domain"]).base_path,
    )


def _websocket_port(settings: Settings) -> t.Any:
    """The second port where one was chosen; the variable has no default."""
    return None if settings.get("websocket_port") in (None, "") else settings["websocket_port"]


def build_environment(settings: Settings) -> t.Dict[str, str]:
    """The container's environment, name to text, sorted; secrets appear only as the names of their files."""
    plan = plan_for(settings)
    environment = {name: as_text(value) for name, value in settings["environment"].items()}
    environment.update(
        DOMAIN=settings["domain"],
        ROCKET_PORT=str(plan.container_ports["http"]),
        SIGNUPS_ALLOWED=as_text(settings["signups_allowed"]),
        LOG_LEVEL=settings["log_level"],
        IP_HEADER=settings["ip_header"],
    )
    if plan.trusted_proxies and settings["trusted_proxies"]:
        environment["IP_HEADER_TRUSTED_PROXIES"] = ",".join(settings["trusted_proxies"])
    if settings.get("log_mark"):
        environment["LOG_FILE"] = LOG_FILE
    environment.update(plan.environment)
    environment.update(_PUSH_REGIONS.get(settings.get("push_region") or "", {}))
    for name in secrets_of(settings):
        environment[f"{name}_FILE"] = f"{SECRETS_MOUNT}/{name.lower()}"
    return dict(sorted(environment.items()))


def listening(settings: Settings) -> t.List[t.Dict[str, t.Any]]:
    """The ports taken on the host: ``{name, address, port}``, HTTP first."""
    plan = plan_for(settings)
    ports = {"http": settings["http_port"], "websocket": plan.container_ports.get("websocket")}
    return [
        {"name": name, "address": settings["bind_address"], "port": int(ports[name])} for name in plan.container_ports
    ]


def published(settings: Settings) -> t.List[str]:
    """The same ports in the engine's notation: ``address:host port:container port``."""
    container = plan_for(settings).container_ports
    return [f"{url_host(entry['address'])}:{entry['port']}:{container[entry['name']]}" for entry in listening(settings)]


def url_host(address: str) -> str:
    """An address as it stands in URLs and in the engine's notation: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def secrets_of(settings: Settings) -> t.Dict[str, str]:
    """All secrets by the server's name for them, the admin token among them."""
    secrets = dict(settings["secrets"])
    if settings.get("log_mark"):
        secrets["LOG_TIMESTAMP_FORMAT"] = f"{LOG_TIME} {settings['log_mark']}"
    if settings.get("admin_token_set"):
        secrets["ADMIN_TOKEN"] = settings["admin_token"]
    return dict(sorted(secrets.items()))


def secret_files(settings: Settings) -> t.Dict[str, str]:
    """File name to content for every secret."""
    return {name.lower(): value for name, value in secrets_of(settings).items()}


def as_text(value: object) -> str:
    """A YAML scalar the way the server reads it: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_saved(content: bytes) -> t.Dict[str, t.Any]:
    """What the admin page saved, by the names of variables. Raises ValueError, whose text quotes nothing of it."""
    try:
        saved = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8 text") from None
    except json.JSONDecodeError as exc:
        raise ValueError(f"it is no JSON, see line {exc.lineno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(saved, dict):
        raise ValueError("it is JSON, but no object")
    return {str(key).upper(): value for key, value in saved.items() if value is not None}


def unreadable_saved(path: str, reason: str) -> str:
    """What to say of a file that the server would pass over in silence."""
    return (
        f"{path} cannot be read: {reason}. The server would ignore all of it, also where it closes sign-ups. Mend it, "
        f"or move it away if the settings of the admin page are not needed."
    )


def saved_problems(path: str, saved: Settings, domain: str, admin_token: t.Optional[str]) -> t.List[str]:
    """What the admin page saved that makes a server other than the one wanted; the token's value is not quoted."""
    problems = []
    remedy = f"remove the key from {path} while the server is stopped"
    if "DOMAIN" in saved and as_text(saved["DOMAIN"]).rstrip("/") != domain.rstrip("/"):
        problems.append(
            f"The admin page saved DOMAIN, which is not vaultwarden_domain and beats it, so links and sign-ins would "
            f"go by another address. Save {domain} in the admin page, or {remedy}."
        )
    if "ADMIN_TOKEN" in saved and as_text(saved["ADMIN_TOKEN"]) != admin_token:
        wanted = "vaultwarden_admin_token is left out" if admin_token is None else "it is not vaultwarden_admin_token"
        problems.append(
            f"The admin page saved ADMIN_TOKEN, and {wanted}. The saved one counts, so the page would go on opening to "
            f"it. Set the token in the admin page, or {remedy}. Neither value is shown here."
        )
    return problems


def _check_layout(settings: Settings) -> t.Iterator[str]:
    try:
        parsed = parse_image_version(settings["version"], settings["allow_floating_tag"])
        if parsed.version is None and not settings.get("resolved_version"):
            return
        version = parse_version(settings.get("resolved_version") or settings["version"])
        plan_layout(version, settings["layout"], settings["container_port"], _websocket_port(settings))
    except LayoutError as exc:
        yield f"{VERSION_VARIABLE} cannot be used. {exc}" if exc.variable == VERSION_VARIABLE else str(exc)


def _check_domain(settings: Settings) -> t.Iterator[str]:
    try:
        parse_domain(settings["domain"])
    except DomainError as exc:
        yield str(exc)


def _check_image(settings: Settings) -> t.Iterator[str]:
    image, name = settings["image"], settings["container_name"]
    if not _matches(_IMAGE_NAME, image) or ":" in str(image).rpartition("/")[2]:
        yield (
            f"vaultwarden_image is {image!r}. Give the name without a tag, such as docker.io/vaultwarden/server; "
            f"the tag comes from vaultwarden_version."
        )
    if not _matches(_CONTAINER_NAME, name):
        yield f"vaultwarden_container_name is {name!r}. Use letters, digits, - . and _, from 2 to 128 of them."


def _check_archive(settings: Settings) -> t.Iterator[str]:
    archive, checksum = settings.get("image_archive") or "", settings.get("image_archive_sha256") or ""
    if bool(archive) != bool(checksum):
        yield "Only one of vaultwarden_image_archive and vaultwarden_image_archive_sha256 is set. They go together."
    elif archive and not _matches(_PATH, archive):
        yield f"vaultwarden_image_archive is {archive!r}. Give the absolute path of a file on the host."
    elif archive and not _matches(_SHA256, checksum):
        yield (
            f"vaultwarden_image_archive_sha256 is {checksum!r}. Give what sha256sum says of the file: 64 digits, "
            f"letters in lower case."
        )
    elif archive and ("@" in str(settings["version"]) or settings["allow_floating_tag"]):
        yield (
            "vaultwarden_image_archive goes with neither a digest in vaultwarden_version nor "
            "vaultwarden_allow_floating_tag: an archive knows no digests, and its checksum pins the image. Remove that."
        )


def _check_paths(settings: Settings) -> t.Iterator[str]:
    for key in ("data_dir", "config_dir"):
        path = settings[key]
        if not isinstance(path, str) or not _PATH.fullmatch(path) or "/.." in path:
            yield (
                f"vaultwarden_{key} is {path!r}. Give one absolute path without a slash at the end, colons, "
                f"commas or '..', for example /srv/vaultwarden."
            )
        elif path in _SHARED_FOLDERS or path.startswith(_KERNEL_FOLDERS):
            yield (
                f"vaultwarden_{key} is {path}, which belongs to the system: the role would give it to the server's "
                f"user and close it to all others. Name a folder of its own, for example /srv/vaultwarden."
            )
        elif _ANONYMOUS_VOLUME.search(path):
            yield (
                f"vaultwarden_{key} is {path}, in a volume without a name: the engine removes those with their "
                f"container or when it cleans up. Name a folder of its own, for example /srv/vaultwarden."
            )
    data, config = f"{settings['data_dir']}/", f"{settings['config_dir']}/"
    if config.startswith(data) or data.startswith(f"{config}secrets/"):
        yield (
            f"vaultwarden_data_dir is {data[:-1]} and vaultwarden_config_dir is {config[:-1]}: the server's data and "
            f"its secrets would lie in each other. Set them to two folders."
        )


def folder_problems(settings: Settings, folders: t.Iterable[t.Mapping[str, t.Any]]) -> t.List[str]:
    """Why the folders of a host, as it described them, cannot be the server's; as full sentences."""
    found = {folder["path"]: folder for folder in folders}
    entries = {key: found[settings[key]] for key in ("data_dir", "config_dir") if settings[key] in found}
    problems = []
    for key, entry in entries.items():
        path, real = entry["path"], entry["real"]
        if entry["obstacle"]:
            problems.append(
                f"vaultwarden_{key} is {path}, but {entry['obstacle']}. Remove that, or name a folder elsewhere, for "
                f"example /srv/vaultwarden."
            )
        elif real != path and (real in _SHARED_FOLDERS or f"{real}/".startswith(("//", *_KERNEL_FOLDERS))):
            problems.append(
                f"vaultwarden_{key} is {path}, which leads to {real} and belongs to the system: the role would give it "
                f"to the server's user and close it to all others. Turn the link to a folder of its own."
            )
    if len(entries) == 2 and not problems:
        problems.extend(_check_paths({key: entry["real"] for key, entry in entries.items()}))
    if "data_dir" in entries and entries["data_dir"]["network_share"] and _needs_shared_memory(settings):
        problems.append(
            f"vaultwarden_data_dir is {settings['data_dir']}, on a network share ({entries['data_dir']['file_system']})"
            f". SQLite cannot lock its write-ahead log there, so the database would be damaged. Name a folder on a "
            f"local disk; or give another database as DATABASE_URL in vaultwarden_secrets; or, for one server alone, "
            f"set ENABLE_DB_WAL to false in vaultwarden_environment, and mount CIFS with nobrl."
        )
    return problems


def _needs_shared_memory(settings: Settings) -> bool:
    """Whether the database is SQLite with a write-ahead log, which is the server's default."""
    other = _OTHER_DATABASE.match(str(settings["secrets"].get("DATABASE_URL", "")))
    return not other and as_text(settings["environment"].get("ENABLE_DB_WAL", True)).lower() != "false"


def _check_network(settings: Settings) -> t.Iterator[str]:
    address = settings["bind_address"]
    try:
        parsed = ipaddress.ip_address(address if isinstance(address, str) else "")
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        if "%" in address or mapped.is_multicast:
            raise ValueError
        if mapped.is_unspecified:
            yield (
                f"vaultwarden_bind_address is {address!r}, every address of the host. The engine's own rules come "
                f"before the firewall, so the server would be open to all in clear text. Set it to 127.0.0.1, or to "
                f"the one private address that the proxy connects to."
            )
    except ValueError:
        yield (
            f"vaultwarden_bind_address is {address!r}, no address that a port can be published on. Set it to 127.0.0.1 "
            f"or a private address."
        )
    try:
        host_port = check_port(settings["http_port"], _HOST_PORT_VARIABLE)
        websocket_port = plan_for(settings).container_ports.get("websocket")
        if websocket_port == host_port:
            yield (
                f"{_HOST_PORT_VARIABLE} and {WEBSOCKET_PORT_VARIABLE} are both {host_port}, and both are published "
                f"on {address}. Change one of them."
            )
    except LayoutError as exc:
        if exc.variable == _HOST_PORT_VARIABLE:  # the others are told by _check_layout
            yield str(exc)
    except DomainError:
        return  # said by _check_domain


def _check_open_files(settings: Settings) -> t.Iterator[str]:
    files, (fewest, most) = settings["open_files"], _OPEN_FILES
    if isinstance(files, bool) or not re.fullmatch(r"[0-9]{1,9}", str(files)) or not fewest <= int(files) <= most:
        yield (
            f"vaultwarden_open_files is {files!r}. Give a number from {fewest} to {most}; every client's socket is one "
            f"of them."
        )


def _check_identity(settings: Settings) -> t.Iterator[str]:
    for key in ("uid", "gid"):
        value = settings[key]
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]+", str(value)):
            yield f"vaultwarden_{key} is {value!r}. Give a number; 0 (root) is refused, any other is fine."
        elif int(value) > _HIGHEST_ID:
            yield f"vaultwarden_{key} is {value}. The highest number that engines take is {_HIGHEST_ID}."
        elif int(value) == 0:
            yield f"vaultwarden_{key} is 0. The server needs no root: set it to a number that nothing else uses."
    if re.fullmatch(r"[0-9]{1,4}", str(settings["container_port"])) and 0 < int(settings["container_port"]) < 1024:
        yield (
            f"vaultwarden_container_port is {settings['container_port']}. A server without root cannot listen below "
            f"1024 on every engine: leave it at its default, and choose the host's port with vaultwarden_http_port."
        )


def _check_header(settings: Settings) -> t.Iterator[str]:
    if not _matches(_HEADER_NAME, settings["ip_header"]):
        yield f"vaultwarden_ip_header is {settings['ip_header']!r}. Give one header's name, such as X-Real-IP, or none."
    if str(settings["log_level"]) not in _LOG_LEVELS:
        yield f"vaultwarden_log_level is {settings['log_level']!r}. Use one of {', '.join(_LOG_LEVELS)}."
    for entry in settings["trusted_proxies"]:
        try:
            if ipaddress.ip_network(str(entry), strict=False).prefixlen == 0:
                yield (
                    f"vaultwarden_trusted_proxies holds {entry!r}, everyone: each client could then choose the address "
                    f"it is limited by. List addresses or networks of proxies only."
                )
        except ValueError:
            if entry != "local":
                yield (
                    f"vaultwarden_trusted_proxies holds {entry!r}. List addresses or networks such as 192.0.2.10 or "
                    f"192.0.2.0/24, or the word local."
                )


def _check_admin_token(settings: Settings) -> t.Iterator[str]:
    # Left out, the admin page is off; left blank, that may have been meant or not.
    if not settings.get("admin_token_set"):
        return
    problem = secret_problem("" if settings["admin_token"] is None else settings["admin_token"])
    if problem:
        yield (
            f"vaultwarden_admin_token {problem} Nothing of its value is shown here. Remove the variable to switch the "
            f"admin page off."
        )


def _check_environment(settings: Settings) -> t.Iterator[str]:
    for name, value in settings["environment"].items():
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name):
            yield f"vaultwarden_environment has the name {name!r}. Names are capitals, digits and underscores."
        elif name in MANAGED_VARIABLES:
            yield f"vaultwarden_environment sets {name}, which the role decides. Use {MANAGED_VARIABLES[name]} instead."
        elif name in SECRET_VARIABLES or _SECRET_NAME.search(name):
            yield (
                f"vaultwarden_environment sets {name}, a secret. Everyone who may ask the engine could read it there: "
                f"move it to vaultwarden_secrets, which hands it over as a file."
            )
        elif not isinstance(value, (str, int, float)) or re.search(r"[\x00-\x1f]", str(value)):
            yield f"vaultwarden_environment sets {name} to something that is no line of text, number or boolean."


def _check_secrets(settings: Settings) -> t.Iterator[str]:
    for name, value in settings["secrets"].items():
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name) or name.endswith("_FILE"):
            yield f"vaultwarden_secrets has the name {name!r}. Write the server's name for it, such as SMTP_PASSWORD."
        elif name == "ADMIN_TOKEN":
            yield "vaultwarden_secrets sets ADMIN_TOKEN. Use vaultwarden_admin_token instead."
        elif name.startswith("ROCKET_") or name in MANAGED_VARIABLES:
            yield f"vaultwarden_secrets sets {name}, which the server cannot read from a file."
        elif f"{name}_FILE" in settings["environment"] or name in settings["environment"]:
            yield f"{name} is in both vaultwarden_secrets and vaultwarden_environment. The server refuses to start so."
        else:
            problem = secret_problem(value)
            if problem:
                yield f"vaultwarden_secrets: {name} {problem} Nothing of its value is shown here."


def _check_log_mark(settings: Settings) -> t.Iterator[str]:
    mark = settings.get("log_mark", "")
    if mark == "":
        return
    if not _matches(_LOG_MARK, mark):
        yield (
            "vaultwarden_log_mark is no word of 16 to 64 letters and digits. Make one with openssl rand -hex 16, and "
            "write it in quotes. Nothing of its value is shown here."
        )
    for variable in ("environment", "secrets"):
        for name in ("LOG_FILE", "LOG_TIMESTAMP_FORMAT"):
            if name in settings[variable] or f"{name}_FILE" in settings[variable]:
                yield f"vaultwarden_{variable} sets {name}, which vaultwarden_log_mark decides. Set one of them."
    if settings["log_level"] == "off":
        yield (
            "vaultwarden_log_level is off, so that vaultwarden_log_mark marks nothing. Use error or a lower level, or "
            "remove the mark."
        )


def _check_push(settings: Settings) -> t.Iterator[str]:
    region, environment = settings.get("push_region") or "", settings["environment"]
    own = sorted(name for name in _PUSH_REGIONS["eu"] if name in environment)
    missing = [name for name in _PUSH_KEYS if name not in settings["secrets"]]
    if region not in ("", *_PUSH_REGIONS):
        yield f"vaultwarden_push_region is {region!r}. Use us or eu, the region of the keys, or leave it empty."
    elif region and own:
        yield f"vaultwarden_environment sets {', '.join(own)}, which vaultwarden_push_region decides. Set one of them."
    elif (region or as_text(environment.get("PUSH_ENABLED", False)) == "true") and missing:
        yield (
            f"Push is on without {' and '.join(missing)}, and the server would not start. Add both keys from "
            f"bitwarden.com/host to vaultwarden_secrets, or switch push off."
        )
    elif len({".eu" in str(environment.get(name, "")) for name in ("PUSH_RELAY_URI", "PUSH_IDENTITY_URI")}) > 1:
        yield (
            "vaultwarden_environment mixes regions: PUSH_RELAY_URI and PUSH_IDENTITY_URI are a pair. Remove both, and "
            "set vaultwarden_push_region to the region of the keys."
        )


def secret_problem(value: object) -> t.Optional[str]:
    """Why a secret would not arrive byte for byte, or None. The server trims what it reads from a file."""
    if not isinstance(value, str):
        return "is not a text. Write it in quotes."
    if not value.strip():
        return "is empty. Set it to a value, for example from Ansible Vault."
    if value != value.strip():
        return (
            "starts or ends with a space or a line break, which the server would cut off. Remove it; with Ansible "
            "Vault, encrypt the value without a line break at its end (printf, not echo)."
        )
    if re.search(r"[\x00-\x1f\x7f]", value):
        return "holds a control character or a line break. Use one line of text."
    return None
