# SPDX-License-Identifier: GPL-3.0-or-later
"""The module hub_probe against a scripted server that really makes each fault on the wire."""

from __future__ import annotations

import email.utils
import json
import socket
import ssl
import threading
import time
import typing as t
from pathlib import Path

import pytest
from fake_module import run_module
from fake_vault import (
    ANONYMOUS,
    GUARD,
    HANDSHAKE,
    HUB,
    OWN_POLICY,
    PING,
    Authority,
    Behaviour,
    FakeVault,
    Request,
    alive,
    drip,
    drop,
    either,
    hang,
    healthy,
    legacy,
    make_authority,
    page,
    raw,
    refusal,
    reply,
    upgrade,
)

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _http, _hub
from ansible_collections.vaultwire.stack.plugins.modules import hub_probe

TOKEN = "header.pay+load/with=signs.signature"
#: The codes that came out of the probe while these tests ran, each from a fault that a test made.
CAME_OUT: set[str] = set()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def probe(vault: FakeVault | str, **arguments: t.Any) -> dict[str, t.Any]:
    url = vault if isinstance(vault, str) else vault.url
    result = run_module(hub_probe.main, **{"url": url, "timeout": 5, **arguments})
    if "more_findings" not in arguments:
        CAME_OUT.update(codes(result))
    return result


def ask(routes: dict[str, Behaviour], **arguments: t.Any) -> dict[str, t.Any]:
    with FakeVault(routes) as vault:
        return probe(vault, **arguments)


def codes(result: dict[str, t.Any]) -> list[str]:
    return [finding["code"] for finding in result["diagnosis"]]


def lost(headers: dict[str, str]) -> Behaviour:
    return page(404, **{name.replace("-", "_"): value for name, value in headers.items()})


class SlicedByKey(dict[t.Any, t.Any]):
    """An object as Python 3.12 and later have it: a slice is a key like any other, and this one is missing."""

    def __getitem__(self, key: t.Any) -> t.Any:
        raise KeyError(key)


