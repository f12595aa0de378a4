# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that look like settings and are none; and that all names of this repository are some."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_check import DEFAULTS

from ansible_collections.vaultwire.stack.plugins.module_utils import _shapes
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check, _variables

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
NAME = re.compile(rf"\b(?:{'|'.join(ROLES)})_[a-z0-9_]+(?=:)")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vaultwarden_signups_alowed", "vaultwarden_signups_allowed"),
        ("vaultwarden_backup_kep", "vaultwarden_backup_keep"),
        ("reverse_proxy_domian", "reverse_proxy_domain"),
        ("notifications_watch_enable", "notifications_watch_enabled"),
        ("fail2ban_bantme", "fail2ban_bantime"),
        ("container_engine_package", "container_engine_packages"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(name: str, meant: str) -> None:
    (said,) = _variables.unknown_variables([name, meant])
    assert said.startswith(f"{name} is no setting") and f"Did you mean {meant}?" in said


def test_what_resembles_nothing_is_named_without_a_guess() -> None:
    (said,) = _variables.unknown_variables(["vaultwarden_zzz"])
    assert "Did you mean" not in said


@pytest.mark.parametrize(
    "name", ["fail2ban_loglevel", "fail2ban_destemail", "reverse_proxy_network", "container_engine_type"]
)
def test_variables_of_roles_of_the_same_name_pass(name: str) -> None:
    """Their users cannot rename them."""
    assert _variables.unknown_variables([name]) == []


def test_a_foreign_variable_can_be_named() -> None:
    """One that is much like a setting, or of a role for the same server; other slips are still found."""
    names = ["fail2ban_ignoreips", "vaultwarden_admin_email", "vaultwarden_verison"]
    said = _variables.unknown_variables(names)
    assert len(said) == 3 and all(_variables.FOREIGN in sentence for sentence in said)
    (said_now,) = _variables.unknown_variables(names, names[:2])
    assert said_now.startswith("vaultwarden_verison ")


def test_what_the_documents_name_passes() -> None:
    """What playbooks alone take as well, such as that the data may be deleted."""
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in documents]
    names = {name for text in texts for name in re.findall(rf"\b(?:{'|'.join(ROLES)})_[a-z0-9_]+\b", text)}
    assert "vaultwarden_teardown_confirm" in names
    assert _variables.unknown_variables(names - set(ROLES)) == []


def test_other_names_are_nobodys_business() -> None:
    """The user's own, Ansible's, and what roles keep to themselves."""
    others = ["vault_vaultwarden_admin_token", "ansible_host", "__vaultwarden_plan", "vaultwarden", "upgrade_serial",
              "vaultwire_host", "my_vaultwarden_domain", "vaultwarden_plan", "reverse_proxy_listen"]  # fmt: skip
    assert _variables.unknown_variables(others) == []


@pytest.mark.parametrize("folder", ["inventories", "molecule", "playbooks/group_vars"])
def test_every_inventory_of_this_repository_passes(folder: str) -> None:
    """The examples, commented settings in them included; and those of the scenarios."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.yml")]
    names = {name for text in texts for name in NAME.findall(text)}
    assert names and _variables.unknown_variables(names) == []


def test_what_adopt_writes_passes() -> None:
    source = (ROOT / "plugins" / "module_utils" / "_adopt.py").read_text(encoding="utf-8")
    names = set(re.findall(rf'"((?:{"|".join(ROLES)})_[a-z0-9_]+)"', source))
    assert len(names) > 5 and _variables.unknown_variables(names) == []


@pytest.mark.parametrize("value", ["192.0.2.1", None, 5, True, {"a": 1}])
def test_a_list_of_another_kind_is_one_sentence(value: Any) -> None:
    problems, sound = _shapes.checked({"hosts": value}, "x_", {"hosts": "a"}, {})
    assert len(problems) == 1 and problems[0].startswith("x_hosts is ") and sound == {"hosts": []}


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), ("0", 0), ("443", 443), (True, None), ("-1", None), ("²", None), (None, None), (1.0, None), ("", None)],
)
def test_numbers_of_the_command_line(value: Any, number: int | None) -> None:
    assert _shapes.whole_number(value) == number


def test_blank_settings_of_the_proof_are_unset() -> None:
    assert _check.problems({**DEFAULTS, "admin_token": None, "email": None, "password": None}) == []


@pytest.mark.parametrize(
    ("playbook", "variables", "words"),
    [
        ("render", {"vaultwarden_signups_alowed": True}, "Did you mean vaultwarden_signups_allowed?"),
        ("verify", {"notifications_check_conect_to": "192.0.2.1"}, "Did you mean notifications_check_connect_to?"),
        ("render", {"vaultwarden_environment": "{}"}, "vaultwarden_environment is a string"),
        ("render", {"reverse_proxy_http_port": "0"}, "failed=0"),
        ("render", {"vaultwarden_admin_token": None}, "vaultwarden_admin_token is empty"),
    ],
    ids=str,
)
def test_the_playbooks_say_it_before_they_do_anything(
    playbook: str, variables: dict[str, Any], words: str, tmp_path: Path
) -> None:
    host = {"vaultwarden_domain": "https://vault.example.com", "ansible_connection": "local",
            "vaultwarden_bind_address": "192.0.2.1", **variables}  # fmt: skip
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"vaultwarden": {"hosts": {"one": host}}}), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, f"playbooks/{playbook}.yml", "-e", f"render_dir={tmp_path}/out",
         "-e", "vaultwire_look=false", "-e", "render_for=swag"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert words in done.stdout, done.stdout
    assert (done.returncode == 0) == (words == "failed=0")
