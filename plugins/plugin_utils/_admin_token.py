# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argon2 hashes of the admin token, made and compared on the controller, where the library is."""

from __future__ import annotations

import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _packages

HASHED = "$argon2"
#: A hash names its own price, and a host that is no longer its owner's may name any.
_HIGHEST = {"time_cost": 16, "memory_cost": 256 * 1024, "parallelism": 16}


SAVED_PLAIN = (
    "The admin page saved ADMIN_TOKEN in plain text, and vaultwarden_admin_token_hash is true. The saved one counts, "
    "so no hash would be read. Remove the key from config.json in vaultwarden_data_dir while the server is stopped."
)


def problems(settings: t.Mapping[str, t.Any]) -> t.List[str]:
    """What the controller lacks for the hash that these settings of the role vaultwarden ask for."""
    lacking = library_problem() if settings["admin_token_hash"] and settings["admin_token_set"] else ""
    return [lacking] if lacking else []


def library_problem() -> str:
    """What the controller lacks to hash and compare tokens, and how to get it; empty if it lacks nothing."""
    lacking = _packages.problem("vaultwarden_admin_token_hash", _packages.missing(_packages.ADMIN_TOKEN_HASH))
    other = "Or leave that variable out, and set vaultwarden_admin_token to the string that `vaultwarden hash` prints."
    return f"{lacking} {other}" if lacking else ""


class Tokens:
    """Compares a token with what is kept of one, and hashes it."""

    def __init__(self) -> None:
        import argon2

        self._argon2 = argon2
        # What `vaultwarden hash` takes by default.
        self._hasher = argon2.PasswordHasher(
            time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=32
        )

    def hashed(self, token: str, there: str) -> str:
        """The hash that is there where it is one of this token and costs what a new one would; else a new one."""
        if self.fits(token, there) and not self._hasher.check_needs_rehash(there):
            return there
        return str(self._hasher.hash(token))

    def fits(self, token: str, there: str) -> bool:
        """Whether a text is an Argon2 hash of the token; one of a price beyond reason is not looked at."""
        try:
            asked = self._argon2.extract_parameters(there)
            affordable = all(getattr(asked, name) <= limit for name, limit in _HIGHEST.items())
            return affordable and bool(self._hasher.verify(there, token))
        except (self._argon2.exceptions.Argon2Error, self._argon2.exceptions.InvalidHashError, UnicodeError):
            return False


class Judged(t.NamedTuple):
    """What the role needs to know of the token, see the module admin_token."""

    value: str
    saved: str
    opens: bool
    problem: str = ""


def judge(token: str, file: str, saved: str, hashed: bool) -> Judged:
    """Compare the wanted token with the server's file and with what the admin page saved; empty is none."""
    if token.startswith(HASHED):
        return Judged(token, token, file == token)
    lacking = library_problem()
    if lacking and hashed:
        return Judged("", "", False, lacking)
    tokens = None if lacking else Tokens()
    opens = file == token or (tokens is not None and tokens.fits(token, file))
    if not hashed or tokens is None:
        return Judged(token, token, opens)
    value = tokens.hashed(token, file)
    if saved == token:
        return Judged(value, saved, opens, SAVED_PLAIN)
    return Judged(value, saved if tokens.fits(token, saved) else value, opens)
