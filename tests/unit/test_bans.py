# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the bans: what cannot work, and deployments in which a ban would hit the wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _bans

MARK = "00112233445566778899aabbccddeeff"


def settings(**changes: Any) -> dict[str, Any]:
    """Settings that work, with changes."""
    return {
        "mark": MARK,
        "log_file": "/var/lib/vaultwarden/vaultwarden.log",
        "ports": [80, 443],
        "maxretry": 5,
        "findtime": "10m",
        "bantime": "1h",
        "ignoreip": [],
        "banaction": "",
        "ip_header": "X-Real-IP",
        "trusted_hops": [],
        "server_address": "127.0.0.1",
        **changes,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"server_address": "::1"},
        {"ip_header": "X-Forwarded-For"},
        {"ports": ["8443"]},
        {"findtime": "600", "bantime": "4w", "maxretry": "1"},
        {"ignoreip": ["192.0.2.7", "192.0.2.0/24", "2001:db8::/64"]},
        {"banaction": "nftables-multiport"},
        {"banaction": 'iptables[type=multiport, chain="DOCKER-USER"]'},
    ],
    ids=str,
)
def test_what_can_work_is_taken(changes: dict[str, Any]) -> None:
    """No false alarm."""
    assert _bans.find_problems(settings(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ip_header": "none"}, "the proxy's address for everybody"),
        ({"ip_header": "None"}, "vaultwarden_ip_header"),
        ({"trusted_hops": ["192.0.2.1"]}, "Ban at the hops"),
        ({"server_address": "192.0.2.10"}, "Publish the server on loopback"),
        ({"server_address": "localhost"}, "fail2ban_server_address is 'localhost'"),
        ({"mark": ""}, "openssl rand -hex 16"),
        ({"mark": f"{MARK}\n"}, "fail2ban_mark is no word"),
        ({"mark": "0123456789abcde"}, "16 to 64"),
        ({"mark": None}, "fail2ban_mark is no word"),
        ({"log_file": "vaultwarden.log"}, "absolute path"),
        ({"log_file": "/var/log/*.log"}, "patterns"),
        ({"log_file": "/var/log/a b"}, "spaces"),
        ({"log_file": '/var/log/a"\nb'}, "absolute path"),
        ({"ports": []}, "fail2ban_ports is []"),
        ({"ports": [0]}, "fail2ban_ports is [0]"),
        ({"ports": [65536]}, "fail2ban_ports"),
        ({"ports": ["443; id"]}, "fail2ban_ports"),
        ({"maxretry": 0}, "fail2ban_maxretry is 0"),
        ({"maxretry": -1}, "fail2ban_maxretry is -1"),
        ({"findtime": "ten minutes"}, "fail2ban_findtime is 'ten minutes'"),
        ({"findtime": "0"}, "fail2ban_findtime"),
        ({"bantime": "-1"}, "fail2ban_bantime is '-1'"),
        ({"bantime": "1h\nx"}, "fail2ban_bantime"),
        ({"ignoreip": ["proxy.example.com"]}, "fail2ban_ignoreip holds 'proxy.example.com'"),
        ({"ignoreip": ["0.0.0.0/0"]}, "everyone"),
        ({"ignoreip": ["::/0"]}, "everyone"),
        ({"banaction": "a b"}, "/etc/fail2ban/action.d"),
        ({"banaction": "../x"}, "fail2ban_banaction"),
        ({"banaction": "x\nactionban = id"}, "fail2ban_banaction"),
    ],
    ids=str,
)
def test_what_cannot_work_is_named_with_its_remedy(changes: dict[str, Any], words: str) -> None:
    """One sentence, and never the mark."""
    problems = _bans.find_problems(settings(**changes))
    assert len(problems) == 1
    assert words in problems[0]
    assert MARK not in problems[0]
