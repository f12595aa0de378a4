# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the comments of every role's defaults from its argument specs, so that the words of a setting stand once.

Usage: make_defaults.py [--check]   with --check nothing is written, and an outdated file is a failure

Of the file that is there, the introduction, the values and lines that begin with "# Example" or "# renovate:" are kept.
A setting that is new in the specs is added with its default.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120
KEPT = re.compile(r"# (Examples?|renovate): ")
MARKUP = re.compile(r"\b[A-Z]+\(([^)]*)\)")


class Entry(NamedTuple):
    """What of a setting stands in the defaults alone."""

    examples: list[str]
    value: list[str]


def comment(description: str | list[str]) -> list[str]:
    """A description of a spec as lines of a comment. A paragraph about one value, V(value), is set in."""
    lines = []
    for paragraph in [description] if isinstance(description, str) else description:
        first = "#   " if paragraph.startswith("V(") else "# "
        text = MARKUP.sub(r"\1", paragraph)
        following = "#     " if first == "#   " else first
        wrapper = textwrap.TextWrapper(WIDTH, first, following, break_long_words=False, break_on_hyphens=False)
        lines += wrapper.wrap(text)
    return lines


def entries(role: str, lines: list[str]) -> dict[str, Entry]:
    """The settings of a file of defaults, by name. One without a default has its value in a comment."""
    found: dict[str, Entry] = {}
    examples: list[str] = []
    last: Entry | None = None
    for line in lines:
        setting = re.match(rf"(?:# )?({role}_[a-z0-9_]+):(?: |$)", line)
        if setting:
            last = found[setting.group(1)] = Entry(examples, [line])
            examples = []
        elif line.startswith((" ", "- ")) and last:
            last.value.append(line)
        elif KEPT.match(line):
            examples.append(line)
    return found


def fresh(name: str, option: dict[str, Any]) -> Entry:
    """A setting that the defaults do not have yet."""
    if "default" not in option:
        return Entry([], [f"# {name}: ..."])
    return Entry([], yaml.safe_dump({name: option["default"]}, width=WIDTH, sort_keys=False).rstrip().splitlines())


def defaults(role: str) -> str:
    """What the file of defaults has to say."""
    directory = ROOT / "roles" / role
    specs = yaml.safe_load((directory / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    head, __, body = (directory / "defaults" / "main.yml").read_text(encoding="utf-8").partition("\n\n")
    known = entries(role, body.splitlines())
    lines = [head]
    for name, option in specs["argument_specs"]["main"]["options"].items():
        entry = known.get(name) or fresh(name, option)
        lines += ["", *comment(option["description"]), *entry.examples, *entry.value]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    outdated = 0
    for directory in sorted((ROOT / "roles").iterdir()):
        path, text = directory / "defaults" / "main.yml", defaults(directory.name)
        if path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} differs from the argument specs. Run tools/make_defaults.py.")
            outdated = 1
        else:
            path.write_text(text, encoding="utf-8")
    return outdated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
