# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding every vault of a host: whatever its name, made by whom, and never with the value of a secret."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from fake_module import run_module, within_limit

from ansible_collections.vaultwire.stack.plugins.module_utils import _host, _host_findings, _vaults
from ansible_collections.vaultwire.stack.plugins.modules import deployment_info, host_secrets

SECRET = "Nl9xQ"
PLUGINS = Path(__file__).resolve().parent.parent.parent / "plugins"
IMAGE_ENVIRONMENT = ["PATH=/usr/bin", "ROCKET_PROFILE=release", "ROCKET_ADDRESS=0.0.0.0", "ROCKET_PORT=80"]
NGINX = """
http {
  server { listen 443 ssl; server_name vault.example.com; ssl_certificate /c.pem; ssl_certificate_key /k.pem;
    location / { proxy_pass http://127.0.0.1:8080; }
    location /notifications/hub { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade"; proxy_pass http://localhost:3012; } }
  server { server_name other.example.com; location / { proxy_pass http://127.0.0.1:9000; } }
}
"""


def container(folder: Path, name: str = "vault", **changes: Any) -> dict[str, Any]:
    """What the engine says of a container made by hand; env, labels, ports, status and image may change."""
    environment = {"DOMAIN": "https://vault.example.com", "ADMIN_TOKEN": SECRET, **changes.get("env", {})}
    ports = changes.get("ports", {"80/tcp": "8080", "3012/tcp": "3012"})
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "Image": "sha256:image",
        "Config": {
            "Image": changes.get("image", "vaultwarden/server:1.28.1"),
            "Labels": changes.get("labels", {}),
            "Env": [*(f"{key}={value}" for key, value in environment.items()), *IMAGE_ENVIRONMENT],
            "ExposedPorts": {"80/tcp": {}, "3012/tcp": {}},
            "Cmd": ["/start.sh"],
            "User": "",
        },
        "State": {"Status": changes.get("status", "exited")},
        "HostConfig": {
            "PortBindings": {key: [{"HostIp": "", "HostPort": value}] for key, value in ports.items()},
            "RestartPolicy": {"Name": "always"},
            "NetworkMode": "default",
            "CapAdd": ["NET_ADMIN"],
        },
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        "Mounts": [{"Type": "bind", "Source": f"{folder}/", "Destination": "/data"}],
    }


#: What proxies_info says of a host with Debian 12's nginx.
NGINX_122 = {"nginx": {"version": "1.22.1", "running": True}}


