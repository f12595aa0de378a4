# SPDX-License-Identifier: GPL-3.0-or-later
"""The module live_update: the proof against the stand-in server of each era, its faults, and that nothing stays."""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
import typing as t
from pathlib import Path
from urllib.parse import urlencode

import msgpack
import pytest
from fake_module import read_result, run_module
from fake_server import ADMIN_TOKEN, ROOT, Proxy, StandIn, free_port
from fake_vault import HUB, FakeVault, drip, healthy, make_authority, page, reply

from ansible_collections.vaultwire.stack.plugins.module_utils import _live, _session
from ansible_collections.vaultwire.stack.plugins.module_utils._http import Reply, Target
from ansible_collections.vaultwire.stack.plugins.module_utils._live import Event
from ansible_collections.vaultwire.stack.plugins.module_utils._session import LiveUpdateError
from ansible_collections.vaultwire.stack.plugins.modules import live_update

VERSIONS = ["1.28.1", "1.30.5", "1.31.0", "1.34.3", "1.37.2"]
PASSWORD = "correct horse battery staple"
EMAIL = "check@example.com"


def prove(url: str, **arguments: t.Any) -> dict[str, t.Any]:
    result = run_module(live_update.main, **{"url": url, "timeout": 10, "timeout_per_step": 2, **arguments})
    assert result["changed"] is False if "changed" in result else result["failed"]
    for secret in (ADMIN_TOKEN, PASSWORD):
        assert secret not in result["printed"]
    return result


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[[str], StandIn]]:
    """One server per version, started when it is first asked for."""
    running: dict[str, StandIn] = {}

    def get(version: str) -> StandIn:
        if version not in running:
            running[version] = StandIn(tmp_path_factory.mktemp("server"), version).__enter__()
        return running[version]

    yield get
    for server in running.values():
        server.__exit__()


@pytest.fixture
def current(servers: t.Callable[[str], StandIn]) -> StandIn:
    server = servers("1.37.2")
    assert throwaways(server) == []
    return server


def throwaways(server: StandIn) -> list[str]:
    return [address for address in server.accounts() if address.startswith("vaultwire-check-")]


def register(server: StandIn, email: str = EMAIL, iterations: int = 600_000) -> None:
    """A lasting account with the hash of PASSWORD, as a real client makes it."""
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), email.encode(), iterations, 32)
    hashed = base64.b64encode(hashlib.pbkdf2_hmac("sha256", key, PASSWORD.encode(), 1, 32)).decode()
    body = {
        "email": email,
        "name": "check",
        "kdf": 0,
        "kdfIterations": iterations,
        "key": "2.AAAA|BBBB|CCCC",
        "masterPasswordHash": hashed,
        "keys": {"publicKey": "AAAA", "encryptedPrivateKey": "2.AAAA|BBBB|CCCC"},
    }
    if email not in server.accounts():
        assert server.ask("POST", "/identity/accounts/register", body)[0] == 200


# The proof


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("account", ["admin", "signup", "given"])
def test_each_era_is_proved_with_each_kind_of_account(
    version: str, account: str, servers: t.Callable[[str], StandIn]
) -> None:
    """In the legacy era and, if it is asked for, in the bridge era the hub is behind a rule of its own."""
    server = servers(version)
    register(server)
    kinds: dict[str, dict[str, t.Any]] = {
        "admin": {"admin_token": ADMIN_TOKEN},
        "signup": {"signup": True},
        "given": {"email": EMAIL, "password": PASSWORD},
    }
    with Proxy(server.port, server.hub_port if version in ("1.28.1", "1.30.5") else None) as proxy:
        result = prove(proxy.url, **kinds[account])
    assert not result.get("failed"), result["msg"]
    assert sorted(result["latencies"]) == ["create_ms", "delete_ms", "rename_ms"]
    assert all(0 < value < 2000 for value in result["latencies"].values())
    assert all(abs(value) < 2000 for value in result["after_answer"].values())
    assert result["frames"] == 3 and result["version"] == version
    assert result["account"] == {"kind": account, "removed": None if account == "given" else True}
    assert server.accounts() == [EMAIL]


