#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a directory of secrets, one file each, byte for byte."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Keeps a directory of secrets, and other private directories
version_added: "0.1.0"
description:
  - Makes the directory hold exactly the given secrets, one file each, written without any change to their bytes.
  - Results and diffs name the files only. Call it with C(no_log), which also keeps the arguments out of logs.
author:
  - vaultwire contributors (@vaultwire)
options:
  directory:
    description: Absolute path of the directory. It is made where it is missing; its parent is made too, mode 0755.
    type: path
    required: true
  secrets:
    description: File name to value. Values are written as they are, without a line break at the end.
    type: dict
    default: {}
  directories:
    description: Further directories for the same owner, mode 0700, made where they are missing.
    type: list
    elements: path
    default: []
  marker:
    description: >-
      Absolute path of a file that stands from before the first secret changes until the caller removes it, once the
      secrets have been read. A run that is cut off in between is so known to the next one. Empty for none.
    type: str
    default: ""
  uid:
    description: Number of the user that owns directory and files.
    type: int
    required: true
  gid:
    description: Number of the group that owns directory and files.
    type: int
    required: true
attributes:
  check_mode:
    support: full
    description: Says what would change.
  diff_mode:
    support: partial
    description: Names the files that change, never their content.
"""

EXAMPLES = r"""
- name: Hand the secrets to the server
  vaultwire.stack.secret_files:
    directory: /etc/vaultwarden/secrets
    secrets:
      admin_token: "{{ vaultwarden_admin_token }}"
    uid: 10080
    gid: 10080
  no_log: true
"""

RETURN = r"""
written:
  description: Names of the files that were (or would be) written.
  returned: always
  type: list
  elements: str
made:
  description: Directories that were (or would be) made or given their owner and mode.
  returned: always
  type: list
  elements: str
removed:
  description: Names of the files that were (or would be) removed.
  returned: always
  type: list
  elements: str
pending:
  description: Whether an earlier run changed secrets and nobody has read them since.
  returned: always
  type: bool
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _files, _internal

ARGUMENTS: t.Dict[str, t.Any] = {
    "directory": {"type": "path", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "directories": {"type": "list", "elements": "path", "default": []},
    "marker": {"type": "str", "default": ""},
    "uid": {"type": "int", "required": True},
    "gid": {"type": "int", "required": True},
}
DIRECTORY_MODE = 0o700
FILE_MODE = 0o400


def planned(params: t.Mapping[str, t.Any]) -> t.List[t.Tuple[_files.Wanted, _files.Found]]:
    """Files to write or remove, as (wanted, found)."""
    directory, secrets = params["directory"], params["secrets"]
    there = os.listdir(directory) if os.path.isdir(directory) else []
    pairs = []
    for name in sorted({*there, *secrets}):
        path = os.path.join(directory, name)
        content = secrets[name].encode() if name in secrets else None
        wanted = _files.Wanted(path, content, FILE_MODE, params["uid"], params["gid"])
        pairs.append((wanted, _files.read_file(path)))
    return [(wanted, found) for wanted, found in pairs if _files.differs(wanted, found)]


def _directory_differs(directory: str, uid: int, gid: int) -> bool:
    try:
        status = os.stat(directory)
    except FileNotFoundError:
        return True
    return (status.st_mode & 0o7777, status.st_uid, status.st_gid) != (DIRECTORY_MODE, uid, gid)


def _make_directory(directory: str, uid: int, gid: int) -> None:
    os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
    os.makedirs(directory, mode=DIRECTORY_MODE, exist_ok=True)
    os.chmod(directory, DIRECTORY_MODE)
    os.chown(directory, uid, gid)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "secret_files", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    params = module.params
    bad = [name for name in params["secrets"] if not re.fullmatch(r"[a-z0-9_]+", name)]
    if bad or not all(isinstance(value, str) for value in params["secrets"].values()):
        module.fail_json(msg="Names of secrets are lower-case letters, digits and _, and values are texts.")
    changes = planned(params)
    owner = (params["uid"], params["gid"])
    remake = [path for path in (params["directory"], *params["directories"]) if _directory_differs(path, *owner)]
    written = [os.path.basename(wanted.path) for wanted, __ in changes if wanted.content is not None]
    removed = [os.path.basename(wanted.path) for wanted, __ in changes if wanted.content is None]
    marker = params["marker"]
    pending = bool(marker) and os.path.exists(marker)
    if not module.check_mode:
        try:
            for path in remake:
                _make_directory(path, *owner)
            if marker and changes:
                os.makedirs(os.path.dirname(marker), exist_ok=True)
                _files.write_file(_files.Wanted(marker, b"", 0o644, os.geteuid(), os.getegid()))
            _files.apply_checked(changes, lambda: None)
        except OSError as exc:
            if marker and not pending:
                _files.write_file(_files.Wanted(marker, None))
            module.fail_json(msg=f"The secrets could not be written, and are as they were: {exc}.")
    module.exit_json(
        changed=bool(changes or remake),
        pending=pending,
        made=remake,
        written=written,
        removed=removed,
        diff={
            "before": "",
            "after": "".join([*(f"{path}/\n" for path in remake), *(f"{name} (value hidden)\n" for name in written)]),
        },
    )


if __name__ == "__main__":
    main()
