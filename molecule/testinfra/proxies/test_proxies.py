# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each proxy beyond a deployment that works: silence, reloads, strangers, neighbours, mistakes."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import websocket
from conftest import NAMES, SCENARIO, Play, inside
from proxy import proxy_of
from soundness import wait_until
from vault import SECONDS, Session, Vault, decode, next_frame, shake_hands, throwaway_account, upgrade_answer

from ansible_collections.vaultwire.stack.plugins.module_utils import _products

by_host = pytest.mark.parametrize("name", NAMES)

ADMIN_SPELLINGS = ("/admin", "/admin/users/overview", "/ADMIN", "/%61dmin", "//admin", "/admin/")

#: A file of other hands that each product reads, and what it cannot stand in there.
FAULTS = {
    "nginx": ("/etc/nginx/conf.d/zz-foreign.conf", "nonsense on;"),
    "caddy": ("/etc/caddy/vaultwire/site-foreign.caddy", "foreign.example.com {\n\tnonsense\n}"),
    "haproxy": ("/etc/haproxy/conf.d/zz-foreign.cfg", "nonsense"),
    "apache": ("/etc/apache2/sites-enabled/zz-foreign.conf", "Nonsense On"),
    "lighttpd": ("/etc/lighttpd/conf-enabled/99-foreign.conf", "nonsense"),
    "traefik": ("/etc/traefik/vaultwire/foreign.yml", "http: ["),
}
SNAPSHOT = (
    "find /etc -xdev -printf '%p %m %U %G\\n' | sort; find /etc -xdev -type f -exec sha256sum {} + | sort; "
    "docker ps -a --no-trunc --format '{{.ID}}'"
)


def base_of(vault: Vault) -> str:
    """The sub-path, or nothing."""
    return urlsplit(vault.url).path


def ask_from_inside(vault: Vault, path: str, *options: str) -> str:
    """The status that the host itself gets, which is in no network of the lab."""
    port = vault.proxy_ports[1]
    origin = "/".join(vault.url.split("/")[:3])
    command = f"curl -sk --path-as-is -o /dev/null -w '%%{{http_code}}' --resolve {vault.host}:{port}:127.0.0.1"
    return inside(vault.name.split()[0]).check_output(f"{command} {' '.join(options)} %s", f"{origin}{path}")


@by_host
def test_the_admin_page_is_for_given_networks_only(vaults: dict[str, Vault], name: str) -> None:
    """In every spelling; everything else is for everyone, and the given network does get in."""
    vault = vaults[name]
    base = base_of(vault)
    answers = {spelling: ask_from_inside(vault, base + spelling) for spelling in ADMIN_SPELLINGS}
    assert set(answers.values()) == {"403"}, answers
    assert ask_from_inside(vault, f"{base}/alive") == "200"
    assert vault.request("GET", "/admin").status_code != 403


@by_host
def test_headers_of_the_server_arrive(vaults: dict[str, Vault], name: str) -> None:
    """Policies that the clients depend on, unchanged."""
    vault = vaults[name]
    shown = inside(name).check_output("curl -s -D - -o /dev/null %s", f"http://127.0.0.1:8080{base_of(vault)}/alive")
    sent = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line)
    got = {key.lower(): value for key, value in vault.request("GET", "/alive").headers.items()}
    per_hop = {"date", "connection", "server", "content-length", "transfer-encoding", "keep-alive"}
    expected = {key.lower(): value for key, value in sent.items() if key.lower() not in per_hop}
    assert expected.items() <= got.items()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vw-lighttpd"])
def test_connections_to_the_server_are_kept(vaults: dict[str, Vault], name: str) -> None:
    """What a request leaves open serves later ones, since opening one is half of what a proxy adds to an edit."""

    def kept() -> set[str]:
        assert vaults[name].request("GET", "/alive").status_code == 200
        shown = inside(name).check_output("ss -Htn state established dst 127.0.0.1 dport = :8080")
        return {line.split()[2] for line in shown.splitlines()}

    # HAProxy closes what nobody used for five seconds, which a busy machine may need between two requests.
    wait_until(lambda: bool(kept() & kept()), f"{name}: a connection serves a second request")


def keeps_sockets(vault: Vault, name: str) -> bool:
    """Whether open sockets live on when it is told to read its configuration again. Traefik watches by itself."""
    provider = vault.settings["reverse_proxy_provider"]
    if provider != "caddy":
        return provider != "lighttpd"
    return bool(_products.holds("caddy_close_delay", inside(name).check_output("caddy version")))


