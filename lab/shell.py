# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs, speaking to the user, and locks between runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

# Debian keeps sbin off an ordinary user's PATH, and dockerd lives there.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class LabError(Exception):
    """Something the user can act on; its text is the whole message."""


def say(text: str) -> None:
    """Print one progress line."""
    print(f"[lab] {text}", flush=True)


def warn(text: str) -> None:
    """Print one line that must be seen even when standard output is piped away."""
    print(f"[lab] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str, about: int) -> Iterator[None]:
    """Announce a slow step with its usual length, and say how long it took."""
    say(f"{what} (about {about} s)")
    began = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - began:.1f} s")


def which(program: str) -> str | None:
    """Find a program, in the sbin folders too."""
    return shutil.which(program, path=SEARCH_PATH)


def as_root(argv: Sequence[str]) -> list[str]:
    """Put sudo before a command unless we are root already."""
    if os.geteuid() == 0:
        return list(argv)
    if which("sudo") is None:
        raise LabError(f"'{argv[0]}' needs root, and sudo is not installed. Run the command as root.")
    return ["sudo", *argv]


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program with its output captured; a failure carries the end of what it said."""
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as exc:
        raise LabError(f"'{argv[0]}' is not installed. Run: python3 -m lab setup") from exc
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"'{' '.join(argv[:4])}' gave no result within {timeout:.0f} s.") from exc
    if check and done.returncode:
        raise LabError(f"'{' '.join(argv)}' failed ({done.returncode}):\n{tail(done.stderr or done.stdout)}")
    return done


def run_logged(argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a long program with its output in a file; a failure shows the file's end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise LabError(
            f"'{argv[0]}' failed ({done.returncode}); the end of {log}:\n{tail(log.read_text(errors='replace'))}"
        )


def tail(text: str, lines: int = 25) -> str:
    """Return the last lines of a program's output."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a machine-wide lock: containers and images are global, whichever clone asks."""
    folder = Path("/run/lock")
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    path = folder / f"vaultwire-lab-{os.geteuid()}-{name}.lock"
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if name == "setup":
                say("another setup is running: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
