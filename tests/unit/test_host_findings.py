# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong on a host, as a pure function of what deployment_info saw there."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _host_findings, _vaults
from ansible_collections.vaultwire.stack.plugins.module_utils._host_findings import host_findings

ROUTE = {"path": "/notifications/hub", "upstream": "127.0.0.1:8080", "upgrade": True, "port": "http"}
SITE: dict[str, Any] = {
    "file": "/etc/nginx/conf.d/vault.conf",
    "vault": "vault",
    "routes": {
        "root": {**ROUTE, "path": "/"},
        "hub": ROUTE,
        "anonymous_hub": {**ROUTE, "path": "/notifications/anonymous-hub"},
    },
}
VAULT: dict[str, Any] = {
    "name": "vault",
    "status": "running",
    "health": "healthy",
    "image": "vaultwarden/server:1.37.2",
    "tag": "1.37.2",
    "version": "1.37.2",
    "era": "single_port",
    "live": True,
    "managed": True,
    "published_ports": [{"address": "127.0.0.1", "host": 8080, "container": 80}],
    "environment": {"DOMAIN": "https://vault.example.com", "IP_HEADER": "X-Real-IP"},
    "secret_names": [],
    "secret_files": {"ADMIN_TOKEN": "/run/secrets/admin_token"},
    "admin_token_form": "hash",
    "database": "sqlite",
    "label_router": False,
    "config_json": {"present": False, "broken": False, "names": [], "overrides": [], "values": {}},
    "data": {"folder": "/data", "type": "bind", "volume": "", "path": "/srv/vault", "file_system": "ext4",
             "network_share": False},
    "leftovers": [],
    "proxy_as_client": {},
}  # fmt: skip
SEEN = {"address": "172.17.0.1", "times": 7, "place": "the gateway of the network bridge"}
PUSH = {"PUSH_ENABLED": "true"}
KEYS = {"PUSH_INSTALLATION_ID": "/run/a", "PUSH_INSTALLATION_KEY": "/run/b"}
EU = {"PUSH_RELAY_URI": "https://api.bitwarden.eu", "PUSH_IDENTITY_URI": "https://identity.bitwarden.eu"}


