# SPDX-License-Identifier: GPL-3.0-or-later
"""What releases of proxies differ in: one table, asked the same way by look, templates, messages and documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.vaultwire.stack.plugins.filter.proxy import proxy_has
from ansible_collections.vaultwire.stack.plugins.module_utils import _products, _proxy

ROOT = Path(__file__).resolve().parent.parent.parent
FACT_IN_TEMPLATE = re.compile(r"proxy_has\('(\w+)'\)")


@pytest.mark.parametrize(
    ("fact", "version", "expected"),
    [
        ("nginx_http2_directive", "1.22.1", False),
        ("nginx_http2_directive", "1.25.0", False),
        ("nginx_http2_directive", "1.25.1", True),
        ("nginx_http2_directive", "1.30.6", True),
        ("nginx_upstream_http11", "1.29.6", False),
        ("nginx_upstream_http11", "1.29.7", True),
        ("nginx_upstream_http11", "", None),
        # What stands for a proxy that is not installed.
        ("nginx_upstream_http11", "0", None),
        ("caddy_close_delay", "2.6.2", False),
        ("caddy_close_delay", "2.7", True),
        ("caddy_nearest_hop", "2.11.7", True),
        ("traefik_drops_query", "3.6.9", False),
        ("traefik_drops_query", "3.7.15", True),
        # A fact that came to two series.
        ("traefik_engine_api", "2.11.30", False),
        ("traefik_engine_api", "2.11.31", True),
        ("traefik_engine_api", "3.5.2", False),
        ("traefik_engine_api", "3.6.1", True),
        ("traefik_engine_api", "4.0", True),
        ("traefik_engine_api", "1.7.34", False),
    ],
)
def test_a_fact_holds_from_its_release_on(fact: str, version: str, expected: bool | None) -> None:
    """Unknown is neither; a template takes it as no."""
    assert _products.holds(fact, version) is expected
    assert proxy_has(version, fact) is bool(expected)


def test_templates_ask_for_facts_that_there_are() -> None:
    """And every fact is asked for somewhere: by a template, by Python, or as a requirement."""
    templates = ROOT.glob("roles/reverse_proxy/templates/**/*.j2")
    asked = {name for path in templates for name in FACT_IN_TEMPLATE.findall(path.read_text(encoding="utf-8"))}
    assert asked <= set(_products.FACTS)
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("plugins/module_utils/*.py"))
    for name, fact in _products.FACTS.items():
        assert fact.required or name in asked or code.count(f'"{name}"') > 1, name


def test_no_release_of_a_proxy_is_compared_elsewhere() -> None:
    """Neither in roles nor in templates; in Python the table is the only one with numbers of releases in a row."""
    for path in [*ROOT.glob("roles/reverse_proxy/**/*.yml"), *ROOT.glob("roles/reverse_proxy/**/*.j2")]:
        assert "is version(" not in path.read_text(encoding="utf-8"), path
    for name in ("_proxy", "_host_findings", "_sites", "_footprint", "_vaults"):
        text = (ROOT / "plugins" / "module_utils" / f"{name}.py").read_text(encoding="utf-8")
        assert not re.search(r"[<>]=? *\(\d+, *\d+", text), name


def test_the_documentation_has_the_same_table() -> None:
    """Product, release and words, in the table's own order."""
    text = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\d., and]+) \| (.+?) \|$", text.partition("## What a release changes")[2], re.M)
    assert rows == [
        (fact.product, " and ".join(".".join(map(str, first)) for first in fact.releases), fact.says)
        for fact in _products.FACTS.values()
    ]


DEBIAN = {"os_family": "debian", "proxies": {}}
OTHER = {"os_family": "", "proxies": {}}


@pytest.mark.parametrize(
    ("provider", "host", "expected"),
    [
        ("nginx", DEBIAN, ""),
        ("nginx", {**OTHER, "proxies": {"nginx": {"version": "1.22.1"}}}, ""),
        ("nginx", OTHER, "This host has no nginx, and it is neither Debian nor Ubuntu"),
        ("apache", OTHER, "Install apache2 and openssl yourself"),
        # Another proxy is not the one that is wanted.
        ("nginx", {**OTHER, "proxies": {"caddy": {"version": "2.11.4"}}}, "This host has no nginx"),
        ("apache", {**DEBIAN, "proxies": {"apache": {"version": "2.4.41"}}}, "2.4.41, which is older than 2.4.47"),
        ("apache", {**DEBIAN, "proxies": {"apache": {"version": ""}}}, ""),
        ("lighttpd", {**DEBIAN, "proxies": {"lighttpd": {"version": "1.4.45"}}}, "older than 1.4.46"),
        ("traefik", DEBIAN, "no program traefik, and the distribution has no package of it. Put the program of a "
         "release from 3.0 on at /usr/local/bin/traefik"),
        ("traefik", {**DEBIAN, "proxies": {"traefik": {"version": "2.11.31"}}}, "2.11.31, which is older than 3.0"),
        ("traefik", {**DEBIAN, "proxies": {"traefik": {"version": "3.7.15"}}}, ""),
    ],
)  # fmt: skip
def test_a_host_that_cannot_have_the_proxy_is_refused(provider: str, host: dict[str, object], expected: str) -> None:
    """Before anything is done: the program, its release, or a distribution that has it."""
    problem = _proxy.host_problem(provider, host, {"apache": "apache2"}.get(provider, provider))
    assert expected in problem
    assert bool(problem) is bool(expected)
