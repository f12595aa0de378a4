# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets which address on the lab network. No docker in here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lab.shell import LabError

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class Plan(NamedTuple):
    """How the subnet is shared: lower half for chosen addresses, third quarter for hosts without
    a chosen one, last quarter for containers that docker addresses by itself."""

    subnet: ipaddress.IPv4Network
    automatic: ipaddress.IPv4Network
    dynamic: ipaddress.IPv4Network

    @property
    def gateway(self) -> str:
        """The machine's own address on the network."""
        return str(self.subnet[1])

    @property
    def registry(self) -> str:
        """The registry's address."""
        return str(self.subnet[2])


class HostSpec(NamedTuple):
    """One host as asked for: name, then perhaps an address and an image."""

    name: str
    address: str | None = None
    image: str | None = None


def plan(subnet: str) -> Plan:
    """Share out a subnet."""
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as exc:
        raise LabError(f"LAB_SUBNET is '{subnet}', which is not an IPv4 network like 10.213.77.0/24: {exc}.") from exc
    if not 16 <= network.prefixlen <= 26:
        raise LabError(f"LAB_SUBNET is '{subnet}': the prefix must lie between /16 and /26.")
    quarters = list(network.subnets(prefixlen_diff=2))
    return Plan(network, quarters[2], quarters[3])


def check(shared: Plan, address: str) -> str:
    """Return a chosen address in its usual form, or refuse it with the reason."""
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError as exc:
        raise LabError(f"'{address}' is not an IPv4 address.") from exc
    if wanted not in shared.subnet:
        raise LabError(f"{wanted} is outside the lab's network {shared.subnet}.")
    reserved = {str(shared.subnet[0]), shared.gateway, shared.registry, str(shared.subnet[-1])}
    if str(wanted) in reserved or wanted in shared.dynamic:
        raise LabError(f"{wanted} is reserved. Choose one from {shared.subnet[3]} to {shared.dynamic[0] - 1}.")
    return str(wanted)


def free(shared: Plan, used: Iterable[str]) -> str:
    """Return the lowest address of the automatic quarter that nobody has."""
    taken = set(used)
    for candidate in shared.automatic:
        if str(candidate) not in taken:
            return str(candidate)
    raise LabError(f"All {shared.automatic.num_addresses} automatic addresses are in use. Remove some hosts.")


def parse_hosts(words: Sequence[str], first_address: str | None) -> list[HostSpec]:
    """Read NAME, NAME=ADDRESS, NAME@IMAGE and NAME=ADDRESS@IMAGE; one --ip counts up from host to host."""
    hosts = []
    for position, word in enumerate(words):
        rest, __, image = word.partition("@")
        name, __, address = rest.partition("=")
        if not NAME.fullmatch(name):
            raise LabError(f"'{name}' cannot be a host's name: letters, digits, '.', '_' and '-', two at least.")
        if first_address and not address:
            address = _later(first_address, position)
        hosts.append(HostSpec(name, address or None, image or None))
    return hosts


def _later(first: str, position: int) -> str:
    try:
        return str(ipaddress.IPv4Address(first) + position)
    except ValueError as exc:
        raise LabError(f"'{first}' is not an IPv4 address.") from exc
