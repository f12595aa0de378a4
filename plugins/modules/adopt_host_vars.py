#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of adopt_host_vars; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt_host_vars
short_description: Writes variables that reproduce a server which was started by hand
version_added: "0.1.0"
description:
  - Writes C(host_vars/<host>/main.yml) and, for the secrets, C(host_vars/<host>/vault.yml) on the controller. Changes
    nothing on the host.
  - Secrets are read from the container by the way. They are never part of the result, of a difference or of a log.
  - C(vault.yml) has the mode 0600. It is encrypted where Ansible has been given a vault password.
  - Files that are there and say something else are not overwritten.
author:
  - vaultwire contributors (@vaultwire)
options:
  info:
    description: Result of M(vaultwire.stack.deployment_info) with details.
    type: dict
    required: true
  container:
    description: Name of the container to take over; empty for the only vault of the host.
    type: str
    default: ""
  directory:
    description: Folder on the controller that has, or gets, the folder C(host_vars); as a rule that of the inventory.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Nothing is written, and the result is the same.
  diff_mode:
    support: full
    description: Shows the variables, and of the secrets nothing but their names.
"""

EXAMPLES = r"""
- name: Gather host state
  vaultwire.stack.deployment_info:
    details: true
  register: host

- name: Write what was found into the inventory
  vaultwire.stack.adopt_host_vars:
    info: "{{ host }}"
    directory: "{{ inventory_dir }}"
"""

RETURN = r"""
container:
  description: Name of the container.
  returned: success
  type: str
files:
  description: The files on the controller.
  returned: success
  type: list
  elements: str
variables:
  description: Names of the variables in C(main.yml).
  returned: success
  type: list
  elements: str
secrets:
  description: Names of the variables in C(vault.yml).
  returned: success
  type: list
  elements: str
encrypted:
  description: Whether C(vault.yml) is encrypted.
  returned: success
  type: bool
report:
  description: What to do, what cannot be taken over and what will change, as lines to read.
  returned: success
  type: list
  elements: str
"""
