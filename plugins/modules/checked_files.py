#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a set of configuration files, prove it with the program's own checker, or put everything back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checked_files
short_description: Writes configuration files as one transaction with a check
version_added: "0.1.0"
description:
  - Writes all files, runs the checker on the whole configuration, and restores every old file when it objects.
    A single file of a larger configuration cannot be validated by itself, which is why this is one step.
  - A marker file remembers that the program has not been reloaded yet. A run that was cut off between writing and
    reloading is so finished by the next one, which reports a change again.
author:
  - vaultwire contributors (@vaultwire)
options:
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Its directory must exist.
        type: path
        required: true
      content:
        description: The whole content as text. Required unless O(files[].sources) is given or O(files[].state=absent).
        type: str
      sources:
        description:
          - Files of the host that make up the content, one after the other, such as a certificate and its key. What
            they hold is never shown.
        type: list
        elements: path
        default: []
      group:
        description: Name of the group that owns the file, besides root as its user; empty for root.
        type: str
        default: ""
      mode:
        description: Permission bits, as a quoted octal number.
        type: str
        default: "0644"
      state:
        description: Whether the file is to be there.
        type: str
        choices: [present, absent]
        default: present
  limits:
    description: Numbers in existing files that must be at least so high. A higher one is left as it is.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: File that holds the directive. A missing file is passed over.
        type: path
        required: true
      directive:
        description: Name of the directive, followed by white space and the number.
        type: str
        required: true
      minimum:
        description: The number it must have at least.
        type: int
        required: true
      before:
        description: Regular expression of the line before which a missing directive is added; empty to leave it out.
        type: str
        default: ""
  check:
    description: Command and arguments of the checker. It must exit with 0 when the configuration is right.
    type: list
    elements: str
    required: true
  marker:
    description: File that exists while a reload is owed. Keep it below /run, so that a reboot clears it.
    type: path
    required: true
  keep:
    description:
      - Folder in which copies of what is changed are kept as it was before, for a later call with O(undo). Copies that
        are there already stay. Empty for none.
    type: str
    default: ""
  undo:
    description: Folder that an earlier call has filled by O(keep), and whose files are put back. Empty for none.
    type: str
    default: ""
  tidy:
    description: Patterns of folders that are removed afterwards when they are empty, and of links that point nowhere.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: partial
    description: Says what would change.
    details: The checker is not asked, since it could not judge files that are not written.
  diff_mode:
    support: full
    description: Shows each file.
"""

EXAMPLES = r"""
- name: Write the virtual host
  vaultwire.stack.checked_files:
    files:
      - path: /etc/nginx/conf.d/vaultwire-vaultwarden.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
    check: [nginx, -t]
    marker: /run/vaultwire/nginx.reload
  notify: Reload the reverse proxy
"""

RETURN = r"""
written:
  description: Paths that were (or, in check mode, would be) written or removed.
  returned: always
  type: list
  elements: str
  sample: [/etc/nginx/conf.d/vaultwire-vaultwarden.conf]
pending:
  description: Whether an earlier run had written files and was cut off before the reload.
  returned: always
  type: bool
"""

import grp
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _files, _internal, _transaction

ARGUMENTS: t.Dict[str, t.Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "sources": {"type": "list", "elements": "path", "default": []},
            "group": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "0644"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
    "limits": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "directive": {"type": "str", "required": True},
            "minimum": {"type": "int", "required": True},
            "before": {"type": "str", "default": ""},
        },
    },
    "check": {"type": "list", "elements": "str", "required": True},
    "marker": {"type": "path", "required": True},
    "keep": {"type": "str", "default": ""},
    "undo": {"type": "str", "default": ""},
    "tidy": {"type": "list", "elements": "str", "default": []},
}


def _content(entry: t.Mapping[str, t.Any]) -> t.Optional[bytes]:
    """What a file is to hold; None for one that is to go. A source that is missing counts as empty."""
    if entry["state"] == "absent":
        return None
    if entry["sources"]:
        return b"".join(_files.read_file(source).content or b"" for source in entry["sources"])
    return str(entry["content"]).encode()


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _group(name: str) -> int:
    """The number of a group; root's where it does not exist, which is check mode ahead of a package."""
    return grp.getgrnam(name).gr_gid if name and _is_group(name) else 0


def planned(params: t.Mapping[str, t.Any]) -> t.List[t.Tuple[_files.Wanted, _files.Found]]:
    """Every file as wanted and as found, those that already fit left out."""
    pairs = [(wanted, _files.read_file(wanted.path)) for wanted in _files.copies(params["undo"])]
    for entry in params["files"]:
        wanted = _files.Wanted(entry["path"], _content(entry), int(entry["mode"], 8), 0, _group(entry["group"]))
        pairs.append((wanted, _files.read_file(entry["path"])))
    edited: t.Dict[str, t.Tuple[_files.Found, str]] = {}
    for limit in (_files.Limit(**entry) for entry in params["limits"]):
        found = _files.read_file(limit.path)
        if found.content is not None:
            __, text = edited.get(limit.path, (found, found.content.decode()))
            edited[limit.path] = (found, _files.raise_limit(text, limit))
    for path, (found, text) in edited.items():
        pairs.append((_files.Wanted(path, text.encode(), found.mode, found.uid, found.gid), found))
    return [(wanted, found) for wanted, found in pairs if _files.differs(wanted, found)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "checked_files", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    groups = {entry["group"] for entry in module.params["files"] if entry["group"]}
    missing = sorted(name for name in groups if not _is_group(name))
    # Root's group instead would leave the proxy without its key.
    if missing and not module.check_mode:
        module.fail_json(msg=f"This host has no group {', '.join(missing)}. No file has been written.")
    changes = planned(module.params)
    hidden = {entry["path"] for entry in module.params["files"] if entry["sources"]}
    if module.params["undo"]:
        hidden = {wanted.path for wanted, __ in changes}
        if not module.check_mode:
            for path in (wanted.path for wanted, __ in changes if wanted.content is not None):
                os.makedirs(os.path.dirname(path), exist_ok=True)
    result = _transaction.run(module, changes, hidden, module.params["check"])
    if not module.check_mode:
        _files.tidy(module.params["tidy"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
