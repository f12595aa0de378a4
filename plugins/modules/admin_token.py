#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of admin_token; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: admin_token
short_description: Hashes an admin token once, and compares it with what a host has
version_added: "0.1.0"
description:
  - Compares a token with the file that the server reads it from, and with what the admin page saved.
  - A hash has a random salt, so a new one differs each time. One that is there already and is of this token is
    therefore kept, and a run that changes nothing stays one.
  - The token never goes to the host, and neither it nor a hash shows in what a connection prints. Results hold the
    hash, so call it with C(no_log).
  - Hashes are made on the controller, which needs the Python library argon2-cffi; hosts need nothing.
author:
  - vaultwire contributors (@vaultwire)
options:
  token:
    description: The token that is typed into the admin page, or an Argon2 string, which is taken as it is.
    type: str
    required: true
  hashed:
    description: Whether a token in plain text is to become a hash.
    type: bool
    default: true
  secrets_dir:
    description: Folder on the host with the file C(admin_token).
    type: path
    required: true
  data_dir:
    description: Folder on the host with the server's data, and in it C(config.json), where the admin page saves.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Have a hash of the admin token
  vaultwire.stack.admin_token:
    token: "{{ vaultwarden_admin_token }}"
    secrets_dir: /etc/vaultwarden/secrets
    data_dir: /var/lib/vaultwarden
  register: admin_token
  no_log: true
"""

RETURN = r"""
value:
  description: What is to stand in the file. The token itself where it is not to be hashed.
  returned: always
  type: str
saved:
  description: >-
    What a token that the admin page saved has to be equal to, so as to be no other one: itself where it is a hash of
    the token, else RV(value).
  returned: always
  type: str
opens:
  description: Whether the token opens a server that reads the file as it is now.
  returned: always
  type: bool
problem:
  description: Why the token cannot be hashed, as a sentence with its remedy; empty where it can.
  returned: always
  type: str
  sample: ""
"""
