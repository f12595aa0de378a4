#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module live_update: does a change in one session of a vault show up in another by itself?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: live_update
short_description: Prove that a change in one session of a vault shows up in another at once
version_added: "0.1.0"
description:
  - Signs in twice as two different devices. Session B opens the live channel; session A creates, renames and
    deletes an item. Each step has to arrive at B by itself, for this very item, as the work of A's device; after the
    rename B has to read the new name.
  - It needs an account. A throwaway account is made with O(signup) or O(admin_token) and is always removed again,
    also after a fault, a timeout or a signal. With O(email) a given test account is used, in which only the test's
    own item is created and deleted. When several are set, O(email) goes before O(signup), and that before
    O(admin_token).
  - A run costs two password logins, and with O(admin_token) one admin login. A server with stock limits allows ten
    password logins in a minute and three admin logins in five minutes from one address.
  - Redirects are not followed; proxies of the environment are not used.
author:
  - vaultwire contributors (@vaultwire)
requirements:
  - websocket-client
  - msgpack
  - argon2-cffi (only for a given account that uses Argon2id)
extends_documentation_fragment:
  - vaultwire.stack.vault_url
attributes:
  check_mode:
    description: Judges the options.
    details: The check writes to the vault, so it is skipped in check mode, with a message.
    support: partial
  diff_mode:
    description: Returns what would change as a diff. The vault is the same afterwards.
    support: none
options:
  admin_token:
    description:
      - The admin token of the server, as one types it into the admin page. The admin invites a throwaway account.
      - Does not work where the server sends mail, since invitations then go by mail.
      - Next to O(signup) it is only used to remove an account that could not remove itself.
    type: str
  signup:
    description:
      - Whether to make the throwaway account by open sign-up.
    type: bool
    default: false
  email:
    description:
      - The address of a test account without a second factor. Needs O(password).
      - It is best an account for tests only, since an item appears in it for a moment.
    type: str
  password:
    description:
      - The master password of the account of O(email). It is never sent, only the hash that clients send.
    type: str
  timeout:
    description:
      - Seconds for the whole check. Cleaning up may take up to ten more.
    type: float
    default: 30
  timeout_per_step:
    description:
      - Seconds within which each change has to arrive, counted from just before it is sent.
    type: float
    default: 5
seealso:
  - module: vaultwire.stack.hub_probe
"""

EXAMPLES = r"""
- name: Prove a live update with a throwaway account that the admin invites
  vaultwire.stack.live_update:
    url: https://vault.example.com
    admin_token: "{{ vault_admin_token }}"
  delegate_to: localhost
  no_log: true

- name: Prove it with a test account that exists
  vaultwire.stack.live_update:
    url: https://vault.example.com
    email: check@example.com
    password: "{{ vault_check_password }}"
  delegate_to: localhost
"""

RETURN = r"""
latencies:
  description: >-
    Milliseconds from just before session A sent a change until its frame had arrived at session B. After a fault
    only the steps that did arrive.
  returned: always, except in check mode
  type: dict
  sample: {create_ms: 6.1, rename_ms: 4.9, delete_ms: 5.3}
after_answer:
  description: >-
    The same from the moment the server had answered session A. Negative where the frame came before the answer,
    which is usual, since the server pushes first.
  returned: always, except in check mode
  type: dict
  sample: {create_ms: -0.4, rename_ms: -0.2, delete_ms: -0.3}
hub_status:
  description: 101 once the hub had granted session B its socket, null before.
  returned: always, except in check mode
  type: int
  sample: 101
handshake:
  description: Whether the server's own handshake arrived on that socket.
  returned: always, except in check mode
  type: bool
rate_limited:
  description: >-
    Whether the server refused a login for want of patience (429). It then says nothing about the live channel.
  returned: always, except in check mode
  type: bool
frames:
  description: How many notification frames arrived at session B.
  returned: always, except in check mode
  type: int
  sample: 3
version:
  description: The version that the server names, empty where it names none.
  returned: always, except in check mode
  type: str
  sample: 1.37.2
