# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for Envoy, in a real one: both hubs, a live update, the client's address, and what stays out of the log."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_server import StandIn, free_port
from fake_vault import FakeVault, make_authority, reply
from rendered import Front, proofs, running, text

from ansible_collections.vaultwire.stack.plugins.module_utils import _render

every = pytest.mark.parametrize("base", ["", "/vault"])
layouts = pytest.mark.parametrize("layout", ["legacy", "single_port"])
ENVOY = shutil.which("envoy") or ""
with_envoy = pytest.mark.skipif(not ENVOY, reason="there is no envoy on this machine to ask")


def config(folder: Path, base: str = "", broken: bool = False, **chosen: Any) -> tuple[Path, Front]:
    """The rendered file as it is but for the listeners, which stay on loopback here."""
    authority = make_authority(folder)
    authority.server("localhost")
    port, http_port, pem = free_port(), free_port(), str(folder / "localhost30.pem")
    rendered = text(
        "envoy",
        **{"certificate": pem, "key": pem, "domain": f"https://localhost:{port}{base}", "http_port": http_port},
        base=base,
        **chosen,
    )
    bootstrap = yaml.safe_load(rendered)
    listeners = bootstrap["static_resources"]["listeners"]
    for listener in listeners:
        assert listener["address"]["socket_address"].pop("ipv4_compat")
        listener["address"]["socket_address"]["address"] = "127.0.0.1"
    if broken:
        del listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]["upgrade_configs"]
    path = folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(bootstrap))
    return path, Front(port, http_port, authority.pem, folder / "output")


@contextlib.contextmanager
def envoy(folder: Path, **chosen: Any) -> Iterator[Front]:
    path, front = config(folder, **chosen)
    command = [ENVOY, "-c", path, "--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "50"]
    with running([*command, "-l", "warning"], front.port, front.log):
        yield front


@with_envoy
@every
@layouts
def test_envoy_itself_accepts_the_file(layout: str, base: str, tmp_path: Path) -> None:
    path, __ = config(tmp_path, layout=layout, base=base, admin_networks=["192.0.2.0/24", "2001:db8::/32"])
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warning]" not in done.stderr


@with_envoy
@layouts
@every
def test_the_live_channel_goes_through_envoy(layout: str, base: str, tmp_path: Path) -> None:
    with StandIn(tmp_path, "1.28.1" if layout == "legacy" else "1.37.2", DOMAIN=f"https://localhost{base}") as server:
        where = {"server": f"127.0.0.1:{server.port}", "hub": f"127.0.0.1:{server.hub_port}"}
        with envoy(tmp_path, layout=layout, base=base, **where) as front:
            found, arrived = proofs(server, f"https://localhost:{front.port}{base}", front.ca)
        assert found == []
        assert arrived == ["create_ms", "delete_ms", "rename_ms"]
        log = front.log.read_text()
        assert f'"GET {base}/notifications/hub HTTP/1.1" 101' in log
        assert "?" not in log, "the query holds the token"


@with_envoy
def test_a_broken_twin_is_found(tmp_path: Path) -> None:
    with (
        StandIn(tmp_path, "1.37.2") as server,
        envoy(tmp_path, broken=True, server=f"127.0.0.1:{server.port}") as front,
    ):
        found, arrived = proofs(server, f"https://localhost:{front.port}", front.ca)
    assert found != []
    assert arrived == []


@with_envoy
def test_nobody_chooses_his_own_address_or_gets_where_he_may_not(tmp_path: Path) -> None:
    claims = {"X-Real-IP": "203.0.113.9", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
    with (
        FakeVault({path: reply(200) for path in ("/vault/alive", "/vault/%61dmin", "/vault/x%2Fy/../z")}) as vault,
        envoy(
            tmp_path, base="/vault", server=f"127.0.0.1:{vault.port}", admin_networks=["192.0.2.0/24"], max_body="1k"
        ) as front,
    ):
        assert front.ask("/vault/alive", claims) == (200, "")
        for admin in ("/vault/admin", "/vault/admin/users", "//vault//admin?x", "/vault/%61dmin", "/VAULT/ADMIN/"):
            assert front.ask(admin, claims)[0] == 403, admin
        assert front.ask("/vault/x%2Fy/../z") == (200, "")
        assert front.ask("/vault/administration")[0] == 404
        assert front.ask("/vault") == (308, f"https://localhost:{front.port}/vault/")
        assert front.ask("/elsewhere")[0] == 404
        assert front.ask("/vault/alive", {"Content-Length": "1025"})[0] == 413
        assert front.ask("/vault/x?y=1", secure=False) == (308, f"https://localhost:{front.port}/vault/x?y=1")
    seen = vault.requests[0].headers
    assert {seen["x-real-ip"], seen["x-forwarded-for"]} == {"127.0.0.1"}
    assert (seen["x-forwarded-proto"], seen["host"]) == ("https", f"localhost:{front.port}")
    assert [request.path for request in vault.requests] == [
        "/vault/alive",
        "/vault/x%2Fy/../z",
        "/vault/administration",
    ]


@with_envoy
@pytest.mark.parametrize(("hop", "expected"), [("127.0.0.1", "198.51.100.7"), ("192.0.2.1", "127.0.0.1")])
def test_only_a_trusted_hop_tells_the_address(hop: str, expected: str, tmp_path: Path) -> None:
    """The last address that is no trusted hop counts; what comes before it may be the client's invention."""
    claims = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 192.0.2.5", "X-Forwarded-Proto": "http"}
    with (
        FakeVault({"/alive": reply(200)}) as vault,
        envoy(tmp_path, server=f"127.0.0.1:{vault.port}", trusted_hops=[hop, "192.0.2.5"]) as front,
    ):
        assert front.ask("/alive", claims) == (200, "")
    seen = vault.requests[0].headers
    assert {seen["x-real-ip"], seen["x-forwarded-for"]} == {expected}
    assert seen["x-forwarded-proto"] == "https"
    assert re.search(rf"^{expected} \[", front.log.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/vault/admin", True),
        ("//vault///ADMIN/", True),
        ("/v%61ult%2fadmi%6E/users", True),
        ("/vault/administrator", False),
        ("/vault/alive", False),
        ("/admin", False),
    ],
)
def test_any_spelling_of_a_path_is_found(path: str, matches: bool) -> None:
    assert bool(re.fullmatch(_render.any_spelling("/vault/admin"), path)) == matches
