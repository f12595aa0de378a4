# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host runs to variables, and from those to files; a secret is in none of them but its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vaultwire.stack.plugins.action import adopt_host_vars
from ansible_collections.vaultwire.stack.plugins.module_utils import _adopt

SECRET = "Nl9xQ {{ not }} \"a\" 'template' \\ # é"
VOLUME = "0123456789abcdef" * 4


def port(host: int, container: int, address: str = "127.0.0.1") -> dict[str, Any]:
    """A published port."""
    return {"address": address, "host": host, "container": container}


def limits(**changes: Any) -> dict[str, Any]:
    """What bounds a container by itself: nothing."""
    return {"log_driver": "json-file", "log_max_size": "", "log_max_files": "", "other_log_options": [], "memory": 0,
            "pids": 0, **changes}  # fmt: skip


def vault(**changes: Any) -> dict[str, Any]:
    """A container as deployment_info describes it, from the documentation of the old layout; with changes.

    ``data`` and ``config_json`` are changes to those parts.
    """
    data = {
        "folder": "/data", "type": "bind", "path": "/vw-data", "volume": "", "nested": [], "uid": 0, "gid": 0,
        "database_bytes": 1, "free_bytes": 2, "file_system": "ext4", "network_share": False, **changes.pop("data", {}),
    }  # fmt: skip
    saved = {"present": False, "broken": False, "names": [], "overrides": [], "values": {},
             **changes.pop("config_json", {})}  # fmt: skip
    return {
        "name": "vaultwarden", "image": "vaultwarden/server:1.28.1", "version": "1.28.1", "version_from": "server",
        "status": "running", "era": "legacy", "layout": "legacy", "managed": False, "compose": {}, "live": True,
        "environment": {"DOMAIN": "https://vault.example.com", "SIGNUPS_ALLOWED": "false"},
        "secret_names": [], "secret_files": {}, "database": "sqlite", "http_port": 80, "websocket_port": 3012,
        "websocket_enabled": True, "published_ports": [port(8080, 80), port(3012, 3012)], "mounts": [], "user": "",
        "restart": "always", "network_mode": "default", "networks": ["bridge"], "custom_command": False,
        "other_options": [], "other_labels": [], "limits": limits(),
        "label_router": False, "leftovers": [], "data": data, "config_json": saved, **changes,
    }  # fmt: skip


def site(**changes: Any) -> dict[str, Any]:
    """A site of nginx in front of it, with changes."""
    route = {"path": "/", "upstream": "127.0.0.1:8080", "upgrade": True, "port": "http"}
    return {
        "provider": "nginx", "file": "/etc/nginx/conf.d/vault.conf", "names": ["vault.example.com"],
        "listen": [{"port": 443, "tls": True}], "tls_certificate": "/c.pem", "tls_key": "/k.pem", "shared": False,
        "vault": "vaultwarden", "routes": {"root": route, "hub": route, "anonymous_hub": route}, **changes,
    }  # fmt: skip


def info(*vaults: dict[str, Any], sites: Any = None, **changes: Any) -> dict[str, Any]:
    """The result of deployment_info."""
    return {"vaults": list(vaults), "sites": [site()] if sites is None else sites, "unreadable": [], "listeners": [],
            "proxies": {}, **changes}  # fmt: skip


def modern(**changes: Any) -> dict[str, Any]:
    """A container of the current layout."""
    return vault(**{"image": "vaultwarden/server:1.37.2", "version": "1.37.2", "era": "single_port",
                    "layout": "single_port", "published_ports": [port(8080, 80)], **changes})  # fmt: skip


