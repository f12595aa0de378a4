# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front tells the client's address. The inventory trusts the host itself, where it can be believed."""

from __future__ import annotations

import re
import uuid

import pytest
from conftest import NAMES, attempt, inside, seen
from vault import Vault

by_host = pytest.mark.parametrize("name", NAMES)

#: The client's own claim, the client, and a hop that is trusted as well.
CHAIN = "198.51.100.66, 203.0.113.9, 127.0.0.1"


def from_inside(vault: Vault, path: str, *options: str) -> str:
    """What curl on the host itself prints: the status of each answer. ``options`` as for its command line."""
    port = vault.proxy_ports[1]
    url = "/".join(vault.url.split("/")[:3]) + "/" + "/".join([*vault.url.split("/")[3:], path])
    command = f"curl -sk -o /dev/null -w '%%{{http_code}} ' --resolve {vault.host}:{port}:127.0.0.1"
    return inside(vault.name.split()[0]).check_output(f"{command} {' '.join(options)} %s", url).strip()


def sign_in_from_inside(vault: Vault, marker: str, *options: str) -> None:
    """Try to, as a client of the host itself."""
    form = "&".join(f"{key}={value}".replace(" ", "+") for key, value in attempt(marker).items())
    assert from_inside(vault, "identity/connect/token", f"-d '{form}'", *options) == "400"


def is_told(vault: Vault) -> bool:
    """Whether the proxy believes the host itself."""
    return "reverse_proxy_trusted_hops" in vault.settings


@by_host
def test_a_trusted_hop_tells_the_client(vaults: dict[str, Vault], name: str) -> None:
    """The last address that is no hop; without trusted hops, and without a header, it is the peer."""
    vault, told, silent = vaults[name], f"{uuid.uuid4()}@example.com", f"{uuid.uuid4()}@example.com"
    sign_in_from_inside(vault, told, f"-H 'X-Forwarded-For: {CHAIN}'")
    sign_in_from_inside(vault, silent)
    assert seen(vault, told) == ["203.0.113.9" if is_told(vault) else "127.0.0.1"]
    assert seen(vault, silent) == ["127.0.0.1"]


@by_host
def test_nobody_else_tells_anything(vaults: dict[str, Vault], name: str) -> None:
    """In no header."""
    vault, marker = vaults[name], f"{uuid.uuid4()}@example.com"
    claims = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded"), "198.51.100.66")
    answer = vault.request("POST", "/identity/connect/token", data=attempt(marker), headers=claims)
    assert answer.status_code == 400
    assert seen(vault, marker) == [re.sub(r"\d+$", "1", vault.address)]


@by_host
def test_the_admin_page_is_for_clients_of_its_networks(vaults: dict[str, Vault], name: str) -> None:
    """Not for hops in them, and not for whoever claims to be in them."""
    vault = vaults[name]
    near = re.sub(r"\d+$", "9", vault.address)
    behind = from_inside(vault, "admin", f"-H 'X-Forwarded-For: 198.51.100.66, {near}'")
    claimed = from_inside(vault, "admin", f"-H 'X-Forwarded-For: {near}, 203.0.113.9'")
    assert (behind != "403", claimed) == (is_told(vault), "403")
