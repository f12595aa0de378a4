# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin token as a hash: kept while it is one of the token, and shown to nobody."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import argon2
import pytest
from fake_module import run_module

from ansible_collections.vaultwire.stack.plugins.action import admin_token as action
from ansible_collections.vaultwire.stack.plugins.module_utils import _vaults
from ansible_collections.vaultwire.stack.plugins.modules import host_secrets
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _admin_token

TOKEN = "Nl9xQ-$not-to-be-shown"
OURS = argon2.PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, hash_len=32, salt_len=32)
HASH = OURS.hash(TOKEN)
#: As `vaultwarden hash --preset owasp` makes them.
CHEAP = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1, salt_len=32)
CHEAP_HASH = CHEAP.hash(TOKEN)


def judge(file: str = "", saved: str = "", token: str = TOKEN, hashed: bool = True) -> _admin_token.Judged:
    """Compare as the action does."""
    return _admin_token.judge(token, file, saved, hashed)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller without argon2-cffi."""
    monkeypatch.setitem(sys.modules, "argon2", None)


@pytest.mark.parametrize(
    ("file", "opens"),
    [
        ("", False),
        (TOKEN, True),
        (OURS.hash("another"), False),
        (CHEAP_HASH, True),
        (HASH[:-4], False),
        ("$argon2id$", False),
        ("$argon2id$v=19$m=4194304,t=3,p=4$c29tZXNhbHQ$aGFzaA", False),
        ("Nl9xQ-é", False),
    ],
    ids=["none", "plain", "of another", "too cheap", "cut off", "damaged", "too dear", "not ASCII"],
)
def test_a_new_hash_is_made_where_none_can_be_kept(file: str, opens: bool) -> None:
    """In the server's own form, and with a salt of its own each time."""
    first, second = judge(file), judge(file)
    assert first.value != second.value
    assert first.value.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert argon2.PasswordHasher().verify(first.value, TOKEN)
    assert (first.opens, first.problem) == (opens, "")


def test_a_hash_of_the_token_is_kept() -> None:
    """So a second run changes nothing."""
    assert judge(HASH) == _admin_token.Judged(HASH, HASH, True)


@pytest.mark.parametrize("saved", [HASH, CHEAP_HASH], ids=["as the file", "by hand"])
def test_a_saved_hash_of_the_token_is_no_other_token(saved: str) -> None:
    """The page saves all settings at once, and with them the hash that it was given."""
    assert judge(HASH, saved).saved == saved


@pytest.mark.parametrize("saved", ["another", OURS.hash("another"), "$argon2id$"])
def test_another_saved_token_is_one(saved: str) -> None:
    """It is compared with the hash that will count, which it is not."""
    judged = judge(HASH, saved)
    assert (judged.saved, judged.problem) == (HASH, "")


def test_a_token_that_was_saved_in_plain_text_is_refused() -> None:
    """It beats the file, so there would be a hash that nobody reads."""
    judged = judge(HASH, TOKEN)
    assert "vaultwarden_admin_token_hash" in judged.problem
    assert "config.json" in judged.problem
    assert TOKEN not in judged.problem


def test_a_token_that_is_a_hash_is_left_alone(no_library: None) -> None:
    """Nobody can tell its plain text, nor need anything be installed."""
    assert judge("other", token=HASH) == _admin_token.Judged(HASH, HASH, False)
    assert judge(HASH, token=HASH).opens


@pytest.mark.parametrize(("file", "opens"), [(TOKEN, True), (HASH, True), ("other", False), (OURS.hash("x"), False)])
def test_where_nothing_is_hashed_it_is_only_compared(file: str, opens: bool) -> None:
    """An undone upgrade asks whether the old server takes the token."""
    assert judge(file, hashed=False) == _admin_token.Judged(TOKEN, TOKEN, opens)


def test_a_missing_library_is_named_with_its_remedy(no_library: None) -> None:
    """By the Python that lacks it; and only where a hash is wanted."""
    judged = judge()
    for word in ("vaultwarden_admin_token_hash", "argon2-cffi", f"{sys.executable} -m pip install"):
        assert word in judged.problem
    assert judge(TOKEN, hashed=False) == _admin_token.Judged(TOKEN, TOKEN, True)
    assert not judge(HASH, hashed=False).opens


@pytest.mark.parametrize(("wanted", "given", "lacks"), [(True, True, True), (True, False, False), (False, True, False)])
def test_the_library_is_asked_for_with_the_settings(wanted: bool, given: bool, lacks: bool, no_library: None) -> None:
    """Before anything changes, and where a token is to be hashed only."""
    assert bool(_admin_token.problems({"admin_token_hash": wanted, "admin_token_set": given})) is lacks


def test_a_library_that_is_there_is_no_problem() -> None:
    assert _admin_token.problems({"admin_token_hash": True, "admin_token_set": True}) == []


def test_the_host_answers_under_the_key(tmp_path: Path) -> None:
    """With both texts as the server reads them, and nothing to be read by others."""
    (tmp_path / "admin_token").write_text(f"{HASH}\n", encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"admin_token": TOKEN}), encoding="utf-8")
    answer = run_module(host_secrets.main, secrets_dir=str(tmp_path), data_dir=str(tmp_path), key="once")
    assert TOKEN not in answer["printed"] and HASH not in answer["printed"] and "once" not in answer["printed"]
    assert _vaults.unseal(answer["sealed"], "once") == {"file": HASH, "saved": TOKEN}


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_what_is_not_there_is_empty(tmp_path: Path, content: str | None) -> None:
    """On a fresh host, and with a file that another module refuses."""
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    answer = run_module(host_secrets.main, secrets_dir=str(tmp_path), data_dir=str(tmp_path), key="once")
    assert _vaults.unseal(answer["sealed"], "once") == {"file": "", "saved": ""}


class Action(action.ActionModule):
    """The action with a host of its own."""

    def __init__(self, folder: Path, answer: dict[str, Any] | None = None) -> None:
        self._task = SimpleNamespace(
            args={"token": TOKEN, "secrets_dir": str(folder), "data_dir": str(folder)},
            async_val=0,
            check_mode=False,
            diff=False,
        )
        self._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def _execute_module(self, module_name: str, module_args: dict[str, Any], **__: Any) -> dict[str, Any]:
        self.asked.append(module_args)
        return self.answer or run_module(host_secrets.main, **module_args)


def test_the_token_stays_on_the_controller(tmp_path: Path) -> None:
    """The host gets another key each time, and neither token nor hash."""
    (tmp_path / "admin_token").write_text(HASH, encoding="utf-8")
    acting = Action(tmp_path)
    results = [acting.run() for __ in range(2)]
    assert [(result["value"], result["opens"], result["changed"]) for result in results] == [(HASH, True, False)] * 2
    assert TOKEN not in str(acting.asked) and HASH not in str(acting.asked)
    assert acting.asked[0]["key"] != acting.asked[1]["key"]


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "no such user"}, {"sealed": "00ff"}])
def test_a_host_that_cannot_be_asked_is_a_problem(tmp_path: Path, answer: dict[str, Any]) -> None:
    """And no reason for a new hash."""
    result = Action(tmp_path, answer).run()
    assert result["value"] == ""
    assert "could not be compared" in result["problem"]
    assert answer.get("msg", "") in result["problem"]


def test_the_interpreter_in_the_message_is_the_one_that_runs(tmp_path: Path, no_library: None) -> None:
    """Ansible's own Python, which need not be the system's."""
    assert sys.executable in Action(tmp_path).run()["problem"]