class Engine:
    """A run function that answers as the engine would, for containers of one image."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        self.containers = containers
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        """Only what changes nothing is known here."""
        self.calls.append(command[1:3])
        image = {"Id": "sha256:image", "Config": {"Env": IMAGE_ENVIRONMENT, "Cmd": ["/start.sh"], "Labels": None}}
        answers: dict[tuple[str, ...], str] = {
            ("container", "ls"): "\n".join(entry["Id"] for entry in self.containers),
            ("container", "inspect"): json.dumps(self.containers),
            ("image", "inspect"): json.dumps([image]),
        }
        return 0, answers[tuple(command[1:3])], ""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that stands for the root of a host, with a site of nginx."""
    (tmp_path / "etc/nginx").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text(NGINX, encoding="utf-8")
    return tmp_path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder."""
    folder = tmp_path / "vw-data"
    folder.mkdir()
    (folder / "db.sqlite3").write_bytes(b"x" * 100)
    (folder / "db.sqlite3-wal").write_bytes(b"x" * 10)
    return folder


def inspected(**config: Any) -> dict[str, Any]:
    """A container with options, as the engine tells them."""
    return {"Id": "0123456789abcdef", "Config": {"Hostname": config.pop("Hostname", "0123456789ab")},
            "HostConfig": config}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"ShmSize": 64 * 2**20, "CapAdd": None, "Sysctls": {}, "NanoCpus": 0, "Privileged": False}, []),
        ({"GroupAdd": ["33", "44"]}, ["--group-add 33, 44"]),
        ({"ShmSize": 128 * 2**20}, ["--shm-size 134217728"]),
        ({"Sysctls": {"net.core.somaxconn": "1024"}}, ["--sysctl net.core.somaxconn=1024"]),
        ({"Hostname": "vault"}, ["--hostname vault"]),
        ({"NanoCpus": 1_500_000_000}, ["--cpus 1.5"]),
        ({"Privileged": True}, ["--privileged"]),
        ({"Devices": [{"PathOnHost": "/dev/ttyS0", "PathInContainer": "/dev/x"}]}, ["--device /dev/ttyS0"]),
    ],
)
def test_options_are_shown_as_they_were_written(config: dict[str, Any], expected: list[str]) -> None:
    """Those that the engine sets by itself are none."""
    assert _vaults.other_options(inspected(**config)) == expected


def test_labels_that_others_go_by() -> None:
    """By name; not those of the image, of compose, of Traefik (which has a note of its own) and of this collection."""
    image = {"Config": {"Labels": {"maintainer": "x"}}}
    names = ("com.centurylinklabs.watchtower.enable", "maintainer", "com.docker.compose.project", "traefik.enable",
             "org.vaultwire.layout", "org.opencontainers.image.version")  # fmt: skip
    data = {"Config": {"Labels": dict.fromkeys(names, "x")}}
    assert _vaults.other_labels(data, image) == ["com.centurylinklabs.watchtower.enable"]


def test_limits_of_a_container_without_values_that_may_be_secret(data: Path, site: Path) -> None:
    """The options that bound the log have their values, all others only their names."""
    made = container(data)
    made["HostConfig"].update(
        LogConfig={"Type": "splunk", "Config": {"max-size": "1m", "max-file": "2", "splunk-token": SECRET}},
        Memory=2**30,
        PidsLimit=-1,
    )
    found = _vaults.gather(Engine(made), NGINX_122, str(site))
    assert found["vaults"][0]["limits"] == {
        "log_driver": "splunk", "log_max_size": "1m", "log_max_files": "2", "other_log_options": ["splunk-token"],
        "memory": 2**30, "pids": 0,
    }  # fmt: skip
    assert SECRET not in str(found)


def test_a_container_made_by_hand_is_described_in_full(data: Path, site: Path) -> None:
    """In three calls of the engine, and no secret is part of it."""
    (data / "config.json").write_text('{"domain": "https://b.example.com", "admin_token": "Nl9xQ"}', encoding="utf-8")
    engine = Engine(container(data, env={"WEBSOCKET_ENABLED": "true", "SMTP_PASSWORD": SECRET, "ROCKET_PORT": "80"}))
    found = _vaults.gather(engine, NGINX_122, str(site))
    assert len(engine.calls) == 3
    assert SECRET not in str(found)
    vault = found["vaults"][0]
    assert (vault["name"], vault["version"], vault["version_from"]) == ("vault", "1.28.1", "tag")
    assert (vault["era"], vault["layout"], vault["live"]) == ("legacy", "legacy", True)
    assert vault["environment_names"] == ["ADMIN_TOKEN", "DOMAIN", "SMTP_PASSWORD", "WEBSOCKET_ENABLED"]
    assert vault["environment"] == {"DOMAIN": "https://vault.example.com", "WEBSOCKET_ENABLED": "true"}
    assert vault["secret_names"] == ["ADMIN_TOKEN", "SMTP_PASSWORD"]
    assert vault["other_options"] == ["--cap-add NET_ADMIN"]
    assert vault["custom_command"] is False
    assert vault["config_json"]["overrides"] == ["ADMIN_TOKEN", "DOMAIN"]
    assert vault["config_json"]["values"] == {"DOMAIN": "https://b.example.com"}
    assert vault["data"]["path"] == str(data)
    assert vault["data"]["database_bytes"] == 110
    assert vault["data"]["uid"] == data.stat().st_uid
    assert vault["data"]["free_bytes"] > 0
    assert vault["data"]["file_system"]


def test_sites_that_send_to_the_vault_are_found(data: Path, site: Path) -> None:
    """By where they send, and by the name; other sites are left out."""
    found = _vaults.gather(Engine(container(data)), NGINX_122, str(site))["sites"]
    assert [(entry["names"], entry["vault"]) for entry in found] == [(["vault.example.com"], "vault")]
    routes = found[0]["routes"]
    assert routes["hub"] == {"path": "/notifications/hub", "upstream": "localhost:3012", "upgrade": True,
                             "port": "websocket"}  # fmt: skip
    assert routes["root"] == routes["anonymous_hub"] | {"path": "/"}
    assert (routes["root"]["upgrade"], routes["root"]["port"]) == (False, "http")
    assert found[0]["shared"] is True


@pytest.mark.parametrize(("version", "upgrade", "codes"), [("1.22.1", False, ["VW-B01"]), ("1.30.6", True, [])])
def test_a_site_is_judged_by_the_release_of_its_nginx(
    data: Path, site: Path, version: str, upgrade: bool, codes: list[str]
) -> None:
    """The same file, which leaves the version of HTTP to nginx, is a fault on one host and none on another."""
    headers = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    server = f"server {{ server_name vault.example.com; location / {{ {headers} proxy_pass http://127.0.0.1:8080; }} }}"
    (site / "etc/nginx/nginx.conf").write_text(f"http {{ {server} }}", encoding="utf-8")
    made = container(data, ports={"80/tcp": "8080"}, image="vaultwarden/server:1.37.2", status="running")
    found = _vaults.gather(Engine(made), {"nginx": {"version": version}}, str(site))
    assert found["sites"][0]["routes"]["hub"]["upgrade"] is upgrade
    assert [finding.code for finding in _host_findings.host_findings(found) if finding.code[3] == "B"] == codes


def test_a_broken_configuration_is_reported(data: Path, site: Path) -> None:
    """And the vaults are described all the same."""
    (site / "etc/nginx/nginx.conf").write_text("http {", encoding="utf-8")
    found = _vaults.gather(Engine(container(data)), NGINX_122, str(site))
    assert found["unreadable"] == ["The configuration of nginx has a brace that is not closed."]
    assert len(found["vaults"]) == 1


def _too_large(path: Path) -> None:
    path.write_text("#" * (1024 * 1024 + 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (os.mkfifo, "no regular file"),
        (_too_large, "File too large"),
    ],
    ids=["dangling link", "named pipe", "too large"],
)
def test_a_file_that_cannot_be_read_is_reported(
    make: Callable[[Path], None], reason: str, data: Path, site: Path
) -> None:
    """It could hold the very site that matters, and a report without it would look complete."""
    (site / "etc/nginx/nginx.conf").write_text("http { include /etc/nginx/more/*.conf; }", encoding="utf-8")
    (site / "etc/nginx/more").mkdir()
    path = site / "etc/nginx/more/site.conf"
    make(path)
    found = _vaults.gather(Engine(container(data)), NGINX_122, str(site))
    assert found["unreadable"] == [f"The configuration of nginx has a file that cannot be read: {path} ({reason})."]
    assert len(found["vaults"]) == 1


@pytest.mark.parametrize(
    ("image", "labels", "is_one"),
    [
        ("vaultwarden/server:1.28.1", {}, True),
        ("vaultwarden/server", {}, True),
        ("docker.io/bitwardenrs/server:1.21.0", {}, True),
        ("ghcr.io/dani-garcia/vaultwarden:latest-alpine", {}, True),
        ("registry.example.com:5000/mirror/vaultwarden/server@sha256:0", {}, True),
        ("my-vault:3", {"org.opencontainers.image.source": "https://github.com/dani-garcia/vaultwarden"}, True),
        ("my-vault:3", {"org.vaultwire.layout": "legacy"}, True),
        ("ttionya/vaultwarden-backup:1", {}, False),
        ("nginx:1.25", {"org.opencontainers.image.source": "https://github.com/nginx/nginx"}, False),
    ],
)
def test_what_counts_as_a_vault(tmp_path: Path, image: str, labels: dict[str, str], is_one: bool) -> None:
    """The image's name or its labels."""
    assert _vaults.is_vault(container(tmp_path, image=image, labels=labels), {}) is is_one


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ADMIN_TOKEN", "", True),
        ("SMTP_PASSWORD", "x", True),
        ("SOME_PASS", "x", True),
        ("HTTP_PROXY", "http://user:word@192.0.2.1", True),
        ("WHATEVER", "$argon2id$v=19$", True),
        ("DOMAIN", "https://vault.example.com:8443/x", False),
        ("PASSWORD_ITERATIONS", "600000", False),
        ("SMTP_AUTH_MECHANISM", "Login", False),
    ],
)
def test_what_counts_as_a_secret(name: str, value: str, secret: bool) -> None:
    """By name, or by what the value looks like."""
    assert _vaults.is_secret(name, value) is secret


