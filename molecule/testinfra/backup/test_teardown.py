# SPDX-License-Identifier: GPL-3.0-or-later
"""Teardown: everything that was put there goes, the data and the proxy's other sites stay."""

from __future__ import annotations

import json

import pytest
from backups import Playbook, archives, data_dir, fire, items
from testinfra.host import Host
from vault import Account, Vault

UPGRADES = "/var/lib/vaultwire/upgrades/vault.one"
#: The journal of an upgrade that has come to rest.
COMMITTED = {
    "name": "vault.one", "old_id": "old", "new_id": "new", "source": "1.36.0", "target": "1.37.2",
    "data_dir": "/srv/vault data/data", "folder": f"{UPGRADES}/copy", "uid": 2001, "gid": 2002,
    "old_url": "", "new_url": "", "timeout": 60, "step": "committed",
}  # fmt: skip
OTHER_SITE = "server { listen 8099; location / { return 200 'other site'; } }"


@pytest.fixture
def modern(vault: Vault) -> Vault:
    """One host is enough."""
    if vault.legacy:
        pytest.skip("the other host is torn down")
    return vault


def test_data_is_not_given_up_by_one_word(host: Host, modern: Vault, run_playbook: Playbook) -> None:
    """The host's name has to be given as well."""
    done = run_playbook("teardown", vaultwarden_teardown_data=True)
    assert done.returncode != 0
    assert "also set vaultwarden_teardown_confirm to vault.example.com" in done.stdout
    assert host.run("docker container inspect %s", modern.container).rc == 0


def test_everything_goes_but_the_data_and_other_sites(
    host: Host, modern: Vault, account: Account, run_playbook: Playbook
) -> None:
    """A second run has nothing to do, and a restore brings everything back."""
    host.run_test(f'echo "{OTHER_SITE}" > /etc/nginx/conf.d/other.conf && nginx -t && systemctl reload nginx')
    fire(host, modern)
    before = items(modern, account)
    # As an upgrade leaves it; the copy is data, the journal is not.
    host.check_output(f"mkdir -p {UPGRADES}/copy/data && touch {UPGRADES}/lock")
    host.check_output("echo %s > %s", json.dumps(COMMITTED), f"{UPGRADES}/journal.json")
    done = run_playbook("teardown")
    assert done.returncode == 0, done.stdout
    assert host.run("docker container inspect %s", modern.container).rc != 0
    assert "vault-net" not in host.check_output("docker network ls --format '{{.Name}}'")
    for path in (
        "/etc/nginx/conf.d/vaultwire-vaultwarden.conf",
        "/etc/vaultwarden",
        "/etc/vaultwire",
        "/usr/local/lib/vaultwire",
        f"/etc/systemd/system/vaultwire-backup-{modern.container}.timer",
        f"/etc/systemd/system/vaultwire-backup-{modern.container}.service",
    ):
        assert not host.file(path).exists, path
    assert host.check_output("curl -s http://127.0.0.1:8099/") == "other site"
    assert host.socket("tcp://0.0.0.0:443").is_listening is False
    assert host.file(f"{data_dir(modern)}/db.sqlite3").exists
    assert archives(host, modern)
    assert host.check_output(f"ls {UPGRADES}") == "copy"
    host.check_output(f"rm -r {UPGRADES}/copy")
    _leaves_a_foreign_container(host, modern, run_playbook)
    assert not host.file("/var/lib/vaultwire").exists
    restored = run_playbook("restore", vaultwarden_backup_restore_from="newest")
    assert restored.returncode == 0, restored.stdout
    modern.ca_file.write_text(host.file("/etc/vaultwire/tls/ca.pem").content_string, encoding="ascii")
    assert items(modern, account) == before


def _leaves_a_foreign_container(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """One of the same name that somebody else made stays until its removal is asked for."""
    image = f"docker.io/vaultwarden/server:{vault.settings['vaultwarden_version']}"
    host.check_output("docker create --name %s %s", vault.container, image)
    done = run_playbook("teardown")
    assert done.returncode != 0
    assert "was not made by this collection" in done.stdout
    assert host.run("docker container inspect %s", vault.container).rc == 0
    asked = run_playbook("teardown", vaultwarden_teardown_foreign=True)
    assert asked.returncode == 0, asked.stdout
    # That container and the folder of copies, which is empty now, and nothing else a second time.
    assert "changed=3 " in asked.stdout
    # A search would warn of each directory that is gone.
    assert "Skipped '" not in asked.stdout + asked.stderr
    assert host.run("docker container inspect %s", vault.container).rc != 0