def environment(**values: str) -> dict[str, str]:
    """Variables that somebody set, beside the address."""
    return {"DOMAIN": "https://vault.example.com", **values}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "documented docker run": (
        info(vault(published_ports=[port(80, 80, "0.0.0.0"), port(3012, 3012, "0.0.0.0")])),
        {"vaultwarden_version": "1.28.1", "vaultwarden_image": "docker.io/vaultwarden/server",
         "vaultwarden_domain": "https://vault.example.com", "vaultwarden_data_dir": "/vw-data",
         "vaultwarden_container_name": "vaultwarden", "vaultwarden_bind_address": "127.0.0.1",
         "vaultwarden_http_port": 8080, "vaultwarden_websocket_port": 3012, "vaultwarden_signups_allowed": False,
         "reverse_proxy_provider": "nginx", "reverse_proxy_tls_certificate": "/c.pem",
         "reverse_proxy_tls_key": "/k.pem", "reverse_proxy_replaces": ["/etc/nginx/conf.d/vault.conf"],
         "vaultwarden_layout": None, "vaultwarden_uid": None, "vaultwarden_environment": None}),
    "old image name": (info(vault(image="bitwardenrs/server:1.21.0", version="1.21.0")),
                       {"vaultwarden_image": "docker.io/bitwardenrs/server", "vaultwarden_version": "1.21.0"}),
    "other registry": (info(modern(image="ghcr.io/dani-garcia/vaultwarden:1.37.2")),
                       {"vaultwarden_image": "ghcr.io/dani-garcia/vaultwarden"}),
    "registry with a port": (info(modern(image="registry.example.com:5000/vaultwarden/server")),
                             {"vaultwarden_image": "registry.example.com:5000/vaultwarden/server"}),
    "image without a name": (info(modern(image=f"sha256:{VOLUME}")),
                             {"vaultwarden_image": "docker.io/vaultwarden/server", "vaultwarden_version": "1.37.2"}),
    "moving tag": (info(modern(image="vaultwarden/server:latest")), {"vaultwarden_version": "1.37.2"}),
    "variant": (info(modern(image="vaultwarden/server:1.37.2-alpine")), {"vaultwarden_version": "1.37.2-alpine"}),
    "digest": (info(modern(image=f"vaultwarden/server:1.37.2@sha256:{VOLUME}")),
               {"vaultwarden_version": f"1.37.2@sha256:{VOLUME}"}),
    "tag of another release": (info(modern(image="vaultwarden/server:1.30.0")), {"vaultwarden_version": "1.37.2"}),
    "named volume": (info(modern(data={"type": "volume", "volume": "vw", "path": "/var/lib/docker/volumes/vw/_data"})),
                     {"vaultwarden_data_dir": "/var/lib/docker/volumes/vw/_data"}),
    "no limits": (info(modern()), {"vaultwarden_log_max_size": None, "vaultwarden_log_max_files": None,
                                   "vaultwarden_memory_limit": None, "vaultwarden_pids_limit": None}),
    "limits": (info(modern(limits=limits(log_max_size="20M", log_max_files="5", memory=2**30 + 1, pids=200))),
               {"vaultwarden_log_max_size": "20m", "vaultwarden_log_max_files": 5,
                "vaultwarden_memory_limit": "1025m", "vaultwarden_pids_limit": 200}),
    "size in other words": (info(modern(limits=limits(log_max_size="50mb"))), {"vaultwarden_log_max_size": "50m"}),
    "limits that the role refuses": (
        info(modern(limits=limits(log_max_size="1.5g", log_max_files="1", memory=100 * 2**20, pids=10))),
        {"vaultwarden_log_max_size": None, "vaultwarden_log_max_files": None, "vaultwarden_memory_limit": None,
         "vaultwarden_pids_limit": None}),
    "size that another driver has": (
        info(modern(limits=limits(log_driver="fluentd", log_max_size="1m"))), {"vaultwarden_log_max_size": None}),
    "current layout": (info(modern()), {"vaultwarden_websocket_port": None, "vaultwarden_layout": None}),
    "both layouts possible, second port used": (
        info(vault(version="1.30.5", image="vaultwarden/server:1.30.5", era="bridge")),
        {"vaultwarden_layout": "legacy", "vaultwarden_websocket_port": 3012}),
    "both layouts possible, one port used": (
        info(vault(version="1.30.5", era="bridge", layout="single_port")),
        {"vaultwarden_layout": None, "vaultwarden_websocket_port": None}),
    "moved ports": (info(vault(published_ports=[port(8081, 80), port(3013, 3012)])),
                    {"vaultwarden_http_port": 8081, "vaultwarden_websocket_port": 3013}),
    "one private address": (info(modern(published_ports=[port(8081, 80, "192.0.2.10")])),
                            {"vaultwarden_bind_address": "192.0.2.10", "vaultwarden_http_port": 8081}),
    "published twice": (info(modern(published_ports=[port(9000, 80, "0.0.0.0"), port(9001, 80)])),
                        {"vaultwarden_bind_address": "127.0.0.1", "vaultwarden_http_port": 9001}),
    "not published, default taken": (
        info(modern(published_ports=[]), listeners=[{"address": "0.0.0.0", "port": 8080, "process": "java"}]),
        {"vaultwarden_bind_address": "127.0.0.1", "vaultwarden_http_port": 8081}),
    "port of the proxy": (info(modern(published_ports=[port(443, 80, "0.0.0.0")])), {"vaultwarden_http_port": 8080}),
    "high port inside": (info(modern(http_port=8888, published_ports=[port(8080, 8888)])),
                         {"vaultwarden_container_port": 8888, "vaultwarden_http_port": 8080}),
    "own user": (info(modern(user="1000:1001")), {"vaultwarden_uid": 1000, "vaultwarden_gid": 1001}),
    "own user in root's group": (info(modern(user="1000")), {"vaultwarden_uid": 1000, "vaultwarden_gid": 1000}),
    "user by name": (info(modern(user="vault")), {"vaultwarden_uid": None}),
    "sign-ups not mentioned": (info(modern(environment=environment())), {"vaultwarden_signups_allowed": True}),
    "sign-ups no": (info(modern(environment=environment(SIGNUPS_ALLOWED="No"))),
                    {"vaultwarden_signups_allowed": False}),
    "slash at the end": (info(modern(environment={"DOMAIN": "https://vault.example.com/"})),
                         {"vaultwarden_domain": "https://vault.example.com"}),
    "address of config.json": (info(modern(config_json={"values": {"DOMAIN": "https://a.example.com"}})),
                               {"vaultwarden_domain": "https://a.example.com"}),
    "address of the site": (info(modern(environment={}), sites=[site(listen=[{"port": 8443, "tls": True}])]),
                            {"vaultwarden_domain": "https://vault.example.com:8443"}),
    "no address at all": (info(modern(environment={}), sites=[]), {"vaultwarden_domain": None}),
    "address in plain http": (info(modern(environment={"DOMAIN": "http://vault"}), sites=[]),
                              {"vaultwarden_domain": None}),
    "further variables": (
        info(modern(environment=environment(SMTP_HOST="mail.example.com", WEBSOCKET_ENABLED="true", ROCKET_PORT="80",
                                            SMTP_PORT="587", PATH="/bin", ROCKET_TLS="{certs=1}"))),
        {"vaultwarden_environment": {"SMTP_HOST": "mail.example.com", "SMTP_PORT": "587"}}),
    "settings of the role": (
        info(modern(environment=environment(LOG_LEVEL="Warn", IP_HEADER="CF-Connecting-IP",
                                            IP_HEADER_TRUSTED_PROXIES="192.0.2.1, local,all"))),
        {"vaultwarden_log_level": "warn", "vaultwarden_ip_header": "CF-Connecting-IP",
         "vaultwarden_trusted_proxies": ["192.0.2.1", "local"], "vaultwarden_environment": None}),
    "secrets": (
        info(modern(secret_names=["ADMIN_TOKEN", "SMTP_PASSWORD"], secret_files={"PUSH_INSTALLATION_KEY": "/run/key"},
                    environment=environment(PUSH_INSTALLATION_KEY_FILE="/run/key"))),
        {"vaultwarden_admin_token": "{{ vault_vaultwarden_admin_token }}", "vaultwarden_environment": None,
         "vaultwarden_secrets": {"PUSH_INSTALLATION_KEY": "{{ vault_vaultwarden_push_installation_key }}",
                                 "SMTP_PASSWORD": "{{ vault_vaultwarden_smtp_password }}"}}),
    "database elsewhere": (info(modern(database="mysql", secret_names=["DATABASE_URL"])),
                           {"vaultwarden_secrets": {"DATABASE_URL": "{{ vault_vaultwarden_database_url }}"}}),
    "site among others": (info(modern(), sites=[site(shared=True)]),
                          {"reverse_proxy_provider": "nginx", "reverse_proxy_replaces": None}),
    "caddy by itself": (info(modern(), sites=[site(provider="caddy", tls_certificate="", tls_key="")]),
                        {"reverse_proxy_provider": "caddy", "reverse_proxy_tls_certificate": None}),
    "no proxy": (info(modern(), sites=[]), {"reverse_proxy_provider": None, "reverse_proxy_tls_certificate": None}),
    "redirect port taken": (info(modern(), listeners=[{"address": "::", "port": 80, "process": "apache2"}]),
                            {"reverse_proxy_http_port": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_deployment_becomes_variables(name: str) -> None:
    """None stands for a variable that must not be there."""
    given, expected = CASES[name]
    adoption = _adopt.adopt(given)
    assert adoption.problems == []
    assert {key: adoption.variables.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (info(), "nothing to take over"),
        (info(vault(), vault(name="second")), "adopt_container"),
        (info(vault(version="", image="vaultwarden/server:latest")), "cannot be told"),
        (info(vault(version="1.19.0")), "older than what is supported"),
        (info(vault(data={"path": ""})), "docker cp"),
        (info(vault(data={"type": "volume", "volume": VOLUME})), "volume without a name"),
        (info(vault(data={"nested": ["/data/attachments"]})), "/data/attachments"),
    ],
)
def test_what_would_lose_something_is_a_problem(given: dict[str, Any], words: str) -> None:
    """Then nothing is written."""
    assert words in " ".join(_adopt.adopt(given).problems)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (info(vault(image="bitwardenrs/server:1.28.1")), "todo", "docker.io/vaultwarden/server"),
        (info(vault(published_ports=[port(80, 80, "0.0.0.0")])), "changes", "Port 80 is open to the network"),
        (info(vault(published_ports=[port(80, 80, "0.0.0.0")])), "changes", "moves to 8080"),
        (info(vault(data={"network_share": True, "file_system": "nfs4"})), "todo", "network share (nfs4)"),
        (info(vault(custom_command=True)), "left_behind", "command of its own"),
        (info(vault(other_options=["--group-add 33"])), "left_behind", "The container's option --group-add 33."),
        (info(vault(other_labels=["com.centurylinklabs.watchtower.enable"])), "left_behind",
         "The labels com.centurylinklabs.watchtower.enable"),
        (info(vault(limits=limits(log_driver="none")), engine={"log_driver": "journald"}), "left_behind",
         "--log-driver none: the log goes where the engine sends it by default (journald)"),
        (info(vault(limits=limits(other_log_options=["splunk-token"]))), "left_behind", "--log-opt splunk-token"),
        (info(vault()), "changes", "vaultwarden_log_max_size, vaultwarden_memory_limit, vaultwarden_pids_limit"),
        (info(vault(limits=limits(memory=100 * 2**20))), "changes", "at least 256m"),
        (info(vault(compose={"project": "p", "service": "s", "folder": "/opt/p"})), "todo", "docker compose up"),
        (info(vault(database="mysql", secret_names=["DATABASE_URL"])), "todo", "database is mysql"),
        (info(vault(config_json={"broken": True})), "todo", "config.json is broken"),
        (info(vault(config_json={"overrides": ["DOMAIN"]})), "todo", "config.json beats"),
        (info(vault(mounts=[{"type": "bind", "source": "/w", "destination": "/web-vault"}])), "left_behind",
         "The mount of /w at /web-vault"),
        (info(vault(networks=["stack_default"])), "left_behind", "stack_default"),
        (info(vault(label_router=True), sites=[]), "left_behind", "Traefik"),
        (info(vault(live=False)), "changes", "switched off"),
        (info(vault(), sites=[], unreadable=["The configuration of nginx has x."]), "todo", "has x."),
        (info(modern(leftovers=[{"kind": "variable", "name": "W", "text": "Release 1.37.2 ignores W."}])), "changes",
         "ignores W. It goes."),
        (info(vault(user="vault")), "todo", "vaultwarden_uid"),
        (info(vault(environment=environment(http_proxy="x"))), "left_behind", "http_proxy"),
    ],
)  # fmt: skip
def test_what_is_not_carried_over_is_said(given: dict[str, Any], kind: str, words: str) -> None:
    """Under the heading that tells what it means."""
    notes = [note["text"] for note in _adopt.adopt(given).notes if note["kind"] == kind]
    assert any(words in note for note in notes), notes


