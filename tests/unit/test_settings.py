# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules over the server's settings, and the environment they make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.filter.vault import vaultwarden_plan
from ansible_collections.vaultwire.stack.plugins.module_utils import _settings

SECRET = "Nl9xQ-secret"
ROOT = Path(__file__).parents[2]


def settings(**changes: Any) -> dict[str, Any]:
    """Settings that work, with changes."""
    return {
        "version": "1.37.2",
        "resolved_version": "",
        "allow_floating_tag": False,
        "image": "docker.io/vaultwarden/server",
        "layout": "auto",
        "domain": "https://vault.example.com",
        "data_dir": "/var/lib/vaultwarden",
        "config_dir": "/etc/vaultwarden",
        "container_name": "vaultwarden",
        "bind_address": "127.0.0.1",
        "http_port": 8080,
        "container_port": 8080,
        "websocket_port": None,
        "open_files": 8192,
        "log_max_size": "10m",
        "log_max_files": 3,
        "memory_limit": "75%",
        "pids_limit": 2048,
        "uid": 10080,
        "gid": 10080,
        "admin_token_set": "admin_token" in changes,
        "admin_token_hash": False,
        "admin_token": "",
        "signups_allowed": False,
        "ip_header": "X-Real-IP",
        "trusted_proxies": [],
        "log_level": "info",
        "log_mark": "",
        "environment": {},
        "secrets": {},
        **changes,
    }


