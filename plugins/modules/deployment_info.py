#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a host as it is, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_info
short_description: Reads what a host runs, in one call
version_added: "0.1.0"
description:
  - Reports the container engine, one container, the reverse proxies and who holds the ports that are wanted.
  - Never returns the value of a secret. Without O(details) it returns no value of an environment variable at all.
author:
  - vaultwire contributors (@vaultwire)
options:
  container:
    description: Name of the container to describe.
    type: str
    default: vaultwarden
  swap_directory:
    description: Folder of the journal of M(vaultwire.stack.container_swap); empty not to look for one.
    type: str
    default: ""
  authority_directory:
    description:
      - Folder of the internal certificate authority, whose certificate is returned in RV(authority); empty not to look.
    type: str
    default: ""
  folders:
    description: Absolute paths of folders that are about to be used, described in RV(folders).
    type: list
    elements: str
    default: []
  details:
    description:
      - Also look for every vault of the host, whatever its name and however it was made, and for the sites of nginx
        and Caddy that speak of one. Takes two more calls of the engine, and for each running vault one request and one
        look at the end of its log.
    type: bool
    default: false
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
- name: Gather host state
  vaultwire.stack.deployment_info:
    container: vaultwarden
    ports:
      - port: 8080
        address: 127.0.0.1
  register: host

- name: Look at all vaults of the host and at what is in front of them
  vaultwire.stack.deployment_info:
    details: true
  register: host
"""

RETURN = r"""
internal_error:
  description: >-
    An error of the look itself, which says nothing about the host. The text of the exception is left out, since it may
    quote a secret.
  returned: when the look itself failed
  type: dict
  contains:
    exception:
      description: Name of the exception.
      type: str
    step:
      description: The part of the look.
      type: str
    where:
      description: File, line and function in which it was raised.
      type: str
  sample: {exception: KeyError, step: "the part container", where: "_host.py:153 container_info"}
unfinished_restore:
  description: >-
    What a restore means that was cut off and has a journal in O(swap_directory), with the way to end it; empty where
    there is none.
  returned: always
  type: str
unfinished_swap:
  description: Whether a swap of containers was cut off, or still lacks its proof.
  returned: always
  type: bool
engine:
  description: >-
    The container engine, as C(installed), C(running), C(version), C(oldest_api), the oldest interface that it still
    speaks, C(log_driver), where it logs to by itself, C(limits), which of V(memory) and V(pids) it can limit, and
    C(memory), the bytes that the host has; C(flavor) (V(docker), V(podman) or empty), C(rootless), C(userns_remap),
    and C(swarm) (V(manager), V(worker) or empty).
  returned: always
  type: dict
  sample: {"installed": true, "running": true, "version": "20.10.24", "oldest_api": "1.12", "log_driver": "json-file",
           "limits": ["memory", "pids"], "memory": 4106035200, "flavor": "docker", "rootless": false,
           "userns_remap": false, "swarm": ""}
container:
  description: >-
    The container, as C(exists), C(image), C(tag), C(version) (from its label), C(status), C(health),
    C(swarm_service) (the service of Docker Swarm that started it, or empty), C(environment_names), C(published_ports)
    and C(mounts).
  returned: always
  type: dict
  sample: {"exists": false}
proxies:
  description: Reverse proxies found, by name, each with C(version) and C(running).
  returned: always
  type: dict
  sample: {"nginx": {"version": "1.22.1", "running": true}}
own_sites:
  description: >-
    Sites of this collection, whichever the proxy, each with C(provider), C(site), C(process) and C(kept_ports), the
    ports that the proxy would go on listening on without the site, as C(port) and C(file).
  returned: always
  type: list
  elements: dict
  sample: [{"provider": "nginx", "site": "vaultwarden", "process": "nginx", "kept_ports": []}]
port_conflicts:
  description: >-
    Wanted ports that another process holds, each with C(name), C(port), C(address), C(process), C(container) (the one
    that publishes the port, or empty) and a sentence C(text).
  returned: always
  type: list
  elements: dict
  sample: []
