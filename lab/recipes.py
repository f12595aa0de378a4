# SPDX-License-Identifier: GPL-3.0-or-later
"""What the base images are made of. A recipe's hash is its image's tag: unchanged recipes are never built again."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lab.paths import IMAGES, LABELLED, RECIPES

HOST_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-apt", "ca-certificates",
    "iproute2", "procps", "iptables", "kmod", "cron", "curl", "tzdata",
)  # fmt: skip
# Not installed, but to be had by apt-get install without any network.
LOCAL_PACKAGES = (
    "docker.io", "nginx", "python3-requests",
    "apache2", "caddy", "haproxy", "lighttpd", "lighttpd-mod-openssl", "sqlite3", "acl",
    "fail2ban", "python3-systemd", "logrotate",
    "python3-websocket", "python3-msgpack",
)  # fmt: skip
LOCAL_PACKAGES_OF = {"bookworm": (), "trixie": ("docker-cli",), "forky": ("docker-cli", "openssh-client")}
# The same for packages that conflict with those: they are downloaded on their own.
CONFLICTING_PACKAGES_OF = {"bookworm": ("podman-docker",), "trixie": (), "forky": ()}
# A mirror's copy of a release that is not out yet may lag behind what its Release file promises.
APT_OPTIONS_OF = {"bookworm": (), "trixie": (), "forky": ('Acquire::Check-Valid-Until "false"',)}
# systemd 258 and later refuse cgroup v1, which the machine may have. These hosts mount cgroup v2 for themselves.
CGROUP_V2_SUITES = ("forky",)
SERVICE_SUITE = "trixie"
SERVICE_PACKAGES = ("python3-aiohttp", "python3-msgpack", "python3-argon2", "curl", "ca-certificates", "libssl3")

# What docker import adds to a tree.
IMPORT_CHANGES = (f"LABEL {LABELLED}", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")

NEVER_READ = ("man", "doc", "locale", "info", "lintian")
SERVICE_NEVER_READ = ("zoneinfo",)


class Recipe(NamedTuple):
    """One image by mmdebstrap: its name, and everything that decides about its content."""

    name: str
    suite: str
    variant: str
    packages: tuple[str, ...]
    excluded: tuple[str, ...]
    hook: Path
    hook_arguments: tuple[str, ...]
    apt_options: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The image's full name."""
        settings = [self.suite, *self._options(), *self.hook_arguments, *IMPORT_CHANGES]
        return f"{IMAGES}/{self.name}:{digest(settings, [self.hook])}"

    def _options(self) -> list[str]:
        return [
            f"--variant={self.variant}",
            "--mode=root",
            "--format=tar",
            '--aptopt=Apt::Install-Recommends "false"',
            *(f"--aptopt={option}" for option in self.apt_options),
            "--dpkgopt=force-unsafe-io",  # a throwaway host need not survive a power cut
            *(f"--dpkgopt=path-exclude={path}" for path in self.excluded),
            f"--include={','.join(self.packages)}",
        ]

    def command(self, target: Path, mirror: str | None, extra: Sequence[str] = ()) -> list[str]:
        """Return the mmdebstrap call that makes the tree; extra arguments go to the hook's end."""
        hook = f'sh {shlex.quote(str(self.hook))} "$1" {shlex.join([*self.hook_arguments, *extra])}'
        argv = ["mmdebstrap", *self._options(), f"--customize-hook={hook}", self.suite, str(target)]
        return [*argv, mirror] if mirror else argv


def digest(texts: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a short hash over settings and the names and contents of files."""
    total = hashlib.sha256()
    parts = [text.encode() for text in texts]
    for path in files:
        parts += [path.name.encode(), path.read_bytes()]
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()[:12]


def folder_digest(folder: Path, texts: Iterable[str] = ()) -> str:
    """Return a short hash over a folder's files, byte code left out."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = [str(path.relative_to(folder)) for path in paths]
    return digest([*texts, *names], paths)


def _shares(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"/usr/share/{name}/*" for name in names)


def raw_host(suite: str) -> Recipe:
    """A fresh Debian machine's tree, with the local repository."""
    conflicting = CONFLICTING_PACKAGES_OF[suite]
    return Recipe(
        name=f"raw-{suite}",
        suite=suite,
        variant="minbase",
        packages=HOST_PACKAGES,
        excluded=_shares(NEVER_READ),
        hook=RECIPES / "raw" / "local-repo.sh",
        hook_arguments=(*LOCAL_PACKAGES, *LOCAL_PACKAGES_OF[suite], *(("--", *conflicting) if conflicting else ())),
        apt_options=APT_OPTIONS_OF[suite],
    )


def service_base() -> Recipe:
    """The tree under the server and the registry."""
    return Recipe(
        name="service",
        suite=SERVICE_SUITE,
        variant="essential",
        packages=SERVICE_PACKAGES,
        excluded=(*_shares((*NEVER_READ, *SERVICE_NEVER_READ)), "/usr/lib/*/gconv/*"),
        hook=RECIPES / "service" / "slim.sh",
        hook_arguments=(),
    )


def derived_ref(name: str, arguments: Mapping[str, str], files: Iterable[Path]) -> str:
    """Return the name of an image built by Dockerfile from these arguments and files."""
    return f"{IMAGES}/{name}:{digest([f'{key}={arguments[key]}' for key in sorted(arguments)], files)}"
