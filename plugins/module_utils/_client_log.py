# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a server takes for its clients, read from the end of its log. Python 3.8 and later; changes nothing.

A server that is not told its client's address, or does not believe who tells it, takes the proxy for every client. Only
its log shows that. Nothing of a line leaves this module but an address of this host's own networks.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ._host import Run

Data = t.Mapping[str, t.Any]

#: How much of a log is read; the engine reads it from its end.
LINES = 500
#: How many of the newest clients have to be the same one, or all there are: a proxy that was repaired is soon seen.
NEWEST = 20

# Sockets on the second port of older releases are left out: that port knows nothing but its peer.
_LINE = re.compile(
    r"^\[[^\]\n]*\]\[[\w:]+\]\[(?:ERROR|INFO)\] "
    r"(?:Username or password is incorrect\. Try again\. IP: |User \S+ logged in successfully\. IP: "
    r"|Invalid admin token\. IP: |Accepting (?:Anonymous )?Rocket WS connection from )"
    r"([0-9A-Fa-f.:]*[0-9A-Fa-f:])",
    re.MULTILINE,
)


def proxy_as_client(run: Run, vault: Data, containers: t.Iterable[Data]) -> t.Dict[str, t.Any]:
    """``{address, times, place}`` where the newest clients of a running vault are all one proxy; else empty.

    ``vault`` and ``containers`` are what the engine says of one container and of all.
    """
    peers = _peers(vault, containers)
    if not peers or vault["State"]["Status"] != "running":
        return {}
    code, out, __ = run(["docker", "container", "logs", "--tail", str(LINES), vault["Id"]])
    seen = clients(out)[-NEWEST:] if code == 0 else []
    if not seen or len(set(seen)) > 1 or seen[0] not in peers:
        return {}
    return {"address": seen[0], "times": len(seen), "place": peers[seen[0]]}


def clients(text: str) -> t.List[str]:
    """The clients that a log names, oldest first. A name that a client gave stands behind its address."""
    return [found for found in map(_address, _LINE.findall(text)) if found]


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _peers(vault: Data, containers: t.Iterable[Data]) -> t.Dict[str, str]:
    """Addresses from which a proxy reaches the vault and no client does, each with what it is.

    From the host through a published port that is the gateway of a network; from a container that is open to the
    outside, its address there. With the host's own network there is none: a client on the host has the same address.
    """
    networks = _networks(vault)
    found = {
        entry[key]: f"the gateway of the network {name}"
        for name, entry in networks.items()
        for key in ("Gateway", "IPv6Gateway")
        if entry.get(key)
    }
    for other in containers:
        if other["Id"] == vault["Id"] or not (other.get("HostConfig") or {}).get("PortBindings"):
            continue
        for name, entry in _networks(other).items():
            for key in ("IPAddress", "GlobalIPv6Address"):
                if name in networks and entry.get(key):
                    found[entry[key]] = f"the container {other['Name'].lstrip('/')}"
    return found


def _networks(container: Data) -> t.Dict[str, Data]:
    return dict((container.get("NetworkSettings") or {}).get("Networks") or {})