folders:
  description: >-
    The folders that were asked for, each with C(path), C(real) (with all links followed), C(obstacle) (what keeps it
    from being a folder of this path, or empty), C(file_system) and C(network_share).
  returned: always
  type: list
  elements: dict
  sample: []
authority:
  description: The internal authority's certificate in PEM form, which is public; empty where there is none.
  returned: always
  type: str
  sample: ""
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
unfinished_packages:
  description:
    - Packages of Debian that are not there in full, since their installation was cut off. One that is still under way
      is waited for, five minutes at most.
  returned: always
  type: list
  elements: str
python_requests:
  description: Whether the Python library that the engine's modules need can be imported.
  returned: always
  type: bool
vaults:
  description:
    - Every vault of the host, sorted by name. Each has what RV(container) has but C(exists), and more.
    - C(name) and C(id) of the container; C(version) and C(version_from) (V(server), V(label), V(tag) or empty), C(era),
      C(layout) in use; C(managed) by this collection or not; C(compose) as C(project), C(service) and C(folder), or
      empty.
    - C(environment_names) that somebody set, without those of the image; C(environment) with the values of those that
      are no secrets; C(secret_names); C(secret_files), variable to path in the container; C(database);
      C(admin_token_form) (V(hash), V(plain), V(damaged) or empty).
    - C(http_port), C(websocket_port) and C(addresses) inside; C(websocket_enabled), C(live); C(user), C(restart),
      C(network_mode), C(networks), C(custom_command), C(label_router).
    - C(other_options) that no setting of the role stands for, as one would write them for C(docker run);
      C(other_labels), names of labels that somebody set; C(limits) as C(log_driver), C(log_max_size), C(log_max_files),
      C(other_log_options) (names), C(memory) (bytes) and C(pids), empty or 0 for none.
    - C(config_json) as C(present), C(broken), C(names), C(overrides) (names that beat a variable) and C(values) (of
      variables that the role decides, no secrets).
    - C(data) as C(folder) (in the container), C(type), C(path) (on the host), C(volume), C(nested) mounts, C(uid),
      C(gid), C(database_bytes), C(free_bytes), C(file_system), C(network_share).
    - C(proxy_as_client), where the newest clients in the log of a running server are all one proxy, as C(address),
      C(times) and C(place) (what has that address); else empty. No other address leaves the host.
    - C(leftovers) of another layout, each with C(kind) (V(variable), V(port), V(exposed) or V(route)), C(name) and
      C(text).
  returned: when O(details) is true
  type: list
  elements: dict
sites:
  description:
    - Sites of nginx and Caddy that send something to a vault or bear its name. Each has C(provider), C(file), C(names),
      C(listen) (C(port), C(tls)), C(tls_certificate), C(tls_key), C(shared) (its file has other sites, too), C(vault)
      (name of the container) and C(routes).
    - C(routes) has C(root), C(hub) and C(anonymous_hub), each with C(path), C(upstream) (C(address:port), empty, or
      V(unknown)), C(upgrade) (whether requests to upgrade get there, null where that is not known) and C(port)
      (V(http) or V(websocket) of the vault, or empty).
  returned: when O(details) is true
  type: list
  elements: dict
unreadable:
  description: Configurations of proxies that could not be read, as sentences.
  returned: when O(details) is true
  type: list
  elements: str
diagnosis:
  description:
    - What is wrong with the vaults that run, errors first, each with C(code), C(severity), C(symptom), C(cause) and
      C(fix) as those of M(vaultwire.stack.hub_probe).
  returned: when O(details) is true
  type: list
  elements: dict
listeners:
  description: All listening TCP sockets, each with C(address), C(port) and C(process).
  returned: when O(details) is true
  type: list
  elements: dict
