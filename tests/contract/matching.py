# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what a server said with what a fixture expects.

Expected values are literal, apart from placeholders inside strings:

=============  =====================================================================================
``<date>``     a date with a time, as the server writes it
``<jwt>``      three base64url parts
``<millis>``   a number: milliseconds since 1970
``<text>``     any text that is not empty: wording carries no meaning
``<uuid N>``   an identifier; the same N is the same identifier throughout a section, other N others
``…``          at the end: whatever follows
``@name``      an entry of the fixture's ``shapes`` or ``headers``
=============  =====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PATTERNS = {
    "date": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    "jwt": r"[\w-]+\.[\w-]+\.[\w-]+",
    "text": r"(?s:.+)",
    "stamp": r"\d{8}_\d{6}",
    "http port": r"\d+",
    "hub port": r"\d+",
}
MILLISECONDS = "<millis>"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PLACEHOLDER = re.compile(r"<(" + "|".join(PATTERNS) + r")>")


class Names:
    """Which identifier each ``<uuid N>`` stands for, in one section."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def bind(self, name: str, value: str) -> bool:
        """Remember the identifier, or tell whether it is the one already known under this name and no other."""
        if name in self._known:
            return self._known[name] == value
        if value in self._known.values() or not re.fullmatch(UUID, value):
            return False
        self._known[name] = value
        return True

    def get(self, name: str) -> str | None:
        """The identifier, if it was seen before."""
        return self._known.get(name)


def pattern(expected: str) -> re.Pattern[str]:
    """The expression for a string with placeholders."""
    body, more = (expected[:-1], r"(?s:.*)") if expected.endswith("…") else (expected, "")
    pieces = PLACEHOLDER.split(body)
    parts = [PATTERNS[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)]
    return re.compile("".join(parts) + more)


def resolve(value: Any, shapes: dict[str, Any]) -> Any:
    """Put named shapes in place of their names."""
    if isinstance(value, str) and value.startswith("@"):
        return resolve(shapes[value[1:]], shapes)
    if isinstance(value, dict):
        return {key: resolve(item, shapes) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, shapes) for item in value]
    return value


def differences(expected: Any, actual: Any, names: Names, where: str = "body") -> Iterator[str]:
    """Every place where the two differ; key sets and types have to be the same."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        yield from _dict_differences(expected, actual, names, where)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{where}: {len(actual)} entries instead of {len(expected)}"
        for index, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(wanted, found, names, f"{where}[{index}]")
    elif expected == MILLISECONDS and isinstance(actual, int) and not isinstance(actual, bool):
        if not 10**12 < actual < 10**13:
            yield f"{where}: {actual} is no time in milliseconds"
    elif isinstance(expected, str) and isinstance(actual, str):
        if not _same_text(expected, actual, names):
            yield f"{where}: {actual!r} instead of {expected!r}"
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{where}: {actual!r} instead of {expected!r}"


def _dict_differences(expected: dict[str, Any], actual: dict[str, Any], names: Names, where: str) -> Iterator[str]:
    for key in sorted(expected.keys() - actual.keys()):
        yield f"{where}: {key!r} is missing"
    for key in sorted(actual.keys() - expected.keys()):
        yield f"{where}: {key!r} is not expected"
    for key in expected.keys() & actual.keys():
        yield from differences(expected[key], actual[key], names, f"{where}.{key}")


def _same_text(expected: str, actual: str, names: Names) -> bool:
    if re.fullmatch(r"<uuid \d+>", expected):
        return names.bind(expected, actual)
    return pattern(expected).fullmatch(actual) is not None


def unordered(lines: list[str], expected: list[str]) -> Iterator[str]:
    """Expected lines that do not follow one another, in this order, among the lines."""
    rest = iter(lines)
    for line in expected:
        wanted = pattern(line)
        if not any(wanted.fullmatch(candidate) for candidate in rest):
            yield f"log: no line {line!r} (after the ones before it)"