@pytest.mark.parametrize("value", [SlicedByKey(message="no"), {"message": "no"}, ["2026-01-01T00:00:00"], 7, None, ""])
def test_only_a_text_is_taken_for_the_time_of_the_server(value: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On any Python: what else a body holds leaves the Date of the proxy."""
    monkeypatch.setattr(json, "loads", lambda body: value)
    assert _hub._skew(b"body", "") is None
    assert _hub._skew(b"body", email.utils.formatdate(time.time() + 60)) == pytest.approx(60, abs=2)


def test_a_vault_that_was_not_reached_is_not_called_broken() -> None:
    """The name may be unknown to this machine alone. The settings that help are named as the roles have them."""
    result = probe("https://vault.example.invalid")
    assert result["msg"].startswith("https://vault.example.invalid was not reached from where the check runs")
    assert "notifications_check_connect_to" in result["msg"] and "does not work" not in result["msg"]
    assert codes(result) == ["VW-T01"]


def test_what_the_host_knows_of_a_stopped_proxy_replaces_guesses() -> None:
    known = {"code": "VW-T02", "severity": "error", "symptom": "haproxy does not run.", "cause": "c", "fix": "f"}
    result = probe("http://127.0.0.1:9", more_findings=[known])
    assert [finding["symptom"] for finding in result["diagnosis"]] == ["haproxy does not run."]


def test_the_time_of_the_server_goes_before_that_of_its_proxy() -> None:
    named = time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(time.time() - 90))
    assert _hub._skew(f'"{named}"'.encode(), email.utils.formatdate()) == pytest.approx(-90, abs=2)


def test_a_healthy_vault_yields_no_finding_and_every_field() -> None:
    result = ask(healthy())
    assert result["verdict"] == "ok" and not result.get("failed")
    assert result["changed"] is False and result["diagnosis"] == [] and result["attempts"] == 1
    assert (result["version"], result["era"], result["layout"]) == ("1.37.2", "single_port", "single_port")
    assert result["alive"]["status"] == 200 and result["alive"]["body"] == "json"
    assert result["hub"]["status"] == 401 and result["hub"]["body"] == "json"
    assert result["hub_plain"]["status"] == 404 and result["hub_plain"]["body"] == "html"
    assert result["anonymous_hub"]["status"] == 101 and result["anonymous_hub"]["handshake"] is True
    assert result["hub_session"] is None
    assert set(result["timings_ms"]) == {"alive", "version", "hub", "hub_plain", "anonymous_hub", "total"}


# An event of another session, which may end in the very byte that ends a handshake.
EVENT = b"\x82\x04\x03\x91\x01\x1e"


@pytest.mark.parametrize("then", [HANDSHAKE, HANDSHAKE + PING, PING + HANDSHAKE, EVENT + HANDSHAKE])
def test_the_server_may_ping_or_push_before_its_handshake(then: bytes) -> None:
    assert ask({**healthy(), ANONYMOUS: upgrade(then)})["verdict"] == "ok"


def test_the_legacy_era_is_proved_by_the_second_ports_empty_refusal() -> None:
    result = ask(legacy())
    assert (result["verdict"], result["era"], result["layout"]) == ("ok", "legacy", "legacy")


def test_a_path_and_an_expected_version_are_used() -> None:
    with FakeVault(healthy(base_path="/vault")) as vault:
        assert probe(vault.url + "/vault", version="1.37.2-alpine")["verdict"] == "ok"
        assert {request.path.partition("/notifications")[0] for request in vault.requests} == {
            "/vault/alive",
            "/vault/api/version",
            "/vault",
        }


def test_a_full_upgrade_is_sent_and_nothing_that_identifies_anybody() -> None:
    with FakeVault(healthy()) as vault:
        probe(vault)
        probe(vault)
    upgrades = [request for request in vault.requests if request.upgrade]
    assert len(upgrades) == 4
    assert all(request.headers["sec-websocket-version"] == "13" for request in upgrades)
    assert not any({"cookie", "authorization"} & set(request.headers) for request in vault.requests)
    tokens = {request.query for request in upgrades if request.path == ANONYMOUS}
    assert len(tokens) == 2, "each probe needs a token of its own"


FAULTS: list[tuple[str, dict[str, Behaviour], list[str], str]] = [
    ("stale route", {HUB: page(502)}, ["VW-A01"], "sends the hub to the second port"),
    ("stale route, HAProxy", {HUB: page(503)}, ["VW-A01"], "sends the hub to the second port"),
    (
        "stale route and lost upgrade",
        {HUB: page(502), ANONYMOUS: lost(OWN_POLICY)},
        ["VW-A01", "VW-C01"],
        "login with device",
    ),
    (
        "lost upgrade",
        {HUB: lost(OWN_POLICY), ANONYMOUS: lost(OWN_POLICY)},
        ["VW-B01"],
        "Upgrade and Connection headers are lost",
    ),
    ("either", {HUB: lost(GUARD), ANONYMOUS: lost(GUARD)}, ["VW-B01"], "VW-A03: the live channel is switched off"),
    (
        "channel off",
        {HUB: either(page(404), lost(GUARD)), ANONYMOUS: either(page(404), lost(GUARD))},
        ["VW-A03"],
        "ENABLE_WEBSOCKET is false",
    ),
    ("HTTP/1.0", {ANONYMOUS: upgrade(then=b"", close=True)}, ["VW-B02"], "HTTP/1.0 to the server"),
    ("HTTP/1.0 with a ping", {ANONYMOUS: upgrade(then=PING, close=True)}, ["VW-B02"], "HTTP/1.0 to the server"),
    ("closed by a frame", {ANONYMOUS: upgrade(then=b"\x88\x02\x03\xe8")}, ["VW-B02"], "closed before"),
    ("stripped path", {HUB: page(200)}, ["VW-B08"], "The path is rewritten"),
    (
        "gate",
        {HUB: page(302, Location="https://login.example.com/?rd=x"), ANONYMOUS: page(302, Location="/login")},
        ["VW-B22"],
        "login gate",
    ),
    ("gate with a challenge", {HUB: page(401, WWW_Authenticate="Basic")}, ["VW-B22"], "login gate"),
    ("empty 401 of nobody", {HUB: raw(b"HTTP/1.1 401 No\r\n\r\n")}, ["VW-B22"], "not an answer of the server"),
    ("mesh", {HUB: page(403, Server="istio-envoy")}, ["VW-B17"], "HTTP/2 to this upstream"),
    ("half a rule", {ANONYMOUS: lost(GUARD)}, ["VW-C01"], "covers only the hub"),
    ("too many sockets", {ANONYMOUS: refusal(429, "Too many connections")}, ["VW-D01"], ""),
    ("wrong accept", {ANONYMOUS: upgrade(accept="bm90IHRoaXMgb25l")}, ["VW-W01"], "does not fit the key"),
    ("another protocol", {ANONYMOUS: upgrade(then=b'\x82\x0e{"error":"x"}\x1e')}, ["VW-W02"], "handshake never came"),
    ("garbage frames", {ANONYMOUS: upgrade(then=b"\x82\xff" + b"x" * 20)}, ["VW-W02"], "handshake never came"),
    ("dropped", {HUB: drop}, ["VW-T08"], "ended without any answer"),
    ("not HTTP", {HUB: raw(b"SSH-2.0-OpenSSH_9.2\r\n")}, ["VW-T12"], "not HTTP/1.1"),
    ("limit in front", {HUB: page(429)}, ["VW-D05"], "refuses the request"),
    ("stale rule of a CDN", {HUB: page(521, Server="cloudflare")}, ["VW-B21"], "at the CDN"),
    ("unknown", {HUB: reply(418, "teapot", "text/plain", Server="kettle")}, ["VW-X00"], "beginning 'teapot'"),
]


@pytest.mark.parametrize(("routes", "expected", "words"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_each_fault_on_the_wire_gets_its_code(
    routes: dict[str, Behaviour], expected: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hub, "HANDSHAKE_SECONDS", 0.3)
    result = ask({**healthy(), **routes})
    assert codes(result) == expected
    if expected == ["VW-D01"]:
        assert (result["verdict"], result["diagnosis"][0]["severity"]) == ("ok", "warning")
        return
    assert result["failed"] and result["verdict"] == "failed"
    for code in expected:
        assert code in result["msg"]
    assert words in result["msg"]


def quiet(pings: int, last: float) -> Behaviour:
    """A hub that sends its pings at once, and ends the socket after so many seconds of silence."""

    def behave(connection: socket.socket, request: Request) -> None:
        upgrade(HANDSHAKE + PING * pings, hold=last)(connection, request)

    return behave


@pytest.mark.parametrize(
    ("routes", "code"),
    [
        ({"/alive": alive(ahead=60)}, "VW-C06"),
        ({"/alive": alive(ahead=-60)}, "VW-C06"),
        ({HUB: refusal(X_Frame_Options="DENY")}, "VW-B20"),
        ({HUB: refusal(429)}, "VW-D01"),
    ],
)
def test_what_an_answer_tells_besides_its_status_is_a_warning(routes: dict[str, Behaviour], code: str) -> None:
    result = ask({**healthy(), **routes})
    assert codes(result) == [code] and result["verdict"] == "ok"


def test_a_public_name_without_tls_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeVault(healthy()) as vault:
        result = probe("http://vault.example.com", connect_to=f"127.0.0.1:{vault.port}")
    assert codes(result) == ["VW-C18"] and result["verdict"] == "ok"


def test_a_certificate_that_is_not_renewed_in_time_is_a_warning(authority: Authority) -> None:
    with FakeVault(healthy(), authority.server("127.0.0.1", days=(-80, 10))) as vault:
        result = probe(vault, ca_content=authority.pem)
    assert codes(result) == ["VW-B33"] and "expires in 9 days" in result["diagnosis"][0]["symptom"]


@pytest.mark.parametrize(("pings", "last", "codes_of"), [(0, 0.2, ["VW-C07"]), (0, 5.0, ["VW-C08"]), (3, 5.0, [])])
def test_a_socket_that_is_kept_open_shows_cuts_and_lost_pings(
    pings: int, last: float, codes_of: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server that pings four times as often, so that the test need not wait."""
    monkeypatch.setattr(_diagnosis, "PING_SECONDS", 0.25)
    result = ask({**healthy(), ANONYMOUS: quiet(pings, last)}, idle_seconds=1)
    assert codes(result) == codes_of
    assert result["anonymous_hub"]["pings"] == pings
    assert (result["anonymous_hub"]["held_seconds"] >= 1) is (last > 1)


def test_every_answer_dead_is_one_finding() -> None:
    result = ask(dict.fromkeys(healthy(), page(502)))
    assert codes(result) == ["VW-B28"]


def test_a_wrong_path_is_named() -> None:
    assert codes(ask(healthy(base_path="/vault"))) == ["VW-B26"]


def test_another_server_than_expected_is_a_fault() -> None:
    result = ask(healthy("1.30.5"), version="1.37.2")
    assert codes(result) == ["VW-V02"]
    assert "says that it is 1.30.5, but 1.37.2 was expected" in result["msg"]


def test_a_legacy_server_reached_on_its_http_port() -> None:
    result = ask({**legacy(), HUB: reply(400, "{}")})
    assert codes(result) == ["VW-A05"]


def test_a_dead_second_port_is_named_in_both_older_eras() -> None:
    assert codes(ask({**legacy(), HUB: page(502)})) == ["VW-L01"]
    bridge = ask({**healthy("1.30.5"), HUB: page(502)})
    assert codes(bridge) == ["VW-L01"] and "version 1.30.5 serves the hub there" in bridge["msg"]


def test_redirects_are_reported_without_their_query_and_not_followed() -> None:
    with FakeVault(healthy()) as goal:
        where = f"{goal.url}/somewhere?rd=https://vault/hub?access_token=secret"
        result = ask({**healthy(), HUB: page(302, Location=where)}, fail_on_fault=False)
        assert goal.requests == []
    assert result["hub"]["location"] == f"{goal.url}/somewhere"
    assert codes(result) == ["VW-B22"] and not result.get("failed")


def test_http_that_redirects_to_https_is_named() -> None:
    result = ask(dict.fromkeys(healthy(), page(301, Location="https://127.0.0.1/alive")))
    assert codes(result) == ["VW-T07"]


# Tokens


def hub_with_token(good: Behaviour) -> Behaviour:
    return lambda connection, request: (good if "access_token=" in request.query else refusal())(connection, request)


def test_a_token_opens_the_hub_for_real_and_appears_nowhere() -> None:
    with FakeVault({**healthy(), HUB: hub_with_token(upgrade())}) as vault:
        result = probe(vault, access_token=TOKEN)
        queries = [request.query for request in vault.requests if request.path == HUB]
    assert result["hub_session"]["status"] == 101 and result["hub_session"]["handshake"] is True
    assert result["hub"]["status"] == 401
    assert "access_token=header.pay%2Bload%2Fwith%3Dsigns.signature" in queries
    assert TOKEN not in result["printed"] and "pay%2Bload" not in result["printed"]


def test_a_refused_token_is_named_and_never_quoted() -> None:
    quoted = reply(418, f"no {TOKEN} and no header.pay%2Bload%2Fwith%3Dsigns.signature", "text/plain", Server=TOKEN)
    for session, code in ((refusal(message="Invalid token"), "VW-C04"), (quoted, "VW-X00")):
        result = ask({**healthy(), HUB: hub_with_token(session)}, access_token=TOKEN)
        assert codes(result) == [code]
        assert TOKEN not in result["printed"] and "pay%2Bload" not in result["printed"]


# Time


def test_a_silent_server_costs_the_timeout_and_no_more() -> None:
    begin = time.monotonic()
    result = ask(dict.fromkeys(healthy(), hang(5)), timeout=0.5)
    assert 0.4 < time.monotonic() - begin < 1.5
    assert codes(result) == ["VW-T05"]
    assert "/alive, /notifications/hub and /notifications/anonymous-hub gave no answer in time" in result["msg"]


def test_a_server_that_drips_cannot_stretch_the_deadline() -> None:
    begin = time.monotonic()
    result = ask({**healthy(), HUB: drip(5)}, timeout=0.5)
    assert time.monotonic() - begin < 1.5
    assert codes(result) == ["VW-T05"]


def test_a_silent_socket_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "HANDSHAKE_SECONDS", 0.3)
    begin = time.monotonic()
    result = ask({**healthy(), ANONYMOUS: upgrade(then=PING)})
    assert time.monotonic() - begin < 1.5
    assert codes(result) == ["VW-W02"]


