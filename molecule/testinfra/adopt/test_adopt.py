# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that somebody started by hand: what is written of them, that nothing else happens, and what comes next."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from adoption import Adopted, load, look, play, shown
from testinfra.host import Host

#: Part of every secret in the scenario.
SECRET = "Zq7-hand-made"
CERTIFICATE = {
    "reverse_proxy_tls_certificate": "/etc/ssl/vault/fullchain.pem",
    "reverse_proxy_tls_key": "/etc/ssl/vault/privkey.pem",
    "vaultwarden_domain": "https://vault.example.com",
    "vaultwarden_bind_address": "127.0.0.1",
}
EXPECTED: dict[str, dict[str, Any]] = {
    "vw-docker-run": {
        "vaultwarden_container_name": "vaultwarden",
        "vaultwarden_version": "1.28.1",
        "vaultwarden_image": "docker.io/vaultwarden/server",
        "vaultwarden_data_dir": "/vw-data",
        "vaultwarden_http_port": 8080,
        "vaultwarden_websocket_port": 3012,
        "vaultwarden_signups_allowed": False,
        "vaultwarden_environment": {"INVITATION_ORG_NAME": "Example"},
        "vaultwarden_admin_token": "{{ vault_vaultwarden_admin_token }}",
        "reverse_proxy_provider": "nginx",
        "reverse_proxy_replaces": ["/etc/nginx/sites-enabled/vault.conf"],
    },
    "vw-old-name": {
        "vaultwarden_container_name": "bitwarden",
        "vaultwarden_version": "1.28.1",
        "vaultwarden_image": "docker.io/bitwardenrs/server",
        "vaultwarden_data_dir": "/var/lib/docker/volumes/bw-data/_data",
        "vaultwarden_http_port": 8081,
        "vaultwarden_websocket_port": 3013,
        "vaultwarden_signups_allowed": True,
        "vaultwarden_environment": {
            "SMTP_HOST": "mail.example.com",
            "SMTP_FROM": "vault@example.com",
            "SMTP_USERNAME": "vault",
        },
        "vaultwarden_admin_token": "{{ vault_vaultwarden_admin_token }}",
        "vaultwarden_secrets": {"SMTP_PASSWORD": "{{ vault_vaultwarden_smtp_password }}"},
        "reverse_proxy_provider": "caddy",
        "reverse_proxy_replaces": ["/etc/caddy/Caddyfile"],
    },
    "vw-compose": {
        "vaultwarden_container_name": "stack-vault-1",
        "vaultwarden_version": "1.37.2",
        "vaultwarden_image": "docker.io/vaultwarden/server",
        "vaultwarden_data_dir": "/opt/stack/data",
        "vaultwarden_http_port": 8090,
        "vaultwarden_container_port": 8080,
        "vaultwarden_uid": 1000,
        "vaultwarden_gid": 1000,
        "vaultwarden_signups_allowed": True,
        "vaultwarden_log_max_size": "20m",
        "vaultwarden_memory_limit": "1024m",
        "reverse_proxy_provider": "nginx",
    },
}
WORDS = {
    "vw-docker-run": ["Port 80 is open to the network", "moves to 8080", "runs as root"],
    "vw-old-name": ["bitwardenrs/server gets no newer releases", "bw-data", "ansible-vault encrypt"],
    "vw-compose": [
        "Compose made the container", "has other sites", "config.json beats", "ignores WEBSOCKET_ENABLED",
        "to the second port, where nothing listens any more", "does not pass upgrades on",
        "--group-add 33", "--hostname vault", "--log-opt tag", "watchtower.enable", "see vaultwarden_pids_limit.",
    ],
}  # fmt: skip


@pytest.fixture
def name(host: Host) -> str:
    """Name of the host."""
    return str(host.backend.name)


def test_the_host_is_as_it_was(adopted: Adopted, name: str) -> None:
    """No file, no container, no start of one."""
    assert adopted.before[name], "nothing was looked at"
    assert adopted.after[name] == adopted.before[name]