def test_the_driver_of_the_engine_is_no_option_of_the_container() -> None:
    """No false alarm where the log goes where it will go."""
    given = info(vault(limits=limits(log_driver="journald")), engine={"log_driver": "journald"})
    assert not [note for note in _adopt.adopt(given).notes if note["kind"] == "left_behind"]


def test_one_of_several_can_be_chosen() -> None:
    """By name; and a stopped one is no choice while another runs."""
    both = info(vault(status="exited"), vault(name="second"))
    assert _adopt.adopt(both).container == "second"
    assert _adopt.adopt(both, "vaultwarden").container == "vaultwarden"
    assert "second" in _adopt.adopt(both, "third").problems[0]


class _Loader(yaml.SafeLoader):
    """YAML with the mark for texts that are no templates."""


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("!unsafe", _text)


def test_files_say_what_was_found_and_secrets_stand_in_one_only() -> None:
    """Byte for byte, whatever the secret holds."""
    adoption = _adopt.adopt(info(modern(secret_names=["ADMIN_TOKEN"], environment=environment(ICON="{{ x }}"))))
    main, secrets = _adopt.main_file(adoption), _adopt.vault_file(adoption, {"ADMIN_TOKEN": SECRET})
    assert yaml.load(secrets, Loader=_Loader) == {"vault_vaultwarden_admin_token": SECRET}
    assert yaml.load(main, Loader=_Loader) == adoption.variables
    assert "Nl9xQ" not in main
    assert 'ICON: !unsafe "{{ x }}"' in main
    assert _adopt.vault_file(adoption, {}) == ""


