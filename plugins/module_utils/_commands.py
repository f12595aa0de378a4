# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit for every command, since one that hangs would hold up a run in silence.

Standard library only, Python 3.8 and later, Linux with the program timeout of coreutils.
"""

from __future__ import annotations

import shlex
import time
import typing as t

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]

#: Seconds for a question to the engine or a proxy, and for a proxy's own check of its configuration.
QUERY_SECONDS = 60.0
#: Seconds for a service to read its configuration again, and for a container to stop or start.
ACTION_SECONDS = 120.0
#: Seconds for a service to stop and start: systemd itself gives either 90.
RESTART_SECONDS = 240.0
#: Seconds for a command that moves much data, such as an image.
TRANSFER_SECONDS = 3600.0

# What timeout exits with when it ended the command by SIGTERM; and by SIGKILL, which ends it as well.
_ENDED = (124, 137, -9)
_KILL_SECONDS = 10
_LONGEST = 160


class CommandTimeout(TimeoutError):
    """A command did not end in time and was ended. The text names it and says where to look."""

    def __init__(self, command: t.Sequence[str], seconds: float) -> None:
        super().__init__(f"{shown(command)} did not end within {seconds:g} s, and was ended. {where_to_look(command)}")


def shown(command: t.Sequence[str]) -> str:
    """A command as one types it, cut off where it is a whole script."""
    text = " ".join(shlex.quote(word) for word in command)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def where_to_look(command: t.Sequence[str]) -> str:
    """What tells on the host why a command hangs."""
    program = command[0].rpartition("/")[2]
    unit = ""
    if program == "docker":
        unit = "docker"
    elif program == "systemctl" and len(command) > 2:
        unit = command[-1]
    elif program == "service" and len(command) > 1:
        unit = command[1]
    if unit:
        return f"Look at 'systemctl status {unit}' and 'journalctl --unit {unit}' there."
    return "Run it on the host yourself to see what it waits for."


def limited(run: Run, limit: t.Optional[float] = None) -> Run:
    """The same runner with a limit, in seconds. Its calls raise CommandTimeout."""
    seconds = QUERY_SECONDS if limit is None else limit

    def call(command: t.List[str]) -> t.Tuple[int, str, str]:
        begin = time.monotonic()
        code, out, err = run(["timeout", f"--kill-after={_KILL_SECONDS}", f"{seconds:g}", *command])
        if code in _ENDED and time.monotonic() - begin >= seconds:
            raise CommandTimeout(command, seconds)
        return code, out, err

    return call
