# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action live_proof: both proofs of one host, in the worker that Ansible has started for it anyway.

A module is a process of its own, and starting it costs more than the proof. Everything that is needed is imported
here at the top: Ansible loads this file before it starts the workers of a task, so it is done once for all hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# The settings' templates use these filters.
from ansible_collections.vaultwire.stack.plugins.filter import proxy, vault  # noqa: F401  pylint: disable=unused-import
from ansible_collections.vaultwire.stack.plugins.module_utils import _files
from ansible_collections.vaultwire.stack.plugins.module_utils._http import AddressError
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutError
from ansible_collections.vaultwire.stack.plugins.module_utils._session import LiveUpdateError
from ansible_collections.vaultwire.stack.plugins.modules import hub_probe, live_update
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check, _variables

Data = t.Dict[str, t.Any]


class ActionModule(ActionBase):
    """Proves, and fails for nothing that was found: proof_verdict says it, once all hosts are in the report."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Optional[Data] = None) -> Data:
        """Run the action."""
        result: Data = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        task_vars = task_vars or {}
        settings = _read_settings(self._templar, task_vars)
        check_mode = bool(self._task.check_mode)
        if settings["report_file"] and not check_mode:
            _remove(settings["report_file"])
        proof: Data = {"url": settings["url"], "probe": _check.why_not(settings)}
        if not proof["probe"]:
            proof["probe"] = self._ask("hub_probe", _check.probe_options(settings, check_mode), settings, task_vars)
            # A probe that failed ends the proofs.
            wanted = _check.live_wanted(settings) and not proof["probe"].get("failed")
            options = _check.live_options(settings)
            proof["live_update"] = (
                self._ask("live_update", options, settings, task_vars) if wanted else {"skipped": True}
            )
        proof["live_required"] = settings["live_update"] == "always"
        proof["push"] = settings["push"]
        proof["failure"] = settings["undone"]
        warnings = proof["probe"].pop("warnings", [])
        verdict = _check.verdict(proof, settings, check_mode)
        if settings["report_file"] and "verdict" in proof["probe"] and not proof["probe"].get("failed"):
            verdict = verdict if check_mode else _check.with_problem(verdict, _write(settings["report_file"], proof))
        result.update(changed=False, proof=proof, verdict=verdict, report_wanted=bool(settings["report_dir"]))
        return {**result, "warnings": warnings} if warnings else result

    def _ask(self, module: str, options: Data, settings: Data, task_vars: Data) -> Data:
        """What a module returns, run by itself on the host, or its functions here."""
        if settings["from"] == "host":
            answer = self._execute_module(f"vaultwire.stack.{module}", module_args=options, task_vars=task_vars)
            return {key: value for key, value in answer.items() if not key.startswith(("invocation", "_ansible"))}
        checked = ArgumentSpecValidator(_SPECS[module]).validate(options)
        if checked.error_messages:
            raise AnsibleActionFail(" ".join(checked.error_messages))
        answer = _ask_here(module, checked.validated_parameters, bool(self._task.check_mode), not settings["no_log"])
        # As every module does with its secrets: what a server says could quote them.
        hidden = [settings[name] for name in _check.SECRETS if settings[name]]
        return dict(t.cast(Data, _check.masked(answer, hidden)))


_SPECS = {"hub_probe": hub_probe.ARGUMENTS, "live_update": live_update.ARGUMENTS}


def _read_settings(templar: t.Any, task_vars: Data) -> Data:
    """The role's settings from its variables. Not from arguments: those are shown in many ways, secrets with them."""
    names = {name: _check.PREFIX + name for name in _check.SETTINGS}
    strange = {name for name in task_vars if name.startswith(_check.PREFIX)} - set(names.values())
    unknown = _variables.unknown_variables(strange, templar.template(task_vars.get(_variables.FOREIGN) or []))
    if unknown:
        raise AnsibleActionFail(" ".join(unknown))
    given = templar.template({name: task_vars[variable] for name, variable in names.items() if variable in task_vars})
    # What is left blank in an inventory is left at its default.
    filled = {name: value for name, value in given.items() if value is not None}
    checked = ArgumentSpecValidator(_check.SETTINGS).validate(filled)
    if checked.error_messages:
        raise AnsibleActionFail(f"Settings {_check.PREFIX}* cannot be used. {' '.join(checked.error_messages)}")
    return dict(checked.validated_parameters)


def _ask_here(module: str, options: Data, check_mode: bool, reveal: bool) -> Data:
    """A proof by the module's own functions; ``reveal`` shows the traceback of an error of the check itself."""
    try:
        if module == "hub_probe":
            return hub_probe.judge(options, reveal)
        return live_update.judge(options, check_mode, reveal)
    except (AddressError, LayoutError, LiveUpdateError) as exc:
        return {"failed": True, "msg": f"{exc} Nothing was asked."}


def _remove(path: str) -> None:
    """A file of an earlier run must not be taken for the result of one that fails."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.expanduser(path))


def _write(path: str, proof: Data) -> str:
    """The file with the proof of this host; a problem as a sentence."""
    kept = {name: proof.get(name) for name in ("url", "probe", "live_update")}
    text = json.dumps(kept, indent=4, sort_keys=True, default=str) + "\n"
    path = os.path.abspath(os.path.expanduser(path))
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _files.write_file(_files.Wanted(path, text.encode(), 0o644, os.getuid(), os.getgid()))
    except OSError as exc:
        return f"The file of notifications_check_report_file could not be written: {exc}."
    return ""
