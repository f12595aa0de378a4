# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of a playbook that is killed somewhere, as the machine of an operator would do it, losing its power."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: A task is cut off somewhere in its first moments, or the next one is.
LONGEST_DELAY = 1.0
#: Where a run was killed that had ended by itself.
LATE = "after its end"


#: Reads a run's output until the moment has come, and returns what it has read.
Strike = Callable[[subprocess.Popen[str]], str]


class Killed(NamedTuple):
    """The task that was under way, and what the run had said."""

    at: str
    output: str


def killed(command: Sequence[str], folder: Path, environment: Mapping[str, str], strike: Strike) -> Killed:
    """Begin a run, let ``strike`` wait for the moment, and kill all its processes at once. The host goes on alone."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said = strike(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    output = said + process.communicate()[0]
    tasks = [line for line in output.splitlines() if line.startswith("TASK [")]
    if process.returncode != -signal.SIGKILL:
        return Killed(LATE, output)
    return Killed(tasks[-1].strip("TASK []*\n") if tasks else "its start", output)


def at_random(draw: random.Random, tasks: int, *, changing: bool = False) -> Strike:
    """A moment in one of so many tasks; later ones are likelier, since a run begins with checks.

    ``changing``: in those of site.yml that change a host, between its checks and its report.
    """
    if changing:
        number = draw.randint(tasks * 5 // 8, tasks * 15 // 16)
    else:
        number = max(draw.randint(1, tasks), draw.randint(1, tasks))
    delay = draw.uniform(0, LONGEST_DELAY)

    def strike(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        said, left = "", number
        for line in process.stdout:
            said += line
            left -= line.startswith("TASK [")
            if not left:
                break
        time.sleep(delay)
        return said

    return strike