def test_an_image_that_is_known_by_its_number_only(tmp_path: Path) -> None:
    """Its names tell what it is."""
    made = container(tmp_path, image="0123456789ab")
    assert _vaults.is_vault(made, {"RepoTags": ["vaultwarden/server:1.28.1"]})
    assert not _vaults.is_vault(made, {"RepoTags": []})


def test_compose_and_several_vaults(tmp_path: Path) -> None:
    """Sorted by name; the labels tell who made it."""
    labels = {"com.docker.compose.project": "p", "com.docker.compose.service": "s",
              "com.docker.compose.project.working_dir": "/opt/p"}  # fmt: skip
    found = _vaults.gather(Engine(container(tmp_path, "b", labels=labels), container(tmp_path, "a")), {})["vaults"]
    assert [entry["name"] for entry in found] == ["a", "b"]
    assert [entry["compose"] for entry in found] == [{}, {"project": "p", "service": "s", "folder": "/opt/p"}]


@pytest.mark.parametrize(
    ("version", "env", "ports", "kinds"),
    [
        ("1.28.1", {"WEBSOCKET_ENABLED": "true"}, {"80/tcp": "80", "3012/tcp": "3012"}, []),
        ("1.28.1", {}, {"80/tcp": "80", "3012/tcp": "3012"}, ["port"]),
        ("1.28.1", {"ENABLE_WEBSOCKET": "true"}, {}, ["variable"]),
        ("1.31.0", {"WEBSOCKET_ENABLED": "true"}, {"80/tcp": "80", "3012/tcp": "3012"}, ["variable", "port"]),
        ("1.31.0", {}, {"80/tcp": "80"}, ["exposed"]),
        ("1.30.5", {}, {"80/tcp": "80"}, []),
    ],
)
def test_leftovers(tmp_path: Path, version: str, env: dict[str, str], ports: dict[str, str], kinds: list[str]) -> None:
    """What the release ignores, or nobody uses."""
    made = container(tmp_path, env=env, ports=ports, image=f"vaultwarden/server:{version}")
    found = _vaults.gather(Engine(made), {})["vaults"][0]
    assert [entry["kind"] for entry in found["leftovers"]] == kinds


