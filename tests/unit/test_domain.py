# SPDX-License-Identifier: GPL-3.0-or-later
"""The public address, taken apart."""

from __future__ import annotations

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils._domain import Domain, DomainError, parse_domain


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vault.example.com", ("vault.example.com", 443, "", "https://vault.example.com")),
        ("https://h.example/vault", ("h.example", 443, "/vault", "https://h.example")),
        ("https://h.example:8443/a/b", ("h.example", 8443, "/a/b", "https://h.example:8443")),
        ("https://192.0.2.10", ("192.0.2.10", 443, "", "https://192.0.2.10")),
        ("https://[2001:db8::1]:444", ("2001:db8::1", 444, "", "https://[2001:db8::1]:444")),
        ("https://xn--bcher-kva.example", ("xn--bcher-kva.example", 443, "", "https://xn--bcher-kva.example")),
    ],
)
def test_addresses_are_taken_apart(url: str, expected: tuple[str, int, str, str]) -> None:
    """Host, port, path and origin."""
    assert parse_domain(url) == Domain(url, *expected)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "empty"),
        (None, "empty"),
        ("vault.example.com", "https://"),
        ("http://vault.example.com", "plain http"),
        ("https://vault.example.com/", "slash"),
        ("https://vault.example.com/a/", "slash"),
        ("https://vault.example.com.", "dot"),
        ("https://b\u00fccher.example", "xn--bcher-kva.example"),
        ("https://a_b.example", "host name"),
        ("https://-a.example", "host name"),
        ("https://", "slash"),
        ("https://a.example:x", "address"),
        ("https://a.example:99999", "address"),
        ("https://a.example?x=1", "query"),
        ("https://a.example/#/", "slash"),
        ("https://u:p@a.example", "login"),
        ("https://a.example//b", "path"),
        ("https://a.example/$(id)", "path"),
        ("https://a.example/{{x}}", "path"),
        ("https://a.example\n", "line break"),
        ("https://a .example", "space"),
    ],
)
def test_addresses_that_cannot_work_are_refused(url: object, words: str) -> None:
    """The message names the variable it is about."""
    with pytest.raises(DomainError, match="reverse_proxy_domain") as failure:
        parse_domain(url, "reverse_proxy_domain")
    assert words in str(failure.value)
