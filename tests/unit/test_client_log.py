# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a server takes for its clients: lines of its log as releases from 1.28.1 to 1.37.2 write them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _client_log

GATEWAY, CADDY = "172.17.0.1", "172.18.0.3"
REFUSED = "[vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: {}. Username: {}."
SIGNED_IN = "[vaultwarden::api::identity][INFO] User a@example.com logged in successfully. IP: {}"
ADMIN = "[vaultwarden::api::admin][ERROR] Invalid admin token. IP: {}"
SOCKET = "[vaultwarden::api::notifications][INFO] Accepting Rocket WS connection from {}"
ANONYMOUS = "[vaultwarden::api::notifications][INFO] Accepting Anonymous Rocket WS connection from {}"
#: Lines that name a client and none of the newest kind: the second port's own, the end of a socket, a request.
OTHERS = (
    "[vaultwarden::api::notifications][INFO] Accepting WS connection from 172.17.0.1:51234",
    "[vaultwarden::api::notifications][INFO] Closing WS connection from 192.0.2.1",
    "[request][INFO] POST /identity/connect/token",
    "[vaultwarden::api::notifications][ERROR] ",
)


def log(*lines: str) -> str:
    """A log with these lines, each at its time, between others."""
    return "".join(f"[2026-01-02 03:04:05.678]{line}\n" for line in (*OTHERS, *lines, *OTHERS))


def container(name: str, ports: dict[str, Any] | None = None, **networks: dict[str, str]) -> dict[str, Any]:
    """What the engine says of a container that runs."""
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "State": {"Status": "running"},
        "HostConfig": {"PortBindings": ports or {}},
        "NetworkSettings": {"Networks": networks},
    }


VAULT = container(
    "vault",
    bridge={"IPAddress": "172.17.0.2", "Gateway": GATEWAY, "IPv6Gateway": "fd00::1"},
    proxied={"IPAddress": "172.18.0.2", "Gateway": ""},
)
OTHER_CONTAINERS = (
    container("caddy", {"443/tcp": [{}]}, proxied={"IPAddress": CADDY}),
    container("job", proxied={"IPAddress": "172.18.0.4"}),
    container("elsewhere", {"80/tcp": [{}]}, apart={"IPAddress": "172.19.0.5"}),
)


def look(text: str, code: int = 0, vault: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is said of a vault with such a log; a container that does not run has none to be read."""

    def run(command: list[str]) -> tuple[int, str, str]:
        assert command == ["docker", "container", "logs", "--tail", "500", "id-vault"]
        return code, text, ""

    return _client_log.proxy_as_client(run, vault or VAULT, [VAULT, *OTHER_CONTAINERS])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (REFUSED.format("192.0.2.7", "a@example.com"), ["192.0.2.7"]),
        (REFUSED.format("2001:db8::7", "a@example.com"), ["2001:db8::7"]),
        (REFUSED.format("192.0.2.7", "x. IP: 198.51.100.1"), ["192.0.2.7"]),
        (SIGNED_IN.format("192.0.2.7"), ["192.0.2.7"]),
        (ADMIN.format("192.0.2.7"), ["192.0.2.7"]),
        (SOCKET.format("192.0.2.7"), ["192.0.2.7"]),
        (ANONYMOUS.format("192.0.2.7"), ["192.0.2.7"]),
        (SOCKET.format("1.2.3"), []),
        (f"[x][INFO] said: {ADMIN.format('192.0.2.7')}", []),
    ],
)
def test_a_line_tells_its_client(line: str, expected: list[str]) -> None:
    """The server's own words only, wherever a name that somebody typed stands in them."""
    assert _client_log.clients(log(line)) == expected


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (GATEWAY, "the gateway of the network bridge"),
        ("fd00::1", "the gateway of the network bridge"),
        (CADDY, "the container caddy"),
    ],
)
def test_a_proxy_that_stands_for_everybody_is_named(address: str, place: str) -> None:
    """With how often it was seen, and nothing else of the log."""
    text = log(REFUSED.format(address, "secret@example.com"), ANONYMOUS.format(address))
    assert look(text) == {"address": address, "times": 2, "place": place}


@pytest.mark.parametrize(
    "text",
    [
        "",
        log(),
        log(ADMIN.format("192.0.2.7")),
        log(*[ADMIN.format(GATEWAY)] * 30, ADMIN.format("192.0.2.7")),
        log(ADMIN.format("192.0.2.7"), *[ADMIN.format(GATEWAY)] * 19),
        log(ADMIN.format("127.0.0.1")),
        log(ADMIN.format("172.18.0.4")),
        log(ADMIN.format("172.19.0.5")),
        log(ADMIN.format(GATEWAY), ADMIN.format(CADDY)),
    ],
)
def test_clients_that_may_be_people_are_none_of_it(text: str) -> None:
    """Other addresses among the newest, this host itself, containers that nobody reaches from outside."""
    assert look(text) == {}


def test_only_the_newest_count() -> None:
    assert look(log(ADMIN.format("192.0.2.7"), *[ADMIN.format(GATEWAY)] * 20))["times"] == 20


def test_a_log_that_cannot_be_read_says_nothing() -> None:
    """Some of the engine's log drivers keep nothing to read back."""
    text = log(ADMIN.format(GATEWAY))
    assert look(text, code=1) == {}
    assert look(text, vault={**VAULT, "State": {"Status": "exited"}}) == {}
    assert look(text, vault=container("vault", host={"IPAddress": "", "Gateway": ""})) == {}