@by_host
def test_what_a_reload_does_to_sockets(vaults: dict[str, Vault], name: str) -> None:
    """Most keep them, and deliver what happens later; the others let go at once, and clients come back."""
    vault = vaults[name]
    with throwaway_account(vault) as account:
        acting, watching = Session(vault, account), Session(vault, account)
        with watching.hub() as sock:
            action = "restart" if vault.settings["reverse_proxy_provider"] == "lighttpd" else "reload"
            inside(name).check_output(f"systemctl {action} %s", proxy_of(vault).service)
            time.sleep(2)
            deadline = time.monotonic() + SECONDS
            while vault.request("GET", "/alive").status_code != 200:
                assert time.monotonic() < deadline
            folder = acting.call("POST", "/api/folders", {"name": "2.f|x|y"})
            if keeps_sockets(vault, name):
                event = decode(next_frame(sock, time.monotonic() + SECONDS))[4][0]
                assert event["Payload"]["Id"] == folder.get("id", folder.get("Id"))
            else:
                with pytest.raises((websocket.WebSocketConnectionClosedException, OSError)):
                    next_frame(sock, time.monotonic() + SECONDS)


def test_silent_sockets_stay_open(vaults: dict[str, Vault]) -> None:
    """More than a minute without a word but the server's pings, on all proxies side by side."""

    def watch(name: str) -> tuple[str, int]:
        pings = 0
        with throwaway_account(vaults[name]) as account, Session(vaults[name], account).hub() as sock:
            end = time.monotonic() + 67
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(max(left, 0.01))
                try:
                    code, __ = sock.recv_data_frame(control_frame=True)
                except websocket.WebSocketTimeoutException:
                    break
                assert code == websocket.ABNF.OPCODE_PING, f"{name}: frame {code}"
                pings += 1
        return name, pings

    with ThreadPoolExecutor(len(NAMES)) as pool:
        counted = dict(pool.map(watch, NAMES))
    assert all(pings >= 4 for pings in counted.values()), counted


class Faulty(NamedTuple):
    """A run on hosts whose proxies read a faulty foreign file, and the hosts before and after it."""

    done: subprocess.CompletedProcess[str]
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def faulty(vaults: dict[str, Vault], play: Play) -> Faulty:
    """The site would change, and a file of other hands would go."""
    faults = {name: FAULTS[vaults[name].settings["reverse_proxy_provider"]] for name in NAMES}
    replaced = {name: vaults[f"{name} second"].settings["reverse_proxy_replaces"][0] for name in NAMES}
    for name, (path, text) in faults.items():
        inside(name).check_output("printf '%%s\\n' %s > %s && echo '# by hand' > %s", text, path, replaced[name])
    before = {name: inside(name).check_output(SNAPSHOT) for name in NAMES}
    done = play(reverse_proxy_read_timeout=120, reverse_proxy_replaces=sorted(set(replaced.values())))
    after = {name: inside(name).check_output(SNAPSHOT) for name in NAMES}
    for name, (path, __) in faults.items():
        inside(name).check_output("rm %s", path)
    return Faulty(done, before, after)


@by_host
def test_a_configuration_that_is_refused_never_goes_live(vaults: dict[str, Vault], faulty: Faulty, name: str) -> None:
    """The product's own checker objects, everything is put back, and the proxy keeps serving."""
    assert f"fatal: [{name}]" in faulty.done.stdout
    assert faulty.done.stdout.count("files are as they were") >= len(NAMES)
    assert faulty.after[name] == faulty.before[name]
    assert vaults[name].request("GET", "/alive").status_code == 200


@pytest.fixture(scope="module")
def second(faulty: Faulty, play: Play) -> subprocess.CompletedProcess[str]:
    """A second vault on every host; the play proves its hubs and a live update by itself."""
    assert faulty
    return play(str(SCENARIO / "second"))


@by_host
def test_a_second_vault_shares_the_proxy(
    vaults: dict[str, Vault], second: subprocess.CompletedProcess[str], name: str
) -> None:
    """Of the other layout, on the same ports; the first one works on, and what was to be replaced is gone."""
    assert second.returncode == 0, second.stdout[-4000:]
    for vault in (vaults[name], vaults[f"{name} second"]):
        assert vault.request("GET", "/alive").status_code == 200
        assert upgrade_answer(vault, "/notifications/hub").status_code == 401
        with throwaway_account(vault) as account, Session(vault, account).hub() as sock:
            assert sock.getstatus() == 101
        if not vault.legacy:
            with vault.socket("/notifications/anonymous-hub?token=x") as sock:
                assert shake_hands(sock) == b"{}\x1e"
    assert not inside(name).file(vaults[f"{name} second"].settings["reverse_proxy_replaces"][0]).exists


def test_two_vaults_do_not_take_turns(
    vaults: dict[str, Vault], second: subprocess.CompletedProcess[str], play: Play
) -> None:
    """What the sites share has one content, whoever wrote it last: a run for the first changes nothing."""
    done = play(notifications_check_live_update="never")
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("changed=0") == len(NAMES), done.stdout[-2000:]
