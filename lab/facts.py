# SPDX-License-Identifier: GPL-3.0-or-later
"""What others need to know about the lab, in build/lab/lab.json, and a readable status."""

from __future__ import annotations

import json
from typing import Any

from lab.addresses import Plan
from lab.engine import answers, client, docker, inspect, started_here
from lab.hosts import all_hosts
from lab.images import host_images
from lab.paths import CA_CERT, CA_KEY, FACTS, NETWORK, REGISTRY, SSH_KEY, STATE
from lab.server import BANNER, Served


def write(shared: Plan, served: Served) -> None:
    """Record what was set up."""
    facts = {
        "server": {"kind": served.kind, "source": served.source, "versions": list(served.images)},
        "network": NETWORK,
        "subnet": str(shared.subnet),
        "gateway": shared.gateway,
        "registry": shared.registry,
        "ssh_key": str(SSH_KEY),
        "ca_file": str(CA_CERT),
        "ca_key": str(CA_KEY),
        "docker": client(),
        "images": host_images(),
    }
    STATE.mkdir(parents=True, exist_ok=True)
    FACTS.write_text(json.dumps(facts, indent=2) + "\n")


def read() -> dict[str, Any] | None:
    """Return what the last setup recorded."""
    try:
        facts: dict[str, Any] = json.loads(FACTS.read_text())
    except (OSError, ValueError):
        return None
    return facts


def show() -> str:
    """Describe daemon, network, registry, server and hosts."""
    if not answers():
        return "docker     no daemon answers\nRun: python3 -m lab setup"
    pid = started_here()
    network, registry, facts = inspect("network", NETWORK), inspect("container", REGISTRY), read()
    lines = [
        f"docker     {docker('version', '--format', '{{.Server.Version}}')}"
        + (f", started by the lab (pid {pid})" if pid else ""),
        f"network    {NETWORK} {network['IPAM']['Config'][0]['Subnet']}" if network else "network    none",
        f"registry   {registry['State']['Status']}" if registry else "registry   none",
    ]
    if facts:
        server = facts["server"]
        lines.append(f"server     {server['kind']} ({server['source']}): {', '.join(server['versions'])}")
        if server["kind"] == "stand-in":
            lines.append(f"           {BANNER}")
    else:
        lines.append("server     not set up. Run: python3 -m lab setup")
    hosts = all_hosts()
    width = max([len(host.name) for host in hosts], default=0)
    lines += [f"host       {host.name:{width}}  {host.address:15}  {host.image:14}  {host.state}" for host in hosts]
    return "\n".join(lines if hosts else [*lines, "hosts      none"])
