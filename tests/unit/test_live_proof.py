# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action live_proof brings along: it is loaded once, and then forked for each host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "ansible_collections.vaultwire.stack.plugins"


def test_all_filters_are_there_before_the_fork() -> None:
    """Each one that is missing would be compiled anew for each host, which is dearer than the proof."""
    filters = {f"{PACKAGE}.filter.{path.stem}" for path in (ROOT / "plugins" / "filter").glob("*.py")}
    code = f"import sys, {PACKAGE}.action.live_proof; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "collections", check=True, stdout=subprocess.PIPE, text=True
    )
    assert filters <= set(done.stdout.split())
