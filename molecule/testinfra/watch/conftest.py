# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the collection's own playbooks, and an account with a password that a person could type."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest
from actions import run_playbook
from vault import Account, Vault, throwaway_account

__all__ = ["person", "run_playbook"]

PASSWORD = "correct horse $battery 'staple\\ \""


def hashed(email: str) -> str:
    """What clients send in place of the password, with the number of rounds that the account is made with."""
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), email.encode(), 600000)
    return base64.b64encode(hashlib.pbkdf2_hmac("sha256", key, PASSWORD.encode(), 1)).decode()


@pytest.fixture(scope="session")
def person(vault: Vault) -> Iterator[Account]:
    """Address and password as a person types them; other tests know the hash alone."""
    with throwaway_account(vault, hashed) as made:
        yield Account(made.email, PASSWORD)