"""

import dataclasses
import glob
import importlib.util
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import (
    _commands,
    _folders,
    _footprint,
    _host,
    _host_findings,
    _internal,
    _restore,
    _swap,
    _vaults,
)

ARGUMENTS: t.Dict[str, t.Any] = {
    "swap_directory": {"type": "str", "default": ""},
    "container": {"type": "str", "default": "vaultwarden"},
    "authority_directory": {"type": "str", "default": ""},
    "details": {"type": "bool", "default": False},
    "folders": {"type": "list", "elements": "str", "default": []},
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


def _details(
    module: AnsibleModule,
    engine: t.Mapping[str, t.Any],
    proxies: t.Mapping[str, t.Any],
    sockets: t.Iterable[_host.Listener],
    own_sites: t.Sequence[t.Mapping[str, t.Any]],
) -> t.Dict[str, t.Any]:
    """All vaults and the sites before them; without an engine there is none."""
    found: t.Dict[str, t.Any] = {"vaults": [], "sites": [], "unreadable": []}
    if engine["running"]:
        found = _vaults.gather(_commands.limited(module.run_command), proxies)
    with _part("findings"):
        found["diagnosis"] = [
            dataclasses.asdict(finding)
            for finding in _host_findings.host_findings(
                {**found, "engine": engine, "proxies": proxies, "own_sites": own_sites}
            )
        ]
    return {**found, "listeners": [socket._asdict() for socket in sockets]}


def _authority(directory: str) -> str:
    """The certificate of the internal authority; its key lies beside it and is not touched."""
    files = _vaults.read_files(os.path.join(glob.escape(directory), "ca.pem")) if directory else []
    return files[0][1] if files else ""


def _unfinished_moves() -> t.List[t.Tuple[str, str]]:
    """Sites whose move from a proxy to another was cut off, each with a proxy of which there are copies."""
    return [
        (os.path.basename(os.path.dirname(path)), os.path.basename(path))
        for path in glob.glob(f"{_footprint.MOVES}/*/*")
    ]


def _part(name: str) -> t.ContextManager[None]:
    """A part of the look, by whose name an error of the look itself is told."""
    return _internal.named(f"the part {name}", (_swap.SwapError, _restore.RestoreError))


def look(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Everything, part by part. Raises SwapError or RestoreError for a journal that cannot be read."""
    params = module.params
    with _part("packages"):
        unfinished_packages = _host.unfinished_packages()
    with _part("listeners"):
        sockets = _host.listeners()
    with _part("engine"):
        engine = _host.engine_info(_commands.limited(module.run_command))
    container: t.Dict[str, t.Any] = {"exists": False}
    with _part("container"):
        if engine["running"]:
            container = _host.container_info(_commands.limited(module.run_command), params["container"])
        # A port that the container itself publishes is held by the engine on its behalf.
        own = _held_ports(container)
    with _part("swap"):
        unfinished = bool(params["swap_directory"]) and _swap.is_unfinished(params["swap_directory"])
    with _part("restore"):
        unfinished_restore = _restore.unfinished(params["swap_directory"], params["container"])
    with _part("proxies"):
        proxies = _host.proxies_info(_commands.limited(module.run_command), sockets)
    with _part("sites of this collection"):
        own_sites = _footprint.own_sites(_vaults.read_files, _unfinished_moves())
    with _part("ports"):
        conflicts = _host.port_conflicts(
            [port for port in params["ports"] if port["port"] not in own],
            sockets,
            lambda port: _host.publisher(_commands.limited(module.run_command), port),
        )
    with _part("folders"):
        folders = [_folders.describe_folder(path) for path in params["folders"]]
    with _part("authority"):
        authority = _authority(params["authority_directory"])
    return {
        "unfinished_swap": unfinished,
        "unfinished_restore": unfinished_restore,
        "engine": engine,
        "container": container,
        "proxies": proxies,
        "own_sites": own_sites,
        "port_conflicts": conflicts,
        "folders": folders,
        "authority": authority,
        "ipv6": os.path.exists("/proc/net/if_inet6"),
        "systemd": os.path.isdir("/run/systemd/system"),
        "os_family": "debian" if os.path.exists("/etc/debian_version") else "",
        "unfinished_packages": unfinished_packages,
        "python_requests": importlib.util.find_spec("requests") is not None,
        **(_details(module, engine, proxies, sockets, own_sites) if params["details"] else {}),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "deployment_info"):
        try:
            found = look(module)
        except (_swap.SwapError, _restore.RestoreError) as exc:
            module.fail_json(msg=str(exc))
        module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
