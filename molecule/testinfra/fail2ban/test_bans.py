# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans at a host whose proxy is asked from another one. The tests run in order; the last one takes everything down."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from actions import Playbook
from conftest import Stranger
from testinfra.host import Host
from vault import Vault

MARK = "00112233445566778899aabbccddeeff"
SECONDS = 20.0
#: One line for the log, as the server would write it of somebody else, behind a line break in the name.
FORGED = (
    "x\n[2026-11-25 10:39:07.585+0000][vaultwarden::api::identity][ERROR] Username or password is incorrect. "
    "Try again. IP: 203.0.113.9. Username: y"
)
SIGN_IN = {
    "grant_type": "password", "password": "x", "scope": "api offline_access", "client_id": "web",
    "deviceType": "9", "deviceIdentifier": "7c4a1f0e-2f1b-4c8e-9d53-0d1f7a3b5c11", "deviceName": "tests",
    "username": FORGED,
}  # fmt: skip
UPGRADE = [
    "--http1.1", "--header", "Connection: Upgrade", "--header", "Upgrade: websocket",
    "--header", "Sec-WebSocket-Version: 13", "--header", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]  # fmt: skip
SIGN_IN_OPTIONS = [word for name, value in SIGN_IN.items() for word in ("--data-urlencode", f"{name}={value}")]


def status(host: Host, name: str) -> str:
    """One entry of what fail2ban says of its jail."""
    found = re.search(rf"{name}:\s*(.*)", host.check_output("fail2ban-client status vaultwire"))
    assert found, name
    return found[1].strip()


def wait_until(condition: Callable[[], bool], host: Host) -> None:
    """fail2ban looks at the log once a second."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, host.check_output("tail -n 30 /var/log/fail2ban.log")
        time.sleep(0.2)


def banned(host: Host) -> list[str]:
    """Addresses that are banned now."""
    return status(host, "Banned IP list").split()


def test_the_jail_is_in_force(host: Host) -> None:
    """Now and from each boot on, beside the one for SSH, whose log Debian 12 no longer writes."""
    service = host.service("fail2ban")
    assert (service.is_running, service.is_enabled) == (True, True)
    jails = host.check_output("fail2ban-client status")
    assert re.search(r"Jail list:\s*sshd, vaultwire", jails), jails
    assert host.check_output("fail2ban-client get vaultwire maxretry") == "5"


def test_the_mark_is_for_root_alone(host: Host, vault: Vault) -> None:
    """It is in one file for fail2ban and in one for the server; not in the container's environment."""
    file = host.file("/etc/vaultwire/fail2ban/mark")
    assert (file.mode, file.user, file.content_string) == (0o400, "root", f"[Init]\nmark = {MARK}\n")
    assert MARK not in host.check_output("docker inspect %s", vault.container)
    found = host.check_output("grep -rlF %s /etc", MARK).split()
    assert sorted(found) == ["/etc/vaultwarden/secrets/log_timestamp_format", file.path]


def test_the_hubs_answers_never_count(host: Host, stranger: Stranger) -> None:
    """Clients come back with old tokens all the time. A failure afterwards is the first; the log was rotated before."""
    host.check_output("logrotate --force /etc/logrotate.d/vaultwire")
    assert set(stranger.ask("/notifications/hub?access_token=old", *UPGRADE, times=20)) == {"401"}
    assert set(stranger.ask("/notifications/hub?access_token=old", times=20)) == {"404"}
    assert set(stranger.ask("/api/sync", "--header", "Authorization: Bearer old", times=20)) == {"401"}
    assert stranger.ask("/identity/connect/token", *SIGN_IN_OPTIONS) == ["400"]
    wait_until(lambda: status(host, "Total failed") != "0", host)
    assert (status(host, "Total failed"), banned(host)) == ("1", [])


def test_who_tries_passwords_is_banned(host: Host, vault: Vault, stranger: Stranger) -> None:
    """From the proxy's ports only, and nobody else: neither other clients, nor whom a forged line names."""
    assert stranger.ask("/identity/connect/token", *SIGN_IN_OPTIONS, times=4) == ["400"] * 4
    wait_until(lambda: banned(host) == [stranger.address], host)
    assert stranger.ask("/alive") == ["000"]
    assert [stranger.reaches(port) for port in (80, 443, 22)] == [False, False, True]
    assert vault.request("GET", "/alive").status_code == 200
    assert "203.0.113.9" not in host.check_output("cat /var/log/fail2ban.log")


def test_a_ban_can_be_lifted(host: Host, stranger: Stranger) -> None:
    """By hand, at once."""
    host.check_output("fail2ban-client set vaultwire unbanip %s", stranger.address)
    assert stranger.ask("/alive") == ["200"]


def test_who_tries_admin_tokens_is_banned(host: Host, stranger: Stranger) -> None:
    """The same way."""
    assert stranger.ask("/admin", "--data", "token=wrong", times=5) == ["401"] * 5
    wait_until(lambda: banned(host) == [stranger.address], host)
    assert stranger.ask("/alive") == ["000"]


def test_an_ignored_address_is_not_banned(host: Host, vault: Vault) -> None:
    """However often it fails."""
    statuses = {vault.request("POST", "/admin", data={"token": "wrong"}).status_code for __ in range(8)}
    assert statuses == {401}
    own = re.sub(r"\d+$", "1", vault.address)
    log = "/var/log/fail2ban.log"
    wait_until(lambda: host.file(log).content_string.count(f"[vaultwire] Ignore {own} ") == 8, host)
    assert own not in banned(host)


def test_a_fault_elsewhere_keeps_the_jail_as_it_was(
    host: Host, run_playbook: Playbook, snapshot: Callable[[], str], stranger: Stranger
) -> None:
    """fail2ban checks all it has before anything goes live; bans stay."""
    host.check_output("printf '[zz]\\nenabled = true\\nfilter = nonsense\\n' > /etc/fail2ban/jail.d/zz.conf")
    before = snapshot()
    done = run_playbook("site", fail2ban_maxretry=4)
    assert done.returncode == 2
    assert "files are as they were. /usr/bin/fail2ban-client -t says" in " ".join(done.stdout.split())
    assert snapshot() == before
    host.check_output("rm /etc/fail2ban/jail.d/zz.conf")
    assert banned(host) == [stranger.address]


def test_bans_that_would_hit_others_are_refused(run_playbook: Playbook, snapshot: Callable[[], str]) -> None:
    """Before anything is changed, the server's own settings included."""
    before = snapshot()
    done = run_playbook("site", vaultwarden_ip_header="none")
    assert done.returncode == 2
    said = " ".join(done.stdout.split())
    assert "fail2ban_ip_header is none" in said and "Nothing has been changed" in said
    assert MARK not in done.stdout
    assert snapshot() == before


def test_a_teardown_lifts_the_bans(host: Host, run_playbook: Playbook, stranger: Stranger) -> None:
    """Nothing of the role is left but fail2ban itself, which other jails may need."""
    assert banned(host) == [stranger.address]
    done = run_playbook("teardown")
    assert done.returncode == 0, done.stdout
    assert "sshd" in host.check_output("fail2ban-client status")
    assert "vaultwire" not in host.check_output("fail2ban-client status; iptables-save")
    assert host.check_output("find /etc/fail2ban /etc/logrotate.d -name '*vaultwire*'") == ""
    assert not host.file("/etc/vaultwire").exists
