# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine itself must offer: a few Debian packages and one kernel limit."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lab.paths import LOGS
from lab.shell import LabError, as_root, run, run_logged, say, step, warn, which

# program that shows a package is there -> package
PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "dockerd": "docker.io",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
    "iptables": "iptables",
    "ip": "iproute2",
    "dpkg-deb": "dpkg",
    "chromium": "chromium",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Every host takes seven; the usual limit of 128 ends at 18 hosts, with errors that name something else.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 1024


def missing_packages() -> list[str]:
    """List the packages whose programs are not found."""
    wanted = {package for program, package in PROGRAMS.items() if which(program) is None}
    if not KEYRING.exists():
        wanted.add("debian-archive-keyring")
    return sorted(wanted)


def ensure_packages() -> None:
    """Install what is missing with apt."""
    missing = missing_packages()
    if missing:
        install_packages(missing)
    if which("docker") is None:
        install_packages(["docker-cli"])  # split off docker.io from trixie on


def install_packages(packages: list[str]) -> None:
    """Install packages with apt; none of those that the lab wants starts anything but the engine."""
    names = ", ".join(packages)
    if which("apt-get") is None:
        raise LabError(f"These packages are missing and there is no apt-get to install them: {names}.")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    with step(f"installing packages: {names}", 40):
        with contextlib.suppress(LabError):  # one broken source of many: the packages may be at hand all the same
            run_logged(as_root(["apt-get", "update", "-q"]), LOGS / "apt-update.log", env=env)
        argv = as_root(["apt-get", "install", "-q", "--yes", "--no-install-recommends", *packages])
        run_logged(argv, LOGS / "apt-install.log", env=env)


def ensure_inotify() -> None:
    """Raise the limit on inotify instances, or say what is lost."""
    if int(INOTIFY.read_text()) >= INOTIFY_WANTED:
        return
    setting = f"fs.inotify.max_user_instances={INOTIFY_WANTED}"
    if run(as_root(["sysctl", "-q", "-w", setting]), check=False).returncode:
        warn(f"{setting} could not be set: more than about 15 hosts at once will not start")
    else:
        say(f"{setting} is set")
