# SPDX-License-Identifier: GPL-3.0-or-later
"""The live channel on the wire, through the proxy: who gets in, who does not, and what arrives."""

from __future__ import annotations

import time

import pytest
from proxy import proxy_of
from testinfra.host import Host
from vault import SECONDS, Account, Session, Vault, decode, next_frame, shake_hands, upgrade_answer


@pytest.fixture(autouse=True)
def server_is_up(vault: Vault) -> None:
    """Other tests stop the server; wait until it is back."""
    deadline = time.monotonic() + 30
    while vault.request("GET", "/alive").status_code != 200:
        assert time.monotonic() < deadline, "the server did not come back"
        time.sleep(0.1)


def test_a_signed_in_client_gets_a_live_hub(vault: Vault, account: Account) -> None:
    """101 is not enough: the server's own handshake must arrive."""
    with vault.socket(f"/notifications/hub?access_token={Session(vault, account).token}") as sock:
        assert sock.getstatus() == 101
        assert shake_hands(sock) == b"{}\x1e"


@pytest.mark.parametrize("query", ["", "?access_token=nonsense"])
def test_a_stranger_gets_401_from_the_right_port(vault: Vault, query: str) -> None:
    """Its body tells who answered: the second port says nothing, the HTTP port speaks JSON."""
    refusal = upgrade_answer(vault, f"/notifications/hub{query}")
    assert refusal.status_code == 401
    assert (refusal.resp_body or b"").startswith(b"{") is not vault.legacy


def test_a_plain_request_is_no_hub(vault: Vault) -> None:
    """Without an upgrade the HTTP port says 404; the second port closes, which the proxy reports, as 502 mostly."""
    assert vault.request("GET", "/notifications/hub").status_code == (proxy_of(vault).closed if vault.legacy else 404)


def test_login_with_a_device_has_its_hub(vault: Vault) -> None:
    """It came with 1.29.2, on the HTTP port only."""
    path = "/notifications/anonymous-hub?token=molecule"
    if vault.legacy:
        assert upgrade_answer(vault, path).status_code == 404
        return
    with vault.socket(path) as sock:
        assert shake_hands(sock) == b"{}\x1e"


def test_negotiate_goes_to_the_http_port(vault: Vault) -> None:
    """The HTTP port knows no such route; the second port would drop the connection, which shows as 502."""
    assert vault.request("POST", "/notifications/hub/negotiate").status_code == 404


def test_the_sub_path_is_kept(vault: Vault) -> None:
    """Below it everything is there, beside it nothing; without its slash there is a redirect."""
    base = "/".join(vault.url.split("/")[3:])
    if not base:
        assert vault.request("GET", "/alive").status_code == 200
        return
    outside = vault._replace(settings={**vault.settings, "vaultwarden_domain": vault.url.removesuffix(f"/{base}")})
    assert vault.request("GET", "/alive").status_code == 200
    assert outside.request("GET", "/alive").status_code == 404
    assert upgrade_answer(outside, "/notifications/hub").status_code == 404
    redirect = outside.request("GET", f"/{base}")
    assert redirect.status_code == proxy_of(vault).redirect
    assert redirect.headers["Location"].endswith(f"/{base}/")


def test_an_edit_in_one_session_shows_in_the_other(vault: Vault, account: Account) -> None:
    """Create, rename, delete: each arrives for the right item, marked as the other device's doing."""
    acting, watching = Session(vault, account), Session(vault, account)
    assert acting.device != watching.device
    with watching.hub() as sock:
        item = {"type": 1, "name": "2.created|x|y", "login": {}}
        created = acting.call("POST", "/api/ciphers", item)
        identifier = created.get("id") or created["Id"]
        acting.call("PUT", f"/api/ciphers/{identifier}", {**item, "name": "2.renamed|x|y"})
        seen = watching.call("GET", f"/api/ciphers/{identifier}")
        acting.call("DELETE", f"/api/ciphers/{identifier}")
        deadline = time.monotonic() + SECONDS
        events = [decode(next_frame(sock, deadline))[4][0] for __ in range(3)]
    assert seen.get("name", seen.get("Name")) == "2.renamed|x|y"
    assert [event["Payload"]["Id"] for event in events] == [identifier] * 3
    assert {event["ContextId"] for event in events} == {acting.device}
    assert [event["Type"] for event in events[:2]] == [1, 0]
    assert events[2]["Type"] in (2, 9)


def test_a_stranger_hears_nothing(vault: Vault, account: Account) -> None:
    """An event reaches its user's sockets, and not those of whoever listens without signing in."""
    if vault.legacy:
        pytest.skip("there is no hub without signing in below 1.29.2")
    acting = Session(vault, account)
    with vault.socket("/notifications/anonymous-hub?token=listener") as stranger:
        assert shake_hands(stranger) == b"{}\x1e"
        folder = acting.call("POST", "/api/folders", {"name": "2.f|x|y"})
        acting.call("DELETE", f"/api/folders/{folder['id']}")
        with pytest.raises(AssertionError, match="no frame"):
            next_frame(stranger, time.monotonic() + 0.5)


def test_the_second_port_exists_in_the_legacy_layout_only(host: Host, vault: Vault) -> None:
    """On the host's loopback it answers an upgrade by itself; in the other layout nothing does."""
    answer = host.run(
        "curl -s -o /dev/null -w '%%{http_code}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' "
        "-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' http://127.0.0.1:%s/",
        str(vault.websocket_port),
    )
    assert answer.stdout == ("401" if vault.legacy else "000")
