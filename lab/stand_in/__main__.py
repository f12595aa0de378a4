# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: start the server, ask for its version, or make a backup."""

from __future__ import annotations

import os
import sys

from .eras import Era
from .log import Log
from .settings import EXIT_FAILED, RefusedError, Settings, check_surroundings, load

USAGE = "usage: vaultwarden [--version | --help | backup]"
BANNER = """\
|--------------------------------------------------------------------|
|          vaultwire lab stand-in: this is NOT vaultwarden           |
|   It imitates the server's answers for tests. Keep no secrets in   |
|   it. Imitated version: {version:<43}|
|--------------------------------------------------------------------|"""


def _announce(settings: Settings, log: Log) -> None:
    if settings.overridden:
        log.plain("[WARNING] config.json overrides these environment variables:")
        log.plain(f"[WARNING] {', '.join(settings.overridden)}")
    if settings.admin_token and not settings.admin_token.startswith("$argon2"):
        log.plain("[NOTICE] ADMIN_TOKEN is plain text. An Argon2 hash is safer.")


def _start(era: Era, command: str) -> int:
    settings = load(era)
    log = Log(settings.log_level, settings.log_file, settings.log_time)
    _announce(settings, log)
    check_surroundings(settings)
    from . import app  # late, so that a refusal does not have to wait for it

    if command == "backup":
        app.backup(settings, log)
        return 0
    app.run(settings, log)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run and return the exit status."""
    command = " ".join(sys.argv[1:] if arguments is None else arguments)
    console = Log()
    try:
        era = Era.parse(os.environ.get("APP_VERSION", ""))
    except ValueError as exc:
        console.plain(str(exc))
        return EXIT_FAILED
    if command in ("--version", "-v"):
        console.plain(f"vaultwarden {era}")
        return 0
    if command in ("--help", "-h") or (command and not (command == "backup" and era.has("backup_command"))):
        console.plain(USAGE)
        return 0 if command in ("--help", "-h") else EXIT_FAILED
    console.plain(BANNER.format(version=str(era)))
    try:
        return _start(era, command)
    except RefusedError as exc:
        console.plain("Error loading config:" if exc.code > EXIT_FAILED else "Error starting:")
        console.plain(f"  {exc}")
        return exc.code


if __name__ == "__main__":
    sys.exit(main())
