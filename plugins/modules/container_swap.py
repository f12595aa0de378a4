#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap one server container for another on the same data, or undo that."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_swap
short_description: Swaps a server container for another on the same data
version_added: "0.1.0"
description:
  - With O(action=swap) it stops the running container, copies what a migration may change, starts the new container
    that was created under another name, and waits until that answers. On any failure everything is put back before it
    fails.
  - The work is done by a process of its own, which goes on when the controller dies, and is written down in a journal
    step by step. With O(action=recover) the next run brings a swap that was cut off to rest.
  - The old container stays, stopped and under another name, until O(action=commit); O(action=rollback) returns to it.
  - Where no swap is under way, O(action=recover) and O(action=rollback) drop the container and the secrets that were
    prepared for one that never began.
author:
  - vaultwire contributors (@vaultwire)
options:
  action:
    description: What to do.
    type: str
    choices: [check, recover, swap, commit, rollback]
    required: true
  name:
    description: Name of the container that serves.
    type: str
    required: true
  next_name:
    description: Name of the new container, which has been created and not started. Needed with O(action=swap).
    type: str
    default: ""
  directory:
    description: Absolute path of the folder that holds the journal and the copies of this container's swaps.
    type: path
    required: true
  data_dir:
    description: Absolute path of the server's data on the host. Needed with O(action=check) and O(action=swap).
    type: path
  source:
    description: Release that runs now.
    type: str
    default: ""
  target:
    description: Release to go to.
    type: str
    default: ""
  uid:
    description: Number of the user that the new server runs as. Needed with O(action=swap).
    type: int
  gid:
    description: Number of its group. Needed with O(action=swap).
    type: int
  old_url:
    description: Where the old server answers directly, with its sub-path; empty not to wait for it when undoing.
    type: str
    default: ""
  new_url:
    description: Where the new server answers directly, with its sub-path. Needed with O(action=swap).
    type: str
    default: ""
  proxy_dir:
    description: Folder of the proxy's configuration, to be put back when the swap is undone; empty for none.
    type: str
    default: ""
  proxy_service:
    description: Service of the proxy, reloaded when its configuration was put back.
    type: str
    default: ""
  proxy_action:
    description: How the proxy takes its old configuration back; some cannot read a key again without a restart.
    type: str
    choices: [reload, restart]
    default: reload
  secrets_dir:
    description: >-
      Folder of the secrets that both containers mount, empty for none. Those of the new server wait beside it, under
      the same name with C(.next) at its end; O(action=swap) puts them in place, and the old ones come back when it is
      undone.
    type: str
    default: ""
  reason:
    description: Why O(action=rollback) was asked for. It goes into the journal.
    type: str
    default: ""
  keep:
    description: Copies to keep after O(action=commit), the newest ones.
    type: int
    default: 3
  timeout:
    description: Seconds to wait until a server answers.
    type: float
    default: 120
attributes:
  check_mode:
    support: partial
    description: Says whether the swap could begin.
    details: Only C(check) does anything in check mode, since it reads only.
  diff_mode:
    support: none
    description: A swap is no difference of a text.
"""

EXAMPLES = r"""
- name: Swap the containers
  vaultwire.stack.container_swap:
    action: swap
    name: vaultwarden
    next_name: vaultwarden.next
    directory: /var/lib/vaultwire/upgrades/vaultwarden
    data_dir: /var/lib/vaultwarden
    source: "1.28.1"
    target: "1.37.2"
    uid: 10080
    gid: 10080
    old_url: http://127.0.0.1:8080
    new_url: http://127.0.0.1:8080
"""

RETURN = r"""
state:
  description: >-
    C(none) where no swap is under way, C(unproven) where the new server answers and is not proven yet,
    C(rolled_back), or C(committed).
  returned: success
  type: str
  sample: unproven
problem:
  description: With O(action=check), why the swap cannot be done; empty where it can.
  returned: success
  type: str
copy_bytes:
  description: With O(action=check), bytes that the copy takes.
  returned: success
  type: int
milliseconds:
  description: How long the parts of the outage took, as C(stop), C(copy), C(start), C(boot) and their sum C(outage).
  returned: success
  type: dict
  sample: {"stop": 310, "copy": 12, "start": 420, "boot": 90, "outage": 832}
reason:
  description: Why the last swap was undone.
  returned: success
  type: str
