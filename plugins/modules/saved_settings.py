#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what the admin page saved and what therefore beats the settings of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: saved_settings
short_description: Finds settings of the admin page that beat those of the role
version_added: "0.1.0"
description:
  - Reads C(config.json) of a server's data. What the admin page saved there comes before the environment.
  - A file that the server cannot read is a problem, too. The server then goes on with its own defaults and no word of
    it, and anyone may open an account.
  - Compares on the host. Results hold names and sentences, and no value of a secret.
author:
  - vaultwire contributors (@vaultwire)
options:
  directory:
    description: Absolute path of the server's data on the host.
    type: path
    required: true
  environment_names:
    description: Names of the variables that the server gets. C(NAME_FILE) hands over C(NAME).
    type: list
    elements: str
    default: []
  domain:
    description: The server's public address.
    type: str
    required: true
  admin_token:
    description: The admin token that is to count; left out, there is to be none.
    type: str
  uid:
    description:
      - Number of the user that the server runs as.
      - Left out, it is not asked whether that user may read the file.
    type: int
  gid:
    description: Number of the group that the server runs as. Goes with O(uid).
    type: int
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Look for settings that the admin page saved
  vaultwire.stack.saved_settings:
    directory: /var/lib/vaultwarden
    environment_names: [DOMAIN, LOG_LEVEL]
    domain: https://vault.example.com
    uid: 10080
    gid: 10080
  register: saved
"""

RETURN = r"""
overrides:
  description: Names of the variables that the file beats.
  returned: always
  type: list
  elements: str
  sample: [LOG_LEVEL]
problems:
  description: Reasons not to start a server with this file, as sentences with their remedy.
  returned: always
  type: list
  elements: str
  sample: []
"""

import os
import stat
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _internal, _settings

ARGUMENTS: t.Dict[str, t.Any] = {
    "directory": {"type": "path", "required": True},
    "environment_names": {"type": "list", "elements": "str", "default": []},
    "domain": {"type": "str", "required": True},
    "admin_token": {"type": "str", "no_log": True},
    "uid": {"type": "int"},
    "gid": {"type": "int"},
}


def read_saved(path: str, uid: t.Optional[int], gid: t.Optional[int]) -> t.Optional[bytes]:
    """The file as the server's user sees it, None where there is none. Raises OSError with what is in the way."""
    if not os.path.lexists(path):
        return None
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_uid == uid:
            readable = stat.S_IRUSR
        elif status.st_gid == gid:
            readable = stat.S_IRGRP
        else:
            readable = stat.S_IROTH
        if uid is not None and not status.st_mode & readable:
            raise PermissionError(f"user {uid}, as whom the server runs, may not read it")
        return stream.read()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, required_together=[("uid", "gid")], supports_check_mode=True)
    with _internal.reported(module, "saved_settings", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    params = module.params
    path = os.path.join(params["directory"], "config.json")
    try:
        content = read_saved(path, params["uid"], params["gid"])
        saved = {} if content is None else _settings.parse_saved(content)
    except (OSError, ValueError) as exc:
        reason = (exc.strerror or str(exc)) if isinstance(exc, OSError) else str(exc)
        module.exit_json(changed=False, overrides=[], problems=[_settings.unreadable_saved(path, reason)])
        return  # exit_json ends the module
    given = {name[:-5] if name.endswith("_FILE") else name for name in params["environment_names"]}
    module.exit_json(
        changed=False,
        overrides=sorted(given & set(saved)),
        problems=_settings.saved_problems(path, saved, params["domain"], params["admin_token"]),
    )


if __name__ == "__main__":
    main()