def test_a_name_lookup_that_hangs_cannot_stretch_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(*_args: t.Any, **_more: t.Any) -> list[t.Any]:
        time.sleep(2)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang_up)
    begin = time.monotonic()
    result = probe("https://vault.example.com", timeout=0.3)
    assert time.monotonic() - begin < 1.5
    assert codes(result) == ["VW-T05"]


def test_the_requests_run_side_by_side() -> None:
    def slowly(behaviour: Behaviour) -> Behaviour:
        def behave(connection: socket.socket, request: Request) -> None:
            time.sleep(0.3)
            behaviour(connection, request)

        return behave

    result = ask({path: slowly(behaviour) for path, behaviour in healthy().items()})
    assert result["verdict"] == "ok"
    assert result["timings_ms"]["total"] < 1000


def test_waiting_ends_with_the_first_good_answer() -> None:
    begin = time.monotonic()

    def late(connection: socket.socket, request: t.Any) -> None:
        (refusal() if time.monotonic() - begin > 0.8 else page(502))(connection, request)

    result = ask({**healthy(), HUB: late}, wait=10)
    assert result["verdict"] == "ok" and result["attempts"] == 3
    assert time.monotonic() - begin < 3


def test_waiting_ends_with_the_last_fault() -> None:
    result = ask({**healthy(), HUB: page(502)}, wait=0.7)
    assert result["failed"] and result["attempts"] == 2 and codes(result) == ["VW-A01"]


