# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that run the collection's own modules."""

from actions import run_module, run_playbook

__all__ = ["run_module", "run_playbook"]
