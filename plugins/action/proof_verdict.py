# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action proof_verdict: says what live_proof found on one host, and fails for it."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check

Data = t.Dict[str, t.Any]

ARGUMENTS: t.Dict[str, t.Any] = {
    "proved_in": {"type": "str", "required": True},
    "written_in": {"type": "str", "required": True},
}


class ActionModule(ActionBase):
    """Nothing is asked here, of the vault or of the host, and nothing has to be templated."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: t.Optional[Data] = None) -> Data:
        """Run the action."""
        result: Data = super().run(tmp, task_vars)
        __, arguments = self.validate_argument_spec(ARGUMENTS)
        task_vars = task_vars or {}
        proved, written = task_vars[arguments["proved_in"]], task_vars.get(arguments["written_in"]) or {}
        verdict = proved["verdict"]
        if proved["report_wanted"] and not written.get("directory") and not self._task.check_mode:
            verdict = _check.with_problem(verdict, written.get("msg") or "The report of all hosts was not written.")
        return {**result, "changed": False, "_ansible_verbose_always": True, **verdict}
