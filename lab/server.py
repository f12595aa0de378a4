# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server the registry serves: the real image, real executables in an image like it, or the stand-in."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from lab.engine import Source, build, docker, docker_try, has_image
from lab.paths import IMAGES, LABELLED, RECIPES, STAND_IN, STATE
from lab.recipes import digest, folder_digest, service_base
from lab.registry import Tag, connection, push
from lab.shell import LabError, say, step, tail

VERSIONS = ("1.28.1", "1.29.2", "1.30.5", "1.31.0", "1.32.7", "1.34.3", "1.36.0", "1.37.2")
ALPINE_TOO = ("1.30.5", "1.37.2")
UPSTREAM = "vaultwarden/server"  # docker.io and quay.io
MIRROR = "dani-garcia/vaultwarden"  # ghcr.io
LAST_WITH_TWO_PORTS = (1, 31)

BANNER = "LAB: the server is the project's stand-in, not the real vaultwarden"
PROBE = "https://registry-1.docker.io/v2/"
PROBE_TIMEOUT = 5
PULL_TIMEOUT = 900
REMEMBERED = STATE / "real-image-probe.json"
REMEMBER_FOR = 12 * 3600
PUSHED = STATE / "pushed.json"

Word = Literal["auto", "real", "stand-in", "folder"]
Kind = Literal["real", "stand-in"]
WORDS: dict[str, Word] = {"auto": "auto", "real": "real", "stand-in": "stand-in"}


class Choice(NamedTuple):
    """What LAB_SERVER asks for."""

    word: Word
    folder: Path | None = None


class Served(NamedTuple):
    """What the registry serves: kind, where it came from, and version -> local image, alpine tags apart."""

    kind: Kind
    source: str
    images: dict[str, str]
    alpine: dict[str, str]


def parse_choice(value: str | None, folder: Path | None = None) -> Choice:
    """Read LAB_SERVER; folders count from the given folder."""
    word = value or "auto"
    if word in WORDS:
        return Choice(WORDS[word])
    path = Path(folder or Path.cwd(), word).resolve()
    if path.is_dir():
        return Choice("folder", path)
    raise LabError(
        f"LAB_SERVER is '{word}'. Set it to auto, real, stand-in, or a folder with executables named"
        f" vaultwarden-<version>; {path} is no folder."
    )


def version_key(version: str) -> tuple[int, ...]:
    """Order versions by number."""
    return tuple(int(part) for part in version.split("."))


def exposed_ports(version: str) -> str:
    """The ports that the image declares: two until 1.31.0, although nothing listens on 3012 in that one."""
    return "80 3012" if version_key(version)[:2] <= LAST_WITH_TWO_PORTS else "80"


def executables(folder: Path) -> dict[str, Path]:
    """Find vaultwarden-<version> in a folder, oldest first."""
    found = {}
    for path in folder.glob("vaultwarden-*"):
        version = path.name.removeprefix("vaultwarden-")
        if re.fullmatch(r"\d+\.\d+\.\d+", version) and path.is_file() and os.access(path, os.X_OK):
            found[version] = path.resolve()
    return {version: found[version] for version in sorted(found, key=version_key)}


def tags_for(images: Mapping[str, str], alpine: Mapping[str, str]) -> dict[Tag, str]:
    """Every name to serve, and the local image behind it; the moving tag latest is the newest of them."""
    named = {**images, **({"latest": images[max(images, key=version_key)]} if images else {})}
    served = {Tag(UPSTREAM, version): image for version, image in named.items()}
    served |= {Tag(MIRROR, version): image for version, image in named.items()}
    return served | {Tag(UPSTREAM, f"{version}-alpine"): image for version, image in alpine.items()}


def likely_kind() -> Kind:
    """What a setup would serve now, without pulling anything."""
    choice = parse_choice(os.environ.get("LAB_SERVER"))
    if choice.word == "auto":
        return "real" if _real_is_reachable() else "stand-in"
    return "stand-in" if choice.word == "stand-in" else "real"


def ensure_server() -> Served:
    """Make the registry serve what LAB_SERVER asks for, and nothing else under the server's names."""
    choice = parse_choice(os.environ.get("LAB_SERVER"))
    served = _prepare(choice)
    _publish(tags_for(served.images, served.alpine))
    say(f"server: {served.kind} ({served.source}), versions {', '.join(served.images)}")
    missing = [version for version in VERSIONS if version not in served.images]
    if missing:
        say(f"server: no executable for {', '.join(missing)}; these versions cannot be pulled")
    if served.kind == "stand-in":
        say(BANNER)
    return served


def _prepare(choice: Choice) -> Served:
    if choice.folder is not None:
        return _from_folder(choice.folder)
    if choice.word == "real":
        return _pulled()
    if choice.word == "auto" and _real_is_reachable():
        try:
            return _pulled()
        except LabError as exc:
            say(f"the real images could not be pulled, so the stand-in is used: {tail(str(exc), 1)}")
            _remember(False)
    return _stand_in()


def _pulled() -> Served:
    images = {version: _pull(version) for version in VERSIONS}
    return Served("real", "pulled", images, {version: _pull(f"{version}-alpine") for version in ALPINE_TOO})


def _same_for_alpine(images: Mapping[str, str]) -> dict[str, str]:
    return {version: images[version] for version in ALPINE_TOO if version in images}


