#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of proof_verdict; the work is in the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proof_verdict
short_description: Say what was proved on a host, and fail where it was not
version_added: "0.1.0"
description:
  - Shows the verdict of M(vaultwire.stack.live_proof) and ends the run on the host as that says, failed or unreachable.
    It is a step of its own, so that the report of all hosts is written before any of them is lost.
author:
  - vaultwire contributors (@vaultwire)
attributes:
  check_mode:
    description: Can run in check mode.
    support: full
  diff_mode:
    description: Returns what would change as a diff. There is nothing to change.
    support: none
options:
  proved_in:
    description:
      - Name of the variable in which M(vaultwire.stack.live_proof) was registered.
    type: str
    required: true
  written_in:
    description:
      - Name of the variable in which M(vaultwire.stack.proof_report) was registered. A report that was wanted and not
        written fails the run.
    type: str
    required: true
seealso:
  - module: vaultwire.stack.live_proof
"""

EXAMPLES = r"""
- name: Say what came of the proofs
  vaultwire.stack.proof_verdict:
    proved_in: proved
    written_in: written
"""

RETURN = r"""
msg:
  description: What was proved, in one line, or every fault in a line of its own.
  returned: always
  type: str
"""
