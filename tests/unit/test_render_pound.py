# SPDX-License-Identifier: GPL-3.0-or-later
"""The file for Pound, in a real one where there is one: both hubs, a live update, the client's address, the log."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_server import StandIn, free_port
from fake_vault import FakeVault, make_authority, reply
from rendered import Front, proofs, running, text

POUND = shutil.which("pound") or ""
every = pytest.mark.parametrize("base", ["", "/vault"])
layouts = pytest.mark.parametrize("layout", ["legacy", "single_port"])
with_pound = pytest.mark.skipif(not POUND, reason="there is no pound on this machine to ask")


def config(folder: Path, base: str = "", **chosen: Any) -> tuple[Path, Front]:
    """The rendered file as it is but for the listeners, which stay on loopback here, and the certificate's place."""
    authority = make_authority(folder)
    authority.server("localhost")
    port, http_port = free_port(), free_port()
    rendered = text("pound", domain=f"https://localhost:{port}{base}", http_port=http_port, base=base, **chosen)
    for listener in (port, http_port):
        rendered = rendered.replace(f"    Port {listener}\n", f"    Address 127.0.0.1\n    Port {listener}\n")
    rendered = rendered.replace('Cert "/etc/pound/vaultwarden.pem"', f'Cert "{folder}/localhost30.pem"')
    # The user is the package's, and there is no need to be root for ports such as these.
    rendered = rendered.replace('User "_pound"\nGroup "_pound"\n', "LogFacility -\n")
    path = folder / "pound.cfg"
    path.write_text(rendered)
    return path, Front(port, http_port, authority.pem, folder / "output")


@contextlib.contextmanager
def pound(folder: Path, **chosen: Any) -> Iterator[Front]:
    path, front = config(folder, **chosen)
    with running([POUND, "-F", "-f", path, "-p", folder / "pid"], front.port, front.log):
        yield front


@with_pound
@every
@layouts
def test_pound_itself_accepts_the_file(layout: str, base: str, tmp_path: Path) -> None:
    path, __ = config(tmp_path, layout=layout, base=base, admin_networks=["192.0.2.0/24", "2001:db8::/32"])
    done = subprocess.run([POUND, "-c", "-f", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@with_pound
@every
@layouts
def test_the_live_channel_goes_through_pound(layout: str, base: str, tmp_path: Path) -> None:
    with StandIn(tmp_path, "1.28.1" if layout == "legacy" else "1.37.2", DOMAIN=f"https://localhost{base}") as server:
        where = {"server": f"127.0.0.1:{server.port}", "hub": f"127.0.0.1:{server.hub_port}"}
        with pound(tmp_path, layout=layout, base=base, **where) as front:
            found, arrived = proofs(server, f"https://localhost:{front.port}{base}", front.ca)
        assert found == []
        assert arrived == ["create_ms", "delete_ms", "rename_ms"]
        log = front.log.read_text()
        assert f'"GET {base}/notifications/hub" 101' in log
        assert "?" not in log, "the query holds the token"


@with_pound
def test_nobody_chooses_his_own_address_or_gets_where_he_may_not(tmp_path: Path) -> None:
    claims = {"X-Real-IP": "203.0.113.9", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
    with (
        FakeVault({path: reply(200) for path in ("/vault/alive", "/vault/x%2Fy/z")}) as vault,
        pound(
            tmp_path, base="/vault", server=f"127.0.0.1:{vault.port}", admin_networks=["192.0.2.0/24"], max_body="1k"
        ) as front,
    ):
        assert front.ask("/vault/alive", claims) == (200, "")
        for admin in ("/vault/admin", "/vault/admin/users", "//vault//admin?x", "/vault/%61dmin", "/VAULT/ADMIN/"):
            assert front.ask(admin)[0] == 403, admin
        assert front.ask("/vault/x%2Fy/z") == (200, "")
        assert front.ask("/vault/administration")[0] == 404
        assert front.ask("/vault") == (308, f"https://localhost:{front.port}/vault/")
        assert front.ask("/elsewhere")[0] == 404
        assert front.ask("/vault/alive", {"Content-Length": "1025"})[0] == 413
        assert front.ask("/vault/x?y=1", secure=False) == (308, f"https://localhost:{front.port}/vault/x?y=1")
    seen = vault.requests[0].headers
    assert (seen["x-real-ip"], seen["x-forwarded-for"]) == ("127.0.0.1", "127.0.0.1")
    assert (seen["x-forwarded-proto"], seen["host"]) == ("https", f"localhost:{front.port}")
    assert [request.path for request in vault.requests] == ["/vault/alive", "/vault/x%2Fy/z", "/vault/administration"]
