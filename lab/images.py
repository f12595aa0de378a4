# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the lab's images, each only when its recipe has no image yet."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from lab.engine import Source, build, docker, has_image
from lab.mirrors import configured_mirror
from lab.paths import CA_CERT, LABELLED, LOGS, RECIPES, SSH_KEY, STATE, SUITES
from lab.recipes import IMPORT_CHANGES, Recipe, derived_ref, raw_host, service_base
from lab.shell import LabError, as_root, run, run_logged, say, step

HOST_FILES = ("Dockerfile", "lab-init", "sshd.conf")
EXECUTABLES = ("lab-init",)


class Derived(NamedTuple):
    """One image by Dockerfile: its name, what it builds on, and its files."""

    name: str
    base: str
    folder: Path
    files: tuple[str, ...]
    extra: tuple[tuple[str, Path], ...] = ()

    @property
    def ref(self) -> str:
        """The image's full name, which changes with every input."""
        paths = [self.folder / name for name in self.files] + [path for __, path in self.extra]
        return derived_ref(self.name, {"BASE": self.base}, paths)

    def sources(self) -> list[Source]:
        """The build context."""
        own = [Source(name, self.folder / name, 0o755 if name in EXECUTABLES else 0o644) for name in self.files]
        return own + [Source(name, path) for name, path in self.extra]


def ready(suite: str) -> Derived:
    """A tree with engine and nginx installed."""
    return Derived(f"ready-{suite}", raw_host(suite).ref, RECIPES / "ready", ("Dockerfile",))


def bare_host(suite: str) -> Derived:
    """A host on which nothing is installed yet."""
    return _host(f"bare-{suite}", raw_host(suite).ref)


def full_host(suite: str) -> Derived:
    """A host with engine and nginx."""
    return _host(f"host-{suite}", ready(suite).ref)


def _host(name: str, base: str) -> Derived:
    trust = (("authorized_keys", SSH_KEY.with_suffix(".pub")), ("vaultwire-lab.crt", CA_CERT))
    return Derived(name, base, RECIPES / "host", HOST_FILES, trust)


def host_images() -> dict[str, str]:
    """Every image that a host can start from: short name -> reference."""
    hosts = [make(suite) for make in (full_host, bare_host) for suite in SUITES]
    return {host.name: host.ref for host in hosts}


def registry_image() -> str:
    """The registry's image."""
    base = service_base().ref
    folder = RECIPES / "registry"
    return derived_ref("registry", {"BASE": base}, [folder / "Dockerfile", folder / "config.yml"])


def ensure_images() -> None:
    """Build everything that is missing, two trees at a time."""
    for left in STATE.glob("work-*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    jobs: list[Callable[[], None]] = [_ensure_service, *(functools.partial(_ensure_suite, suite) for suite in SUITES)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()


def _ensure_suite(suite: str) -> None:
    recipe = raw_host(suite)
    wanted = [ready(suite), bare_host(suite), full_host(suite)]
    missing = [image for image in wanted if not has_image(image.ref)]
    if not missing:
        say(f"{suite} host images: up to date")
        return
    if not has_image(recipe.ref):
        with step(f"{suite} base: building", 60), _workspace() as folder:
            bootstrap(recipe, Path(folder), ())
    with step(f"{suite} host images: building", 20):
        for image in missing:
            build(image.ref, image.sources(), {"BASE": image.base}, LABELLED)


def _ensure_service() -> None:
    recipe = service_base()
    if has_image(recipe.ref) and has_image(registry_image()):
        say("service and registry images: up to date")
        return
    # Both at once: the registry's package is only at hand while the tree is made.
    with step("service base and registry image: building", 45), _workspace() as folder:
        downloads = Path(folder, "downloads")
        downloads.mkdir()
        bootstrap(recipe, Path(folder), (str(downloads),))
        package = next(downloads.glob("docker-registry_*.deb"))
        unpacked = Path(folder, "unpacked")
        run(["dpkg-deb", "-x", str(package), str(unpacked)])
        context = [
            Source("Dockerfile", RECIPES / "registry" / "Dockerfile"),
            Source("config.yml", RECIPES / "registry" / "config.yml"),
            Source("docker-registry", unpacked / "usr" / "bin" / "docker-registry", 0o755),
        ]
        build(registry_image(), context, {"BASE": recipe.ref}, LABELLED)


def _workspace() -> tempfile.TemporaryDirectory[str]:
    STATE.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=STATE, prefix="work-", ignore_cleanup_errors=True)


def bootstrap(recipe: Recipe, folder: Path, extra: tuple[str, ...]) -> None:
    """Make a tree and import it; try the machine's own mirror where the usual one fails."""
    target = folder / "tree.tar"
    log = LOGS / f"{recipe.name}.log"
    try:
        run_logged(as_root(recipe.command(target, None, extra)), log)
    except LabError:
        mirror = configured_mirror()
        if mirror is None:
            raise
        for left in folder.glob("downloads/*"):
            left.unlink()
        run_logged(as_root(recipe.command(target, mirror, extra)), log)
    changes = [word for change in IMPORT_CHANGES for word in ("--change", change)]
    docker("import", *changes, str(target), recipe.ref)