def test_the_variables_are_those_of_the_deployment(adopted: Adopted, name: str) -> None:
    """Next to the inventory, where Ansible finds them."""
    main = adopted.inventory / "host_vars" / name / "main.yml"
    assert load(main) == {**CERTIFICATE, **EXPECTED[name]}
    text = " ".join(main.read_text(encoding="utf-8").split())
    for word in WORDS[name]:
        assert word in " ".join(adopted.output.split()), f"{word!r} was not reported"
        assert word in text or "ansible-vault" in word


def test_secrets_stand_in_their_own_file_and_nowhere_else(adopted: Adopted, name: str) -> None:
    """Not on the screen with -vvv and --diff either."""
    secrets = adopted.inventory / "host_vars" / name / "vault.yml"
    assert SECRET not in adopted.output
    assert SECRET not in secrets.with_name("main.yml").read_text(encoding="utf-8")
    if name == "vw-compose":
        assert not secrets.exists()
        return
    assert secrets.stat().st_mode & 0o777 == 0o600
    token = f"{SECRET} {{{{ $token" if name == "vw-docker-run" else SECRET
    assert load(secrets)["vault_vaultwarden_admin_token"] == token


def _only(name: str, wanted: str) -> None:
    if name != wanted:
        pytest.skip(f"shown on {wanted}")


def test_secrets_are_encrypted_where_there_is_a_vault_password(adopted: Adopted, name: str, tmp_path: Path) -> None:
    """And a second run finds that nothing has changed."""
    _only(name, "vw-docker-run")
    password = tmp_path / "password"
    password.write_text("open sesame\n", encoding="ascii")
    arguments = (f"--limit={name}", f"--vault-password-file={password}")
    done = play(adopted.inventory, "adopt", *arguments, adopt_output_dir=str(tmp_path))
    assert done.returncode == 0, shown(done)
    secrets = tmp_path / "host_vars" / name / "vault.yml"
    assert secrets.read_text(encoding="ascii").startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert secrets.stat().st_mode & 0o777 == 0o600
    view = ["ansible-vault", "view", f"--vault-password-file={password}", str(secrets)]
    assert SECRET in subprocess.run(view, capture_output=True, text=True, check=True).stdout
    again = play(adopted.inventory, "adopt", *arguments, adopt_output_dir=str(tmp_path))
    assert again.returncode == 0, shown(again)
    assert "changed=0" in again.stdout


def test_files_that_are_there_are_not_overwritten(adopted: Adopted, name: str, tmp_path: Path) -> None:
    """A file of the host would be silenced by a folder, so that is refused, too."""
    _only(name, "vw-compose")
    (tmp_path / "host_vars").mkdir()
    plain = tmp_path / "host_vars" / f"{name}.yml"
    plain.write_text("---\nansible_port: 22\n", encoding="ascii")
    done = play(adopted.inventory, "adopt", f"--limit={name}", adopt_output_dir=str(tmp_path))
    assert done.returncode == 2
    assert "connection.yml" in shown(done)
    assert "Nothing has been written" in shown(done)
    assert [path.name for path in (tmp_path / "host_vars").iterdir()] == [plain.name]


def test_check_mode_shows_what_the_roles_would_make_of_it(adopted: Adopted, name: str) -> None:
    """With the variables that were written; the host stays as it is."""
    _only(name, "vw-old-name")
    done = play(adopted.inventory, "site", "--check", f"--limit={name}")
    assert done.returncode == 0, shown(done)
    assert SECRET not in shown(done)
    assert look(name) == adopted.before[name]


def test_site_leaves_a_container_that_was_made_by_hand_alone(adopted: Adopted, name: str) -> None:
    """The upgrade is what swaps it, since that goes back when something fails."""
    _only(name, "vw-compose")
    done = play(adopted.inventory, "site", f"--limit={name}")
    assert done.returncode == 2, shown(done)
    assert "was not made by this role" in shown(done)
    assert look(name) == adopted.before[name]
