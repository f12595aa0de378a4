#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove one site of this collection from a proxy, as one transaction with a check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_removal
short_description: Removes a site from a reverse proxy, and with the last one what sites share
version_added: "0.1.0"
description:
  - Removes the files of one site, changes what other sites share with it, asks the proxy's own checker about what is
    left, and puts everything back when it objects.
  - Says what the service needs then. Other sites, and files of other hands, are left alone.
  - A marker file remembers that the service has not been told yet, as with M(vaultwire.stack.checked_files).
author:
  - vaultwire contributors (@vaultwire)
options:
  provider:
    description: The proxy.
    type: str
    required: true
    choices: [nginx, caddy, haproxy, apache, traefik, lighttpd]
  site:
    description: Name of the site, as in the role's variable C(reverse_proxy_site).
    type: str
    required: true
  service:
    description: Name of the proxy's service.
    type: str
    required: true
  marker:
    description: File that exists while the service is owed something. Keep it below /run, so that a reboot clears it.
    type: path
    required: true
  keep:
    description:
      - Folder in which copies of what is changed are kept as it was before, to be put back with
        M(vaultwire.stack.checked_files). Empty for none.
    type: str
    default: ""
attributes:
  check_mode:
    support: partial
    description: Says what would change.
    details: The checker is not asked, since the files are still in place.
  diff_mode:
    support: full
    description: Shows each file but certificates and keys.
"""

EXAMPLES = r"""
- name: Remove the site
  vaultwire.stack.site_removal:
    provider: nginx
    site: vaultwarden
    service: nginx
    marker: /run/vaultwire/nginx.reload
  register: removed

- name: Have the proxy go on with its other sites
  ansible.builtin.systemd_service:
    name: nginx
    state: "{{ removed.action }}"
  when: removed.action != ""
"""

RETURN = r"""
written:
  description: Paths that were (or, in check mode, would be) removed or changed.
  returned: always
  type: list
  elements: str
  sample: [/etc/nginx/conf.d/vaultwire-vaultwarden.conf]
pending:
  description: Whether an earlier run had changed files and was cut off before the service was told.
  returned: always
  type: bool
last:
  description: Whether no other site is left on this proxy.
  returned: always
  type: bool
action:
  description: >-
    What the service has to be, V(reloaded), V(restarted) or V(stopped), the last where it would not start again; empty
    where nothing changed or the proxy does not run.
  returned: always
  type: str
  sample: reloaded
"""

import contextlib
import glob
import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import (
    _commands,
    _files,
    _footprint,
    _internal,
    _transaction,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._vaults import read_files

ARGUMENTS: t.Dict[str, t.Any] = {
    "provider": {"type": "str", "required": True, "choices": list(_footprint.FOOTPRINTS)},
    "site": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "marker": {"type": "path", "required": True},
    "keep": {"type": "str", "default": ""},
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _runs(module: AnsibleModule, process: str) -> bool:
    """Whether the service runs; by its process where systemd does not run."""
    if os.path.isdir("/run/systemd/system"):
        return (
            _commands.limited(module.run_command)(["systemctl", "is-active", "--quiet", module.params["service"]])[0]
            == 0
        )
    for path in glob.glob("/proc/[0-9]*/comm"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as comm:
            if comm.read().strip() == process:
                return True
    return False


def changes_of(gone: _footprint.Removal) -> t.List[t.Tuple[_files.Wanted, _files.Found]]:
    """The removal as changes, with the files as they are."""
    pairs = []
    for path, text in sorted(gone.files.items()):
        found = _files.read_file(path)
        pairs.append((_files.Wanted(path, None if text is None else text.encode(), *found[1:]), found))
    return [(wanted, found) for wanted, found in pairs if _files.differs(wanted, found)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "site_removal", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    provider, site = module.params["provider"], module.params["site"]
    mark = _footprint.FOOTPRINTS[provider]
    gone = _footprint.removal(provider, site, read_files)
    # Asked before the files are gone, since it depends on what is left.
    action = _footprint.action_after(provider, gone, read_files) if _runs(module, mark.process) else ""
    result = _transaction.run(
        module,
        changes_of(gone),
        {path for path in gone.files if path.endswith((".pem", ".key"))},
        # Without the program there is nothing that could object, and nothing that would read the files.
        mark.check if shutil.which(mark.process, path=_SYSTEM_PATH) else (),
    )
    if result["changed"] and not module.check_mode:
        _files.tidy(mark.folders)
    module.exit_json(**result, last=gone.last, action=action if result["changed"] else "")


if __name__ == "__main__":
    main()
