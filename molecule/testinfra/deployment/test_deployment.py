# SPDX-License-Identifier: GPL-3.0-or-later
"""The host after a deployment: what runs, how it is confined, where it listens, what it gives away."""

from __future__ import annotations

import json
import re
import socket
import ssl
import uuid
from typing import Any

import pytest
from probing import assert_sound, run_vault_module
from proxy import logged, proxy_of
from scan import open_ports
from testinfra.host import Host
from vault import Account, Session, Vault, upgrade_answer


def listening(host: Host) -> set[tuple[str, int]]:
    """Address and port of every listening TCP socket."""
    lines = host.check_output("ss -Hltn").splitlines()
    return {(address, int(port)) for address, __, port in (line.split()[3].rpartition(":") for line in lines)}


def connected(vault: Vault) -> socket.socket:
    """A plain connection to the proxy's port for https."""
    return socket.create_connection((vault.address, vault.proxy_ports[1]), timeout=5)


def can_connect(address: str, port: int) -> bool:
    """Whether anything answers there."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_the_container_runs_and_stays(container: dict[str, Any]) -> None:
    """Running, never restarted, and started again with the machine."""
    assert container["State"]["Status"] == "running"
    assert container["RestartCount"] == 0
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_container_is_confined(host: Host, vault: Vault, container: dict[str, Any]) -> None:
    """No root, no capability, nothing writable but the data and a small /tmp."""
    limits = container["HostConfig"]
    assert limits["ReadonlyRootfs"] is True
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["CapAdd"]
    assert limits["Privileged"] is False
    assert any(option.startswith("no-new-privileges") for option in limits["SecurityOpt"])
    assert set(limits["Tmpfs"]) == {"/tmp"}
    status = host.file(f"/proc/{container['State']['Pid']}/status").content_string
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(vault.settings.get("vaultwarden_uid", 10080))] * 4
    assert fields["Gid"].split() == [str(vault.settings.get("vaultwarden_gid", 10080))] * 4
    assert {name: int(value, 16) for name, value in fields.items() if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0
    )
    assert fields["NoNewPrivs"] == "1"


def test_the_server_has_room_for_all_clients(host: Host, container: dict[str, Any]) -> None:
    """As many files as the setting says, whatever the engine gives by itself."""
    limits = host.file(f"/proc/{container['State']['Pid']}/limits").content_string
    assert re.findall(r"Max open files +(\d+) +(\d+)", limits) == [("8192", "8192")]


def counted(host: Host, groups: str, controller: str) -> int:
    """The limit that the kernel holds, in the tree of a process's own cgroups, version 1 or 2."""
    old = re.findall(rf"^\d+:{controller}:(.+)$", groups, re.MULTILINE)
    if old:
        name = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}[controller]
        return int(host.file(f"/sys/fs/cgroup/{controller}{old[0]}/{name}").content_string)
    place = re.findall("^0::(.+)$", groups, re.MULTILINE)[0]
    return int(host.file(f"/sys/fs/cgroup{place}/{controller}.max").content_string)


