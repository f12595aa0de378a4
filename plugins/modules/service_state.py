#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop, reload or restart a service within a limit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_state
short_description: Starts, stops, reloads or restarts a service, and gives up in time
version_added: "0.1.0"
description:
  - Does what M(ansible.builtin.service) does for a service, with a limit. C(systemctl reload) waits for ever for a
    service whose reload never ends, and a run would wait with it in silence.
  - Works by systemd, and by the program C(service) on a host without it.
author:
  - vaultwire contributors (@vaultwire)
options:
  name:
    description: Name of the service.
    type: str
    required: true
  state:
    description:
      - V(started) and V(stopped) change nothing where it is so already. V(reloaded) starts a service that does not run.
      - Without it only O(enabled) is seen to.
    type: str
    choices: [started, stopped, reloaded, restarted]
  enabled:
    description: Whether the service starts at boot. Left as it is by default, and on a host without systemd.
    type: bool
  daemon_reload:
    description: Whether systemd reads its unit files first.
    type: bool
    default: false
  timeout:
    description: Seconds for each command. By default 120 for a reload, and 240 for what stops or starts the service.
    type: float
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: none
    description: There are no files to show.
seealso:
  - module: ansible.builtin.service
"""

EXAMPLES = r"""
- name: Have the proxy read its files
  vaultwire.stack.service_state:
    name: caddy
    state: reloaded
"""

RETURN = r"""
commands:
  description: What was run, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [systemctl reload caddy]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal

ARGUMENTS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped", "reloaded", "restarted"]},
    "enabled": {"type": "bool"},
    "daemon_reload": {"type": "bool", "default": False},
    "timeout": {"type": "float"},
}
SYSTEMD = "/run/systemd/system"
_VERBS = {"started": "start", "stopped": "stop", "reloaded": "reload", "restarted": "restart"}
# A unit that is in the middle of something runs: to start it again would only wait for that.
_RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
# Words for a unit that nobody has to enable, or nobody can.
_AT_BOOT = frozenset({"enabled", "enabled-runtime", "static", "indirect", "generated", "alias", "linked"})


def verb_for(state: t.Optional[str], running: bool) -> str:
    """What has to be done for a state, empty where it is so already."""
    if state is None or (state == "started" and running) or (state == "stopped" and not running):
        return ""
    return "start" if state == "reloaded" and not running else _VERBS[state]


class Service:
    """One service of this host, by whatever starts services there."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.name = module, str(module.params["name"])
        self.systemd = os.path.isdir(SYSTEMD)
        self.commands: t.List[t.List[str]] = []

    def ask(self, *command: str) -> t.Tuple[int, str]:
        """Exit code and output of a question."""
        code, out, err = _commands.limited(self.module.run_command)(list(command))
        return code, (out or err).strip()

    def runs(self) -> bool:
        """Whether the service runs."""
        if self.systemd:
            return self.ask("systemctl", "is-active", self.name)[1] in _RUNNING
        return self.ask("service", self.name, "status")[0] == 0

    def do(self, verb: str) -> None:
        """One command, remembered; not run in check mode. Fails the module with what it said."""
        command = ["systemctl", verb, self.name] if self.systemd else ["service", self.name, verb]
        self.commands.append(command)
        if self.module.check_mode:
            return
        default = _commands.ACTION_SECONDS if verb == "reload" else _commands.RESTART_SECONDS
        run = _commands.limited(self.module.run_command, self.module.params["timeout"] or default)
        code, out, err = run(command)
        if code != 0:
            said = (err or out).strip() or f"exit code {code}"
            self.module.fail_json(
                msg=f"{_commands.shown(command)} failed: {said} {_commands.where_to_look(command)}",
                commands=self.shown(),
            )

    def shown(self) -> t.List[str]:
        """The commands as one types them."""
        return [_commands.shown(command) for command in self.commands]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_one_of=[("state", "enabled", "daemon_reload")], supports_check_mode=True
    )
    with _internal.reported(module, "service_state", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    service, params = Service(module), module.params
    if service.systemd and params["daemon_reload"] and not module.check_mode:
        code, said = service.ask("systemctl", "daemon-reload")
        if code != 0:
            module.fail_json(msg=f"systemctl daemon-reload failed: {said}")
    if service.systemd and params["enabled"] is not None:
        at_boot = service.ask("systemctl", "is-enabled", service.name)[1].splitlines()[-1:] or [""]
        if params["enabled"] != (at_boot[0] in _AT_BOOT):
            service.do("enable" if params["enabled"] else "disable")
    verb = verb_for(params["state"], service.runs()) if params["state"] else ""
    if verb:
        service.do(verb)
    module.exit_json(changed=bool(service.commands), commands=service.shown())


if __name__ == "__main__":
    main()
