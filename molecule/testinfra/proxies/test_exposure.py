# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers get of a proxy: no admin page under any name of it, and no weak TLS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import stranger
from conftest import NAMES, PROJECT, inside
from sslyze.mozilla_tls_profile import tls_config_checker
from sslyze.plugins.certificate_info.implementation import CertificateInfoExtraArgument
from sslyze.scanner.models import ScanCommandsExtraArguments, ServerScanRequest, ServerScanResult
from sslyze.scanner.scanner import Scanner
from sslyze.server_setting import ServerNetworkLocation
from stranger import Place, Question
from vault import Vault

by_host = pytest.mark.parametrize("name", NAMES)

#: Recorded from the real server: what it takes for the admin page, and what a proxy could make of other targets.
TARGETS = json.loads((PROJECT / "tests/contract/fixtures/admin_targets.json").read_text(encoding="utf-8"))
#: The page, its login, or the cookie that the token is good for.
PAGE = re.compile(r"<title>(Stand-in|Vaultwarden) admin|VW_ADMIN=", re.IGNORECASE)
PROGRAM = Path(stranger.__file__).read_text(encoding="utf-8")


def place_of(vault: Vault, address: str) -> Place:
    """The proxy at an address, and the right token: whoever gets through is let in."""
    return Place(address, vault.proxy_ports[1], vault.host, f"token={vault.settings['vaultwarden_admin_token']}")


def questions(vault: Vault, *kinds: str) -> list[Question]:
    """Every target of these kinds, in both protocols, by both methods that the page has."""
    origin, base = urlsplit(vault.url).netloc, urlsplit(vault.url).path
    names = {"base": base, "encoded": f"/%{ord(base[1]):x}{base[2:]}" if base else "", "host": origin}
    return [
        Question(protocol, method, target.format(**names), origin)
        for protocol in ("h1", "h2")
        for method in ("GET", "POST")
        for kind in kinds
        for target in TARGETS[kind]
    ]


def as_other_hosts(vault: Vault) -> list[Question]:
    """The page itself, with headers Host that a proxy could take for another site."""
    base = urlsplit(vault.url).path
    hosts = (vault.host.upper(), f"{vault.host}.", f"{vault.host}:1", "elsewhere.example", vault.address, "")
    return [Question(protocol, "GET", f"{base}/admin", host) for protocol in ("h1", "h2") for host in hosts]


@by_host
def test_strangers_meet_no_admin_page(vaults: dict[str, Vault], name: str) -> None:
    """Whatever they call it: the host itself, which is in no network of the lab, gets anything but the page."""
    vault = vaults[name]
    asked = [*questions(vault, "page", "other"), *as_other_hosts(vault)]
    url = urlsplit(vault.url)
    alive = [Question(protocol, "GET", f"{url.path}/alive", url.netloc) for protocol in ("h1", "h2")]
    given = json.dumps({"place": place_of(vault, "127.0.0.1"), "questions": [*asked, *alive]})
    answers = json.loads(inside(name).check_output("python3 -c %s %s", PROGRAM, given))
    assert [question for question, answer in zip(asked, answers, strict=False) if PAGE.search(answer)] == []
    # Both protocols did carry questions; where none arrives nothing leaks either.
    assert all(answer.rstrip().endswith('Z"') for answer in answers[len(asked) :]), answers[len(asked) :]


@by_host
def test_the_same_questions_find_it_from_a_given_network(vaults: dict[str, Vault], name: str) -> None:
    """In both protocols, by both methods; else the silence of the test above would mean nothing."""
    vault = vaults[name]
    asked = [question for question in questions(vault, "page") if question.target.endswith(("/admin", "/%61dmin"))]
    answers = stranger.ask_all(place_of(vault, vault.address), asked)
    reached = {(q.protocol, q.method) for q, answer in zip(asked, answers, strict=True) if PAGE.search(answer)}
    assert reached == {(protocol, method) for protocol in ("h1", "h2") for method in ("GET", "POST")}


@pytest.fixture(scope="module")
def scanned(vaults: dict[str, Vault]) -> dict[str, ServerScanResult]:
    """Host name -> all that the scanner found out, of all hosts side by side."""
    scanner = Scanner(concurrent_server_scans_limit=len(NAMES))
    locations = {
        name: ServerNetworkLocation(
            hostname=vaults[name].host, port=vaults[name].proxy_ports[1], ip_address=vaults[name].address
        )
        for name in NAMES
    }
    requests = [
        ServerScanRequest(
            server_location=location,
            scan_commands_extra_arguments=ScanCommandsExtraArguments(
                certificate_info=CertificateInfoExtraArgument(custom_ca_file=vaults[name].ca_file)
            ),
        )
        for name, location in locations.items()
    ]
    scanner.queue_scans(requests)
    results = {result.server_location: result for result in scanner.get_results()}
    return {name: results[location] for name, location in locations.items()}


@by_host
def test_tls_is_as_mozilla_has_it(scanned: dict[str, ServerScanResult], name: str) -> None:
    """Its intermediate profile: protocols, ciphers, compression, renegotiation, known holes, and trust.

    Two things are left as they are. The certificate is valid for longer than a public one may be, but no longer than
    clients take from an authority of one's own. And OpenSSL's two other curves are on, since a list of curves would
    switch its newer, hybrid ones off.
    """
    profile = tls_config_checker.MozillaTlsConfiguration.get(
        tls_config_checker.TlsConfigurationEnum.MOZILLA_INTERMEDIATE
    )
    wanted = profile.model_copy(
        update={"maximum_certificate_lifespan": 825, "tls_curves": profile.tls_curves | {"X448", "secp521r1"}}
    )
    tls_config_checker.check_server_against_tls_configuration(scanned[name], wanted)


@by_host
def test_every_tls_cipher_has_forward_secrecy(scanned: dict[str, ServerScanResult], name: str) -> None:
    """An ephemeral key and authenticated encryption, in both protocols that are spoken."""
    result = scanned[name].scan_result
    assert result
    for suites in (result.tls_1_2_cipher_suites.result, result.tls_1_3_cipher_suites.result):
        assert suites
        assert suites.accepted_cipher_suites
        for accepted in suites.accepted_cipher_suites:
            assert accepted.ephemeral_key, accepted.cipher_suite.name
            assert re.search("GCM|POLY1305", accepted.cipher_suite.name)
