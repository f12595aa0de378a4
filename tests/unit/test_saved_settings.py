# SPDX-License-Identifier: GPL-3.0-or-later
"""What the admin page saved, against what a run is to set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_module import run_module

from ansible_collections.vaultwire.stack.plugins.modules import saved_settings

TOKEN = "wanted-token-7c1f"
SAVED_TOKEN = "saved-token-a94e"
SAVED_PASSWORD = "saved-password-52bd"


def look(folder: Path, **changes: Any) -> dict[str, Any]:
    """The module's result for a folder, for a server that runs as the user of the tests."""
    arguments = {
        "directory": str(folder),
        "environment_names": ["DOMAIN", "LOG_LEVEL", "ADMIN_TOKEN_FILE", "SMTP_PASSWORD_FILE"],
        "domain": "https://vault.example.com",
        "admin_token": TOKEN,
        "uid": os.getuid(),
        "gid": os.getgid(),
        **changes,
    }
    return run_module(saved_settings.main, **arguments)


def save(folder: Path, content: Any) -> Path:
    """A config.json with this content; texts and bytes as they are."""
    path = folder / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return path


def test_nothing_saved_is_no_problem(tmp_path: Path) -> None:
    """Nor is a folder that is still to be made."""
    for folder in (tmp_path, tmp_path / "none"):
        result = look(folder)
        assert (result["overrides"], result["problems"], result["changed"]) == ([], [], False)


def test_what_beats_a_variable_is_named_and_not_shown(tmp_path: Path) -> None:
    """Those of secret files, too; other names and null do not count."""
    save(tmp_path, {"log_level": "warn", "smtp_password": SAVED_PASSWORD, "smtp_host": "mail.example.com", "x": None})
    result = look(tmp_path)
    assert result["overrides"] == ["LOG_LEVEL", "SMTP_PASSWORD"]
    assert result["problems"] == []
    assert SAVED_PASSWORD not in result["printed"]


@pytest.mark.parametrize("domain", ["https://vault.example.com", "https://vault.example.com/"])
def test_what_is_saved_as_wanted_is_no_problem(tmp_path: Path, domain: str) -> None:
    """The admin page saves a whole form, so the same values come back."""
    save(tmp_path, {"domain": domain, "admin_token": TOKEN})
    result = look(tmp_path)
    assert (result["overrides"], result["problems"]) == (["ADMIN_TOKEN", "DOMAIN"], [])


@pytest.mark.parametrize(
    ("saved", "changes", "words"),
    [
        ({"domain": "https://old.example.com"}, {}, "Save https://vault.example.com in the admin page, or remove"),
        ({"domain": 5}, {}, "DOMAIN"),
        ({"admin_token": SAVED_TOKEN}, {}, "it is not vaultwarden_admin_token"),
        ({"admin_token": SAVED_TOKEN}, {"admin_token": None}, "vaultwarden_admin_token is left out"),
        ({"ADMIN_TOKEN": SAVED_TOKEN}, {}, "Neither value is shown"),
    ],
    ids=str,
)
def test_another_address_or_token_is_a_problem(
    tmp_path: Path, saved: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    """Named with its remedy, without the token."""
    save(tmp_path, saved)
    result = look(tmp_path, **changes)
    assert len(result["problems"]) == 1
    assert words in result["problems"][0]
    assert SAVED_TOKEN not in result["printed"]
    assert TOKEN not in result["printed"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON, see line 1"),
        (b'{"admin_token":\n"%b"' % SAVED_TOKEN.encode(), "no JSON, see line 2"),
        (b"\xff\xfe{}", "no UTF-8 text"),
        (b"[1]", "no object"),
        (b"[" * 100_000, "config.json cannot be read"),
    ],
    ids=["empty", "cut off", "bytes", "list", "deep"],
)
def test_a_broken_file_is_a_problem(tmp_path: Path, content: bytes, words: str) -> None:
    """The server would pass over it in silence."""
    save(tmp_path, content)
    result = look(tmp_path)
    assert words in result["problems"][0]
    assert "sign-ups" in result["problems"][0]
    assert SAVED_TOKEN not in result["printed"]


def test_a_file_that_the_server_may_not_read_is_a_problem(tmp_path: Path) -> None:
    """By owner, group or others; root's view does not count."""
    path = save(tmp_path, {})
    assert "may not read it" in look(tmp_path, uid=os.getuid() + 1, gid=os.getgid() + 1)["problems"][0]
    path.chmod(0o640)
    assert look(tmp_path, uid=os.getuid() + 1)["problems"] == []
    assert "may not read it" in look(tmp_path, uid=os.getuid() + 1, gid=os.getgid() + 1)["problems"][0]


def test_who_may_read_it_is_not_asked_without_a_user(tmp_path: Path) -> None:
    """An upgrade gives the data another owner; what the file says still counts."""
    save(tmp_path, {}).chmod(0)
    assert look(tmp_path, uid=None, gid=None)["problems"] == []
    save(tmp_path, {"domain": "https://old.example.com"})
    assert "DOMAIN" in look(tmp_path, uid=None, gid=None)["problems"][0]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_no_file_is_a_problem(tmp_path: Path, kind: str) -> None:
    """A folder, and a link that points nowhere."""
    path = tmp_path / "config.json"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "none")
    assert "cannot be read" in look(tmp_path)["problems"][0]
