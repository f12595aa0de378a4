# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules over the proxy's settings, and the filters that feed it."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.vaultwire.stack.plugins.filter.vault import FilterModule
from ansible_collections.vaultwire.stack.plugins.module_utils import _footprint, _host, _proxy
from tests.unit.test_settings import settings as vaultwarden_settings

FILTERS = FilterModule().filters()
ROOT = Path(__file__).resolve().parent.parent.parent
ROLE = ROOT / "roles" / "reverse_proxy"


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
        "admin_networks": [],
        "replaces": [],
        "provider": "nginx",
        "trusted_hops": [],
        "trusted_header": "X-Forwarded-For",
        "proxy_protocol": False,
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
        {"admin_networks": ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"]},
        {"replaces": ["/etc/nginx/sites-enabled/vault.conf"]},
        {"trusted_hops": ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"], "trusted_header": "CF-Connecting-IP"},
        {"trusted_hops": ["192.0.2.1"], "proxy_protocol": True, "provider": "traefik"},
        {"trusted_hops": ["192.0.2.1"], "proxy_protocol": True, "provider": "lighttpd", "http_port": 0},
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
        ({"admin_networks": ["192.0.2.7/24"]}, "reverse_proxy_admin_networks"),
        ({"admin_networks": ["office"]}, "192.0.2.0/24"),
        ({"trusted_hops": ["192.0.2.7/24"]}, "without bits set"),
        ({"trusted_hops": ["0.0.0.0/0"]}, "everybody"),
        ({"trusted_hops": ["::/0"]}, "everybody"),
        ({"trusted_header": "X-Forwarded-For; x"}, "one header's name"),
        ({"proxy_protocol": True}, "without reverse_proxy_trusted_hops"),
        ({"trusted_hops": ["192.0.2.7"], "provider": "traefik"}, "speak the PROXY protocol"),
        ({"trusted_hops": ["192.0.2.7"], "provider": "lighttpd"}, "the hop's own address"),
        ({"trusted_hops": ["192.0.2.7"], "provider": "lighttpd", "proxy_protocol": True}, "redirect in front"),
        ({"replaces": ["sites-enabled/vault.conf"]}, "absolute paths"),
        ({"replaces": ["/etc/nginx/../passwd"]}, "without .."),
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
        FILTERS["vaultwarden_plan"](vaultwarden_settings(version="1.37.2", layout="legacy"))
    with pytest.raises(AnsibleFilterError, match="my_domain"):
        FILTERS["vault_domain"]("x", "my_domain")
    plan = FILTERS["vaultwarden_plan"](vaultwarden_settings(version="1.28.1"))
    assert plan["container_ports"]["websocket"] == 3012
    assert FILTERS["image_reference"]("v1.30.5-alpine") == "1.30.5-alpine"
    assert FILTERS["is_floating"]("latest") is True


@pytest.mark.parametrize(("size", "count"), [("525M", 550502400), ("1k", 1024), ("2G", 2147483648), ("7", 7), ("0", 0)])
def test_sizes_are_read_as_nginx_reads_them(size: str, count: int) -> None:
    """Other proxies want bytes."""
    assert _proxy.body_bytes(size) == count


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "{\n\timport o\n}\n\n\nimport s\n"),
        ("# hello\n\n:80 {\n}\n", "{\n\timport o\n}\n\n# hello\n\n:80 {\n}\n\nimport s\n"),
        ("# hello\n{\n\temail a@b.example\n}\n", "# hello\n{\n\timport o\n\temail a@b.example\n}\n\nimport s\n"),
    ],
    ids=["empty", "sites only", "global options"],
)
def test_a_caddyfile_gets_its_imports_once(before: str, after: str) -> None:
    """Global options come first, and a file has one block of them."""
    assert _proxy.caddyfile_with_imports(before, "o", "s") == after
    assert _proxy.caddyfile_with_imports(after, "o", "s") == after


def test_a_map_keeps_the_entries_of_other_sites() -> None:
    """In an order that does not depend on who came first."""
    assert _proxy.with_host("", "b.example", "two") == "b.example two\n"
    assert _proxy.with_host("b.example two\n", "a.example", "one") == "a.example one\nb.example two\n"
    assert _proxy.with_host("a.example one\nb.example two\n", "b.example", "2") == "a.example one\nb.example 2\n"


