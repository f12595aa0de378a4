# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of admin_token: it alone knows the token, and asks the host for what is kept of one."""

from __future__ import annotations

import secrets
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vaultwire.stack.plugins.module_utils import _vaults
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _admin_token

ARGUMENTS: t.Dict[str, t.Any] = {
    "token": {"type": "str", "required": True, "no_log": True},
    "hashed": {"type": "bool", "default": True},
    "secrets_dir": {"type": "path", "required": True},
    "data_dir": {"type": "path", "required": True},
}


class ActionModule(ActionBase):
    """Reads what the host has, compares and hashes."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """Run the action. A failure under no_log could not say why, so what is in the way is part of the result."""
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        __, arguments = self.validate_argument_spec(ARGUMENTS)
        # Connections show each answer with -vvv, so it comes under a key of its own.
        key = secrets.token_hex(32)
        answer = self._execute_module(
            module_name="vaultwire.stack.host_secrets",
            module_args={"key": key, "secrets_dir": arguments["secrets_dir"], "data_dir": arguments["data_dir"]},
            task_vars=task_vars or {},
        )
        try:
            found = _vaults.unseal(answer["sealed"], key)
        except (KeyError, ValueError):
            text = answer.get("msg") or "the host gave no answer"
            judged = _admin_token.Judged("", "", False, f"The admin token could not be compared: {text}")
        else:
            judged = _admin_token.judge(arguments["token"], found["file"], found["saved"], arguments["hashed"])
        result.update(changed=False, **judged._asdict())
        return result