def test_it_works_over_tls_under_a_name_that_resolves_nowhere(current: StandIn, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    with Proxy(current.port, tls=authority.server("vault.example.com")) as proxy:
        result = prove(
            "https://vault.example.com",
            connect_to=f"127.0.0.1:{proxy.port}",
            ca_content=authority.pem,
            signup=True,
        )
        untrusted = prove("https://vault.example.com", connect_to=f"127.0.0.1:{proxy.port}", signup=True)
    assert not result.get("failed"), result["msg"]
    assert "certificate" in untrusted["msg"] or "self" in untrusted["msg"]
    assert throwaways(current) == []


def test_several_messages_in_one_frame_are_all_read(current: StandIn) -> None:
    """Frames are glued into one here, as a busy server may do."""

    def glue(data: bytes) -> bytes:
        length, payload = _payload(data)
        return data if length is None else b"\x82\x7e" + (2 * len(payload)).to_bytes(2, "big") + payload + payload

    with Proxy(current.port, spoil=glue) as proxy:
        result = prove(proxy.url, signup=True)
    assert not result.get("failed"), result["msg"]


def _payload(frame: bytes) -> tuple[int | None, bytes]:
    if frame[:2] != b"\x82\x7e":
        return None, frame
    length = int.from_bytes(frame[2:4], "big")
    assert len(frame) == 4 + length
    return length, frame[4:]


def test_check_mode_does_nothing_and_says_so() -> None:
    with FakeVault({}) as vault:
        result = prove(vault.url, signup=True, _ansible_check_mode=True)
        assert vault.requests == []
    assert result["skipped"] is True and result["changed"] is False
    assert "was not proved: it writes to the vault" in result["msg"]


# Faults


def test_a_dead_hub_fails_with_its_status_and_leaves_no_account(current: StandIn) -> None:
    with FakeVault({HUB: page(502)}) as dead, Proxy(current.port, dead.port) as proxy:
        result = prove(proxy.url, signup=True)
    assert "/notifications/hub answered 502. The module hub_probe names the cause." in result["msg"]
    assert result["account"] == {"kind": "signup", "removed": True}
    assert throwaways(current) == []


def test_a_redirect_of_the_hub_is_not_followed(current: StandIn) -> None:
    with FakeVault({}) as goal, FakeVault({HUB: page(302, Location=goal.url.replace("http", "ws"))}) as gate:
        with Proxy(current.port, gate.port) as proxy:
            result = prove(proxy.url, signup=True)
        assert goal.requests == []
    assert "/notifications/hub answered 302" in result["msg"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"", "create did not reach session B within"),
        (lambda data: None, "The live channel of the listening session ended"),
        (lambda data: b"\x88\x02\x03\xe8", "The live channel of the listening session ended: closed by the server"),
        (lambda data: b"\x82\x02\x05\x05", "a frame could not be read"),
    ],
    ids=["held back", "cut", "closed", "garbage"],
)
def test_events_that_do_not_arrive_fail_the_proof(
    spoil: t.Callable[[bytes], bytes | None], words: str, current: StandIn
) -> None:
    with Proxy(current.port, spoil=spoil) as proxy:
        result = prove(proxy.url, signup=True, timeout_per_step=0.7)
    assert result["failed"] and words in result["msg"]
    assert result["account"]["removed"] is True and throwaways(current) == []


def test_an_update_that_is_lost_is_missed_although_the_creation_arrived(current: StandIn) -> None:
    seen: list[bytes] = []

    def only_the_first(data: bytes) -> bytes:
        seen.append(data)
        return data if len(seen) == 1 else b""

    with Proxy(current.port, spoil=only_the_first) as proxy:
        result = prove(proxy.url, signup=True, timeout_per_step=0.7)
    assert "Session A's rename did not reach session B" in result["msg"]
    assert "it got only events of type [1]" in result["msg"]
    assert list(result["latencies"]) == ["create_ms"] and result["frames"] == 1


