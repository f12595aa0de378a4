# SPDX-License-Identifier: GPL-3.0-or-later
"""The log: lines of the shape that fail2ban filters and people's eyes are used to."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

LEVELS = {"off": 0, "error": 1, "warn": 2, "info": 3, "debug": 4, "trace": 5}

#: In the notation of the real server, which has %3f for milliseconds.
DEFAULT_TIME = "%Y-%m-%d %H:%M:%S.%3f"


class Log:
    """Writes ``[time][target][LEVEL] message`` to standard output and, if asked, to a file as well."""

    def __init__(self, level: str = "info", file: Path | None = None, time: str = DEFAULT_TIME) -> None:
        self._limit = LEVELS.get(level, LEVELS["info"])
        self._time = time
        self._file = file.open("a", encoding="utf-8") if file else None

    def plain(self, line: str) -> None:
        """A line without time and level, as the server prints before its log is set up."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def write(self, level: str, target: str, message: str) -> None:
        """One line, if the level asks for it."""
        if LEVELS[level] > self._limit:
            return
        now = datetime.now().astimezone()
        time = now.strftime(self._time.replace("%3f", f"{now.microsecond // 1000:03}"))
        line = f"[{time}][{target}][{level.upper()}] {message}"
        self.plain(line)
        if self._file:
            self._file.write(f"{line}\n")
            self._file.flush()

    def info(self, target: str, message: str) -> None:
        """One line at level info."""
        self.write("info", target, message)

    def error(self, target: str, message: str) -> None:
        """One line at level error."""
        self.write("error", target, message)