"""

import os
import shutil
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal, _swap

ARGUMENTS: t.Dict[str, t.Any] = {
    "action": {"type": "str", "choices": ["check", "recover", "swap", "commit", "rollback"], "required": True},
    "name": {"type": "str", "required": True},
    "next_name": {"type": "str", "default": ""},
    "directory": {"type": "path", "required": True},
    "data_dir": {"type": "path"},
    "source": {"type": "str", "default": ""},
    "target": {"type": "str", "default": ""},
    "uid": {"type": "int"},
    "gid": {"type": "int"},
    "old_url": {"type": "str", "default": ""},
    "new_url": {"type": "str", "default": ""},
    "proxy_dir": {"type": "str", "default": ""},
    "proxy_service": {"type": "str", "default": ""},
    "proxy_action": {"type": "str", "choices": ["reload", "restart"], "default": "reload"},
    "secrets_dir": {"type": "str", "default": "", "no_log": False},
    "reason": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 3},
    "timeout": {"type": "float", "default": 120},
}
POLL_SECONDS = 0.05


class Action:
    """One call of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.run = _commands.limited(module.run_command, _commands.ACTION_SECONDS)
        self.engine = _swap.Engine(self.run)
        self.journal = _swap.Journal(self.params["directory"])

    def swap_of(self, record: _swap.Record) -> _swap.Swap:
        """The swap that a record describes."""
        return _swap.Swap(self.engine, self.journal, record, self.run)

    def check(self) -> t.Dict[str, t.Any]:
        """What is under way, and whether the copy would fit."""
        record = self.journal.read()
        resting = record is None or record.step in _swap.FINAL
        return {
            "changed": False,
            "state": "none" if resting else ("unproven" if record and record.step == "healthy" else "cut_off"),
            "problem": _swap.space_problem(self.params["data_dir"], self.params["directory"]) or "",
            "copy_bytes": _swap.copy_size(self.params["data_dir"]),
        }

    def recover(self) -> t.Dict[str, t.Any]:
        """Bring an earlier swap to rest, waiting for its worker."""
        if not os.path.exists(self.journal.path):
            return {"changed": self.discard(), "state": "none", "reason": ""}
        with self.journal.lock(self.params["timeout"]):
            record = t.cast(_swap.Record, self.journal.read())
            state = _swap.recover(self.swap_of(record), self.params["target"])
            dropped = state == "none" and self.discard()
        return {"changed": dropped or state == "rolled_back", "state": state, "reason": record.reason}

    def discard(self) -> bool:
        """Drop what was prepared for a swap that never began. A host may have no engine yet."""
        if not shutil.which("docker"):
            return False
        return _swap.discard(self.engine, self.params["name"], self.params["secrets_dir"])

    def swap(self) -> t.Dict[str, t.Any]:
        """Swap in a process of its own, and wait for it."""
        record = self.new_record()
        worker = os.fork()
        if worker == 0:
            self.work(record)
        while os.waitpid(worker, os.WNOHANG) == (0, 0):
            time.sleep(POLL_SECONDS)
        done = t.cast(_swap.Record, self.journal.read())
        if done.step != "healthy":
            raise _swap.SwapError(done.reason or "The swap ended without a word; the journal says where.")
        return {"changed": True, "state": "unproven", "milliseconds": done.milliseconds, "reason": ""}

    def work(self, record: _swap.Record) -> t.NoReturn:
        """The worker: it outlives the connection to the controller, and says nothing but in the journal."""
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        try:
            with self.journal.lock(self.params["timeout"]):
                self.swap_of(record).forward()
        except BaseException as exc:
            # The undoing itself failed: what is known goes into the journal, which the next run takes up.
            known = isinstance(exc, (_swap.SwapError, OSError))
            why = exc if known else _internal.InternalError(exc, f"undoing the step {record.step}", "The swap")
            record.reason = record.reason or str(why)
            self.journal.write(record)
        os._exit(0)

    def new_record(self) -> _swap.Record:
        """What this swap is about. Raises SwapError when a container it needs is missing."""
        old = self.engine.inspect(self.params["name"])
        new = self.engine.inspect(self.params["next_name"])
        for name, found in ((self.params["name"], old), (self.params["next_name"], new)):
            if found is None:
                raise _swap.SwapError(f"There is no container {name}.")
        policy = (old or {})["HostConfig"]["RestartPolicy"]
        retries = f":{policy['MaximumRetryCount']}" if policy.get("MaximumRetryCount") else ""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        names = ("name", "source", "target", "data_dir", "uid", "gid", "old_url", "new_url", "timeout", "proxy_dir",
                 "proxy_service", "proxy_action", "secrets_dir")  # fmt: skip
        return _swap.Record(
            old_id=(old or {})["Id"],
            new_id=(new or {})["Id"],
            folder=f"{self.params['directory']}/{stamp}-{self.params['source']}-{self.params['target']}",
            secrets_new=not _swap.uses(old, self.params["secrets_dir"]),
            old_restart=(policy.get("Name") or "no") + retries,
            **{name: self.params[name] for name in names},
        )

    def commit(self) -> t.Dict[str, t.Any]:
        """Drop the old container."""
        with self.journal.lock(self.params["timeout"]):
            record = self.journal.read()
            if record is None or record.step != "healthy":
                return {"changed": False, "state": record.step if record else "none"}
            self.swap_of(record).commit(self.params["keep"])
        return {"changed": True, "state": "committed", "milliseconds": record.milliseconds}

    def rollback(self) -> t.Dict[str, t.Any]:
        """Return to the old container."""
        with self.journal.lock(self.params["timeout"]):
            record = self.journal.read()
            if record is None or record.step in _swap.FINAL:
                return {
                    "changed": self.discard(),
                    "state": record.step if record else "none",
                    "reason": record.reason if record else "",
                }
            self.swap_of(record).back(self.params["reason"])
        return {"changed": True, "state": "rolled_back", "reason": record.reason}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[
            ("action", "check", ["data_dir"]),
            ("action", "swap", ["data_dir", "uid", "gid"]),
        ],
    )
    action = Action(module)
    if module.check_mode and module.params["action"] != "check":
        module.exit_json(changed=module.params["action"] == "swap", state="none", reason="", milliseconds={})
    with _internal.reported(module, f"container_swap, action {module.params['action']}", "The module"):
        try:
            result = getattr(action, module.params["action"])()
        except _swap.SwapError as exc:
            module.fail_json(msg=str(exc))
        module.exit_json(**result)


if __name__ == "__main__":
    main()
