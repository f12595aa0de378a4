# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter of the role fail2ban, on lines that the server wrote (1.28.1 and 1.37.2 alike)."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[2] / "roles" / "fail2ban"
FILTER = (ROLE / "files" / "filter.conf").read_text(encoding="utf-8")
MARK = "00112233445566778899aabbccddeeff"

SIGN_IN = "[vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: {}. Username: {}."
TIME = "2026-11-25 10:39:07.585+0000"


def line(text: str, mark: str = f" {MARK}") -> str:
    """One line of the server's log; without a mark: what a client can write behind a line break."""
    return f"[{TIME}{mark}]{text}"


#: Lines and the address that each one is held against, if any.
CASES = [
    (line(SIGN_IN.format("198.51.100.7", "nobody@example.com")), "198.51.100.7"),
    (line(SIGN_IN.format("2001:db8::5", "nobody@example.com")), "2001:db8::5"),
    (line("[vaultwarden::api::admin][ERROR] Invalid admin token. IP: 198.51.100.7"), "198.51.100.7"),
    (
        line(
            "[vaultwarden::api::core::two_factor::authenticator][ERROR] Invalid TOTP code! "
            "Server time: 2026-11-25 10:39:07 UTC IP: 198.51.100.7"
        ),
        "198.51.100.7",
    ),
    (line("[vaultwarden::api::admin][ERROR] Invalid admin token. IP: 198.51.100.7 x"), None),
    # A user name with another address in it, and one whose second line looks like the server's own.
    (line(SIGN_IN.format("198.51.100.7", "a. IP: 203.0.113.8. Username: b")), "198.51.100.7"),
    (line(SIGN_IN.format("203.0.113.7", "y"), ""), None),
    (line(SIGN_IN.format("203.0.113.7", "y"), " ffeeddccbbaa99887766554433221100"), None),
    (line(SIGN_IN.format("203.0.113.7", "y"), f" {TIME}"), None),
    # The hub, its answers, and success.
    (line("[request][INFO] GET /notifications/hub?access_token=x"), None),
    (line("[vaultwarden::api::notifications][ERROR] Invalid token"), None),
    (line("[response][INFO] (websockets_hub) GET /notifications/hub?<data..> => 401 Unauthorized"), None),
    (line("[response][INFO] (web_files) GET /<p..> [10] => 404 Not Found"), None),
    (line("[response][INFO] (login) POST /identity/connect/token => 400 Bad Request"), None),
    (line("[vaultwarden::api::admin][ERROR] Invalid or expired admin JWT. IP: 198.51.100.7."), None),
    (line("[vaultwarden::api::identity][INFO] User a@example.com logged in successfully. IP: 198.51.100.7"), None),
]


def banned(text: str) -> str | None:
    """The address that the filter finds, by the rules of fail2ban: the time is cut out, then each expression tried."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(FILTER)
    assert parser["INCLUDES"]["after"] == "/etc/vaultwire/fail2ban/mark"
    date = (
        parser["Definition"]["datepattern"].replace("%%Y", r"\d{4}").replace("%%f", r"\d+").replace("%%z", r"[+-]\d{4}")
    )
    rest, times = re.subn(re.sub("%%[mdHMS]", r"\\d\\d", date), "", text)
    for expression in parser["Definition"]["failregex"].splitlines():
        expression = expression.replace("<mark>", MARK).replace("<ADDR>", r"(?P<address>[0-9a-f.:]+)")
        if times and (found := re.search(expression, rest)):
            return found["address"]
    return None


@pytest.mark.parametrize(("text", "address"), CASES)
def test_failed_sign_ins_are_held_against_their_address_alone(text: str, address: str | None) -> None:
    """A client can choose neither the address of its own line, nor that of a line which it makes up."""
    assert banned(text) == address


@pytest.mark.skipif(shutil.which("fail2ban-regex") is None, reason="fail2ban is not installed")
@pytest.mark.parametrize(("text", "address"), CASES)
def test_fail2ban_reads_the_filter_in_the_same_way(tmp_path: Path, text: str, address: str | None) -> None:
    """The program itself, where it is there."""
    (tmp_path / "mark").write_text(f"[Init]\nmark = {MARK}\n", encoding="utf-8")
    filter_file = tmp_path / "vaultwire.conf"
    filter_file.write_text(FILTER.replace("/etc/vaultwire/fail2ban", str(tmp_path)), encoding="utf-8")
    command = ["fail2ban-regex", "--out", "ip", text, str(filter_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ([address] if address else []), done.stderr
