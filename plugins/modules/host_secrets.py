#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read secrets of a host for an action of this collection, which keeps them to itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_secrets
short_description: Reads secrets of a server for other plugins of this collection
version_added: "0.1.0"
description:
  - Reads the secrets of a container, or the admin tokens in the files of a server, and returns them encrypted.
  - The actions M(vaultwire.stack.adopt_host_vars) and M(vaultwire.stack.admin_token) call it. It is of no use in a
    playbook.
author:
  - vaultwire contributors (@vaultwire)
options:
  key:
    description:
      - Key for this one answer. A connection prints each answer with C(-vvv), so secrets do not travel as they are.
    type: str
    required: true
  container:
    description: Name of the container to read all secrets of.
    type: str
  secrets_dir:
    description: Directory with the file C(admin_token).
    type: path
  data_dir:
    description: Directory with the server's data, and in it C(config.json), where the admin page saves.
    type: path
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: vaultwire.stack.admin_token
  - module: vaultwire.stack.adopt_host_vars
"""

EXAMPLES = r"""
- name: Read the admin tokens of a server
  vaultwire.stack.host_secrets:
    key: "{{ key_for_this_answer }}"
    secrets_dir: /etc/vaultwarden/secrets
    data_dir: /var/lib/vaultwarden
"""

RETURN = r"""
sealed:
  description: Secrets by their names, encrypted with the key.
  returned: success
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal, _settings, _vaults

ARGUMENTS: t.Dict[str, t.Any] = {
    "key": {"type": "str", "required": True, "no_log": True},
    "container": {"type": "str"},
    "secrets_dir": {"type": "path", "no_log": False},
    "data_dir": {"type": "path"},
}


def admin_tokens(secrets_dir: str, data_dir: str) -> t.Dict[str, str]:
    """The admin tokens in the server's ``file`` and ``saved`` by the admin page; empty where there is none."""
    try:
        with open(os.path.join(data_dir, "config.json"), "rb") as stream:
            saved = _settings.parse_saved(stream.read()).get("ADMIN_TOKEN", "")
    except (OSError, ValueError):  # the module saved_settings tells of it
        saved = ""
    return {"file": _vaults.text_of(os.path.join(secrets_dir, "admin_token")), "saved": _settings.as_text(saved)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("container", "secrets_dir")],
        required_one_of=[("container", "secrets_dir")],
        required_together=[("secrets_dir", "data_dir")],
        supports_check_mode=True,
    )
    with _internal.reported(module, "host_secrets", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    if module.params["container"]:
        found = _vaults.secret_values(_commands.limited(module.run_command), module.params["container"])
    else:
        found = admin_tokens(module.params["secrets_dir"], module.params["data_dir"])
    module.exit_json(changed=False, sealed=_vaults.seal(found, module.params["key"]))


if __name__ == "__main__":
    main()