def test_a_socket_that_never_greets_ends_at_the_deadline(current: StandIn) -> None:
    begin = time.monotonic()
    with FakeVault({HUB: drip(20)}) as slow, Proxy(current.port, slow.port) as proxy:
        result = prove(proxy.url, signup=True, timeout=1.5)
    assert result["failed"] and time.monotonic() - begin < 6
    assert result["account"]["removed"] is True and throwaways(current) == []


def test_pings_do_not_stretch_a_step(current: StandIn) -> None:
    """Each ping restarts a timeout of the socket, so the wait must not be one."""
    ping = b"\x89\x03\x02\x91\x06"
    begin = time.monotonic()
    with Proxy(current.port, spoil=lambda data: ping * 20) as proxy:
        result = prove(proxy.url, signup=True, timeout_per_step=0.7)
    assert "did not reach session B" in result["msg"] and time.monotonic() - begin < 5


def test_equal_device_identifiers_are_refused(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "device_identifiers", lambda *__: ("same", "same"))
    result = prove(current.url, signup=True)
    assert "Both sessions carry the same device identifier" in result["msg"]
    assert throwaways(current) == []


def test_b_must_read_the_new_name(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "field", lambda data, name: "old" if name == "name" else _session.field(data, name))
    result = prove(current.url, signup=True)
    assert "still reads the old name" in result["msg"] and throwaways(current) == []


def test_a_wrong_admin_token_is_named_but_not_shown(current: StandIn) -> None:
    result = prove(current.url, admin_token="quite-wrong-token")
    assert "refused the admin token (401)" in result["msg"] and "quite-wrong" not in result["printed"]


def test_closed_sign_up_is_named(tmp_path: Path) -> None:
    with StandIn(tmp_path, "1.37.2", SIGNUPS_ALLOWED="false") as server:
        result = prove(server.url, signup=True)
        invited = prove(server.url, admin_token=ADMIN_TOKEN)
        assert server.accounts() == []
    assert "Sign-up is not open on this server" in result["msg"]
    assert not invited.get("failed"), invited.get("msg")


