# SPDX-License-Identifier: GPL-3.0-or-later
"""What the admin page saved to config.json: named, or refused before the server is started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from actions import Playbook
from testinfra.host import Host

PATH = "/var/lib/vaultwarden/config.json"
SAVED = "saved-token-a94e"


@pytest.fixture
def save(host: Host) -> Iterator[Callable[[str], None]]:
    """Write the file as the server would; it is gone after the test."""

    def write(content: str) -> None:
        host.check_output("printf %%s %s > %s && chown 10080:10080 %s && chmod 600 %s", content, PATH, PATH, PATH)

    yield write
    host.check_output("rm -f %s", PATH)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"domain": "https://old.example.com"}', ["saved DOMAIN", "vaultwarden_domain", "admin page, or remove"]),
        (f'{{"admin_token": "{SAVED}"}}', ["saved ADMIN_TOKEN", "vaultwarden_admin_token", "admin page, or remove"]),
        (f'{{"admin_token": "{SAVED}"', [PATH, "no JSON", "sign-ups", "Mend it"]),
        ("", [PATH, "no JSON"]),
    ],
    ids=["address", "token", "cut off", "empty"],
)
def test_what_makes_another_server_is_refused(
    run_playbook: Playbook, save: Callable[[str], None], snapshot: Callable[[], str], content: str, words: list[str]
) -> None:
    """Also where the run would restart the server for another reason, and without the values."""
    save(content)
    before = snapshot()
    done = run_playbook("site", "-vvv", "--diff", vaultwarden_environment={"INVITATION_ORG_NAME": "changed"})
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in [*words, "Nothing has been changed"] if word not in said] == []
    assert SAVED not in done.stdout + done.stderr
    assert snapshot() == before


def test_an_upgrade_refuses_it_as_well(
    run_playbook: Playbook, save: Callable[[str], None], snapshot: Callable[[], str]
) -> None:
    """Before the old server is stopped."""
    save("{")
    before = snapshot()
    done = run_playbook("upgrade")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in (PATH, "no JSON", "sign-ups", "Nothing has been changed") if word not in said] == []
    assert snapshot() == before


def test_other_settings_are_named(run_playbook: Playbook, save: Callable[[str], None]) -> None:
    """The run goes on."""
    save('{"log_level": "warn", "domain": "https://vault.example.com", "invitation_org_name": "x"}')
    done = run_playbook("site", notifications_check_live_update="never")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "which beat the ones given here: DOMAIN, LOG_LEVEL." in " ".join(done.stdout.split())