def test_the_container_takes_its_share_of_the_host(host: Host, container: dict[str, Any]) -> None:
    """Bounded room for its log, memory and processes: as the engine has it, and as the kernel counts."""
    limits = container["HostConfig"]
    assert limits["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    engine = json.loads(host.check_output("docker info --format '{{json .}}'"))
    if not engine["MemoryLimit"] and not engine["PidsLimit"]:
        # A host of the lab whose cgroup tree has no controllers. The engine would drop limits, so none are asked for.
        assert (limits["Memory"], limits["PidsLimit"] or 0) == (0, 0)
        return
    groups = host.file(f"/proc/{container['State']['Pid']}/cgroup").content_string
    found = {controller: counted(host, groups, controller) for controller in ("memory", "pids")}
    kilobytes = int(re.findall(r"MemTotal: +(\d+) kB", host.file("/proc/meminfo").content_string)[0])
    assert 0.7 < found["memory"] / (kilobytes * 1024) <= 0.75
    assert found["pids"] == 2048


def test_the_container_has_nothing_of_the_host(container: dict[str, Any]) -> None:
    """No socket of the engine, no device, no namespace; two folders, of which the secrets cannot be written."""
    limits = container["HostConfig"]
    assert not limits["Devices"]
    assert not limits["PidMode"]
    assert not limits["UTSMode"]
    assert limits["IpcMode"] == "private"
    assert limits["NetworkMode"] not in ("host", "bridge")
    mounts = {mount["Destination"]: mount["RW"] for mount in container["Mounts"]}
    assert len(mounts) == 2
    assert mounts.pop("/data") is True
    assert list(mounts.values()) == [False]
    assert not [mount["Source"] for mount in container["Mounts"] if mount["Source"].endswith(".sock")]


def test_the_container_cannot_write_outside_its_data(host: Host, vault: Vault) -> None:
    """The refusal itself, not only the setting."""
    refused = host.run("docker exec %s touch /etc/x /web-vault/x", vault.container)
    assert refused.rc != 0
    assert "Read-only file system" in refused.stderr


def test_only_the_proxy_can_reach_the_server(host: Host, vault: Vault) -> None:
    """The server's ports are on loopback and nowhere else."""
    ports = {vault.http_port} | ({vault.websocket_port} if vault.legacy else set())
    for port in ports:
        assert {address for address, found in listening(host) if found == port} == {"127.0.0.1"}
        assert not can_connect(vault.address, port)


def test_nothing_else_listens(host: Host, vault: Vault) -> None:
    """Outside SSH and the proxy; published the server's port, and a second one only in the legacy layout."""
    outside = {port for address, port in listening(host) if not address.startswith("127.")}
    ports = proxy_of(vault).ports
    assert outside | ports == {22, *ports, *vault.proxy_ports}
    published = host.check_output("docker ps --format '{{.Ports}}'")
    second = f"127.0.0.1:{vault.websocket_port}->{vault.websocket_port}/tcp"
    assert f"127.0.0.1:{vault.http_port}->8080/tcp" in published
    assert (second in published) is vault.legacy
    assert published.count("->") == (2 if vault.legacy else 1)


def test_nothing_else_answers(vault: Vault) -> None:
    """Every port, asked from outside: SSH and the proxy, not the server, whatever firewall or engine says."""
    answering, ports = open_ports(vault.address), proxy_of(vault).ports
    assert answering | ports == {22, *ports, *vault.proxy_ports}


def test_the_environment_has_the_switch_of_its_era(container: dict[str, Any], vault: Vault) -> None:
    """The other era's names would mislead whoever reads them."""
    names = {entry.partition("=")[0] for entry in container["Config"]["Env"]}
    assert ("WEBSOCKET_ENABLED" in names) is vault.legacy
    assert ("ENABLE_WEBSOCKET" in names) is not vault.legacy
    assert any(name.startswith("WEBSOCKET_") for name in names) is vault.legacy


@pytest.mark.parametrize("service", ["docker", "proxy"])
def test_services_come_back_after_a_reboot(host: Host, vault: Vault, service: str) -> None:
    """Running and enabled; the engine may be started by its socket."""
    service = proxy_of(vault).service if service == "proxy" else service
    assert host.service(service).is_running
    assert host.service(service).is_enabled or host.service(f"{service}.socket").is_enabled


def test_data_and_secrets_belong_to_the_server_alone(host: Host, vault: Vault) -> None:
    """Modes and owners, compared as what they are."""
    data = host.file(vault.settings.get("vaultwarden_data_dir", "/var/lib/vaultwarden"))
    secrets = vault.settings.get("vaultwarden_config_dir", "/etc/vaultwarden") + "/secrets"
    token = host.file(f"{secrets}/admin_token")
    uid = int(vault.settings.get("vaultwarden_uid", 10080))
    assert (data.mode, data.uid) == (0o700, uid)
    assert (host.file(secrets).mode, host.file(secrets).uid) == (0o700, uid)
    assert (token.mode, token.uid) == (0o400, uid)


def test_the_admin_token_arrives_byte_for_byte(vault: Vault, account: Account) -> None:
    """The account fixture has signed in with the right one; a slightly different one is refused."""
    wrong = vault.settings["vaultwarden_admin_token"].replace("$", "$$") + "x"
    assert account.email
    assert vault.request("POST", "/admin", data={"token": wrong}).status_code == 401


def test_secrets_stay_out_of_everything_that_is_shown(host: Host, vault: Vault, container: dict[str, Any]) -> None:
    """Inspection, logs, process list and the environment of the process."""
    secret = vault.settings["vaultwarden_admin_token"]
    shown = {
        "inspect": host.check_output("docker container inspect %s", vault.container),
        "logs": host.check_output("docker logs %s 2>&1", vault.container),
        "processes": host.check_output("ps axeww -o args"),
        "environment": host.file(f"/proc/{container['State']['Pid']}/environ").content.decode(),
        "journal": host.check_output("journalctl --no-pager -o cat"),
    }
    for place, text in shown.items():
        assert secret not in text, place
        assert secret.replace("\\", "\\\\").replace('"', '\\"') not in text, place


def test_only_modern_tls_is_spoken(vault: Vault) -> None:
    """The certificate names the host and chains to the authority; old protocols are refused."""
    context = ssl.create_default_context(cafile=str(vault.ca_file))
    with connected(vault) as raw, context.wrap_socket(raw, server_hostname=vault.host) as secured:
        assert secured.version() == "TLSv1.3"
        names = dict(secured.getpeercert() or {})["subjectAltName"]
        assert names == (("DNS", vault.host),)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with connected(vault) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(raw, server_hostname=vault.host)


def test_http_1_1_is_offered_beside_http_2(vault: Vault) -> None:
    """Browsers open the live channel over HTTP/1.1, whatever they load pages with."""
    for offer in (["http/1.1"], ["h2", "http/1.1"]):
        context = ssl.create_default_context(cafile=str(vault.ca_file))
        context.set_alpn_protocols(offer)
        with connected(vault) as raw, context.wrap_socket(raw, server_hostname=vault.host) as secured:
            assert secured.selected_alpn_protocol() == offer[0]


def test_plain_http_only_redirects(vault: Vault) -> None:
    """With the path and query kept."""
    with socket.create_connection((vault.address, vault.proxy_ports[0]), timeout=5) as raw:
        raw.sendall(f"GET /vault/x?y=1 HTTP/1.1\r\nHost: {vault.host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(4096), b"")).decode()
    origin = "/".join(vault.url.split("/")[:3])
    assert answer.split()[1] == str(proxy_of(vault).redirect)
    assert f"location: {origin}/vault/x?y=1\r\n" in answer.replace("Location:", "location:")


def test_the_server_sees_the_peer_and_not_what_it_claims(host: Host, vault: Vault) -> None:
    """A client cannot choose the address that limits and bans go by."""
    claimed = "198.51.100.77"
    vault.request("POST", "/admin", data={"token": "wrong"}, headers={"X-Real-IP": claimed, "X-Forwarded-For": claimed})
    log = host.check_output("docker logs %s 2>&1", vault.container)
    peer = host.check_output("ip -4 route show default dev eth0 || true") or vault.address
    assert claimed not in log
    assert peer.rpartition(".")[0].split()[-1] in log


def test_the_proxy_has_room_for_all_clients(host: Host, vault: Vault) -> None:
    """As many as the setting says, each of whose sockets takes two files; looked up in what really runs."""
    proxy = proxy_of(vault)
    clients = int(vault.settings.get("reverse_proxy_max_clients", 4000))
    found = [
        (limit, int(re.findall(limit, host.check_output(command), re.MULTILINE)[-1]), clients * each)
        for command, limit, each in proxy.limits
    ]
    # Apache spreads its clients over many processes, with 64 for each. Of the others one has to be able to hold all.
    files = 2 * (64 if proxy.service == "apache2" else clients)
    processes = host.check_output("pgrep -x %s", proxy.service.removeprefix("vaultwire-")).split()
    limits = [host.file(f"/proc/{process}/limits").content_string for process in processes]
    found.append(("files", max(int(re.findall(r"Max open files +(\d+)", limit)[0]) for limit in limits), files))
    assert [entry for entry in found if entry[1] < entry[2]] == []


def test_large_uploads_pass_the_proxy(vault: Vault) -> None:
    """30 MB before the words that the server answers to, so that it must have read them all.

    Forms may be that large, JSON may not; nginx's own limit of one megabyte would say 413.
    """
    login = {
        "grant_type": "password", "username": "nobody@example.com", "password": "x", "scope": "api offline_access",
        "client_id": "web", "device_type": "9", "device_identifier": str(uuid.uuid4()), "device_name": "test",
    }  # fmt: skip
    padding = {"padding": (None, b"x" * 30_000_000, "application/octet-stream")}
    form = {**padding, **{name: (None, value) for name, value in login.items()}}
    answer = vault.request("POST", "/identity/connect/token", files=form)
    assert (answer.status_code, "Username or password" in answer.text) == (400, True), answer.text[:200]


def test_no_token_in_any_log_of_the_proxy(host: Host, vault: Vault, account: Account) -> None:
    """After real traffic, and with the server down, when proxies have most to say."""
    token = Session(vault, account).token
    upgrade_answer(vault, f"/notifications/hub?access_token=x{token}")
    host.check_output("docker stop -t 1 %s", vault.container)
    try:
        assert upgrade_answer(vault, f"/notifications/hub?access_token={token}").status_code == proxy_of(vault).down
        assert upgrade_answer(vault, f"/notifications/anonymous-hub?token={token}").status_code == proxy_of(vault).down
    finally:
        host.check_output("docker start %s", vault.container)
    logs = logged(host, vault)
    assert "/notifications/hub" in logs
    assert token[:40] not in logs
    assert "access_token" not in logs


def test_the_diagnosis_has_nothing_to_say(vault: Vault) -> None:
    """No false alarm, not even a warning, whatever the proxy, the layout and the path.

    It waits for the server that the test before has stopped.
    """
    probe = run_vault_module(vault, "hub_probe", fail_on_fault=False, wait=30)
    assert_sound(vault, probe)
