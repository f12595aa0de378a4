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
_PLAYBOOKS = _ROLES.parent / "playbooks"
_NAME = re.compile(r"^([a-z][a-z0-9_]*):", re.MULTILINE)
_WORD = re.compile(r"\b[a-z][a-z0-9_]*\b")
#: How alike two names have to be for one to be meant by the other.
_ALIKE = 0.7
#: Roles of other authors have these names as well, and a user cannot rename their variables: only what is much like a
#: setting is taken for a slip.
_COMMON = frozenset({"container_engine", "fail2ban", "reverse_proxy"})
#: The user's list of variables that begin like a role and belong to something else.
FOREIGN = "vaultwire_foreign_variables"


@functools.lru_cache(maxsize=1)
def known() -> t.FrozenSet[str]:
    """Every public variable: what the specs of the roles name, what they tell each other, what playbooks take."""
    names: t.Set[str] = set()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for role in _ROLES.iterdir():
        specs = yaml.load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"), Loader=loader)
        for entry in specs["argument_specs"].values():
            names.update(entry.get("options") or {})
        told = role / "vars" / "main.yml"
        if told.exists():
            names.update(_NAME.findall(told.read_text(encoding="utf-8")))
    for taken in (_PLAYBOOKS / "vars").glob("*.yml"):
        names.update(_WORD.findall(taken.read_text(encoding="utf-8")))
    return frozenset(names)


def unknown_variables(names: t.Iterable[str], foreign: t.Iterable[str] = ()) -> t.List[str]:
    """A sentence for each of the names that begins like a role of this collection and is no variable of it.

    ``foreign`` are names that belong to something else.
    """
    # Of two roles, one of which begins like the other, the longer name counts.
    roles = sorted((role.name for role in _ROLES.iterdir()), key=len, reverse=True)
    sentences = []
    for name in sorted(set(names) - known() - set(foreign)):
        role = next((role for role in roles if name.startswith(f"{role}_")), "")
        meant = _meant(name, f"{role}_") if role else ""
        if meant or (role and role not in _COMMON):
            sentences.append(_sentence(name, meant))
    return sentences


def _meant(name: str, role: str) -> str:
    """The variable that a name is most like, or empty."""
    # What all names of a role begin with says nothing of how alike two are.
    rests = {each[len(role) :] for each in known() if each.startswith(role)}
    alike = difflib.get_close_matches(name[len(role) :], sorted(rests), n=1, cutoff=_ALIKE)
    return f"{role}{alike[0]}" if alike else ""


def _sentence(name: str, meant: str) -> str:
    advice = f"Did you mean {meant}?" if meant else "See the defaults of the roles for what there is."
    return (
        f"{name} is no setting of this collection, so it would have no effect. {advice} A variable of your own needs "
        f"another beginning; one of another role goes into the list {FOREIGN}."
    )