def test_the_defaults_work() -> None:
    """No false alarm."""
    assert _settings.find_problems(settings()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1.28.1", "websocket_port": 4012},
        {"version": "1.30.5", "layout": "legacy"},
        {"bind_address": "::1"},
        {"bind_address": "192.0.2.10"},
        {"image": "registry.example.com:5000/mirror/vaultwarden/server"},
        {"domain": "https://www.example.com:8443/vault"},
        {"admin_token": "pl$ain 'to\"ken` {{ x }} \\ #"},
        {"trusted_proxies": ["local", "192.0.2.0/24", "2001:db8::1"]},
        {"environment": {"SMTP_HOST": "mail.example.com", "SMTP_PORT": 587, "SHOW_PASSWORD_HINT": False}},
        {"secrets": {"SMTP_PASSWORD": SECRET, "DATABASE_URL": "postgresql://u:p@db.example.com/v"}},
        {"version": "latest", "allow_floating_tag": True},
        {"version": "latest", "allow_floating_tag": True, "resolved_version": "1.37.2"},
    ],
    ids=str,
)
def test_what_works_is_let_through(changes: dict[str, Any]) -> None:
    """Unusual, and right."""
    assert _settings.find_problems(settings(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "latest"}, "vaultwarden_allow_floating_tag"),
        ({"version": "1.37.2", "layout": "legacy"}, "vaultwarden_layout"),
        ({"version": "1.28.1", "layout": "single_port"}, "vaultwarden_layout"),
        ({"version": "1.28.1", "layout": "both"}, "auto, legacy or single_port"),
        ({"version": "latest", "allow_floating_tag": True, "resolved_version": "1.37.2", "layout": "legacy"}, "1.37.2"),
        ({"domain": "vault.example.com"}, "https://"),
        ({"domain": ""}, "vaultwarden_domain is empty"),
        ({"image": "vaultwarden/server:1.37.2"}, "vaultwarden_version"),
        ({"image": "server"}, "vaultwarden_image"),
        ({"container_name": "a b"}, "vaultwarden_container_name"),
        ({"data_dir": "data"}, "vaultwarden_data_dir"),
        ({"data_dir": "/srv/../etc"}, "vaultwarden_data_dir"),
        ({"config_dir": "/etc/vaultwarden/"}, "vaultwarden_config_dir"),
        ({"bind_address": "0.0.0.0"}, "firewall"),
        ({"bind_address": "::"}, "firewall"),
        ({"bind_address": "localhost"}, "vaultwarden_bind_address"),
        ({"http_port": 70000}, "vaultwarden_http_port"),
        ({"container_port": 80}, "vaultwarden_container_port"),
        ({"container_port": "x"}, "vaultwarden_container_port"),
        ({"version": "1.28.1", "websocket_port": 8080}, "both 8080"),
        ({"version": "1.28.1", "http_port": 9000, "websocket_port": 9000}, "both 9000"),
        ({"open_files": 1000}, "vaultwarden_open_files is 1000. Give a number from 1024 to 1048576"),
        ({"open_files": 1048577}, "vaultwarden_open_files is 1048577"),
        ({"open_files": "many"}, "vaultwarden_open_files is 'many'"),
        ({"uid": 0}, "vaultwarden_uid is 0"),
        ({"gid": "staff"}, "vaultwarden_gid"),
        ({"ip_header": "X Real"}, "vaultwarden_ip_header"),
        ({"log_level": "loud"}, "vaultwarden_log_level"),
        ({"log_mark": f"{SECRET}"}, "openssl rand -hex 16"),
        ({"log_mark": "abc"}, "16 to 64 letters"),
        ({"log_mark": "a" * 65}, "16 to 64 letters"),
        ({"log_mark": 12345678901234567890}, "in quotes"),
        ({"log_mark": "a" * 32, "environment": {"LOG_FILE": "/data/x"}}, "vaultwarden_environment sets LOG_FILE"),
        ({"log_mark": "a" * 32, "environment": {"LOG_TIMESTAMP_FORMAT": "x"}}, "LOG_TIMESTAMP_FORMAT, which vault"),
        ({"log_mark": "a" * 32, "secrets": {"LOG_TIMESTAMP_FORMAT": "x"}}, "vaultwarden_secrets sets LOG_TIMESTAMP"),
        ({"log_mark": "a" * 32, "log_level": "off"}, "vaultwarden_log_level is off"),
        ({"trusted_proxies": ["proxy"]}, "vaultwarden_trusted_proxies"),
        ({"admin_token": ""}, "is empty"),
        ({"admin_token": "  "}, "is empty"),
        ({"admin_token": f"{SECRET}\n"}, "line break"),
        ({"admin_token": f" {SECRET}"}, "space"),
        ({"admin_token": f"{SECRET}\tx"}, "control character"),
        ({"admin_token": 12345}, "quotes"),
        ({"environment": {"ADMIN_TOKEN": SECRET}}, "vaultwarden_secrets"),
        ({"environment": {"MY_API_KEY": SECRET}}, "vaultwarden_secrets"),
        ({"environment": {"DOMAIN": "https://x.example"}}, "vaultwarden_domain"),
        ({"environment": {"WEBSOCKET_ENABLED": True}}, "vaultwarden_layout"),
        ({"environment": {"smtp_host": "x"}}, "capitals"),
        ({"environment": {"SMTP_FROM": "a\nb"}}, "SMTP_FROM"),
        ({"environment": {"SMTP_FROM": ["a"]}}, "SMTP_FROM"),
        ({"secrets": {"ADMIN_TOKEN": SECRET}}, "vaultwarden_admin_token"),
        ({"secrets": {"ROCKET_TLS": SECRET}}, "cannot read from a file"),
        ({"secrets": {"SMTP_PASSWORD_FILE": SECRET}}, "server's name"),
        ({"secrets": {"SMTP_PASSWORD": f"{SECRET} "}}, "SMTP_PASSWORD"),
        ({"secrets": {"DOMAIN_X": SECRET}, "environment": {"DOMAIN_X": "y"}}, "DOMAIN_X is in both"),
    ],
    ids=str,
)
def test_what_cannot_work_is_named_with_its_remedy(changes: dict[str, Any], words: str) -> None:
    """One sentence at least, and never the value of a secret."""
    problems = _settings.find_problems(settings(**changes))
    assert any(words in problem for problem in problems), problems
    assert SECRET not in " ".join(problems)


