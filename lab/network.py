# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: nothing on it can leave the machine, yet the machine reaches every address directly."""

from __future__ import annotations

from lab.addresses import Plan, plan
from lab.engine import docker, docker_try, inspect
from lab.paths import LABELLED, NETWORK, subnet_setting
from lab.shell import LabError, say, tail


def current_plan() -> Plan:
    """The plan of the network as it is, or as it would be made."""
    found = inspect("network", NETWORK)
    return plan(str(found["IPAM"]["Config"][0]["Subnet"]) if found else subnet_setting())


def ensure_network() -> Plan:
    """Make the network; replace one with another subnet if no host is on it."""
    wanted = plan(subnet_setting())
    found = inspect("network", NETWORK)
    if found:
        if found["IPAM"]["Config"][0]["Subnet"] == str(wanted.subnet):
            return wanted
        _remove_unused(str(found["IPAM"]["Config"][0]["Subnet"]))
    settings = ["--internal", "--label", LABELLED, "--subnet", str(wanted.subnet), "--gateway", wanted.gateway]
    made = docker_try("network", "create", *settings, "--ip-range", str(wanted.dynamic), NETWORK)
    if made.returncode:
        raise LabError(
            f"The network {wanted.subnet} could not be made: {tail(made.stderr, 3)}\n"
            "If another network has these addresses, set LAB_SUBNET to a free one, like 10.213.78.0/24."
        )
    say(f"network {NETWORK}: made, {wanted.subnet}")
    return wanted


def _remove_unused(subnet: str) -> None:
    """Take the registry off a network that is in the way; hosts keep it, and that is an error."""
    hosts = docker("ps", "-aq", "--filter", f"network={NETWORK}", "--filter", "label=vaultwire.lab.role=host")
    if hosts:
        raise LabError(
            f"Hosts are running on {subnet} and LAB_SUBNET now asks for another. Run: python3 -m lab down --all"
        )
    for container in docker("ps", "-aq", "--filter", f"network={NETWORK}").split():
        docker("rm", "-f", container)
    docker("network", "rm", NETWORK)
