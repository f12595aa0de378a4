#!/usr/bin/python
# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host as it is, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_info
short_description: Reads what a host runs, in one call
version_added: "0.1.0"
description:
  - Reports the container engine, one container, the reverse proxies and who holds the ports that are wanted.
  - Never returns the value of an environment variable, only its name.
author:
  - vaultwire contributors
options:
  container:
    description: Name of the container to describe.
    type: str
    default: vaultwarden
  ports:
    description:
      - Ports that are about to be used.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What the port is for.
        type: str
        default: ""
      port:
        description: TCP port, 1 to 65535.
        type: int
        required: true
      address:
        description: IP address it is to be bound to.
        type: str
        default: "0.0.0.0"
      holder:
        description: Name of the process that may hold the port already, since it is the one to be configured.
        type: str
        default: ""
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Look at the host
  vaultwire.stack.deployment_info:
    container: vaultwarden
    ports:
      - port: 8080
        address: 127.0.0.1
  register: host
"""

RETURN = r"""
engine:
  description: The container engine, as C(installed), C(running) and C(version).
  returned: always
  type: dict
  sample: {"installed": true, "running": true, "version": "20.10.24"}
container:
  description: >-
    The container, as C(exists), C(image), C(tag), C(version) (from its label), C(status), C(environment_names),
    C(published_ports) and C(mounts).
  returned: always
  type: dict
  sample: {"exists": false}
proxies:
  description: Reverse proxies found, by name, each with C(version) and C(running).
  returned: always
  type: dict
  sample: {"nginx": {"version": "1.22.1", "running": true}}
port_conflicts:
  description: >-
    Wanted ports that another process holds, each with C(name), C(port), C(address), C(process) and a sentence C(text).
  returned: always
  type: list
  elements: dict
  sample: []
ipv6:
  description: Whether the host has IPv6.
  returned: always
  type: bool
systemd:
  description: Whether systemd runs as the host's init.
  returned: always
  type: bool
os_family:
  description: C(debian) where the host uses apt, else empty.
  returned: always
  type: str
python_requests:
  description: Whether the Python library that the engine's modules need can be imported.
  returned: always
  type: bool
"""

import importlib.util
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _host

ARGUMENTS: t.Dict[str, t.Any] = {
    "container": {"type": "str", "default": "vaultwarden"},
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "default": ""},
            "port": {"type": "int", "required": True},
            "address": {"type": "str", "default": "0.0.0.0"},
            "holder": {"type": "str", "default": ""},
        },
    },
}


def _held_ports(container: t.Mapping[str, t.Any]) -> t.Set[int]:
    """Ports that the engine holds for the container at present."""
    if container.get("status") not in ("running", "restarting", "paused"):
        return set()
    return {port["host"] for port in container["published_ports"]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    sockets = _host.listeners()
    engine = _host.engine_info(module.run_command)
    container = (
        _host.container_info(module.run_command, module.params["container"]) if engine["running"] else {"exists": False}
    )
    own = _held_ports(container)
    module.exit_json(
        changed=False,
        engine=engine,
        container=container,
        proxies=_host.proxies_info(module.run_command, sockets),
        # A port that the container itself publishes is held by the engine on its behalf.
        port_conflicts=_host.port_conflicts(
            [port for port in module.params["ports"] if port["port"] not in own], sockets
        ),
        ipv6=os.path.exists("/proc/net/if_inet6"),
        systemd=os.path.isdir("/run/systemd/system"),
        os_family="debian" if os.path.exists("/etc/debian_version") else "",
        python_requests=importlib.util.find_spec("requests") is not None,
    )


if __name__ == "__main__":
    main()
