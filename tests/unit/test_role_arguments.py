# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting of a wrong type or value is refused in a few lines, and before anything else is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: Where each role checks its settings by itself.
CHECKS = {
    "vaultwarden": "settings",
    "reverse_proxy": "settings",
    "notifications_check": "preflight",
    "notifications_watch": "preflight",
    "fail2ban": "preflight",
    "vaultwarden_backup": "restore",
}
SECRET = "Nl9xQ-secret"


def play(directory: Path, tasks: list[dict[str, Any]], settings: dict[str, Any]) -> tuple[int, str]:
    """Exit code and output of a run on this machine, without a connection."""
    playbook = directory / "play.yml"
    content = [{"hosts": "localhost", "gather_facts": False, "vars": settings, "tasks": tasks}]
    playbook.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "--inventory=localhost,", "--connection=local", str(playbook)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("role", "settings", "words"),
    [
        ("vaultwarden", {"vaultwarden_domain": "https://h.example", "vaultwarden_http_port": "x"}, "to an int"),
        ("vaultwarden", {"vaultwarden_secrets": {"SMTP_PASSWORD": SECRET}}, "vaultwarden_domain"),
        (
            "reverse_proxy",
            {"reverse_proxy_domain": "https://h.example", "reverse_proxy_provider": "ngnix"},
            "reverse_proxy_provider must be one of",
        ),
        ("notifications_check", {"notifications_check_url": "https://h.example", "notifications_check_from": "here"},
         "notifications_check_from must be one of"),
        ("notifications_watch", {"notifications_watch_timeout": "long"}, "notifications_watch_timeout"),
        ("fail2ban", {"fail2ban_maxretry": "many", "fail2ban_mark": SECRET}, "fail2ban_maxretry"),
        ("vaultwarden_backup", {"vaultwarden_backup_keep": "all"}, "vaultwarden_backup_keep"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_in_a_few_lines(
    tmp_path: Path, role: str, settings: dict[str, Any], words: str
) -> None:
    """Ansible's own check of a role prints all settings of the role with it."""
    include = {"name": f"vaultwire.stack.{role}", "tasks_from": CHECKS[role]}
    code, output = play(tmp_path, [{"name": "Check", "ansible.builtin.include_role": include}], settings)
    assert code == 2, output
    assert words in " ".join(output.split())
    assert len(output.splitlines()) < 30, output
    assert SECRET not in output


def test_settings_that_fit_pass(tmp_path: Path) -> None:
    """Numbers may come as text, as -e gives them."""
    role = tmp_path / "roles" / "sound"
    (role / "tasks").mkdir(parents=True)
    (role / "meta").mkdir()
    (role / "tasks" / "check.yml").write_text("- vaultwire.stack.role_arguments:\n", encoding="utf-8")
    options = {"sound_port": {"type": "int", "required": True, "description": "Port."}}
    specs = {"argument_specs": {"main": {"options": options}}}
    (role / "meta" / "argument_specs.yml").write_text(yaml.safe_dump(specs), encoding="utf-8")
    include = {"name": "sound", "tasks_from": "check"}
    code, output = play(tmp_path, [{"name": "Check", "ansible.builtin.include_role": include}], {"sound_port": "80"})
    assert code == 0, output


def test_a_task_outside_of_a_role_is_refused(tmp_path: Path) -> None:
    """It has no settings of its own."""
    code, output = play(tmp_path, [{"name": "Check", "vaultwire.stack.role_arguments": None}], {})
    assert code == 2
    assert "Call it from a task of a role." in " ".join(output.split())


@pytest.mark.parametrize("role", sorted(CHECKS))
def test_the_check_comes_first_and_alone(role: str) -> None:
    """Ansible checks by itself what has an entry in the specs, and would print all of them before."""
    directory = ROOT / "roles" / role
    tasks = yaml.safe_load((directory / "tasks" / f"{CHECKS[role]}.yml").read_text(encoding="utf-8"))
    assert "vaultwire.stack.role_arguments" in tasks[0]
    specs = yaml.safe_load((directory / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    assert CHECKS[role] not in specs["argument_specs"]
