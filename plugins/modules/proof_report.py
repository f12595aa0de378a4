#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of proof_report; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proof_report
short_description: Write one report of the proofs of all hosts
version_added: "0.1.0"
description:
  - Used twice. On each host with O(proof), to keep what was proved; then once with O(directory), to write
    C(report.html) and C(report.json) of all hosts of the play on the controller.
  - Hosts of the play for which nothing was kept, since they failed or were unreachable, are shown as hosts without a
    result.
  - C(report.json) follows C(docs/report.schema.json). Neither file holds a secret, as long as O(proof) holds none.
author:
  - vaultwire contributors (@vaultwire)
attributes:
  check_mode:
    description: Can run in check mode, in which nothing is written.
    support: full
  diff_mode:
    description: Returns what would change as a diff. A report is always a new one.
    support: none
options:
  proof:
    description:
      - What was proved on this host, with C(url), C(probe) (the result of M(vaultwire.stack.hub_probe)),
        C(live_update) (that of M(vaultwire.stack.live_update)), C(live_required) and C(push) (V(configured), V(none) or
        V(unknown)).
      - Mutually exclusive with O(directory).
    type: dict
  kept_in:
    description:
      - Name of the variable in which the hosts registered what they kept. Needed with O(directory).
    type: str
  directory:
    description:
      - Folder on the controller that gets a new folder, named by the time, with the two files.
    type: str
seealso:
  - module: vaultwire.stack.hub_probe
  - module: vaultwire.stack.live_update
"""

EXAMPLES = r"""
- name: Keep what was proved
  vaultwire.stack.proof_report:
    proof:
      url: https://vault.example.com
      probe: "{{ probe }}"
      live_update: "{{ live }}"
  register: kept

- name: Write the report of all hosts
  vaultwire.stack.proof_report:
    kept_in: kept
    directory: build/reports
  run_once: true
"""

RETURN = r"""
directory:
  description: The new folder with the two files.
  returned: when written
  type: str
  sample: /srv/clone/build/reports/20260101T120000Z
summary:
  description: How many hosts were proved, and how many were not.
  returned: when written
  type: dict
  sample: {hosts: 2, proved: 1, hubs_only: 0, faulty: 1, no_result: 0, check_failed: 0, not_tried: 0, errors: 1,
           warnings: 0}
proof:
  description: What was kept.
  returned: with O(proof)
  type: dict
"""
