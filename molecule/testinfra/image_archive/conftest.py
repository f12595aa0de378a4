# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that run the playbooks and see what they change."""

from actions import run_playbook, snapshot

__all__ = ["run_playbook", "snapshot"]