def test_a_secret_that_would_not_arrive_is_said_without_its_value() -> None:
    """Missing, or with a line break."""
    adoption = _adopt.adopt(info(modern(secret_names=["ADMIN_TOKEN", "SMTP_PASSWORD"])))
    notes = _adopt.secret_problems(adoption, {"ADMIN_TOKEN": "Nl9xQ\n"})
    assert [note["text"].split()[2] for note in notes] == ["ADMIN_TOKEN", "SMTP_PASSWORD"]
    assert "Nl9xQ" not in str(notes)


def test_files_of_the_host_are_not_silenced(tmp_path: Path) -> None:
    """A folder would make Ansible skip the file of that name."""
    (tmp_path / "vault-1.yml").write_text("---\n", encoding="utf-8")
    with pytest.raises(adopt_host_vars.Refused, match=r"connection\.yml"):
        adopt_host_vars.refuse_shadowed(str(tmp_path / "vault-1"))
    adopt_host_vars.refuse_shadowed(str(tmp_path / "vault-2"))
    (tmp_path / "vault-3").write_text("---\n", encoding="utf-8")
    with pytest.raises(adopt_host_vars.Refused, match=r"vault-3 is there"):
        adopt_host_vars.refuse_shadowed(str(tmp_path / "vault-3"))


def test_a_file_that_says_the_same_stays(tmp_path: Path) -> None:
    """Comments do not count; anything else is not overwritten."""
    path = tmp_path / "main.yml"
    assert adopt_host_vars.same_variables(str(path), "---\na: 1\n") is False
    path.write_text("---\n# mine\na: 1\n", encoding="utf-8")
    assert adopt_host_vars.same_variables(str(path), "---\n# other\na: 1\n") is True
    with pytest.raises(adopt_host_vars.Refused, match="not overwritten"):
        adopt_host_vars.same_variables(str(path), "---\na: 2\n")