def test_a_route_to_a_port_that_is_gone_is_a_leftover(data: Path, site: Path) -> None:
    """Although the container does not publish it any more."""
    conf = site / "etc/nginx/nginx.conf"
    conf.write_text(NGINX.replace("localhost:3012", "127.0.0.1:3012"), encoding="utf-8")
    made = container(data, ports={"80/tcp": "8080"}, image="vaultwarden/server:1.37.2")
    found = _vaults.gather(Engine(made), NGINX_122, str(site))["vaults"][0]
    assert [entry["kind"] for entry in found["leftovers"]] == ["exposed", "route"]


@pytest.mark.parametrize(
    ("enabled", "hub", "layout"),
    [(True, "websocket", "legacy"), (True, "http", "single_port"), (True, "", "legacy"), (False, "", "single_port")],
)
def test_the_layout_of_a_release_that_knows_both(enabled: bool, hub: str, layout: str) -> None:
    """What the proxy does decides; without one, what is published."""
    vault = {"era": "bridge", "websocket_enabled": enabled, "websocket_port": 3012,
             "published_ports": [{"address": "0.0.0.0", "host": 3012, "container": 3012}]}  # fmt: skip
    assert _vaults.layout_in_use(vault, [{"routes": {"hub": {"port": hub}}}]) == layout


def test_a_broken_config_json_is_reported(data: Path) -> None:
    """The server ignores it as a whole."""
    (data / "config.json").write_text("{", encoding="utf-8")
    assert _vaults.gather(Engine(container(data)), {})["vaults"][0]["config_json"]["broken"] is True


def test_secrets_come_from_variables_and_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that hands them to the action; an empty one is none."""
    (data / "key").write_text(f"{SECRET}-file\n", encoding="utf-8")
    env = {"PUSH_INSTALLATION_KEY_FILE": "/data/key", "LOG_FILE": "/data/log", "SMTP_PASSWORD": ""}
    engine = Engine(container(data, env=env))
    monkeypatch.setattr(AnsibleModule, "run_command", lambda _self, command: engine(within_limit(command)))
    answer = run_module(host_secrets.main, container="vault", key="once")
    assert SECRET not in answer["printed"]
    assert _vaults.unseal(answer["sealed"], "once") == {
        "ADMIN_TOKEN": SECRET,
        "PUSH_INSTALLATION_KEY": f"{SECRET}-file",
    }
    with pytest.raises(ValueError):
        _vaults.unseal(answer["sealed"], "twice")
    other = run_module(host_secrets.main, container="other", key="again")
    assert _vaults.unseal(other["sealed"], "again") == {}


@pytest.mark.parametrize("details", [True, False])
def test_the_module_tells_details_only_when_asked(data: Path, monkeypatch: pytest.MonkeyPatch, details: bool) -> None:
    """And never a secret."""
    engine = Engine(container(data))
    monkeypatch.setattr(AnsibleModule, "run_command", lambda _self, command: engine(within_limit(command)))
    monkeypatch.setattr(_host, "engine_info", lambda _run: {"installed": True, "running": True, "version": "20"})
    monkeypatch.setattr(_host, "proxies_info", lambda _run, _sockets: {})
    result = run_module(deployment_info.main, container="vault", details=details)
    assert result["container"]["exists"] is True
    assert ("vaults" in result) is ("listeners" in result) is details
    assert not re.search(SECRET, result["printed"])


@pytest.mark.parametrize("text", ['{"step": ', "[]", '{"step": "begin"}', "\x00\x00"])
def test_a_damaged_journal_of_swaps_is_named(tmp_path: Path, text: str) -> None:
    """Whether an upgrade was cut off cannot be told, and every playbook asks for it."""
    (tmp_path / "journal.json").write_text(text)
    result = run_module(deployment_info.main, container="vault", swap_directory=str(tmp_path))
    assert result["failed"] is True
    assert f"{tmp_path}/journal.json is damaged" in result["msg"]


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("module*/*.py")), ids=lambda path: path.name)
def test_what_runs_on_hosts_is_python_3_8(path: Path) -> None:
    """Its grammar at least; formatters like to use a newer one."""
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
