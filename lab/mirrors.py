# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian mirror that this machine uses, for machines where the usual one is not reachable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

APT = Path("/etc/apt")


def configured_mirror(folder: Path = APT) -> str | None:
    """Return the first source that offers Debian's own packages; None when there is none."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return next(_mirrors(path for path in files if path.is_file()), None)


def _mirrors(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        text = path.read_text(errors="replace")
        yield from _from_stanzas(text) if path.suffix == ".sources" else _from_lines(text)


def _from_stanzas(text: str) -> Iterator[str]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^(\S+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if fields.get("Enabled", "yes") == "no" or "deb" not in fields.get("Types", "").split():
            continue
        yield from _debian(fields.get("URIs", "").split(), fields.get("Components", "").split())


def _from_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+\S+\s+(.*)", line)
        if found:
            yield from _debian([found[1]], found[2].split())


def _debian(addresses: Iterable[str], components: Iterable[str]) -> Iterator[str]:
    """Keep what looks like a Debian archive and is not the one with security updates alone."""
    if "main" in components:
        yield from (address for address in addresses if re.search(r"/debian/?$", address))
