#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of role_arguments; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: role_arguments
short_description: Checks the settings of a role, and says what is wrong and no more
version_added: "0.1.0"
description:
  - Checks the settings of the role in which it stands by the entry C(main) of C(meta/argument_specs.yml), like
    M(ansible.builtin.validate_argument_spec). That one prints all settings of the role after an error, which are
    about two hundred lines.
author:
  - vaultwire contributors (@vaultwire)
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode makes no difference.
  diff_mode:
    support: none
    description: Changes nothing.
options: {}
seealso:
  - module: ansible.builtin.validate_argument_spec
"""

EXAMPLES = r"""
- name: Require settings of the right types
  vaultwire.stack.role_arguments:
"""

RETURN = r"""
msg:
  description: Every setting that is missing or has a wrong type or value, in a line of its own.
  returned: failure
  type: str
  sample: "value of reverse_proxy_provider must be one of: nginx, caddy, got: ngnix"
"""
