# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap on the host itself, and die by SIGKILL right after a step stands in the journal: ``cut_off.py RECORD STEP``.

Without a step it does what the next run does first. It lies beside a copy of the collection's module_utils; RECORD is
a file with the journal's record as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ansible_collections.vaultwire.stack.plugins.module_utils import _swap


class DeadlyJournal(_swap.Journal):
    """One that kills its writer."""

    deadly = ""

    def write(self, record: _swap.Record) -> None:
        """The entry is on disk before it strikes."""
        super().write(record)
        if record.step == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def run(command: list[str]) -> tuple[int, str, str]:
    """A command of the engine or of the service manager."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def main() -> None:
    """Go forward until the step, or bring to rest."""
    record = _swap.Record(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    journal = DeadlyJournal(str(Path(record.folder).parent))
    engine = _swap.Engine(run)
    if len(sys.argv) > 2:
        journal.deadly = sys.argv[2]
        _swap.Swap(engine, journal, record, run).forward()
    else:
        left = journal.read()
        assert left is not None
        print(_swap.recover(_swap.Swap(engine, journal, left, run), "another"))


main()