def test_a_mark_makes_a_log_file_and_stays_out_of_the_environment() -> None:
    """It is behind the time of each line; without one the log goes where it went before."""
    marked = settings(log_mark="0123456789abcdef", environment={"EXTENDED_LOGGING": True})
    assert _settings.find_problems(marked) == []
    environment = _settings.build_environment(marked)
    assert environment["LOG_FILE"] == "/data/vaultwarden.log"
    assert environment["LOG_TIMESTAMP_FORMAT_FILE"] == "/run/secrets/vaultwarden/log_timestamp_format"
    assert "0123456789abcdef" not in str(environment)
    assert _settings.secret_files(marked) == {"log_timestamp_format": "%Y-%m-%d %H:%M:%S.%3f%z 0123456789abcdef"}
    assert not [
        name for name in _settings.build_environment(settings()) if name.startswith("LOG_") and name != "LOG_LEVEL"
    ]


def test_all_problems_come_at_once() -> None:
    """Nobody wants to run again for each."""
    assert len(_settings.find_problems(settings(domain="x", uid=0, log_level="loud"))) == 3


def test_the_environment_of_the_single_port_layout() -> None:
    """Secrets by the names of their files only, booleans as the server reads them, no trace of the second port."""
    made = _settings.build_environment(
        settings(
            admin_token=SECRET,
            secrets={"SMTP_PASSWORD": SECRET},
            trusted_proxies=["192.0.2.1", "192.0.2.2"],
            environment={"SHOW_PASSWORD_HINT": False, "SMTP_PORT": 587},
        )
    )
    assert made == {
        "ADMIN_TOKEN_FILE": "/run/secrets/vaultwarden/admin_token",
        "DOMAIN": "https://vault.example.com",
        "ENABLE_WEBSOCKET": "true",
        "IP_HEADER": "X-Real-IP",
        "IP_HEADER_TRUSTED_PROXIES": "192.0.2.1,192.0.2.2",
        "LOG_LEVEL": "info",
        "ROCKET_PORT": "8080",
        "SHOW_PASSWORD_HINT": "false",
        "SIGNUPS_ALLOWED": "false",
        "SMTP_PASSWORD_FILE": "/run/secrets/vaultwarden/smtp_password",
        "SMTP_PORT": "587",
    }


def test_the_environment_of_the_legacy_layout() -> None:
    """The switch and the port of the old layout; a setting that the release does not know is left out."""
    made = _settings.build_environment(settings(version="1.28.1", trusted_proxies=["192.0.2.1"]))
    assert made["WEBSOCKET_ENABLED"] == "true"
    assert "ENABLE_WEBSOCKET" not in made
    assert "IP_HEADER_TRUSTED_PROXIES" not in made


def test_secrets_become_files_byte_for_byte() -> None:
    """Whatever a shell would make of them."""
    token = "$x 'y' \"z\" `w` {{ v }} \\n"
    assert _settings.secret_files(settings(admin_token=token)) == {"admin_token": token}


@pytest.mark.parametrize(
    ("changes", "published"),
    [
        ({}, ["127.0.0.1:8080:8080"]),
        ({"http_port": 9000, "bind_address": "::1"}, ["[::1]:9000:8080"]),
        ({"version": "1.28.1", "websocket_port": 4012}, ["127.0.0.1:8080:8080", "127.0.0.1:4012:4012"]),
    ],
    ids=str,
)
def test_ports_are_published_on_one_address(changes: dict[str, Any], published: list[str]) -> None:
    """The second port in the legacy layout only."""
    assert _settings.published(settings(**changes)) == published


