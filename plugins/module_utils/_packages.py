# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python packages beside Ansible that parts of this collection need: which are missing, and how to get them.

No Ansible imports. The packages are looked for in the Python that asks: that of Ansible on the controller, or that of a
module on a host.
"""

from __future__ import annotations

import importlib
import sys
import typing as t

#: Package as pip has it -> the name it is imported by. Debian calls each python3-<that name>.
PACKAGES: t.Dict[str, str] = {"argon2-cffi": "argon2", "msgpack": "msgpack", "websocket-client": "websocket"}

CONTROLLER = "the machine that Ansible runs on"
LIVE_UPDATE = ("msgpack", "websocket-client")
ADMIN_TOKEN_HASH = ("argon2-cffi",)


def missing(packages: t.Iterable[str]) -> t.List[str]:
    """Those of the packages that cannot be imported. One that is there but broken counts as missing."""
    return [package for package in packages if not _works(PACKAGES[package])]


def _works(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def problem(purpose: str, lacking: t.Sequence[str], where: str = CONTROLLER) -> str:
    """What to say of missing packages, and the command that installs them; empty where none is missing.

    On the controller the command brings all packages of this collection that its Python lacks, so that the next run
    does not stop at another one. A host needs only those that it is asked for.
    """
    if not lacking:
        return ""
    everything = sorted({*lacking, *(missing(PACKAGES) if where == CONTROLLER else ())})
    distribution = " ".join(f"python3-{PACKAGES[package]}" for package in everything)
    return (
        f"{purpose} needs the Python packages {' and '.join(lacking)} on {where}, where {sys.executable} cannot import "
        f"them. Install what is missing there: {sys.executable} -m pip install {' '.join(everything)}; or, where that "
        f"is the Python of Debian: apt install {distribution}."
    )
