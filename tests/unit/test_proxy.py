# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules over the proxy's settings, and the filters that feed it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vaultwire.stack.plugins.filter.vault import FilterModule
from ansible_collections.vaultwire.stack.plugins.module_utils import _proxy
from tests.unit.test_settings import settings as vaultwarden_settings

FILTERS = FilterModule().filters()


def settings(**changes: Any) -> dict[str, Any]:
    """Settings that work, with changes."""
    return {
        "domain": "https://vault.example.com",
        "routes": [{"match": "prefix", "path": "/", "upstream": "127.0.0.1:8080"}],
        "site": "vaultwarden",
        "http_port": 80,
        "read_timeout": 90,
        "max_clients": 4000,
        "max_body": "525M",
        **changes,
    }


def route(path: str = "/", upstream: str = "127.0.0.1:8080", match: str = "prefix") -> dict[str, str]:
    """A route."""
    return {"match": match, "path": path, "upstream": upstream}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"http_port": 0},
        {"routes": [route(upstream="[::1]:8080")]},
        {"routes": [route("/notifications/hub", "127.0.0.1:3012", "exact"), route()]},
        {"domain": "https://h.example/vault", "routes": [route("/vault/")]},
    ],
    ids=str,
)
def test_what_works_is_let_through(changes: dict[str, Any]) -> None:
    """No false alarm."""
    assert _proxy.find_problems(settings(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domain": "vault.example.com"}, "reverse_proxy_domain"),
        ({"domain": "https://h.example/vault"}, "sub-path"),
        ({"domain": "https://h.example:80"}, "both 80"),
        ({"routes": []}, "must end with"),
        ({"routes": [route(match="exact")]}, "must end with"),
        ({"routes": [route(upstream="localhost:8080")]}, "IP address"),
        ({"routes": [route(upstream="127.0.0.1")]}, "IP address"),
        ({"routes": [route(upstream="127.0.0.1:0")]}, "IP address"),
        ({"site": "My Vault"}, "reverse_proxy_site"),
        ({"http_port": 99999}, "reverse_proxy_http_port"),
        ({"read_timeout": 15}, "pings each 15"),
        ({"max_clients": 0}, "reverse_proxy_max_clients"),
        ({"max_body": "525MB"}, "reverse_proxy_max_body"),
    ],
    ids=str,
)
def test_what_cannot_work_is_named_with_its_remedy(changes: dict[str, Any], words: str) -> None:
    """In full sentences."""
    problems = _proxy.find_problems(settings(**changes))
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize("version", ["1.28.1", "1.30.5", "1.37.2"])
@pytest.mark.parametrize("domain", ["https://h.example", "https://h.example/vault"])
def test_the_plan_of_the_server_is_what_the_proxy_takes(version: str, domain: str) -> None:
    """Whatever the server's role works out fits the proxy's rules."""
    plan = FILTERS["vaultwarden_plan"](vaultwarden_settings(version=version, domain=domain, http_port=9000))
    assert _proxy.find_problems(settings(domain=domain, routes=plan["proxy_routes"])) == []
    assert plan["proxy_routes"][-1]["upstream"] == "127.0.0.1:9000"
    assert plan["server_url"] == f"http://127.0.0.1:9000{plan['base_path']}"


def test_filters_fail_with_the_words_of_the_model() -> None:
    """So that a message means the same wherever it appears."""
    with pytest.raises(AnsibleFilterError, match="vaultwarden_layout"):
        FILTERS["layout_plan"]("1.37.2", "legacy")
    with pytest.raises(AnsibleFilterError, match="my_domain"):
        FILTERS["vault_domain"]("x", "my_domain")
    assert FILTERS["layout_plan"]("1.28.1")["container_ports"]["websocket"] == 3012
    assert FILTERS["image_reference"]("v1.30.5-alpine") == "1.30.5-alpine"
    assert FILTERS["is_floating"]("latest") is True
