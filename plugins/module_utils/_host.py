# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a host as it is: listening ports, the engine, containers, proxies. Python 3.8 and later, Linux.

Nothing here changes anything. ``Run`` is AnsibleModule.run_command or anything of its shape.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import re
import shutil
import time
import typing as t

from . import _engine
from ._layout import LayoutError, parse_version
from ._swap import Engine

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

_LISTEN = "0A"
_VERSION_LABEL = "org.opencontainers.image.version"
#: Reverse proxies by the name this collection has for them: how to ask for the version; the program's name comes first.
_PROXY_COMMANDS = {
    "nginx": ["nginx", "-v"],
    "caddy": ["caddy", "version"],
    "apache": ["apache2", "-v"],
    "haproxy": ["haproxy", "-v"],
    "traefik": ["traefik", "version"],
    "lighttpd": ["lighttpd", "-v"],
}

#: What the engine may be able to limit -> its own word for that.
_LIMITS = {"memory": "MemoryLimit", "pids": "PidsLimit"}
#: Sockets of engines that users run for themselves.
_USER_SOCKETS = "/run/user/*/docker.sock"
DPKG = "/var/lib/dpkg"
_UNFINISHED = ("half-installed", "unpacked", "half-configured")
#: How long another program may take to install its packages, such as one that a killed run has begun.
_PACKAGES_SECONDS = 300.0


class Listener(t.NamedTuple):
    """A listening TCP socket: ``address`` is an IP address text, ``process`` the holder's name or empty."""

    address: str
    port: int
    process: str


def listeners(proc: str = "/proc") -> t.List[Listener]:
    """All listening TCP sockets of this network namespace."""
    found: t.Dict[str, t.Tuple[str, int]] = {}
    for name in ("tcp", "tcp6"):
        try:
            with open(f"{proc}/net/{name}", encoding="ascii") as table:
                rows = table.read().splitlines()[1:]
        except FileNotFoundError:  # a host without IPv6
            continue
        for fields in (row.split() for row in rows):
            if fields[3] == _LISTEN:
                address, __, port = fields[1].partition(":")
                found[fields[9]] = (_address(address), int(port, 16))
    holders = _socket_holders(set(found), proc)
    return sorted(Listener(address, port, holders.get(inode, "")) for inode, (address, port) in found.items())


def _address(text: str) -> str:
    """The kernel's hexadecimal form, words in host byte order, as an address; all zero is 0.0.0.0 or ::."""
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    if len(words) == 1:
        return ".".join(str(byte) for byte in words[0])
    raw = b"".join(words)
    if not any(raw):
        return "::"
    if raw[:12] == bytes(10) + b"\xff\xff":
        return ".".join(str(byte) for byte in raw[12:])
    return ":".join(raw[i : i + 2].hex() for i in range(0, 16, 2))


def _socket_holders(inodes: t.Set[str], proc: str) -> t.Dict[str, str]:
    """Socket inode -> name of a process that holds it, for the inodes asked for."""
    holders: t.Dict[str, str] = {}
    for pid in (entry for entry in os.listdir(proc) if entry.isdecimal()):
        try:
            for descriptor in os.listdir(f"{proc}/{pid}/fd"):
                target = os.readlink(f"{proc}/{pid}/fd/{descriptor}")
                inode = target[8:-1] if target.startswith("socket:[") else ""
                if inode in inodes and inode not in holders:
                    with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                        holders[inode] = comm.read().strip()
        except OSError:
            continue  # the process ended meanwhile
    return holders


def engine_info(run: Run) -> t.Dict[str, t.Any]:
    """``{installed, running, version, oldest_api, log_driver, limits, memory}`` of the container engine, and its kind.

    ``log_driver``: where the log of a container goes that names no driver; ``limits``: which of ``memory`` and ``pids``
    the engine can limit here. The kernel decides that, and the engine drops others with nothing but a warning.
    ``memory``: bytes that the host has. Its kind is told by ``_engine.traits``.
    """
    installed = shutil.which("docker") is not None
    found = _answering_engine(run) if installed and shutil.which("dockerd", path=_wide_path()) else None
    if found is not None:
        return found
    # Without an engine that answers, the program still says what it is: podman has one that is called docker.
    client = " ".join(run(["docker", "--version"])[1:]) if installed else ""
    return {
        "installed": installed,
        "running": False,
        "version": "",
        "oldest_api": "",
        "log_driver": "",
        "limits": [],
        "memory": 0,
        **_engine.traits({}, client, glob.glob(_USER_SOCKETS)),
    }


def _answering_engine(run: Run) -> t.Optional[t.Dict[str, t.Any]]:
    code, out, __ = run(["docker", "version", "--format", "{{.Server.Version}} {{.Server.MinAPIVersion}}"])
    if code != 0:
        return None
    version, __, oldest_api = out.strip().partition(" ")
    code, out, __ = run(["docker", "info", "--format", "{{json .}}"])
    if code != 0:
        return None
    able = json.loads(out)
    return {
        "installed": True,
        "running": True,
        "version": version,
        "oldest_api": oldest_api,
        "log_driver": able["LoggingDriver"],
        "limits": [name for name, key in _LIMITS.items() if able.get(key)],
        "memory": int(able["MemTotal"]),
        **_engine.traits(able),
    }


