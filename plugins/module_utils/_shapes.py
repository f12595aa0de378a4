# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that want a list or a mapping and were given something else.

Pure: no Ansible imports. A role's rules begin with this, since they go through lists and mappings entry by entry: of a
string that would be its letters.
"""

from __future__ import annotations

import typing as t

Settings = t.Mapping[str, t.Any]


def checked(
    settings: Settings, prefix: str, lists: t.Mapping[str, str], mappings: t.Mapping[str, str]
) -> t.Tuple[t.List[str], t.Dict[str, t.Any]]:
    """What is of the wrong kind, as sentences, and the settings with something empty in the place of it.

    ``lists`` and ``mappings``: name without ``prefix`` -> an example of one entry. No value is quoted, since it may
    hold a secret.
    """
    problems, sound = [], dict(settings)
    for name, example in lists.items():
        value = settings[name]
        if not isinstance(value, (list, tuple)):
            sound[name] = []
            problems.append(
                f"{prefix}{name} is {_kind(value)}, and a list is wanted. Write it as [{example}], or as [] for none."
            )
    for name, example in mappings.items():
        value = settings[name]
        if not isinstance(value, t.Mapping):
            sound[name] = {}
            problems.append(
                f"{prefix}{name} is {_kind(value)}, and a mapping of names to values is wanted. Write it as "
                f"{{{example}}}, or as {{}} for none. The option -e takes it as JSON in one piece: "
                f"-e '{{\"{prefix}{name}\": {{}}}}'."
            )
    return problems, sound


def whole_number(value: object) -> t.Optional[int]:
    """A number that -e may have given as a string; None for anything else, truth values among it."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() else None


def _kind(value: object) -> str:
    if value is None:
        return "blank"
    kinds: t.Tuple[t.Tuple[t.Any, str], ...] = (
        (bool, "true or false"),
        (str, "a string"),
        ((int, float), "a number"),
        (t.Mapping, "a mapping"),
        ((list, tuple), "a list"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), f"of the type {type(value).__name__}")
