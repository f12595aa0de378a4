# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that look like settings of this collection and are none: most are slips of the pen."""

from __future__ import annotations

import difflib
import functools
import pathlib
import re
import typing as t

import yaml

_ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"
_NAME = re.compile(r"^([a-z][a-z0-9_]*):", re.MULTILINE)
#: How alike two names have to be for one to be meant by the other.
_ALIKE = 0.7


@functools.lru_cache(maxsize=1)
def known() -> t.FrozenSet[str]:
    """Every public variable of every role: what its specs name, and what it tells the others."""
    names: t.Set[str] = set()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for role in _ROLES.iterdir():
        specs = yaml.load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"), Loader=loader)
        for entry in specs["argument_specs"].values():
            names.update(entry.get("options") or {})
        told = role / "vars" / "main.yml"
        if told.exists():
            names.update(_NAME.findall(told.read_text(encoding="utf-8")))
    return frozenset(names)


def unknown_variables(names: t.Iterable[str]) -> t.List[str]:
    """A sentence for each of the names that begins like a role of this collection and is no variable of it."""
    # Of two roles, one of which begins like the other, the longer name counts.
    roles = sorted((f"{role.name}_" for role in _ROLES.iterdir()), key=len, reverse=True)
    strange = sorted({name for name in names if name.startswith(tuple(roles))} - known())
    return [_sentence(name, next(role for role in roles if name.startswith(role))) for name in strange]


def _sentence(name: str, role: str) -> str:
    # What all names of a role begin with says nothing of how alike two are.
    rests = {each[len(role) :] for each in known() if each.startswith(role)}
    alike = difflib.get_close_matches(name[len(role) :], sorted(rests), n=1, cutoff=_ALIKE)
    meant = f"Did you mean {role}{alike[0]}?" if alike else "See the defaults of the roles for what there is."
    return (
        f"{name} is no setting of this collection, so it would have no effect. {meant} A variable of your own needs "
        f"another beginning."
    )
