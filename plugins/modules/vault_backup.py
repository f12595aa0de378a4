#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a backup of a running server, or look at those there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_backup
short_description: Makes a consistent backup of a running server
version_added: "0.1.0"
description:
  - Copies the SQLite database through SQLite's own backup call while the server runs, adds keys, saved settings,
    attachments, sends and templates, and writes one archive with a manifest first. The archive is read back and checked
    before it gets its name, and belongs to root alone.
  - Everything that the server had acknowledged when the backup began is in it. The server's own backup command is not
    used, since only releases from 1.32.1 on have it, and since it writes its copy into the data folder.
author:
  - vaultwire contributors (@vaultwire)
options:
  container:
    description: Name of the server's container. It becomes part of the archive's name.
    type: str
    default: vaultwarden
  data_dir:
    description: Folder on the host with the server's data.
    type: path
    default: /var/lib/vaultwarden
  directory:
    description: Folder for the archives, made if need be.
    type: path
    default: /var/backups/vaultwarden
  keep:
    description: How many archives of this container to keep; older ones are removed after a new one is complete.
    type: int
    default: 14
  server_url:
    description: Where the server itself answers, to ask it for its release. Empty takes it from the image.
    type: str
    default: ""
  make:
    description: Whether to make a backup; otherwise only those that there are get listed.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Says that a backup would be made.
  diff_mode:
    support: none
    description: A backup is not shown.
"""

EXAMPLES = r"""
- name: Make a backup
  vaultwire.stack.vault_backup:
    keep: 30
  register: backup

- name: Ask how old the newest backup is
  vaultwire.stack.vault_backup:
    make: false
  register: backup
"""

RETURN = r"""
path:
  description: The new archive; empty where none was made.
  returned: success
  type: str
  sample: /var/backups/vaultwarden/vaultwarden-20260101T030000.000Z.tar
server_version:
  description: Release of the server that the new archive is from; empty where it could not be told.
  returned: success
  type: str
files:
  description: How many files the new archive holds.
  returned: success
  type: int
missing:
  description: Files that the database names and the data folder does not have, for example an upload cut off.
  returned: success
  type: list
  elements: str
left_out:
  description: Entries of the data folder that were left out since they are no regular files.
  returned: success
  type: list
  elements: str
removed:
  description: Archives that were removed since there are newer ones.
  returned: success
  type: list
  elements: str
archives:
  description: All archives of this container, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it is.
      type: str
    created:
      description: When it was made, in UTC.
      type: str
    size:
      description: Bytes.
      type: int
    age_seconds:
      description: Seconds since then.
      type: int
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _backup, _commands, _internal

ARGUMENTS: t.Dict[str, t.Any] = {
    "container": {"type": "str", "default": "vaultwarden"},
    "data_dir": {"type": "path", "default": "/var/lib/vaultwarden"},
    "directory": {"type": "path", "default": "/var/backups/vaultwarden"},
    "keep": {"type": "int", "default": 14},
    "server_url": {"type": "str", "default": ""},
    "make": {"type": "bool", "default": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "vault_backup", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    params = module.params
    settings = _backup.Settings(
        params["container"], params["data_dir"], params["directory"], params["keep"], params["server_url"]
    )
    result: t.Dict[str, t.Any] = {
        "changed": params["make"],
        "path": "",
        "server_version": "",
        "files": 0,
        "missing": [],
        "left_out": [],
        "removed": [],
    }
    if params["make"] and not module.check_mode:
        try:
            made = _backup.make_backup(settings, _backup.where_installed(_commands.limited(module.run_command)))
        except (_backup.BackupError, OSError) as exc:
            module.fail_json(msg=f"{exc} No backup was made, and those there were are untouched.")
        result.update(
            path=made.path,
            server_version=made.manifest.server_version,
            files=len(made.manifest.files),
            missing=made.manifest.missing,
            left_out=made.manifest.skipped,
            removed=made.removed,
        )
    found = _backup.archives(settings.directory, settings.container)
    module.exit_json(**result, archives=[archive._asdict() for archive in found])


if __name__ == "__main__":
    main()
