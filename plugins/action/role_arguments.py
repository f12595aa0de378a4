# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action role_arguments: Ansible's own check of a role's settings, which says what is wrong and no more."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action.validate_argument_spec import ActionModule as Validation


class ActionModule(Validation):
    """Checks the settings of the role in which it stands by the entry ``main`` of its argument specs."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """Run the action. Fails outside of a role."""
        task_vars = task_vars or {}
        if "role_path" not in task_vars:
            raise AnsibleActionFail("role_arguments checks the settings of a role. Call it from a task of a role.")
        path = os.path.join(task_vars["role_path"], "meta", "argument_specs.yml")
        specs = self._loader.load_from_file(path)["argument_specs"]
        self._task.args = {"argument_spec": specs["main"]["options"], "provided_arguments": {}}
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        # All settings of the role with their descriptions, and the errors a second time.
        errors = result.pop("argument_errors", [])
        for name in ("argument_spec_data", "validate_args_context"):
            result.pop(name, None)
        return {**result, "msg": "\n".join(errors)} if errors else result