def _wide_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"


def unfinished_packages(folder: str = DPKG, seconds: float = _PACKAGES_SECONDS) -> t.List[str]:
    """Packages of Debian that are not there in full. An installation that is still under way is waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = _unfinished(folder)
        if not found or not _is_busy(folder) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _unfinished(folder: str) -> t.List[str]:
    """From the table of packages, and from what has been noted beside it since it was last written."""
    try:
        updates = [
            os.path.join(folder, "updates", name) for name in sorted(os.listdir(os.path.join(folder, "updates")))
        ]
    except FileNotFoundError:
        updates = []
    states: t.Dict[str, str] = {}
    for path in [os.path.join(folder, "status"), *(path for path in updates if os.path.basename(path).isdigit())]:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except FileNotFoundError:
            continue
        states.update(re.findall(r"^Package: (\S+)\nStatus: \S+ \S+ (\S+)$", text, re.MULTILINE))
    return sorted(name for name, state in states.items() if state in _UNFINISHED)


def _is_busy(folder: str) -> bool:
    """Whether a program that installs packages is at work."""
    try:
        with open(os.path.join(folder, "lock-frontend"), "r+b") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def container_info(run: Run, name: str) -> t.Dict[str, t.Any]:
    """What a container is, without the values of its environment; ``{exists: false}`` where there is none.

    Raises SwapError where the engine does not say.
    """
    found = Engine(run).inspect(name)
    return describe_container(found) if found else {"exists": False}


def describe_container(data: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """One entry of ``docker container inspect`` in the words of this collection."""
    image = data["Config"]["Image"]
    last = image.partition("@")[0].rpartition(":")[2]
    tag = "" if "/" in last else last
    return {
        "exists": True,
        "image": image,
        "tag": tag,
        "version": _release((data["Config"].get("Labels") or {}).get(_VERSION_LABEL, ""), tag),
        "swarm_service": (data["Config"].get("Labels") or {}).get(_engine.SWARM_SERVICE, ""),
        "layout": (data["Config"].get("Labels") or {}).get("org.vaultwire.layout", ""),
        "status": data["State"]["Status"],
        "health": (data["State"].get("Health") or {}).get("Status", ""),
        "environment_names": sorted(entry.partition("=")[0] for entry in data["Config"].get("Env") or []),
        "published_ports": _published(data),
        "mounts": [
            {key.lower(): mount.get(key, "") for key in ("Type", "Source", "Destination")}
            for mount in data.get("Mounts") or []
        ],
    }


def _release(*candidates: str) -> str:
    """The first candidate that is a release number, without its variant; empty where none is."""
    for candidate in candidates:
        try:
            return str(parse_version(candidate))
        except LayoutError:
            continue
    return ""


def _published(data: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    bindings = (data.get("HostConfig") or {}).get("PortBindings") or {}
    return [
        {
            "address": entry.get("HostIp") or "0.0.0.0",
            "host": int(entry["HostPort"]),
            "container": int(port.split("/")[0]),
        }
        for port, entries in sorted(bindings.items())
        for entry in entries or []
        if entry.get("HostPort")
    ]


def proxies_info(run: Run, sockets: t.Iterable[Listener]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """Reverse proxies found on the host: name -> ``{version, running}``."""
    holders = {socket.process for socket in sockets}
    found = {}
    for name, command in _PROXY_COMMANDS.items():
        path = shutil.which(command[0], path=_wide_path())
        if path is None:
            continue
        __, out, err = run([path, *command[1:]])
        version = re.search(r"\d+(\.\d+)+", out + err)
        found[name] = {"version": version.group() if version else "", "running": command[0] in holders}
    return found


#: The process that listens for a container that publishes a port.
ENGINE_PROXY = "docker-proxy"


def publisher(run: Run, port: int) -> str:
    """The name of the container that publishes a port of the host, or empty; several are joined by commas."""
    code, out, __ = run(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"])
    return ", ".join(sorted(out.split())) if code == 0 else ""


def port_conflicts(
    wanted: t.Iterable[t.Mapping[str, t.Any]],
    sockets: t.Iterable[Listener],
    publisher_of: t.Callable[[int], str] = lambda port: "",
) -> t.List[t.Dict[str, t.Any]]:
    """Wanted ports that another process holds: ``[{name, port, address, process, container, text}]``.

    A wanted entry is ``{name, port, address, holder}``; ``holder`` is the process that may have it already. A wildcard
    on either side collides with every address. ``publisher_of`` names the container behind a port that the engine holds
    on its behalf.
    """
    wildcards = {"0.0.0.0", "::"}
    conflicts = []
    for entry in wanted:
        for socket in sockets:
            same_place = socket.address == entry["address"] or bool({socket.address, entry["address"]} & wildcards)
            if socket.port == int(entry["port"]) and same_place and socket.process != entry["holder"]:
                container = publisher_of(socket.port) if socket.process == ENGINE_PROXY else ""
                holder = socket.process or "another process"
                if container:
                    holder = f"the container {container}, for which {socket.process} listens"
                text = f"Port {socket.port}, wanted for {entry['name']}, is taken on {socket.address} by {holder}."
                conflicts.append({**socket._asdict(), "name": entry["name"], "container": container, "text": text})
                break
    return conflicts