def test_an_invitation_that_goes_by_mail_is_named(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a real server answers whose mail does not get through; one whose mail does refuses the registration."""
    send = _session.Api.send

    def without_mail(self: t.Any, method: str, path: str, *arguments: t.Any) -> t.Any:
        if path == "/admin/invite":
            return Reply(500, "", (), b'{"message": "SMTP error: Connection refused"}')
        return send(self, method, path, *arguments)

    monkeypatch.setattr(_session.Api, "send", without_mail)
    result = prove(current.url, admin_token=ADMIN_TOKEN)
    assert "did not invite the throwaway account: 500" in result["msg"]
    assert "give it a test account with email and password instead" in result["msg"]


def test_too_many_logins_are_named(tmp_path: Path) -> None:
    with StandIn(tmp_path, "1.37.2", LOGIN_RATELIMIT_MAX_BURST="1", ADMIN_RATELIMIT_MAX_BURST="10") as server:
        result = prove(server.url, signup=True, admin_token=ADMIN_TOKEN)
        assert "refused with 429: too many logins in a short time" in result["msg"]
        assert result["account"]["removed"] is True
        assert server.accounts() == [], "one of the two sessions or the admin has to remove it"


def test_an_account_that_cannot_be_removed_is_named(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "vaultwire-check-stays@example.invalid"
    monkeypatch.setattr(_live, "throwaway_address", lambda: address)

    def refuse(self: t.Any, deadline: t.Any) -> t.NoReturn:
        raise LiveUpdateError("No.")

    monkeypatch.setattr(_session.Account, "_remove_by_itself", refuse)
    result = prove(current.url, signup=True)
    assert result["failed"] and result["account"]["removed"] is False
    assert f"The throwaway account {address} could not be removed; delete it in the admin page. No." in result["msg"]
    monkeypatch.undo()
    monkeypatch.setattr(_live, "throwaway_address", lambda: "vaultwire-check-other@example.invalid")
    monkeypatch.setattr(_session.Account, "_remove_by_itself", refuse)
    by_admin = prove(current.url, signup=True, admin_token=ADMIN_TOKEN)
    assert not by_admin.get("failed") and by_admin["account"]["removed"] is True
    assert throwaways(current) == [address]
    monkeypatch.undo()
    _delete_by_admin(current, address)


def _delete_by_admin(server: StandIn, address: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    cookie = server.ask("POST", "/admin", f"token={ADMIN_TOKEN}", **form)[2].partition(";")[0]
    user = server.ask("GET", f"/admin/users/by-mail/{address}", **{"Cookie": cookie})[1]
    assert server.ask("POST", f"/admin/users/{user['id']}/delete", {}, **{"Cookie": cookie})[0] == 200


def test_a_wrong_password_is_named_but_not_shown(current: StandIn) -> None:
    register(current)
    result = prove(current.url, email=EMAIL, password="not the right one")
    assert "Check email and password of the test account" in result["msg"]
    assert "not the right one" not in result["printed"]


def test_a_given_account_keeps_its_items_and_loses_ours(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof breaks after the creation; the test's item goes, the account's own stays."""
    register(current)
    bearer = {"Authorization": f"Bearer {_token(current)}"}
    mine = {"type": 1, "name": "2.mine|mine|mine", "login": {}}
    assert current.ask("POST", "/api/ciphers", mine, **bearer)[0] == 200
    with Proxy(current.port, spoil=lambda data: b"") as proxy:
        result = prove(proxy.url, email=EMAIL, password=PASSWORD, timeout_per_step=0.5)
    assert result["failed"] and result["account"] == {"kind": "given", "removed": None}
    assert _item_names(current) == ["2.mine|mine|mine"]


def test_an_item_whose_creation_lost_its_answer_is_found_and_deleted(current: StandIn) -> None:
    register(current)
    with Proxy(current.port, before=lose_answer(current, b"POST /api/ciphers")) as proxy:
        result = prove(proxy.url, email=EMAIL, password=PASSWORD)
    assert "POST /api/ciphers got no answer" in result["msg"]
    again = prove(current.url, email=EMAIL, password=PASSWORD)
    assert not again.get("failed")
    assert set(_item_names(current)) <= {"2.mine|mine|mine"}


def lose_answer(server: StandIn, request: bytes) -> t.Callable[[bytes], None]:
    """Let the first such request reach the server, and cut the connection instead of passing the answer on."""
    done: list[bytes] = []

    def swallow(data: bytes) -> None:
        if not data.startswith(request) or done:
            return
        done.append(data)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(data)
            assert connection.recv(1024)
        raise OSError("the answer is lost")

    return swallow


def _token(server: StandIn) -> str:
    """A session of the lasting account."""
    form = {
        "grant_type": "password",
        "username": EMAIL,
        "password": _session.password_hash(PASSWORD, EMAIL, {"kdf": 0, "kdfIterations": 600_000}),
        "scope": "api offline_access",
        "client_id": "cli",
        "deviceType": "25",
        "deviceIdentifier": "onlooker",
        "deviceName": "onlooker",
    }
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    token: str = server.ask("POST", "/identity/connect/token", urlencode(form), **kind)[1]["access_token"]
    return token


def _item_names(server: StandIn) -> list[str]:
    items = server.ask("GET", "/api/sync", Authorization=f"Bearer {_token(server)}")[1]["ciphers"]
    return [item["name"] for item in items]


@pytest.mark.parametrize("lost", [b"POST /identity/accounts/register", b"POST /identity/connect/token"])
@pytest.mark.parametrize("arguments", [{"signup": True}, {"admin_token": ADMIN_TOKEN}])
def test_a_request_whose_answer_never_comes_leaves_no_account(
    lost: bytes, arguments: dict[str, t.Any], current: StandIn
) -> None:
    with Proxy(current.port, before=lose_answer(current, lost)) as proxy:
        result = prove(proxy.url, **arguments)
    assert result["failed"] and "got no answer" in result["msg"]
    assert result["account"]["removed"] is True and throwaways(current) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGALRM"])
def test_a_signal_in_the_middle_leaves_no_account(name: str, current: StandIn) -> None:
    """The play is ended while B waits for an event that will not come."""
    arguments = {"url": "", "admin_token": ADMIN_TOKEN, "timeout": 20, "timeout_per_step": 15}
    with Proxy(current.port, spoil=lambda data: b"") as proxy:
        arguments["url"] = proxy.url
        process = subprocess.Popen(
            [sys.executable, "-m", "ansible_collections.vaultwire.stack.plugins.modules.live_update"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "collections"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        process.stdin.close()
        end = time.monotonic() + 10
        while not throwaways(current) and time.monotonic() < end:
            time.sleep(0.1)
        assert throwaways(current), "the account was never made"
        time.sleep(0.3)
        process.send_signal(getattr(signal, name))
        assert process.stdout is not None
        output = process.stdout.read()
        process.stdout.close()
        process.wait(10)
    result = read_result(output)
    assert f"interrupted by {name}" in result["msg"] and result["account"]["removed"] is True
    assert throwaways(current) == []
    assert ADMIN_TOKEN not in result["printed"]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with _live.Interruptions() as interruptions:
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(LiveUpdateError, match="interrupted by SIGTERM"):
            interruptions.check()
    assert signal.getsignal(signal.SIGTERM) == before


# Options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "There is no account to test with"),
        ({"email": EMAIL}, "parameters are required together: email, password"),
        ({"signup": True, "ca_content": "nonsense"}, "ca_content cannot be used"),
        ({"signup": True, "url": "vault.example.com"}, "starts with neither"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_asked(arguments: dict[str, t.Any], words: str) -> None:
    result = prove(**{"url": "https://127.0.0.1:9", **arguments})
    assert result["failed"] and words in result["msg"]


@pytest.mark.parametrize("library", ["websocket-client", "msgpack"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_update, "MISSING", [library])
    result = prove("https://127.0.0.1:9", signup=True)
    assert result["failed"] and f"-m pip install {library}" in result["msg"]
    assert live_update.judge({}, check_mode=True)["missing"] == result["msg"]


def test_a_server_that_is_not_there_is_named() -> None:
    result = prove(f"http://127.0.0.1:{free_port()}", signup=True)
    assert "GET /api/version got no answer (Connection refused)" in result["msg"]
    assert result["account"]["removed"] is True


def test_a_server_that_is_no_vault_is_named() -> None:
    with FakeVault({**healthy(), "/admin": reply(404)}) as vault:
        assert "did not log in: 404" in prove(vault.url, admin_token=ADMIN_TOKEN)["msg"]
    with FakeVault({**healthy(), "/admin": page(403)}) as vault:
        assert "cannot be reached: 403" in prove(vault.url, admin_token=ADMIN_TOKEN)["msg"]


# Pure parts


def frame(*messages: t.Any) -> bytes:
    data = b""
    for message in messages:
        packed = msgpack.packb(message)
        length, prefix = len(packed), b""
        while length > 0x7F:
            prefix += bytes((length & 0x7F | 0x80,))
            length >>= 7
        data += prefix + bytes((length,)) + packed
    return data


def invocation(kind: int, item: str, context: str | None = "a", **more: t.Any) -> list[t.Any]:
    revision = msgpack.Timestamp(1_700_000_000, 123_000_000)
    payload = {"Id": item, "UserId": "u", "OrganizationId": None, "RevisionDate": revision, **more}
    return [1, {}, None, "ReceiveMessage", [{"ContextId": context, "Type": kind, "Payload": payload}]]


def unpack(data: bytes) -> t.Any:
    return msgpack.unpackb(data, strict_map_key=False)


def test_frames_may_hold_several_messages_short_and_long() -> None:
    data = frame([6], invocation(1, "x"), invocation(0, "y", Filler="z" * 40_000))
    assert [(event.type, event.item) for event in _live.read_events(data, 1.0, unpack)] == [(1, "x"), (0, "y")]


def test_the_recorded_bytes_of_a_real_event_are_read() -> None:
    data = frame(invocation(1, "1f0f2b5e-6b8a-4f5e-9f0e-8d2f0f0a1b2c", "0b3e7c1a-5d2f-4c3b-8a9d-7e6f5d4c3b2a"))
    assert data[2:6] == bytes.fromhex("950180c0")
    (event,) = _live.read_events(data, 2.5, unpack)
    assert event == Event(2.5, 1, "1f0f2b5e-6b8a-4f5e-9f0e-8d2f0f0a1b2c", "0b3e7c1a-5d2f-4c3b-8a9d-7e6f5d4c3b2a")


@pytest.mark.parametrize("last", [0x1E, 0x00, 0x7D])
def test_an_event_counts_whatever_its_last_byte_is(last: int) -> None:
    """The last byte is that of a time in seconds, so every 256th event ends in the handshake's separator."""
    message = invocation(1, "x")
    message[4][0]["Payload"]["RevisionDate"] = msgpack.Timestamp(0x65000000 + last, 0)
    listener = _live.Listener(lambda: None)
    data = frame(message)
    assert data[-1] == last
    listener._note(2, data, 1.0)
    assert listener.seen("x") == [1] and listener.frames == 1


@pytest.mark.parametrize(
    "message", [[6], [1], [3, {}, "1", 2, None], [1, {}, None, "Other", [{}]], {"a": 1}, "text", invocation(1, "x")[:4]]
)
def test_other_messages_are_passed_over(message: t.Any) -> None:
    assert _live.read_events(frame(message), 0.0, unpack) == []


@pytest.mark.parametrize("data", [b"\x05\x01", b"\x80", frame(invocation(1, "x"))[:-1]])
def test_cut_off_frames_are_garbage(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        list(_live.split_messages(data))


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("a", None),
        ("app_id", None),
        ("b", "names the listening device itself"),
        ("c", "names 'c' as its origin"),
        (None, "names None as its origin"),
    ],
)
def test_an_event_counts_only_as_the_work_of_the_other_device(context: str | None, words: str | None) -> None:
    event = Event(0.0, 1, "x", context)
    if words is None:
        _live.judge_event(event, "a", "b")
        return
    with pytest.raises(LiveUpdateError, match=words):
        _live.judge_event(event, "a", "b")


def test_equal_identifiers_are_refused_whatever_arrived() -> None:
    with pytest.raises(LiveUpdateError, match="same device identifier"):
        _live.judge_event(Event(0.0, 1, "x", "a"), "a", "a")


def test_device_identifiers_are_random_for_a_throwaway_and_stable_for_an_account_that_stays() -> None:
    target = Target("https://v.example.com", True, "v.example.com", "v.example.com", "", "v.example.com", 443)
    throwaway = _session.Account(lambda: t.cast(t.Any, None), "signup", "x@example.invalid")
    given = _session.Account(lambda: t.cast(t.Any, None), "given", "Check@Example.com")
    same = _session.Account(lambda: t.cast(t.Any, None), "given", "check@example.com")
    assert _live.device_identifiers(throwaway, target) != _live.device_identifiers(throwaway, target)
    assert _live.device_identifiers(given, target) == _live.device_identifiers(same, target)
    first, second = _live.device_identifiers(given, target)
    assert first != second


def test_the_password_hash_is_that_of_a_real_client() -> None:
    """Checked against an independent implementation of the clients' derivation."""
    prelogin = {"Kdf": 0, "KdfIterations": 5000}
    key = hashlib.pbkdf2_hmac("sha256", b"secret", b"me@example.com", 5000, 32)
    expected = base64.b64encode(hashlib.pbkdf2_hmac("sha256", key, b"secret", 1, 32)).decode()
    assert _session.password_hash("secret", " Me@Example.com ", prelogin) == expected
    assert _session.password_hash("secret", "me@example.com", {**prelogin, "salt": "me@example.com"}) == expected


@pytest.mark.parametrize(
    ("prelogin", "words"),
    [
        ({"kdf": 0, "kdfIterations": 1}, "kdfIterations 1, and 5000 to 2000000"),
        ({"kdf": 0, "kdfIterations": 2_147_483_647}, "5000 to 2000000"),
        ({"kdf": 0, "kdfIterations": 0}, "kdfIterations 0"),
        ({"kdf": 0, "kdfIterations": True}, "kdfIterations True"),
        ({"kdf": 0, "kdfIterations": "9" * 5000}, "cut at 40"),
        ({"kdf": 1, "kdfIterations": 3, "kdfMemory": 3000, "kdfParallelism": 4}, "kdfMemory 3000, and 15 to 1024"),
        ({"kdf": 1, "kdfIterations": 11}, "kdfIterations 11, and 2 to 10"),
        ({"kdf": 1, "kdfIterations": 3, "kdfParallelism": 17}, "kdfParallelism 17, and 1 to 16"),
        ({"kdf": 0, "kdfIterations": 600_000, "salt": "of the server"}, "another salt"),
        ({"kdf": 0, "kdfIterations": 600_000, "salt": ["me@example.com"]}, "another salt"),
        ({"kdf": "\x1b[31m"}, r"'\\x1b\[31m'"),
    ],
)
def test_a_derivation_that_clients_refuse_is_refused(prelogin: dict[str, t.Any], words: str) -> None:
    """One round gives the password away, and two thousand million end never."""
    with pytest.raises(LiveUpdateError, match=words):
        _session.password_hash("secret", "me@example.com", prelogin)


def test_a_server_that_sends_without_end_is_stopped(current: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It announces a frame of a tebibyte and goes on; the library takes it all."""
    monkeypatch.setattr(_live, "LARGEST_SESSION", 64 * 1024)
    endless = b"\x82\x7f" + (1 << 40).to_bytes(8, "big") + bytes(1024 * 1024)
    with Proxy(current.port, spoil=lambda data: endless) as proxy:
        result = prove(proxy.url, signup=True)
    assert "the server sent more than 65536 bytes" in result["msg"] and "internal_error" not in result
    assert result["account"]["removed"] is True and throwaways(current) == []


def test_a_length_without_an_end_is_garbage() -> None:
    with pytest.raises(ValueError, match="no end"):
        list(_live.split_messages(b"\x80" * 1_000_000))


@pytest.mark.parametrize("more", [{"Type": [1]}, {"ContextId": {"a": 1}}])
def test_an_event_of_another_form_is_garbage(more: dict[str, t.Any]) -> None:
    message = invocation(1, "item")
    message[4][0].update(more)
    with pytest.raises(ValueError, match="another form"):
        _live.read_events(frame(message), 0.0, unpack)


def test_argon2id_gets_the_clients_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[t.Any, ...]] = []

    def hash_secret_raw(*arguments: t.Any) -> bytes:
        calls.append(arguments)
        return b"k" * 32

    module = types.SimpleNamespace(Type=types.SimpleNamespace(ID="id"), hash_secret_raw=hash_secret_raw)
    monkeypatch.setitem(sys.modules, "argon2", types.ModuleType("argon2"))
    monkeypatch.setitem(sys.modules, "argon2.low_level", t.cast(t.Any, module))
    prelogin = {"kdf": 1, "kdfIterations": 3, "kdfMemory": 64, "kdfParallelism": 4}
    _session.password_hash("secret", "me@example.com", prelogin)
    assert calls == [(b"secret", hashlib.sha256(b"me@example.com").digest(), 3, 65536, 4, 32, "id")]


def test_argon2id_without_its_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def fail(name: str, *rest: t.Any, **more: t.Any) -> t.Any:
        if name.startswith("argon2"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(LiveUpdateError, match="argon2-cffi is needed"):
        _session.password_hash("secret", "me@example.com", {"kdf": 1, "kdfIterations": 3})


@pytest.mark.parametrize("data", [{"Id": 1}, {"id": 1}, {"ID": 1}])
def test_answers_are_read_whatever_their_case(data: dict[str, int]) -> None:
    assert _session.field(data, "id") == 1
    assert _session.field([data], "id") is None


def test_throwaway_addresses_can_reach_nobody_and_differ() -> None:
    first, second = _session.throwaway_address(), _session.throwaway_address()
    assert first != second and first.endswith(".invalid")
