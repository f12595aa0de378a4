# SPDX-License-Identifier: GPL-3.0-or-later
"""A vault as its users meet it: requests, sockets and two signed-in sessions, through the proxy.

Written apart from the modules of the collection on purpose: these tests are to notice when those are wrong.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgpack
import requests
import websocket

HANDSHAKE = json.dumps({"protocol": "messagepack", "version": 1}) + "\x1e"
SECONDS = 5.0


class Vault(NamedTuple):
    """One deployment under test. ``settings`` are its variables in the inventory, without those left at default."""

    name: str
    address: str
    ca_file: Path
    settings: dict[str, Any]

    @property
    def url(self) -> str:
        """What users type; of a server made by hand the inventory says it for the tests only."""
        return str(self.settings.get("vaultwarden_domain") or self.settings["lab_domain"])

    @property
    def host(self) -> str:
        """The name in it."""
        return urlsplit(self.url).hostname or ""

    @property
    def legacy(self) -> bool:
        """Written down per scenario, not asked from the layout model that is under test."""
        return str(self.settings["vaultwarden_version"]).startswith("1.28.")

    @property
    def container(self) -> str:
        """Name of the container."""
        return str(self.settings.get("vaultwarden_container_name", "vaultwarden"))

    @property
    def http_port(self) -> int:
        """Port of the server on the host."""
        return int(self.settings.get("vaultwarden_http_port", 8080))

    @property
    def websocket_port(self) -> int:
        """Port of the hub in the legacy layout."""
        return int(self.settings.get("vaultwarden_websocket_port", 3012))

    @property
    def proxy_ports(self) -> tuple[int, int]:
        """Ports of the proxy: redirect, https."""
        return int(self.settings.get("reverse_proxy_http_port", 80)), urlsplit(self.url).port or 443

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """A request below the public address, redirects not followed."""
        session = requests.Session()
        session.trust_env = False
        return session.request(
            method, self.url + path, verify=str(self.ca_file), allow_redirects=False, timeout=20, **arguments
        )

    @contextlib.contextmanager
    def socket(self, path: str, **options: Any) -> Iterator[websocket.WebSocket]:
        """A WebSocket below the public address; raises WebSocketBadStatusException when it is refused."""
        opened = websocket.create_connection(
            self.url.replace("https://", "wss://") + path,
            timeout=SECONDS,
            redirect_limit=0,
            http_no_proxy=["*"],
            sslopt={"ca_certs": str(self.ca_file), "cert_reqs": ssl.CERT_REQUIRED},
            **options,
        )
        try:
            yield opened
        finally:
            opened.close()


def upgrade_answer(vault: Vault, path: str) -> websocket.WebSocketBadStatusException:
    """The refusal of an upgrade; fails when it is granted."""
    try:
        with vault.socket(path):
            raise AssertionError(f"{path} took the upgrade")
    except websocket.WebSocketBadStatusException as exc:
        return exc


def next_frame(sock: websocket.WebSocket, deadline: float) -> bytes:
    """The next binary frame; pings are passed over and cannot stretch the deadline."""
    while True:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            code, frame = sock.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            raise AssertionError("no frame came in time") from None
        if code == websocket.ABNF.OPCODE_BINARY:
            return bytes(frame.data)


def shake_hands(sock: websocket.WebSocket) -> bytes:
    """Send the client's part of the handshake and return the server's."""
    sock.send(HANDSHAKE)
    return next_frame(sock, time.monotonic() + SECONDS)


def decode(frame: bytes) -> list[Any]:
    """The one message in a frame: a length in 7-bit groups, then MessagePack."""
    start = next(i for i, byte in enumerate(frame) if byte < 0x80) + 1
    return list(msgpack.unpackb(frame[start:], timestamp=0))


class Account(NamedTuple):
    """An account and the opaque hash that the server takes for its password."""

    email: str
    password: str


class Session:
    """One signed-in device."""

    def __init__(self, vault: Vault, account: Account) -> None:
        self.vault, self.account, self.device = vault, account, str(uuid.uuid4())
        answer = vault.request(
            "POST",
            "/identity/connect/token",
            data={
                "grant_type": "password", "username": account.email, "password": account.password,
                "scope": "api offline_access", "client_id": "web", "device_type": "9",
                "device_identifier": self.device, "device_name": "test",
            },
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request as this device."""
        answer = self.vault.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    @contextlib.contextmanager
    def hub(self) -> Iterator[websocket.WebSocket]:
        """The device's live channel, the handshake done."""
        with self.vault.socket(f"/notifications/hub?access_token={self.token}") as sock:
            assert shake_hands(sock) == b"{}\x1e"
            yield sock


@contextlib.contextmanager
def throwaway_account(vault: Vault, hashed: Callable[[str], str] | None = None) -> Iterator[Account]:
    """An account by an admin's invitation, removed in the end; ``hashed`` gives the hash for its address."""
    admin = vault.request("POST", "/admin", data={"token": vault.settings["vaultwarden_admin_token"]})
    assert admin.status_code in (200, 303), admin.status_code
    cookies = {"VW_ADMIN": admin.cookies["VW_ADMIN"]}
    email = f"{uuid.uuid4()}@example.com"
    account = Account(email, hashed(email) if hashed else base64.b64encode(os.urandom(32)).decode())
    invited = vault.request("POST", "/admin/invite", json={"email": account.email}, cookies=cookies)
    assert invited.status_code == 200, invited.text
    opaque = {"encryptedPrivateKey": "2.a|b|c", "publicKey": "a"}
    registered = vault.request(
        "POST",
        "/identity/accounts/register",
        json={
            "email": account.email, "name": "test", "kdf": 0, "kdfIterations": 600000, "key": "2.a|b|c",
            "keys": opaque, "masterPasswordHash": account.password,
        },
    )  # fmt: skip
    assert registered.status_code == 200, registered.text
    try:
        yield account
    finally:
        # A test may have torn the vault down by then.
        with contextlib.suppress(requests.ConnectionError):
            Session(vault, account).call("DELETE", "/api/accounts", {"masterPasswordHash": account.password})
