# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests of real clients in a network namespace that has loopback only, so nothing can leave the machine.

Usage: python3 -m tests.browser.run [arguments of pytest]

Port 443 is free in there, the file of hosts is private, and whatever was started ends with it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "clients"
MODULES = BUILD / "node_modules"
LOCK = "package-lock.json"
HOST = "vault.test"
#: Set inside the namespace; without it the tests refuse to run.
INSIDE = "VAULTWIRE_CLIENTS_INSIDE"

#: What is run, and the Debian package that has it. nginx is in a folder that is not in everybody's PATH.
PROGRAMS = {
    "chromium": "chromium",
    "nginx": "nginx",
    "certutil": "libnss3-tools",
    "openssl": "openssl",
    "ip": "iproute2",
    "unshare": "util-linux",
    "node": "nodejs (20 or newer)",
    "npm": "npm",
}
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def missing() -> list[str]:
    """One line for each program that is not there."""
    return [
        f"{program} is missing. Install the package {package}, then run make clients again."
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=PATH) is None
    ]


def install() -> None:
    """Install exactly what the lock file names, unless that has been done. No package may run a script."""
    wanted = hashlib.sha256((HERE / LOCK).read_bytes()).hexdigest()
    stamp = BUILD / "installed.sha256"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", LOCK, ".npmrc"):
        shutil.copy(HERE / name, BUILD / name)
    print("[clients] installing the clients into build/clients (about 320 MB)", flush=True)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=BUILD, env={**os.environ, "PATH": PATH}, check=False).returncode != 0:
        raise SystemExit("[clients] npm could not install the clients; its message is above.")
    stamp.write_text(wanted, encoding="ascii")


def enter(arguments: list[str]) -> int:
    """Start this module again in its own namespaces; those of a user too where this is not root."""
    mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
    namespaces = ["unshare", *mapped, "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*namespaces, sys.executable, "-m", "tests.browser.run", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": PATH, INSIDE: "yes"}, check=False).returncode


def inside(arguments: list[str]) -> int:
    """Raise loopback, give the vault's name to it for this namespace only, and run pytest."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="vaultwire-clients-") as folder:
        hosts = Path(folder, "hosts")
        hosts.write_text(f"127.0.0.1 localhost {HOST}\n", encoding="ascii")
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
        command = [sys.executable, "-m", "pytest", str(HERE), f"--basetemp={folder}/pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    """Outside prepare and enter; inside test."""
    if os.environ.get(INSIDE):
        return inside(arguments)
    if lines := missing():
        print("\n".join(f"[clients] {line}" for line in lines), file=sys.stderr)
        return 1
    install()
    return enter(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
