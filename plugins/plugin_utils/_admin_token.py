# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argon2 hashes of the admin token, made and compared on the controller, where the library is."""

from __future__ import annotations

import typing as t

HASHED = "$argon2"
#: A hash names its own price, and a host that is no longer its owner's may name any.
_HIGHEST = {"time_cost": 16, "memory_cost": 256 * 1024, "parallelism": 16}


SAVED_PLAIN = (
    "The admin page saved ADMIN_TOKEN in plain text, and vaultwarden_admin_token_hash is true. The saved one counts, "
    "so no hash would be read. Remove the key from config.json in vaultwarden_data_dir while the server is stopped."
)


class NoLibrary(Exception):
    """argon2-cffi is not installed; the text says what to do."""


class Tokens:
    """Compares a token with what is kept of one, and hashes it."""

    def __init__(self, interpreter: str) -> None:
        try:
            import argon2
        except ImportError:
            raise NoLibrary(
                f"vaultwarden_admin_token_hash needs the Python library argon2-cffi on the controller, and "
                f"{interpreter} has none. Install it: {interpreter} -m pip install argon2-cffi. Or leave that variable "
                f"out, and give the string that `vaultwarden hash` prints in vaultwarden_admin_token."
            ) from None
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


def judge(token: str, file: str, saved: str, hashed: bool, interpreter: str) -> Judged:
    """Compare the wanted token with the server's file and with what the admin page saved; empty is none."""
    if token.startswith(HASHED):
        return Judged(token, token, file == token)
    try:
        tokens: t.Optional[Tokens] = Tokens(interpreter)
    except NoLibrary as exc:
        if hashed:
            return Judged("", "", False, str(exc))
        tokens = None
    opens = file == token or (tokens is not None and tokens.fits(token, file))
    if not hashed or tokens is None:
        return Judged(token, token, opens)
    value = tokens.hashed(token, file)
    if saved == token:
        return Judged(value, saved, opens, SAVED_PLAIN)
    return Judged(value, saved if tokens.fits(token, saved) else value, opens)
