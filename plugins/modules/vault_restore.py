#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a backup in the place of a server's data, or the old data back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_restore
short_description: Puts a backup in place of the server's data, keeping the old data
version_added: "0.1.0"
description:
  - Checks the whole archive first, and refuses one that is damaged, cut off, of another format, larger than it can be,
    that names anything outside a data folder, or that is newer than the server. Nothing has changed then.
  - Unpacks beside the data, stops the server, moves the present data aside, moves the new data in, starts the server
    and waits until it answers. A failure, also one that cut an earlier run off, puts the old data back and starts it.
  - The old data stays in C(<data_dir>.before-restore-<time>), or inside O(data_dir) where that is a file system by
    itself. It is never deleted. Nor is data that a server has run on - an undo keeps it in
    C(<data_dir>.failed-restore-<time>).
  - A restore that was cut off after its server had started is not undone by the next one, which is refused and names
    both ways to end it, O(state=committed) and O(state=undone).
author:
  - vaultwire contributors (@vaultwire)
options:
  state:
    description:
      - V(restored) does it, V(committed) says that the result has been proven, V(undone) puts the old data back.
      - Only a restore that is not committed can be undone.
    type: str
    choices: [restored, committed, undone]
    default: restored
  archive:
    description: >-
      Absolute path of the archive, or its name in O(directory), or V(newest). Needed for O(state=restored).
    type: str
    default: ""
  container:
    description: Name of the server's container. Where there is none, only the data is put in place.
    type: str
    default: vaultwarden
  data_dir:
    description: Folder on the host with the server's data.
    type: path
    default: /var/lib/vaultwarden
  directory:
    description: Folder of the archives, and of the journal.
    type: path
    default: /var/backups/vaultwarden
  version:
    description: Release of the server that is to read the data.
    type: str
    default: ""
  uid:
    description: User that the data is to belong to.
    type: int
    default: 10080
  gid:
    description: Group that the data is to belong to.
    type: int
    default: 10080
  journal_directory:
    description: >-
      Directory of the journal, that of the archives where it is empty. The playbooks give that of the server's
      upgrades, so that all of them see unfinished work.
    type: str
    default: ""
  server_url:
    description: Where the server itself answers.
    type: str
    default: http://127.0.0.1:8080
  timeout:
    description: Seconds to wait for its answer.
    type: int
    default: 120
attributes:
  check_mode:
    support: full
    description: Checks the archive, and says that it would be restored.
  diff_mode:
    support: none
    description: Data is not shown.
"""

EXAMPLES = r"""
- name: Restore the newest backup
  vaultwire.stack.vault_restore:
    archive: newest
    version: "1.37.2"

- name: Keep it
  vaultwire.stack.vault_restore:
    state: committed
"""

RETURN = r"""
archive:
  description: The archive that was used.
  returned: with O(state=restored)
  type: str
created:
  description: When it was made, in UTC.
  returned: with O(state=restored)
  type: str
server_version:
  description: Release that it is from.
  returned: with O(state=restored)
  type: str
missing:
  description: Files that the database names and the archive does not have.
  returned: with O(state=restored)
  type: list
  elements: str
aside:
  description: Where the old data is; empty in check mode.
  returned: with O(state=restored)
  type: str
kept:
  description: Where data is kept that is not in use any more, as a sentence; empty where there is none.
  returned: with O(state=committed) and O(state=undone)
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _backup, _commands, _internal, _restore
from ansible_collections.vaultwire.stack.plugins.module_utils._swap import Engine, SwapError

ARGUMENTS: t.Dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["restored", "committed", "undone"], "default": "restored"},
    "archive": {"type": "str", "default": ""},
    "container": {"type": "str", "default": "vaultwarden"},
    "data_dir": {"type": "path", "default": "/var/lib/vaultwarden"},
    "directory": {"type": "path", "default": "/var/backups/vaultwarden"},
    "journal_directory": {"type": "str", "default": ""},
    "version": {"type": "str", "default": ""},
    "uid": {"type": "int", "default": 10080},
    "gid": {"type": "int", "default": 10080},
    "server_url": {"type": "str", "default": "http://127.0.0.1:8080"},
    "timeout": {"type": "int", "default": 120},
}


def chosen_archive(name: str, directory: str, container: str) -> str:
    """The path that is meant. Raises RestoreError, whose text lists what there is."""
    found = _backup.archives(directory, container)
    if name == "newest" and found:
        return found[0].path
    path = os.path.join(directory, name)
    if name not in ("", "newest") and os.path.isfile(path):
        return path
    there = ", ".join(os.path.basename(archive.path) for archive in found[:10]) or "none"
    raise _restore.RestoreError(
        f"{name or 'No archive'} is {'not there' if name else 'named'}. Set vaultwarden_backup_restore_from to newest, "
        f"to a name in {directory} or to an absolute path on the host. Archives of {container} there: {there}. Nothing "
        f"has been restored."
    )


def restored(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Restore, or in check mode only judge."""
    params = module.params
    wanted = _restore.Wanted(
        archive=chosen_archive(params["archive"], params["directory"], params["container"]),
        data_dir=os.path.realpath(params["data_dir"]),
        container=params["container"],
        directory=params["directory"],
        version=params["version"],
        uid=params["uid"],
        gid=params["gid"],
        url=params["server_url"],
        timeout=params["timeout"],
        journal=_journal(params),
    )
    run = _backup.where_installed(_commands.limited(module.run_command, _commands.ACTION_SECONDS))
    if module.check_mode:
        manifest, aside = _restore.check(wanted, Engine(run)), ""
    else:
        with _backup.lock(params["directory"]):
            manifest, record = _restore.restore(wanted, run)
        aside = record.aside
    return {
        "changed": True,
        "archive": wanted.archive,
        "created": manifest.created,
        "server_version": manifest.server_version,
        "missing": manifest.missing,
        "aside": aside,
    }


def concluded(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Commit or undo."""
    params = module.params
    if module.check_mode or not os.path.isdir(params["directory"]):
        return {"changed": False, "kept": ""}
    run = _backup.where_installed(_commands.limited(module.run_command, _commands.ACTION_SECONDS))
    with _backup.lock(params["directory"]):
        done, kept = _restore.conclude(params["state"], _journal(params), params["container"], run)
    return {"changed": done, "kept": kept}


def _journal(params: t.Mapping[str, t.Any]) -> str:
    return str(params["journal_directory"] or params["directory"])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "vault_restore", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    if not module.check_mode:
        os.makedirs(module.params["directory"], mode=0o700, exist_ok=True)
    try:
        module.exit_json(**(restored(module) if module.params["state"] == "restored" else concluded(module)))
    except (_backup.BackupError, SwapError) as exc:
        module.fail_json(msg=f"{exc} Nothing has been restored.")
    except _restore.RestoreError as exc:
        module.fail_json(msg=str(exc))


if __name__ == "__main__":
    main()
