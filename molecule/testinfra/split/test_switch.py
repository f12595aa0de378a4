# SPDX-License-Identifier: GPL-3.0-or-later
"""The site moves from one proxy of a host to another: the first one lets go of it, or everything stays as it was.

The tests run in this order, each from where the one before has led.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Play
from testinfra.host import Host
from vault import Session, Vault, throwaway_account

OTHER = "server { listen 8099; location / { return 200 'other site'; } }"
NGINX_SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
HAPROXY_SITE = "/etc/haproxy/conf.d/vaultwire-site-vaultwarden.cfg"
CADDY_SITE = "/etc/caddy/vaultwire/site-vaultwarden.caddy"


@pytest.fixture
def state(edge: Host) -> Callable[[], str]:
    """A text that changes when anything changes that a move touches."""

    def take() -> str:
        return edge.check_output(
            "find /etc /run/vaultwire /var/lib/vaultwire -xdev -not -path '/etc/ssl/*' -printf '%p %m %U %G\\n' | sort;"
            "find /etc -xdev -type f -exec sha256sum {} + | sort;"
            "ss -Hltn | awk '{print $4}' | sort; systemctl is-enabled nginx haproxy caddy || true"
        )

    return take


def serving(edge: Host, site: Vault) -> str:
    """The process that holds the site's port, after a live session through it."""
    with throwaway_account(site) as account, Session(site, account).hub() as sock:
        assert sock.getstatus() == 101
    return edge.check_output("ss -Hltnp 'sport = :443' | grep -o '\"[a-z0-9]*\"' | sort -u").replace('"', "")


def test_a_port_that_is_still_needed_is_named(edge: Host, site: Vault, play: Play, state: Callable[[], str]) -> None:
    """The old proxy keeps it for a site of other hands, which is said before anything is changed."""
    edge.check_output("echo %s > /etc/nginx/conf.d/other.conf && systemctl reload nginx", OTHER)
    before = state()
    done = play(reverse_proxy_provider="haproxy")
    assert done.returncode != 0
    assert "nginx would keep port 80 for /etc/nginx/sites-enabled/default" in done.stdout
    assert state() == before
    assert serving(edge, site) == "nginx"


def test_check_mode_says_what_would_move(edge: Host, play: Play, state: Callable[[], str]) -> None:
    """And moves nothing."""
    edge.check_output("rm /etc/nginx/sites-enabled/default && systemctl reload nginx")
    before = state()
    done = play("--check", "--diff", reverse_proxy_provider="haproxy")
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"--- before: {NGINX_SITE}" in done.stdout
    assert state() == before


def test_the_site_moves_and_other_sites_stay(edge: Host, site: Vault, play: Play) -> None:
    """Nothing of it is left with the old proxy, and a second run has nothing to do."""
    done = play(reverse_proxy_provider="haproxy")
    assert done.returncode == 0, done.stdout[-4000:]
    assert serving(edge, site) == "haproxy"
    assert not edge.file(NGINX_SITE).exists
    assert not edge.file("/var/lib/vaultwire/moves/vaultwarden").exists
    assert edge.check_output("curl -s http://127.0.0.1:8099/") == "other site"
    again = play(reverse_proxy_provider="haproxy", notifications_check_live_update="never")
    assert (again.returncode, "changed=0" in again.stdout) == (0, True), again.stdout[-4000:]


def test_a_move_that_fails_changes_nothing(edge: Host, site: Vault, play: Play, state: Callable[[], str]) -> None:
    """The new proxy cannot start: the old one has its files, its service and its port again."""
    edge.check_output("apt-get install -y caddy && systemctl disable --now caddy && systemctl mask caddy")
    before = state()
    done = play(reverse_proxy_provider="caddy")
    assert done.returncode != 0
    assert "Everything was put back, and haproxy serves the site as before" in done.stdout
    assert serving(edge, site) == "haproxy"
    assert state() == before
    edge.check_output("systemctl unmask caddy")


def test_a_proxy_that_fails_its_proof_goes_on_without_the_site(
    edge: Host, site: Vault, play: Play, state: Callable[[], str]
) -> None:
    """It runs, and serves another site; with the moved one in its files it cannot reach the server."""
    before = state()
    routes = [{"match": "prefix", "path": "/vault/", "upstream": "127.0.0.1:9"}]
    done = play(reverse_proxy_provider="nginx", reverse_proxy_routes=routes)
    assert done.returncode != 0
    assert "which failed: The live channel of https://split.example.com/vault does not work." in done.stdout
    assert "VW-B28" in done.stdout
    assert serving(edge, site) == "haproxy"
    assert edge.check_output("curl -s http://127.0.0.1:8099/") == "other site"
    assert state() == before


def test_a_move_that_was_cut_off_is_finished(edge: Host, site: Vault, play: Play) -> None:
    """The old proxy's files are gone, and it was not told: it still holds the port."""
    edge.check_output(
        "mkdir -p /var/lib/vaultwire/moves/vaultwarden/haproxy /run/vaultwire && mv %s /root && "
        "touch /run/vaultwire/haproxy.reload && rm -r /etc/haproxy/conf.d/vaultwire-*",
        HAPROXY_SITE,
    )
    done = play(reverse_proxy_provider="caddy", reverse_proxy_retire_previous=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert serving(edge, site) == "caddy"
    assert not edge.service("haproxy").is_enabled
    assert not edge.file("/etc/haproxy/vaultwire").exists
    assert not edge.file("/var/lib/vaultwire/moves/vaultwarden").exists


def test_the_site_moves_back(edge: Host, site: Vault, play: Play) -> None:
    """And leaves the Caddyfile as the package brought it."""
    done = play(reverse_proxy_provider="nginx", reverse_proxy_retire_previous=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert serving(edge, site) == "nginx"
    assert not edge.file(CADDY_SITE).exists
    assert "/etc/caddy" not in edge.run("dpkg --verify caddy").stdout
    assert not edge.service("caddy").is_running
