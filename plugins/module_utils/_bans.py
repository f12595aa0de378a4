# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bans by fail2ban: settings that cannot work, and deployments in which the address in the log is not that of a client.

Pure: no Ansible imports. The settings arrive as one mapping whose keys are the variables of the role ``fail2ban``
without their prefix. No message holds the mark.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _shapes

Settings = t.Mapping[str, t.Any]

#: What the filter can hold without having to quote it, and what nobody guesses.
MARK = re.compile(r"[0-9A-Za-z]{16,64}")
_LISTS = {"ports": "80, 443", "ignoreip": '"192.0.2.0/24"', "trusted_hops": '"192.0.2.10"'}
_DURATION = re.compile(r"[1-9][0-9]*[smhdw]?")
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(\[[^\]\n]*\])?")
_PATH = re.compile(r'(/[^/\x00-\x20\x7f"*?\[\]]+)+')


def find_problems(settings: Settings) -> t.List[str]:
    """Every reason why these settings cannot work, as full sentences; empty when there is none."""
    problems, sound = _shapes.checked(settings, "fail2ban_", _LISTS, {})
    checks = (_check_address, _check_log, _check_numbers, _check_ban)
    return [*problems, *(problem for check in checks for problem in check(sound))]


def _check_address(settings: Settings) -> t.Iterator[str]:
    """What decides whom a ban would hit."""
    if str(settings["ip_header"]).lower() == "none":
        yield (
            "fail2ban_ip_header is none, so the server logs the proxy's address for everybody, and a ban would hit all "
            "or nobody. Have the proxy hand the client's address over in a header, which vaultwarden_ip_header names."
        )
    if settings["trusted_hops"]:
        yield (
            "fail2ban_trusted_hops names hops in front of the proxy. The firewall of this host sees only those, so a "
            "ban would close nothing. Ban at the hops, and set fail2ban_enabled to false."
        )
    try:
        private = ipaddress.ip_address(settings["server_address"]).is_loopback
    except ValueError:
        private = False
    if not private:
        yield (
            f"fail2ban_server_address is {settings['server_address']!r}: who reaches the server there, past a proxy of "
            f"this host, chooses the address that is banned. Publish the server on loopback; where the proxy is on "
            f"another host, set fail2ban_enabled to false and ban there."
        )


def _check_log(settings: Settings) -> t.Iterator[str]:
    if not MARK.fullmatch(str(settings["mark"])):
        yield (
            "fail2ban_mark is no word of 16 to 64 letters and digits. Make one with openssl rand -hex 16, write it in "
            "quotes, and keep it in Ansible Vault. Nothing of its value is shown here."
        )
    if not _PATH.fullmatch(str(settings["log_file"])):
        yield (
            f"fail2ban_log_file is {settings['log_file']!r}. Give the absolute path of one file, without spaces, "
            f"quotes and patterns."
        )


def _check_numbers(settings: Settings) -> t.Iterator[str]:
    if not settings["ports"] or not all(_is_port(port) for port in settings["ports"]):
        yield f"fail2ban_ports is {settings['ports']!r}. List the ports of the proxy, such as [80, 443]."
    if not str(settings["maxretry"]).isdigit() or int(settings["maxretry"]) < 1:
        yield f"fail2ban_maxretry is {settings['maxretry']!r}. Give a number of failures, 1 or more."
    for name in ("findtime", "bantime"):
        if not _DURATION.fullmatch(str(settings[name])):
            yield f"fail2ban_{name} is {settings[name]!r}. Give seconds, or a number with s, m, h, d or w, such as 10m."


def _check_ban(settings: Settings) -> t.Iterator[str]:
    for entry in settings["ignoreip"]:
        try:
            everyone = ipaddress.ip_network(str(entry), strict=False).prefixlen == 0
        except ValueError:
            yield f"fail2ban_ignoreip holds {entry!r}. List addresses or networks, such as 192.0.2.0/24."
        else:
            if everyone:
                yield f"fail2ban_ignoreip holds {entry!r}, everyone. Set fail2ban_enabled to false for no bans."
    if settings["banaction"] and not _ACTION.fullmatch(str(settings["banaction"])):
        yield (
            f"fail2ban_banaction is {settings['banaction']!r}. Give the name of a file in /etc/fail2ban/action.d "
            f"without its ending, such as nftables-multiport."
        )


def _is_port(value: object) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", str(value)) is not None and 1 <= int(str(value)) <= 65535