account:
  description: The account that was used.
  returned: always, except in check mode
  type: dict
  contains:
    kind:
      description: Given, or a throwaway made by open sign-up or by the admin's invitation.
      type: str
      choices: [given, signup, admin]
    removed:
      description: Whether nothing of a throwaway account is left; null for a given one.
      type: bool
internal_error:
  description: >-
    An error of the check itself, which says nothing about the vault. The text of the exception is left out, since it
    may quote a secret.
  returned: when the check itself failed
  type: dict
  contains:
    exception:
      description: Name of the exception.
      type: str
    step:
      description: The step of the live update.
      type: str
    where:
      description: File, line and function in which it was raised.
      type: str
  sample: {exception: KeyError, step: "the step connect", where: "_live.py:164 open"}
skipped:
  description: True in check mode, in which nothing is done.
  returned: in check mode
  type: bool
missing:
  description: Which packages the Python that runs the module lacks, and how to install them; empty if it has all.
  returned: in check mode
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _packages
from ansible_collections.vaultwire.stack.plugins.module_utils._http import (
    VAULT_ARGUMENTS,
    AddressError,
    parse_target,
    tls_context,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import InternalError, named
from ansible_collections.vaultwire.stack.plugins.module_utils._live import LiveUpdate, Options, Outcome
from ansible_collections.vaultwire.stack.plugins.module_utils._session import LiveUpdateError

MISSING = _packages.missing(_packages.LIVE_UPDATE)

ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    **VAULT_ARGUMENTS,
    "admin_token": {"type": "str", "no_log": True},
    "signup": {"type": "bool", "default": False},
    "email": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 30},
    "timeout_per_step": {"type": "float", "default": 5},
}


def prove(params: t.Mapping[str, t.Any]) -> Outcome:
    """Run the check that the parameters describe."""
    target = parse_target(params["url"], params["connect_to"])
    context = tls_context(target, params["ca_file"], params["ca_content"], params["validate_certs"])
    options = Options(
        timeout=params["timeout"],
        step_seconds=params["timeout_per_step"],
        email=params["email"] or "",
        password=params["password"] or "",
        signup=params["signup"],
        admin_token=params["admin_token"] or "",
    )
    return LiveUpdate(target, context, options).run()


def shape(outcome: Outcome) -> t.Dict[str, t.Any]:
    """An outcome as the module returns it."""
    return {
        "changed": False,
        "latencies": {f"{step}_ms": latency.total_ms for step, latency in outcome.latencies.items()},
        "after_answer": {f"{step}_ms": latency.after_answer_ms for step, latency in outcome.latencies.items()},
        "hub_status": 101 if outcome.connected else None,
        "handshake": outcome.connected,
        "rate_limited": outcome.rate_limited,
        "frames": outcome.frames,
        "version": outcome.version,
        "account": {"kind": outcome.kind, "removed": outcome.removed},
    }


def judge(params: t.Mapping[str, t.Any], check_mode: bool, reveal: bool = False) -> t.Dict[str, t.Any]:
    """The result of the module. Raises AddressError and LiveUpdateError before anything is asked.

    An error of the check itself is returned with its traceback where ``reveal`` says so.
    """
    lacking = _packages.problem("The live update", MISSING, "this host")
    if check_mode:
        text = "The live update was not proved: it writes to the vault, for a moment."
        return {"changed": False, "skipped": True, "msg": text, "missing": lacking}
    if lacking:
        return {"failed": True, "msg": lacking}
    try:
        with named("the live update", (AddressError, LiveUpdateError)):
            outcome = prove(params)
    except InternalError as exc:
        return {"changed": False, **exc.result(reveal)}
    if outcome.internal is not None:
        told = outcome.internal.result(reveal)
        return {**shape(outcome), **told, "msg": " ".join([told["msg"], *outcome.problems])}
    if outcome.problems:
        return {**shape(outcome), "failed": True, "msg": " ".join(outcome.problems)}
    return shape(outcome)


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("ca_file", "ca_content")],
        required_together=[("email", "password")],
        supports_check_mode=True,
    )
    try:
        result = judge(module.params, module.check_mode)
    except (AddressError, LiveUpdateError) as exc:
        module.fail_json(msg=f"{exc} Nothing was asked.")
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
