# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks hand from the settings of one role to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.test.core import match

from ansible_collections.vaultwire.stack.plugins.filter.vault import sends_mail

ROOT = Path(__file__).parents[2]
TOKEN = "an-admin-token"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SMTP_FROM": "vault@example.com"}, False),
        ({"SMTP_HOST": ""}, False),
        ({"SMTP_HOST": "mail.example.com"}, True),
        ({"USE_SENDMAIL": True}, True),
        ({"USE_SENDMAIL": "true"}, True),
        ({"USE_SENDMAIL": False}, False),
    ],
)
def test_whether_a_server_sends_mail(environment: dict[str, Any], expected: bool) -> None:
    """By what the real server asks of its settings."""
    assert sends_mail(environment) is expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ""),
        ({"vaultwarden_admin_token": TOKEN}, TOKEN),
        ({"vaultwarden_admin_token": "$argon2id$v=19$x"}, ""),
        ({"vaultwarden_admin_token": TOKEN, "vaultwarden_old_token": True}, ""),
        ({"vaultwarden_admin_token": TOKEN, "vaultwarden_environment": {"SMTP_HOST": "mail.example.com"}}, ""),
    ],
)
def test_the_proof_is_given_a_token_that_makes_accounts_only(settings: dict[str, Any], expected: str) -> None:
    """Else a run would fail, and an upgrade be undone, for a server that is sound."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters.update({"vaultwire.stack.sends_mail": sends_mail, "bool": bool})
    environment.tests["match"] = match
    text = yaml.safe_load((ROOT / "playbooks" / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    assert environment.from_string(text["notifications_check_admin_token"]).render(settings) == expected