def _pull(tag: str) -> str:
    ref = f"docker.io/{UPSTREAM}:{tag}"
    if not has_image(ref):
        with step(f"pulling {ref}", 20):
            pulled = docker_try("pull", "--quiet", ref, timeout=PULL_TIMEOUT)
        if pulled.returncode:
            raise LabError(f"{ref} could not be pulled: {tail(pulled.stderr, 3)}")
    return ref


def _real_is_reachable() -> bool:
    """Ask the public registry once; a no is remembered for some hours."""
    try:
        saved = json.loads(REMEMBERED.read_text())
        if not saved["reachable"] and time.time() - saved["time"] < REMEMBER_FOR:
            return False
    except (OSError, ValueError, KeyError):
        pass
    try:
        with urllib.request.urlopen(PROBE, timeout=PROBE_TIMEOUT):
            reachable = True
    except urllib.error.HTTPError as exc:
        reachable = exc.code == 401  # what the registry tells everybody without a token
    except OSError:
        reachable = False
    _remember(reachable)
    return reachable


def _remember(reachable: bool) -> None:
    REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
    REMEMBERED.write_text(json.dumps({"reachable": reachable, "time": int(time.time())}) + "\n")


def _stand_in() -> Served:
    if not (STAND_IN / "Dockerfile").exists():
        raise LabError(f"{STAND_IN} has no Dockerfile, so there is no stand-in to serve. Set LAB_SERVER.")
    base = service_base().ref
    tag = folder_digest(STAND_IN, [base])
    images = {version: f"{IMAGES}/stand-in:{version}-{tag}" for version in VERSIONS}
    missing = {version: ref for version, ref in images.items() if not has_image(ref)}
    if missing:
        files = [path for path in STAND_IN.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        sources = [_as_source(path) for path in sorted(files)]
        with step(f"stand-in images ({len(missing)}): building", 15), ThreadPoolExecutor(max_workers=2) as pool:
            for running in [pool.submit(_one_stand_in, *item, base, sources) for item in missing.items()]:
                running.result()
    return Served("stand-in", "lab/stand_in", images, _same_for_alpine(images))


def _one_stand_in(version: str, ref: str, base: str, sources: Sequence[Source]) -> None:
    build(ref, sources, {"BASE": base, "APP_VERSION": version, "EXPOSED": exposed_ports(version)}, LABELLED)


def _as_source(path: Path) -> Source:
    runnable = os.access(path, os.X_OK) or path.suffix == ".sh"
    return Source(str(path.relative_to(STAND_IN)), path, 0o755 if runnable else 0o644)


def _from_folder(folder: Path) -> Served:
    found = executables(folder)
    if not found:
        raise LabError(f"LAB_SERVER is the folder {folder}, which has no executable named vaultwarden-<version>.")
    base = service_base().ref
    surface = folder_digest(RECIPES / "server", [base])
    images = {}
    for version, path in found.items():
        status = path.stat()
        stamp = digest([surface, str(status.st_size), str(status.st_mtime_ns)])
        images[version] = f"{IMAGES}/executable:{version}-{stamp}"
        if not has_image(images[version]):
            with step(f"image around {path.name}: building", 3):
                _around_executable(images[version], version, path, base)
    return Served("real", "executables", images, _same_for_alpine(images))


def _around_executable(ref: str, version: str, executable: Path, base: str) -> None:
    surface = RECIPES / "server"
    sources = [
        Source("Dockerfile", surface / "Dockerfile"),
        Source("index.html", surface / "index.html"),
        Source("start.sh", surface / "start.sh", 0o755),
        Source("healthcheck.sh", surface / "healthcheck.sh", 0o755),
        Source("vaultwarden", executable, 0o755),
    ]
    build(ref, sources, {"BASE": base, "EXPOSED": exposed_ports(version)}, LABELLED)


def _publish(wanted: Mapping[Tag, str]) -> None:
    """Push what the registry lacks or has otherwise, and delete what is not to be served."""
    ids = _image_ids(sorted(set(wanted.values())))
    record = _read_record()
    with connection() as link:
        for repository in (UPSTREAM, MIRROR):
            for name in link.tags(repository):
                if Tag(repository, name) not in wanted:
                    link.delete(Tag(repository, name))
        current = {tag: link.digest(tag) for tag in wanted}
        stale = {
            tag: image
            for tag, image in wanted.items()
            if current[tag] is None or record.get(str(tag)) != [ids[image], current[tag]]
        }
        if stale:
            with step(f"registry: receiving {len(stale)} tags", 10):
                for tag, image in stale.items():
                    push(image, tag)
                    current[tag] = link.digest(tag)
    STATE.mkdir(parents=True, exist_ok=True)
    saved = {str(tag): [ids[image], current[tag]] for tag, image in wanted.items()}
    PUSHED.write_text(json.dumps(saved, indent=1) + "\n")


def _image_ids(refs: list[str]) -> dict[str, str]:
    ids = docker("image", "inspect", "--format", "{{.Id}}", *refs).split()
    return dict(zip(refs, ids, strict=True))


def _read_record() -> dict[str, list[str | None]]:
    try:
        record: dict[str, list[str | None]] = json.loads(PUSHED.read_text())
    except (OSError, ValueError):
        return {}
    return record
