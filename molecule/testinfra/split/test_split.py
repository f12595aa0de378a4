# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy on another host than the server. That sockets pass it, the deployment has proven by itself."""

from __future__ import annotations

import socket

from conftest import Play, address_of
from scan import open_ports
from testinfra.host import Host
from vault import Session, Vault, throwaway_account


def test_the_server_is_published_at_one_address(server: Host, site: Vault) -> None:
    """That of the private network, reachable for the proxy; neither on loopback nor everywhere."""
    listening = {line.split()[3] for line in server.check_output("ss -Hltn").splitlines()}
    address = address_of(70)
    assert {entry for entry in listening if entry.endswith(f":{site.http_port}")} == {f"{address}:{site.http_port}"}
    socket.create_connection((address, site.http_port), timeout=5).close()


def test_nothing_else_answers(site: Vault) -> None:
    """Every port of both hosts, asked from a third one."""
    assert open_ports(address_of(70)) == {22, site.http_port}
    assert open_ports(site.address) == {22, *site.proxy_ports}


def test_neither_host_has_what_belongs_to_the_other(server: Host, edge: Host) -> None:
    """No proxy at the server, no engine started and no secrets at the proxy."""
    assert not server.file("/etc/nginx/conf.d/vaultwire-vaultwarden.conf").exists
    assert not server.file("/etc/vaultwire/tls").exists
    assert not edge.file("/etc/vaultwarden").exists
    assert edge.run("docker container inspect vaultwarden").rc != 0


def test_the_server_sees_the_client_and_not_the_proxy(server: Host, site: Vault) -> None:
    """And not what the client claims."""
    claimed = "198.51.100.77"
    site.request("POST", "/admin", data={"token": "wrong"}, headers={"X-Real-IP": claimed, "X-Forwarded-For": claimed})
    log = server.check_output("docker logs vaultwarden 2>&1")
    assert claimed not in log
    assert address_of(1) in log
    assert f"IP: {site.address}" not in log


def test_a_socket_is_held_over_both_hosts(site: Vault) -> None:
    """With the server's handshake."""
    with throwaway_account(site) as account, Session(site, account).hub() as sock:
        assert sock.getstatus() == 101


def test_a_server_where_no_proxy_gets_is_refused(play: Play) -> None:
    """Before anything is changed."""
    done = play(vaultwarden_bind_address="127.0.0.1")
    assert done.returncode != 0
    assert "where no other host gets" in done.stdout
