# SPDX-License-Identifier: GPL-3.0-or-later
"""The second vault goes alone; a load balancer with the PROXY protocol comes; then the first vault goes as well."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import actions
import pytest
from conftest import NAMES, SCENARIO, attempt, inside, seen
from front import Front
from proxy import proxy_of
from vault import Session, Vault, throwaway_account

by_host = pytest.mark.parametrize("name", NAMES)

CLIENT = "203.0.113.50"
#: Debian's Caddy knows no PROXY protocol.
SPEAKS = [name for name in NAMES if name != "vw-caddy"]
#: Everything of this collection's in the configuration, and what services are owed; without the lab's own authority.
OURS = (
    "find /etc -not -path '/etc/ssl/*' '(' -name '*vaultwire*' -o -name '*vaultwarden*' ')'; "
    "find /run/vaultwire -type f 2>/dev/null || true"
)


@pytest.fixture(scope="module")
def second_gone(vaults: dict[str, Vault]) -> subprocess.CompletedProcess[str]:
    """The second vault of each host is torn down."""
    assert vaults
    return actions.play("teardown", "--forks=8", inventories=[SCENARIO / "second"])


@by_host
def test_the_second_vault_goes_alone(
    vaults: dict[str, Vault], second_gone: subprocess.CompletedProcess[str], name: str
) -> None:
    """No file of its own is left in the proxy, and the first one lives."""
    assert second_gone.returncode == 0, second_gone.stdout[-4000:]
    host = inside(name)
    left = host.check_output("grep -rlw %s /etc --include='*vaultwire*' || true", vaults[f"{name} second"].host)
    assert left == ""
    assert host.check_output("find /etc -name '*second*' -path '*vaultwire*'") == ""
    with throwaway_account(vaults[name]) as account, Session(vaults[name], account).hub() as sock:
        assert sock.getstatus() == 101


class Balanced:
    """The load balancers, and the run that told the proxies of them through which it proved each vault."""

    def __init__(self, vaults: dict[str, Vault], folder: Path) -> None:
        self.fronts = {name: Front((vaults[name].address, vaults[name].proxy_ports[1]), CLIENT) for name in SPEAKS}
        hosts = {
            name: {
                "reverse_proxy_trusted_hops": [re.sub(r"\d+$", "1", vaults[name].address)],
                "reverse_proxy_proxy_protocol": True,
                "notifications_check_connect_to": f"127.0.0.1:{front.port}",
                **({"reverse_proxy_http_port": 0} if name == "vw-lighttpd" else {}),
            }
            for name, front in self.fronts.items()
        }
        inventory = folder / "hosts.yml"
        inventory.write_text(json.dumps({"vaultwarden": {"hosts": hosts}}), encoding="utf-8")
        self.done = actions.play("site", "--forks=8", inventories=[inventory], notifications_check_live_update="never")


@pytest.fixture(scope="module")
def balanced(
    vaults: dict[str, Vault],
    second_gone: subprocess.CompletedProcess[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Balanced]:
    """Every proxy behind a load balancer of its own."""
    assert second_gone
    made = Balanced(vaults, tmp_path_factory.mktemp("balanced"))
    yield made
    for front in made.fronts.values():
        front.shutdown()
        front.server_close()


@pytest.mark.parametrize("name", SPEAKS)
def test_a_load_balancer_tells_the_client(vaults: dict[str, Vault], balanced: Balanced, name: str) -> None:
    """In a PROXY header; the request's own headers do not count. Sockets pass both, says the run's own proof."""
    assert balanced.done.returncode == 0, balanced.done.stdout[-4000:]
    vault, marker, port = vaults[name], f"{uuid.uuid4()}@example.com", balanced.fronts[name].port
    origin = "/".join(vault.url.split("/")[:3])
    path = vault.url.removeprefix(origin)
    through = vault._replace(settings={**vault.settings, "vaultwarden_domain": f"https://{vault.host}:{port}{path}"})
    claims = {"X-Forwarded-For": "198.51.100.66", "X-Real-IP": "198.51.100.66"}
    ask = socket.getaddrinfo

    def resolve(target: Any, *arguments: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if target == vault.host else target, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        through.request("POST", "/identity/connect/token", data=attempt(marker), headers=claims)
    assert seen(vault, marker) == [CLIENT]


@pytest.mark.parametrize("name", SPEAKS)
def test_a_strangers_proxy_header_does_not_count(vaults: dict[str, Vault], balanced: Balanced, name: str) -> None:
    """The host itself is no hop any more: it is refused, or seen as what it is."""
    assert balanced.done.returncode == 0
    vault, marker = vaults[name], f"{uuid.uuid4()}@example.com"
    port, base = vault.proxy_ports[1], "/".join(vault.url.split("/")[3:])
    body = "&".join(f"{key}={value}".replace(" ", "+") for key, value in attempt(marker).items())
    lines = [
        f"POST {'/' + base if base else ''}/identity/connect/token HTTP/1.1",
        f"Host: {vault.host}",
        "Connection: close",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        "",
        body,
    ]
    script = (
        "import socket, ssl\n"
        f"raw = socket.create_connection(('127.0.0.1', {port}), timeout=10)\n"
        f"raw.sendall(b'PROXY TCP4 198.51.100.66 127.0.0.1 1111 {port}\\r\\n')\n"
        "context = ssl.create_default_context()\n"
        "context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n"
        "try:\n"
        f"    secured = context.wrap_socket(raw, server_hostname='{vault.host}')\n"
        f"    secured.sendall('\\r\\n'.join({lines!r}).encode())\n"
        "    print(secured.recv(100))\n"
        "except OSError as exc:\n"
        "    print('refused', exc)\n"
    )
    said = inside(name).check_output("python3 -c %s", script)
    assert seen(vault, marker) in ([], ["127.0.0.1"]), said


def test_every_vault_goes(vaults: dict[str, Vault], balanced: Balanced) -> None:
    """Nothing of it is left in any proxy; those that have something else to serve start again without it."""
    assert balanced
    done = actions.play("teardown", "--forks=8")
    assert done.returncode == 0, done.stdout[-4000:]

    def look(name: str) -> tuple[str, bool]:
        host, service = inside(name), proxy_of(vaults[name]).service
        left, runs = host.check_output(OURS), host.service(service).is_running
        if runs:
            host.check_output("systemctl restart %s", service)
        return left, runs

    with ThreadPoolExecutor(len(NAMES)) as pool:
        looked = dict(zip(NAMES, pool.map(look, NAMES), strict=True))
    # Without a port neither of the two would start again.
    assert looked == {name: ("", name not in ("vw-haproxy", "vw-traefik")) for name in NAMES}