PUSH_KEYS = {"PUSH_INSTALLATION_ID": SECRET, "PUSH_INSTALLATION_KEY": SECRET}
RELAY, IDENTITY = "https://api.bitwarden.eu", "https://identity.bitwarden.eu"


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("", {}),
        ("us", {"PUSH_ENABLED": "true"}),
        ("eu", {"PUSH_ENABLED": "true", "PUSH_RELAY_URI": RELAY, "PUSH_IDENTITY_URI": IDENTITY}),
    ],
)
def test_a_region_of_push_sets_a_whole_pair(region: str, expected: dict[str, str]) -> None:
    given = settings(push_region=region, secrets=PUSH_KEYS)
    assert _settings.find_problems(given) == []
    made = _settings.build_environment(given)
    assert {name: value for name, value in made.items() if name in (*expected, "PUSH_ENABLED")} == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"push_region": "uk"}, "Use us or eu"),
        ({"push_region": "us"}, "PUSH_INSTALLATION_ID and PUSH_INSTALLATION_KEY"),
        ({"push_region": "us", "secrets": {"PUSH_INSTALLATION_ID": SECRET}}, "without PUSH_INSTALLATION_KEY"),
        ({"environment": {"PUSH_ENABLED": True}}, "would not start"),
        ({"push_region": "eu", "secrets": PUSH_KEYS, "environment": {"PUSH_RELAY_URI": RELAY}}, "decides"),
        ({"secrets": PUSH_KEYS, "environment": {"PUSH_ENABLED": True, "PUSH_RELAY_URI": RELAY}}, "mixes regions"),
        ({"secrets": PUSH_KEYS, "environment": {"PUSH_ENABLED": True, "PUSH_IDENTITY_URI": IDENTITY}}, "mixes regions"),
    ],
)
def test_push_that_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    (problem,) = _settings.find_problems(settings(**changes))
    assert words in problem and SECRET not in problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": "1.37"}, "vaultwarden_version cannot be used. '1.37' is not a version"),
        ({"version": "vaultwarden_1"}, "vaultwarden_version cannot be used. 'vaultwarden_1' is not a version"),
        ({"version": "latest"}, "vaultwarden_version cannot be used. 'latest' is a moving tag"),
        (
            {"version": "latest", "allow_floating_tag": True, "resolved_version": "dev"},
            "vaultwarden_version cannot be used. 'dev' is not a version",
        ),
        ({"layout": "both"}, "vaultwarden_layout is 'both', which is unknown"),
        ({"layout": "legacy"}, "Version 1.37.2 has no second port"),
        ({"version": "1.28.1", "websocket_port": "x"}, "vaultwarden_websocket_port is 'x'"),
        ({"version": "1.28.1", "websocket_port": "vaultwarden_http_port"}, "vaultwarden_websocket_port is 'vault"),
    ],
)
def test_what_the_model_refuses_is_said_once_and_by_name(changes: dict[str, Any], problem: str) -> None:
    """Whatever words the value itself holds."""
    problems = _settings.find_problems(settings(**changes))
    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"version": "latest", "allow_floating_tag": True}, False),
        ({"version": "latest", "allow_floating_tag": True, "resolved_version": "1.37.2"}, True),
        ({"version": "1.37.2", "allow_floating_tag": True}, True),
    ],
)
def test_the_release_behind_a_moving_tag_is_known_once_it_was_read(changes: dict[str, Any], known: bool) -> None:
    assert _settings.release_known(settings(**changes)) is known


@pytest.mark.parametrize("domain", ["https://vault.example.com", "https://www.example.com/vault"])
def test_what_is_certain_of_a_moving_tag_is_planned(domain: str) -> None:
    """The checks of the proxy have rules to judge, and they are those of the release that comes."""
    moving = settings(version="latest", allow_floating_tag=True, domain=domain, http_port=9000)
    plan, then = vaultwarden_plan(moving), vaultwarden_plan({**moving, "resolved_version": "1.37.2"})
    assert (plan["version"], plan["layout"], plan["publish"]) == ("", "auto", [])
    same = ("listen", "proxy_routes", "server_url", "base_path", "secrets_mount", "trusted_proxies")
    assert {name: plan[name] for name in same} == {name: then[name] for name in same}
    # Whatever a play may ask of a plan.
    used = {name for path in ROOT.glob("*/**/*.yml") if path.parts[len(ROOT.parts)] in ("roles", "playbooks")
            for name in re.findall(r"vaultwarden_plan\.([a-z_]+)", path.read_text(encoding="utf-8"))}  # fmt: skip
    assert used <= set(plan)
