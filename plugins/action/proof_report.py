# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action proof_report: everything happens on the controller, and nothing is asked of a host."""

from __future__ import annotations

import datetime
import json
import os
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.vaultwire.stack.plugins.module_utils import _files
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _report

ARGUMENTS: t.Dict[str, t.Any] = {
    "proof": {"type": "dict"},
    "kept_in": {"type": "str"},
    "directory": {"type": "str"},
}
#: datetime.UTC, which is newer than Python 3.8.
UTC = datetime.timezone(datetime.timedelta())


class ActionModule(ActionBase):
    """Keeps the proof of one host, or writes the report of all."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        """Run the action."""
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        __, arguments = self.validate_argument_spec(
            ARGUMENTS,
            mutually_exclusive=[("proof", "directory")],
            required_one_of=[("proof", "directory")],
            required_together=[("directory", "kept_in")],
        )
        result["changed"] = False
        if arguments["proof"] is not None:
            return {**result, "proof": arguments["proof"]}
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "No report is written in check mode."}
        task_vars = task_vars or {}
        proofs = {
            str(host): _kept(task_vars, host, arguments["kept_in"]) for host in task_vars["ansible_play_hosts_all"]
        }
        now = datetime.datetime.now(UTC)
        report = _report.shape(proofs, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        page = _report.render(report, os.path.dirname(self._find_needle("templates", "report.html.j2")))
        try:
            folder = _new_folder(arguments["directory"], now.strftime("%Y%m%dT%H%M%SZ"))
            for name, text in (("report.json", json.dumps(report, indent=2) + "\n"), ("report.html", page)):
                path = os.path.join(folder, name)
                _files.write_file(_files.Wanted(path, text.encode(), 0o644, os.getuid(), os.getgid()))
        except OSError as exc:
            return {**result, "failed": True, "msg": f"The report could not be written: {exc}."}
        return {**result, "directory": folder, "summary": report["summary"]}


def _kept(task_vars: t.Dict[str, t.Any], host: str, name: str) -> t.Dict[str, t.Any]:
    """What the role registered on a host, and what Ansible knows of one that has not got so far.

    Raw, so that no text of a host can ever be taken for a template.
    """
    hostvars = task_vars["hostvars"]
    known = hostvars.raw_get(host)
    kept = known.get(name)
    proof = kept.get("proof") if isinstance(kept, dict) else None
    waiting = host in task_vars["ansible_play_hosts"] and host not in task_vars["ansible_play_batch"]
    if not isinstance(proof, dict):
        proof = {"url": _address(hostvars, host), "failure": "" if waiting else _failure(known)}
    found = {**proof, "waiting": waiting}
    # Plain data: values carry the controller's own notes about where they come from.
    return dict(json.loads(json.dumps(found, default=str)))


def _failure(known: t.Mapping[str, t.Any]) -> str:
    """Why the run failed on a host without a proof, where Ansible knows.

    It keeps the result of a task that failed in a block with a rescue, and of no other. It does so for good, also where
    the failure was dealt with, and in full where the task has no_log.
    """
    failed, task = known.get("ansible_failed_result"), known.get("ansible_failed_task")
    if not isinstance(failed, dict):
        return ""
    if not isinstance(task, dict) or task.get("no_log"):
        return "A task failed whose result is kept secret by no_log."
    return str(failed.get("msg") or "")


def _address(hostvars: t.Any, host: str) -> str:
    """The address of a vault that was not asked; the inventory may lack it, or have it in a way that fails."""
    try:
        return str(hostvars[host]["notifications_check_url"])
    except (AnsibleError, KeyError):
        return ""


def _new_folder(parent: str, name: str) -> str:
    """A folder that was not there before, also when two runs end in the same second."""
    parent = os.path.abspath(os.path.expanduser(parent))
    os.makedirs(parent, exist_ok=True)
    for number in range(1, 1000):
        path = os.path.join(parent, name if number == 1 else f"{name}-{number}")
        try:
            os.mkdir(path)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{parent} holds too many reports of this second")