@pytest.mark.parametrize(
    ("provider", "version", "hops", "refused"),
    [
        ("nginx", "1.22.1", ["192.0.2.1"], False),
        ("caddy", "2.6.2", [], False),
        ("caddy", "2.6.2", ["192.0.2.1"], True),
        ("caddy", "2.7.6", ["192.0.2.1"], True),
        ("caddy", "2.8", ["192.0.2.1"], False),
        ("caddy", "2.11.7", ["192.0.2.1"], False),
        # The package, which is not there yet.
        ("caddy", "", ["192.0.2.1"], True),
    ],
)
def test_a_proxy_that_believes_the_first_address_is_refused(
    provider: str, version: str, hops: list[str], refused: bool
) -> None:
    """The first address is what the client claims."""
    assert bool(_proxy.hop_problem(provider, version, hops)) is refused


def test_everyone_else_is_everyone_else() -> None:
    """Not a hop in any of its spellings, and everybody but the hops."""
    hops = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
    rest = [ipaddress.ip_network(network) for network in _proxy.other_networks(hops)]

    def inside(address: str) -> bool:
        return any(ipaddress.ip_address(address) in network for network in rest)

    assert not any(map(inside, ("192.0.2.1", "192.0.2.255", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1")))
    assert all(map(inside, ("192.0.3.0", "198.51.100.6", "198.51.100.8", "127.0.0.1", "::1", "2001:db9::")))
    assert len(rest) < 200


def test_caddy_is_told_of_hops_by_port() -> None:
    """One file a port, none where there is nothing to say."""
    assert [entry["state"] for entry in _proxy.caddy_ports([80, 443], [], "X", False)] == ["absent", "absent"]
    header = _proxy.caddy_ports([443], ["192.0.2.1", "::1"], "X-Real-IP", False)[0]["content"]
    assert "\tclient_ip_headers X-Real-IP\n" in header
    assert "trusted_proxies_strict" in header
    protocol = _proxy.caddy_ports([443], ["192.0.2.1", "::1"], "X-Real-IP", True)[0]["content"]
    assert "allow 192.0.2.1/32 ::1/128\n" in protocol
    assert "X-Real-IP" not in protocol


OLD = {
    "provider": "nginx", "site": "vault", "process": "nginx",
    "kept_ports": [{"port": 80, "file": "/etc/nginx/sites-enabled/default"}],
}  # fmt: skip
TAKEN = {"port": 80, "process": "nginx", "text": "Port 80 is taken by nginx."}


@pytest.mark.parametrize(
    ("taken", "previous", "retire", "words"),
    [
        (TAKEN, [], False, "is taken by nginx."),
        (TAKEN, [], True, "is taken by nginx."),
        (TAKEN, [OLD], False, "would keep port 80 for /etc/nginx/sites-enabled/default"),
        (TAKEN, [OLD], True, ""),
        ({**TAKEN, "port": 443}, [OLD], False, ""),
        ({**TAKEN, "process": "caddy"}, [OLD], True, "is taken by nginx."),
    ],
)
def test_a_port_is_free_when_the_site_before_goes_with_it(
    taken: dict[str, Any], previous: list[dict[str, Any]], retire: bool, words: str
) -> None:
    """Unless that proxy keeps it for others, or somebody else has it."""
    problems = _proxy.port_problems([taken], previous, retire)
    assert (words in " ".join(problems)) if words else problems == []


def test_a_proxy_in_a_container_may_stay() -> None:
    """The message says which, and how it can carry the vault."""
    conflict = {"text": "Port 443 is taken by the container npm.", "process": "docker-proxy", "port": 443}
    (problem,) = _proxy.port_problems([{**conflict, "container": "npm"}], [], False)
    for words in ("container npm", "playbooks/split.yml", "vault_proxy", "playbooks/render.yml"):
        assert words in problem
    assert _proxy.port_problems([{**conflict, "container": ""}], [], False) == [conflict["text"]]


def traefik(**changes: Any) -> dict[str, Any]:
    """Traefik's site for a vault of the old layout under a sub-path."""
    given = {
        "name": "x", "host": "h.example", "port": 8443, "origin": "https://h.example:8443", "base_path": "/vault",
        "http_port": 80, "routes": [route("/vault/notifications/hub", "127.0.0.1:3012", "exact"), route("/vault/")],
        "certificate": "/c.pem", "key": "/c.key", "read_timeout": 90, "admin_pattern": "^/+vault/+admin(/|$)",
        "admin_networks": ["192.0.2.0/24"], **changes,
    }  # fmt: skip
    return _proxy.traefik_site(given)


def test_traefik_takes_the_most_specific_rule_first() -> None:
    """By numbers, not by the length of the rules; the admin page goes where everything else goes."""
    site = traefik()["http"]
    rules = sorted(
        (rule for rule in site["routers"].values() if "priority" in rule), key=lambda rule: -rule["priority"]
    )
    assert [rule["priority"] for rule in rules] == [400, 400, 300, 100]
    assert rules[2]["rule"] == "Host(`h.example`) && Path(`/vault/notifications/hub`)"
    assert site["services"][rules[2]["service"]]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:3012"}]
    assert site["routers"]["vaultwire-x-admin"]["service"] == rules[3]["service"]
    assert site["routers"]["vaultwire-x-https"]["entryPoints"] == ["port-80"]


def test_traefik_without_extras_has_one_rule() -> None:
    """Nothing empty is written: Traefik refuses empty maps."""
    site = traefik(base_path="", http_port=0, routes=[route()], admin_networks=[])["http"]
    assert list(site["routers"]) == ["vaultwire-x-0"]
    assert "middlewares" not in site


@pytest.mark.parametrize(("version", "hidden"), [("3.0.4", "names"), ("3.7.15", "queryParameters")])
def test_traefik_logs_no_query(version: str, hidden: str) -> None:
    """Older releases can only leave the path out."""
    asked = {"ports": [443], "access_log": "/a", "error_log": "/e", "directory": "/d", "version": version}
    static = _proxy.traefik_static(asked, {"entryPoints": {"port-8443": {"address": ":8443"}}})
    assert list(static["accessLog"]["fields"]) == [hidden]
    assert sorted(static["entryPoints"]) == ["port-443", "port-8443"]
    trial = _proxy.traefik_trial(static)
    assert {point["address"] for point in trial["entryPoints"].values()} == {"127.0.0.1:0"}
    assert "filePath" not in trial["log"]


def providers() -> list[str]:
    """The choices of the role."""
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return list(specs["argument_specs"]["main"]["options"]["reverse_proxy_provider"]["choices"])


def table() -> dict[str, dict[str, str]]:
    """The first table of docs/proxies.md: row -> provider -> cell. A later one is on proxies of others."""
    text = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8").partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_every_provider_is_complete() -> None:
    """A choice has its tasks, its facts and its column, and nothing is left over."""
    facts = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__reverse_proxy_products"]
    tasks = {path.stem for path in (ROLE / "tasks" / "providers").glob("*.yml")}
    assert set(providers()) == tasks == set(facts) == set(_host._PROXY_COMMANDS) == set(_footprint.FOOTPRINTS)
    assert {name: mark.process for name, mark in _footprint.FOOTPRINTS.items()} == {
        name: fact["process"] for name, fact in facts.items()
    }
    assert all(set(row) == set(providers()) for row in table().values())


@pytest.mark.parametrize("provider", providers())
def test_the_page_on_proxies_says_what_the_files_do(provider: str) -> None:
    """Directories, checkers and directives that it names occur in the tasks or templates of that provider."""
    places = [ROLE / "tasks" / "providers" / f"{provider}.yml", *sorted((ROLE / "templates" / provider).glob("*"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in places)
    text += (
        (ROOT / "plugins" / "module_utils" / "_proxy.py").read_text(encoding="utf-8") if provider == "traefik" else ""
    )
    text += " ".join(_footprint.FOOTPRINTS[provider].check)
    listed = re.sub(r"[\[\],]", "", text)
    rows = ("own files", "what makes it pass upgrades", "the old layout's hub", "checked with", "client address in")
    for row in rows:
        for word in re.findall(r"`([^`]+)`", table()[row][provider]):
            wanted = word.rstrip("*").removesuffix(" -c")
            assert wanted in text or wanted in listed, f"{row}: {word}"