def host(site: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A host with one healthy vault behind nginx, with changes; dictionaries are changed key by key."""
    vault = copy.deepcopy(VAULT)
    for name, value in changes.items():
        vault[name] = {**vault[name], **value} if isinstance(value, dict) else value
    engine, proxies = {"version": "29.0.1", "oldest_api": "1.44"}, {"traefik": {"version": "3.6.1"}}
    return {"vaults": [vault], "sites": [site or SITE], "engine": engine, "proxies": proxies}


def site(**routes: dict[str, Any]) -> dict[str, Any]:
    """The site with changes to its routes."""
    return {**SITE, "routes": {name: {**route, **routes.get(name, {})} for name, route in SITE["routes"].items()}}


def leftover(kind: str) -> list[dict[str, str]]:
    """One thing of another layout."""
    return [{"kind": kind, "name": "NAME", "text": "What it is."}]


def codes(info: dict[str, Any]) -> list[str]:
    """Codes with a mark for errors."""
    return [f"{found.code}{'!' if found.severity == 'error' else ''}" for found in host_findings(info)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"leftovers": leftover("exposed")},
        {"image": "vaultwarden/server@sha256:00", "tag": ""},
        {"environment": {**PUSH, **EU}, "secret_files": KEYS},
        {"environment": PUSH, "secret_files": KEYS},
        {"environment": EU},
        {"config_json": {"present": True, "overrides": ["DOMAIN"], "values": {"DOMAIN": "https://vault.example.com"}}},
        {"status": "exited", "health": "unhealthy", "leftovers": leftover("route")},
        {"database": "postgresql", "data": {"network_share": True}},
        {"label_router": True},
        {"era": "legacy", "published_ports": [{"address": "192.0.2.10", "host": 80, "container": 80}]},
    ],
)
def test_a_healthy_vault_has_no_finding(changes: dict[str, Any]) -> None:
    assert codes(host(**changes)) == []


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "stale_route": (host(leftovers=leftover("route")), ["VW-A01!"]),
    "ignored_variable": (host(leftovers=leftover("variable")), ["VW-A02"]),
    "channel_off": (host(live=False), ["VW-A03"]),
    "moving_tag": (host(image="vaultwarden/server", tag=""), ["VW-A06"]),
    "stale_port": (host(leftovers=leftover("port")), ["VW-A07"]),
    "plain_hub": (host(site(hub={"upgrade": False}, anonymous_hub={"upgrade": False})), ["VW-B01!"]),
    "plain_anonymous_hub": (host(site(anonymous_hub={"upgrade": False})), ["VW-C01!"]),
    "plain_domain": (host(environment={"DOMAIN": "http://vault.example.com"}), ["VW-C18"]),
    "no_address": (host(environment={"IP_HEADER": "none"}), ["VW-D01"]),
    "proxy_as_client": (host(proxy_as_client=SEEN), ["VW-D01"]),
    "trusts_all": (host(environment={"IP_HEADER_TRUSTED_PROXIES": "192.0.2.1, all"}), ["VW-D01"]),
    "open_port": (host(published_ports=[{"address": "0.0.0.0", "host": 80, "container": 80}]), ["VW-D06"]),
    "engine_floor": (
        {**host(label_router=True), "proxies": {"traefik": {"version": "3.5.2"}}}, ["VW-D10!"],
    ),
    "overridden_domain": (
        host(config_json={"overrides": ["DOMAIN"], "values": {"DOMAIN": "https://old.example.com"}}), ["VW-E01!"],
    ),
    "overridden": (host(config_json={"overrides": ["ADMIN_TOKEN", "SMTP_HOST"]}), ["VW-E01"]),
    "broken_config": (host(config_json={"present": True, "broken": True}), ["VW-E01!"]),
    "damaged_token": (host(admin_token_form="damaged"), ["VW-E02!"]),
    "wrong_domain": (host(environment={"DOMAIN": "vault.example.com"}), ["VW-E05!"]),
    "push_without_keys": (host(environment=PUSH, secret_files={"PUSH_INSTALLATION_ID": "/a"}), ["VW-E06!"]),
    "mixed_regions": (
        host(environment={**PUSH, **EU, "PUSH_IDENTITY_URI": ""}, secret_files=KEYS), ["VW-E07!"],
    ),
    "unhealthy": (host(health="unhealthy"), ["VW-F01!"]),
    "no_volume": (host(data={"type": ""}), ["VW-F03!"]),
    "restarts": (host(status="restarting", health="unhealthy"), ["VW-F05!"]),
    "network_share": (host(data={"network_share": True, "file_system": "nfs4"}), ["VW-F08"]),
    "proxy_stopped": (
        {**host(), "own_sites": [{"provider": "nginx", "site": "vaultwarden", "process": "nginx"}]}, ["VW-T02!"]
    ),
    "unreadable": ({**host(), "unreadable": ["The configuration of nginx has something."]}, ["VW-X01"]),
}  # fmt: skip


@pytest.mark.parametrize("name", _host_findings.TEXTS)
def test_each_fault_of_a_host_has_its_code(name: str) -> None:
    info, expected = CASES[name]
    (found,) = host_findings(info)
    assert codes(info) == expected
    for text in (found.symptom, found.cause, found.fix):
        assert re.search(r"\.$", text) and "{" not in text and "  " not in text, text


def test_faults_in_layers_are_all_named_errors_first() -> None:
    info = host(site(hub={"upgrade": False}), live=False, admin_token_form="damaged", leftovers=leftover("variable"))
    assert codes(info) == ["VW-B01!", "VW-E02!", "VW-A02", "VW-A03"]


def test_two_vaults_are_told_apart_by_name() -> None:
    info = host()
    info["vaults"].append({**copy.deepcopy(VAULT), "name": "other", "health": "unhealthy"})
    (found,) = host_findings(info)
    assert "other" in found.symptom


def test_a_proxy_that_is_taken_for_its_clients_is_explained_once() -> None:
    """With the header that the server reads; where it is set to read none, that is the cause."""
    (found,) = host_findings(host(proxy_as_client=SEEN, environment={"IP_HEADER": "X-Forwarded-For"}))
    assert "the newest 7 sign-ins" in found.symptom and "172.17.0.1" in found.symptom
    assert "in X-Forwarded-For, or" in found.cause
    (found,) = host_findings(host(proxy_as_client=SEEN, environment={"IP_HEADER": "none"}))
    assert "since IP_HEADER is none" in found.symptom


def test_the_retired_relay_is_no_pair() -> None:
    retired = {**PUSH, **EU, "PUSH_RELAY_URI": "https://push.bitwarden.eu"}
    assert codes(host(environment=retired, secret_files=KEYS)) == ["VW-E07!"]


@pytest.mark.parametrize(
    ("floor", "traefik", "expected"),
    [
        ("1.44", "3.5.3", ["VW-D10!"]),
        ("1.44", "2.11.30", ["VW-D10!"]),
        ("1.44", "2.11.31", []),
        ("1.44", "3.6.1", []),
        ("1.44", "4.0.0", []),
        ("1.24", "3.5.3", []),
        ("1.12", "3.5.3", []),
        ("", "3.5.3", []),
    ],
)
def test_an_engine_is_judged_by_what_it_refuses(floor: str, traefik: str, expected: list[str]) -> None:
    """Its floor can be lowered for an old Traefik, whatever its release, and then nothing is wrong."""
    info = host(label_router=True)
    info["engine"]["oldest_api"], info["proxies"]["traefik"]["version"] = floor, traefik
    assert codes(info) == expected


def test_a_host_without_a_vault_that_runs_has_no_finding() -> None:
    """What its proxies are for is then nobody's business here."""
    assert host_findings({"vaults": [], "sites": []}) == []
    assert host_findings({**host(status="exited"), "unreadable": ["The configuration of nginx has something."]}) == []


@pytest.mark.parametrize(
    ("token", "form"),
    [
        ("", ""),
        ("a plain token", "plain"),
        ("$argon2id$v=19$m=65540,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g", "hash"),
        ("'$argon2id$v=19$m=65540,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g'", "damaged"),
        ("$$argon2id$$v=19$$m=65540,t=3,p=4$$c2FsdHNhbHQ$$aGFzaGhhc2g", "damaged"),
        ("=19=65540,t=3,p=4", "damaged"),
    ],
)
def test_the_form_of_a_token(token: str, form: str) -> None:
    assert _vaults.token_form(token) == form


@pytest.mark.parametrize(
    ("file", "ours"),
    [
        ("/etc/nginx/conf.d/vaultwire-vaultwarden.conf", True),
        ("/etc/caddy/vaultwire/site-vaultwarden.caddy", True),
        ("/etc/nginx/conf.d/vault.conf", False),
    ],
)
def test_a_file_of_this_collection_is_not_to_be_changed_by_hand(file: str, ours: bool) -> None:
    """It says itself that changes are overwritten; the next run writes it again."""
    site = copy.deepcopy(SITE)
    site["file"] = file
    site["routes"]["hub"] = {**ROUTE, "upgrade": False}
    (finding,) = [found for found in host_findings(host(site)) if found.code == "VW-B01"]
    assert file in finding.symptom
    assert ("Run playbooks/site.yml" in finding.fix) is ours and (f"In {file}, set" in finding.fix) is not ours


@pytest.mark.parametrize(("running", "managed"), [(False, True), (True, True), (False, False)])
def test_a_proxy_that_is_stopped_is_named(running: bool, managed: bool) -> None:
    """From outside there are three guesses; here there is none."""
    info = host(managed=managed)
    info["own_sites"] = [{"provider": "haproxy", "site": "vaultwarden", "process": "haproxy", "kept_ports": []}]
    info["proxies"] = {"haproxy": {"version": "3.2", "running": running}}
    found = [entry for entry in host_findings(info) if entry.code == "VW-T02"]
    assert bool(found) is (managed and not running)
    if found:
        assert "haproxy does not run on this host" in found[0].symptom and "systemctl status" in found[0].fix
