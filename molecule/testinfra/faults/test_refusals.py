# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that cannot work is refused with a message that names variable and remedy, and the host stays as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from actions import Playbook
from testinfra.host import Host
from vault import Vault

PAIR = "/etc/vaultwire/tls/vault.example.com"


class Refusal(NamedTuple):
    """Variables that cannot work, and words that the message must hold."""

    variables: dict[str, Any]
    words: tuple[str, ...]


REFUSALS = {
    "no scheme": Refusal({"vaultwarden_domain": "vault.example.com"}, ("vaultwarden_domain", "https://")),
    "slash at the end": Refusal({"vaultwarden_domain": "https://vault.example.com/"}, ("slash",)),
    "layout the release lacks": Refusal({"vaultwarden_layout": "legacy"}, ("1.37.2", "vaultwarden_layout", "1.31.0")),
    "moving tag": Refusal({"vaultwarden_version": "latest"}, ("vaultwarden_allow_floating_tag",)),
    "version as a number": Refusal({"vaultwarden_version": "1.37"}, ("full release number",)),
    "a newer release runs": Refusal(
        {"vaultwarden_version": "1.36.0"}, ("runs release 1.37.2", 'Set vaultwarden_version to "1.37.2"')
    ),
    "every address": Refusal({"vaultwarden_bind_address": "0.0.0.0"}, ("vaultwarden_bind_address", "firewall")),
    "port taken": Refusal({"vaultwarden_http_port": 22}, ("Port 22", "sshd", "vaultwarden_http_port")),
    "proxy port taken": Refusal({"vaultwarden_domain": "https://vault.example.com:22"}, ("Port 22", "sshd")),
    "empty token": Refusal({"vaultwarden_admin_token": ""}, ("vaultwarden_admin_token", "is empty")),
    "token with a line break": Refusal({"vaultwarden_admin_token": "Nl9xQ\n"}, ("line break", "printf")),
    "secret in the environment": Refusal({"vaultwarden_environment": {"SMTP_PASSWORD": "Nl9xQ"}},
                                         ("SMTP_PASSWORD", "vaultwarden_secrets")),
    "managed variable": Refusal({"vaultwarden_environment": {"WEBSOCKET_ENABLED": True}}, ("vaultwarden_layout",)),
    "push without keys": Refusal({"vaultwarden_push_region": "eu"}, ("PUSH_INSTALLATION_ID", "vaultwarden_secrets")),
    "certificate missing": Refusal({"reverse_proxy_tls_certificate": "/nope.pem", "reverse_proxy_tls_key": "/nope.key"},
                                   ("/nope.pem", "cannot be read")),
    "certificate without its key": Refusal({"reverse_proxy_tls_certificate": f"{PAIR}.pem"}, ("go together",)),
    "certificate for another name": Refusal(
        {"reverse_proxy_tls_certificate": f"{PAIR}.pem", "reverse_proxy_tls_key": f"{PAIR}.key",
         "vaultwarden_domain": "https://other.example.com"}, ("another name", "other.example.com")),
    "key of another certificate": Refusal(
        {"reverse_proxy_tls_certificate": f"{PAIR}.pem", "reverse_proxy_tls_key": "/etc/vaultwire/tls/ca.key"},
        ("does not belong",)),
    "key that is none": Refusal(
        {"reverse_proxy_tls_certificate": f"{PAIR}.pem", "reverse_proxy_tls_key": f"{PAIR}.pem"}, ("no private key",)),
    "timeout below the ping": Refusal({"reverse_proxy_read_timeout": 10}, ("reverse_proxy_read_timeout", "15")),
}  # fmt: skip


def shown(done: subprocess.CompletedProcess[str]) -> str:
    """All output in one line, as words."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("name", REFUSALS)
def test_input_is_refused_before_anything_changes(
    vault: Vault, run_playbook: Playbook, snapshot: Callable[[], str], name: str
) -> None:
    """One host is enough: the checks do not differ between the layouts."""
    if vault.legacy:
        pytest.skip("shown on the other host")
    before = snapshot()
    done = run_playbook("site", **REFUSALS[name].variables)
    assert done.returncode == 2, shown(done)
    for word in REFUSALS[name].words:
        assert word in shown(done)
    # A module does not know what its caller did before; that of certificates is asked before anything else is done.
    by_module = any(setting.startswith("reverse_proxy_tls") for setting in REFUSALS[name].variables)
    assert by_module or "Nothing has been changed" in shown(done)
    assert "Nl9xQ" not in shown(done), "a secret was shown"
    assert snapshot() == before


def test_check_mode_changes_nothing_and_says_what_would(run_playbook: Playbook, snapshot: Callable[[], str]) -> None:
    """On a deployed host, with settings that differ in every role."""
    before = snapshot()
    done = run_playbook(
        "site", "--check", "--diff", vaultwarden_log_level="warn", reverse_proxy_max_body="600M",
        vaultwarden_secrets={"HIBP_API_KEY": "Nl9xQ"},
    )  # fmt: skip
    assert done.returncode == 0, shown(done)
    assert "client_max_body_size 600M" in shown(done)
    assert "hibp_api_key (value hidden)" in shown(done) or "hibp_api_key" in shown(done)
    assert "Nl9xQ" not in shown(done)
    assert snapshot() == before


def test_a_server_that_keeps_exiting_is_no_success(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """The run fails with the server's own words, and so does the next one, which changes nothing."""
    if vault.legacy:
        pytest.skip("the older release starts with this setting")
    broken = {**vault.settings["vaultwarden_environment"], "LOG_FILE": "/nowhere/log"}
    try:
        for __ in range(2):
            done = run_playbook("site", vaultwarden_environment=broken, vaultwarden_start_timeout=15)
            assert done.returncode == 2, shown(done)
            assert "refused its configuration" in shown(done)
            assert "Error loading config" in shown(done)
    finally:
        repaired = run_playbook("site")
    assert repaired.returncode == 0, shown(repaired)


def test_a_configuration_that_nginx_refuses_never_goes_live(
    host: Host, vault: Vault, run_playbook: Playbook, snapshot: Callable[[], str]
) -> None:
    """A fault in a foreign file fails the check of the whole; ours is put back and the proxy keeps serving."""
    host.check_output("echo 'nonsense on;' > /etc/nginx/conf.d/zz-foreign.conf")
    try:
        before = snapshot()
        done = run_playbook("site", reverse_proxy_max_body="600M")
        assert done.returncode == 2, shown(done)
        assert "zz-foreign.conf" in shown(done)
        assert "files are as they were" in shown(done)
        assert snapshot() == before
        assert vault.request("GET", "/alive").status_code == 200
    finally:
        host.check_output("rm /etc/nginx/conf.d/zz-foreign.conf")


def test_a_run_cut_off_before_the_reload_is_finished_by_the_next(host: Host, run_playbook: Playbook) -> None:
    """The marker of an owed reload makes the next run reload, although no file differs."""
    host.check_output("mkdir -p /run/vaultwire && touch /run/vaultwire/nginx.reload")
    done = run_playbook("site", notifications_check_live_update="never")
    assert done.returncode == 0, shown(done)
    assert "Reload the proxy" in shown(done)
    assert not host.file("/run/vaultwire/nginx.reload").exists
