#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of live_proof; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: live_proof
short_description: Ask both hubs of a vault, and show a change in one session to another, in one step
version_added: "0.1.0"
description:
  - Does what M(vaultwire.stack.hub_probe) and, unless that failed, M(vaultwire.stack.live_update) do. On the controller
    this happens in Ansible's own process, so that a fleet is not held up by starting modules; with
    C(notifications_check_from=host) it runs the modules on the host.
  - Has no options. It reads the variables C(notifications_check_*) of the role C(notifications_check) by itself, since
    arguments of a task are shown in many places, and each template costs time for each host.
  - Never fails for what it finds, so that M(vaultwire.stack.proof_report) has every host;
    M(vaultwire.stack.proof_verdict) says it afterwards.
  - No result holds a secret.
author:
  - vaultwire contributors (@vaultwire)
attributes:
  check_mode:
    description: Can run in check mode, in which the live update is left out and faults are only said.
    support: full
  diff_mode:
    description: Returns what would change as a diff. The vault is the same afterwards.
    support: none
options: {}
seealso:
  - module: vaultwire.stack.hub_probe
  - module: vaultwire.stack.live_update
  - module: vaultwire.stack.proof_verdict
"""

EXAMPLES = r"""
- name: Prove live notifications
  vaultwire.stack.live_proof:
  register: proved

- name: Say what came of it
  vaultwire.stack.proof_verdict:
    proved_in: proved
    written_in: written
"""

RETURN = r"""
proof:
  description:
    - What was proved, with C(url), C(probe) (the result of M(vaultwire.stack.hub_probe)), C(live_update) (that of
      M(vaultwire.stack.live_update)), C(live_required) and C(push), which is what C(notifications_check_push) says.
  returned: always
  type: dict
verdict:
  description: What M(vaultwire.stack.proof_verdict) returns for it.
  returned: always
  type: dict
report_wanted:
  description: Whether C(notifications_check_report_dir) is set.
  returned: always
  type: bool
"""