# Connection and TLS


def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = probe(f"https://127.0.0.1:{port}")
    assert codes(result) == ["VW-T02"]
    assert f"Port {port} of 127.0.0.1 refused the connection" in result["msg"]


@pytest.mark.parametrize("name", ["vault.example.com.invalid", "a" * 64 + ".example.com"])
def test_a_name_that_does_not_resolve(name: str) -> None:
    """One that nobody may register, and one whose first label is too long to be asked for."""
    result = probe("https://vault.example.com", connect_to=name)
    assert codes(result) == ["VW-T01"] and f"The name {name} does not resolve" in result["msg"]


def test_tls_with_an_authority_of_ones_own(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(authority.pem)
    with FakeVault(healthy(), authority.server("127.0.0.1")) as vault:
        assert probe(vault, ca_content=authority.pem)["verdict"] == "ok"
        assert probe(vault, ca_file=str(file))["verdict"] == "ok"
        assert probe(vault, validate_certs=False)["verdict"] == "ok"


def test_a_proxy_that_ends_tls_without_a_word_has_answered(authority: Authority) -> None:
    """An answer without a length ends with the connection, and OpenSSL then forgets the certificate."""
    with FakeVault(legacy(), authority.server("127.0.0.1")) as vault:
        result = probe(vault, ca_content=authority.pem, layout="legacy")
    assert (result["verdict"], codes(result), result["hub"]["status"]) == ("ok", ["VW-V03"], 401)


def test_connect_to_keeps_the_name_for_tls_and_host(authority: Authority) -> None:
    with FakeVault(healthy(), authority.server("vault.example.com")) as vault:
        result = probe("https://vault.example.com", connect_to=f"127.0.0.1:{vault.port}", ca_content=authority.pem)
    assert result["verdict"] == "ok"
    assert {request.headers["host"] for request in vault.requests} == {"vault.example.com"}


@pytest.mark.parametrize(
    ("names", "days", "trusted", "code", "words"),
    [
        (("127.0.0.1",), (-1, 30), False, "VW-T03", "is not trusted"),
        (("192.0.2.1", "other.example.com"), (-1, 30), True, "VW-T04", "belongs to another name"),
        (("127.0.0.1",), (-30, -1), True, "VW-T09", "is out of date"),
    ],
)
def test_each_wrong_certificate(
    names: tuple[str, ...], days: tuple[int, int], trusted: bool, code: str, words: str, authority: Authority
) -> None:
    with FakeVault(healthy(), authority.server(*names, days=days)) as vault:
        result = probe(vault, **({"ca_content": authority.pem} if trusted else {}))
    assert codes(result) == [code] and words in result["msg"]


def test_a_plain_http_server_is_recognised_by_its_answer() -> None:
    """A real web server answers a TLS greeting with a text, which is no TLS record."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, __ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        result = probe(f"https://127.0.0.1:{server.getsockname()[1]}")
    assert codes(result) == ["VW-T06"]


@pytest.mark.parametrize(
    ("alert", "code"), [(120, "VW-B16"), (40, "VW-T11")], ids=["no HTTP/1.1 among the protocols", "nothing in common"]
)
def test_a_tls_greeting_that_is_refused(alert: int, code: str) -> None:
    """As a server does it that offers HTTP/2 only, or no cipher that the other side knows."""
    with FakeVault({}) as vault:
        vault._serve = refuse_tls(alert)
        assert codes(probe(vault.url.replace("http:", "https:"))) == [code]


def refuse_tls(alert: int) -> t.Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            connection.sendall(b"\x15\x03\x03\x00\x02\x02" + bytes([alert]))

    return serve


def test_an_address_without_a_route() -> None:
    """The kernel refuses to connect to everybody at once, so that nothing is sent."""
    assert codes(probe("https://vault.example.com", connect_to="255.255.255.255")) == ["VW-T10"]


@pytest.mark.parametrize(
    ("version", "layout", "hub", "code", "severity"),
    [
        ("1.30.5", "auto", raw(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), "VW-L02", "warning"),
        ("1.30.5", "legacy", refusal(), "VW-L03", "error"),
        ("", "auto", refusal(), "VW-V01", "warning"),
    ],
)
def test_layout_and_version_as_they_are_seen(
    version: str, layout: str, hub: Behaviour, code: str, severity: str
) -> None:
    result = ask({**healthy(version), HUB: either(hub, page(404))}, layout=layout)
    found = [(found["code"], found["severity"]) for found in result["diagnosis"] if found["code"] != "VW-V03"]
    assert found == [(code, severity)]


def test_findings_from_elsewhere_are_judged_with_its_own() -> None:
    more = {"code": "VW-E01", "severity": "error", "symptom": "S.", "cause": "C.", "fix": "F."}
    mild = {**more, "code": "VW-D06", "severity": "warning"}
    result = ask({**healthy(), "/alive": alive(60)}, more_findings=[mild, more, more])
    assert codes(result) == ["VW-E01", "VW-C06", "VW-D06"]
    assert result["failed"] and result["msg"].splitlines()[1] == "VW-E01: S. C. F."


def test_https_where_http_is_expected() -> None:
    body = "<html>The plain HTTP request was sent to HTTPS port</html>"
    result = ask(dict.fromkeys(healthy(), reply(400, body, "text/html")))
    assert codes(result) == ["VW-T13"]


# Options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "vault.example.com"}, "starts with neither https:// nor http://"),
        ({"url": "https://vault.example.com/a?b"}, "a query, a fragment or a login has no place in it"),
        ({"url": "https://vault.example.com", "connect_to": "host:port"}, "connect_to is 'host:port'"),
        ({"url": "https://vault.example.com", "ca_file": "/nowhere.pem"}, "'/nowhere.pem' of ca_file cannot be used"),
        ({"url": "https://vault.example.com", "ca_content": "no certificate"}, "ca_content cannot be used"),
        ({"url": "https://vault.example.com", "version": "latest"}, "is a moving tag"),
        ({"url": "https://vault.example.com", "version": "1.37.2", "layout": "legacy"}, "has no second port"),
        ({"url": "https://vault.example.com", "ca_file": "a", "ca_content": "b"}, "mutually exclusive"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_asked(
    arguments: dict[str, t.Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hub, "open_socket", lambda *__: pytest.fail("asked something"))
    result = run_module(hub_probe.main, **arguments)
    assert result["failed"] and words in result["msg"]


def test_check_mode_asks_the_same() -> None:
    result = ask({**healthy(), HUB: page(502)}, _ansible_check_mode=True)
    assert codes(result) == ["VW-A01"] and result["failed"] and result["changed"] is False


@pytest.mark.parametrize(
    ("url", "connect_to", "expected"),
    [
        ("https://vault.example.com", None, ("vault.example.com", "vault.example.com", 443, "")),
        ("https://vault.example.com:8443/a/b", None, ("vault.example.com:8443", "vault.example.com", 8443, "/a/b")),
        ("http://127.0.0.1:8080", None, ("127.0.0.1:8080", "127.0.0.1", 8080, "")),
        ("http://127.0.0.1", None, ("127.0.0.1", "127.0.0.1", 80, "")),
        ("https://[2001:db8::1]", None, ("[2001:db8::1]", "2001:db8::1", 443, "")),
        ("https://[2001:db8::1]:8443", None, ("[2001:db8::1]:8443", "2001:db8::1", 8443, "")),
        ("https://vault.example.com", "192.0.2.1", ("vault.example.com", "192.0.2.1", 443, "")),
        ("https://vault.example.com", "192.0.2.1:8443", ("vault.example.com", "192.0.2.1", 8443, "")),
        ("https://vault.example.com", "[2001:db8::1]:444", ("vault.example.com", "2001:db8::1", 444, "")),
        ("https://vault.example.com", "2001:db8::1", ("vault.example.com", "2001:db8::1", 443, "")),
    ],
)
def test_addresses_are_taken_apart(url: str, connect_to: str | None, expected: tuple[str, str, int, str]) -> None:
    target = _http.parse_target(url, connect_to)
    assert (target.host_header, target.connect_host, target.connect_port, target.base_path) == expected


@pytest.mark.parametrize("key", ["dGhlIHNhbXBsZSBub25jZQ=="])
def test_the_accept_is_that_of_the_standard(key: str) -> None:
    """The example of RFC 6455."""
    assert _hub.accept_for(key) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_every_code_came_out_of_a_fault_that_was_made(request: pytest.FixtureRequest) -> None:
    """Last, and only with the whole file: a code without a test that makes its fault is a guess."""
    if request.config.getoption("keyword") or any("::" in argument for argument in request.config.args):
        pytest.skip("only some of the faults were made")
    assert {text.code for text in _diagnosis._TEXTS.values()} == CAME_OUT


def test_an_authority_is_judged_alike_on_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 and later refuse by default what browsers accept."""
    strict = ssl.create_default_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: strict)
    context = _http.tls_context(_http.parse_target("https://vault.example.com"))
    assert context is strict
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
