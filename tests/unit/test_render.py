# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for proxies that others run: their grammar, their routes, what they refuse, and nginx on the wire."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml
from fake_module import run_module
from fake_server import StandIn, free_port
from fake_vault import FakeVault, reply
from rendered import HUB, ROOT, SERVER, running, settings, text

from ansible_collections.vaultwire.stack.plugins.module_utils import _render
from ansible_collections.vaultwire.stack.plugins.modules import hub_probe

NGINX = "/usr/sbin/nginx"
every = pytest.mark.parametrize("base", ["", "/vault"])
layouts = pytest.mark.parametrize("layout", ["legacy", "single_port"])
# Installing it would start it, on a port of whoever runs these tests.
with_nginx = pytest.mark.skipif(not Path(NGINX).exists(), reason="there is no nginx on this machine to ask")


def nginx_config(product: str, folder: Path, rendered: str, port: int) -> Path:
    """The text in a whole configuration, as the product itself would include it."""
    if product == "npm":
        rendered = f"server {{\nlisten 127.0.0.1:{port};\n{rendered}\n}}"
    rendered = re.sub(r"listen 443 ssl;\s+listen \[::\]:443 ssl;", f"listen 127.0.0.1:{port};", rendered)
    rendered = rendered.replace("include /config/nginx/ssl.conf;", "").replace("127.0.0.1:18443", f"127.0.0.1:{port}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{temporary}{rendered}\n}}\n"
    )
    return path


@every
@layouts
@pytest.mark.parametrize("product", sorted(_render.PRODUCTS))
def test_each_file_says_what_it_is(product: str, layout: str, base: str) -> None:
    rendered = text(product, layout=layout, base=base)
    assert f"playbooks/verify.yml -e notifications_check_url=https://vault.example.com{base}\n" in rendered
    assert (HUB.rpartition(":")[2] in rendered) == (layout == "legacy")


@every
@layouts
def test_the_tunnel_sends_each_path_where_it_belongs(layout: str, base: str) -> None:
    rules = yaml.safe_load(text("cloudflared", layout=layout, base=base))["ingress"]

    def service(path: str) -> str:
        return next(rule["service"] for rule in rules if re.search(rule.get("path", ""), path))

    assert service(f"{base}/notifications/hub") == f"http://{HUB if layout == 'legacy' else SERVER}"
    for path in ("/notifications/hub/negotiate", "/notifications/anonymous-hub", "/api/sync", "/"):
        assert service(base + path) == f"http://{SERVER}"
    assert "path" not in rules[-1]
    assert rules[-1]["service"] == "http_status:404"
    assert service("/elsewhere") == ("http_status:404" if base else f"http://{SERVER}")


@every
def test_nginx_proxy_manager_leaves_its_own_location_out(base: str) -> None:
    """It does where its text has one for everything, which it finds by this pattern."""
    assert re.search(r"^(?:.*;)?\s*?location\s*?/\s*?{", text("npm", base=base), re.MULTILINE | re.IGNORECASE)


@with_nginx
@every
@layouts
@pytest.mark.parametrize("product", ["npm", "swag", "synology"])
def test_nginx_takes_the_file(product: str, layout: str, base: str, tmp_path: Path) -> None:
    rendered = text(product, layout=layout, base=base, admin_networks=["192.0.2.0/24"])
    config = nginx_config(product, tmp_path, rendered, free_port())
    done = subprocess.run([NGINX, "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rendered.count("proxy_set_header Upgrade $http_upgrade;") == rendered.count("proxy_pass ")


def findings(product: str, layout: str, folder: Path, broken: bool) -> list[str]:
    version = "1.28.1" if layout == "legacy" else "1.30.5"
    (folder / "data").mkdir()
    port = free_port()
    with StandIn(folder / "data", version) as server:
        rendered = text(product, layout=layout).replace(HUB, f"127.0.0.1:{server.hub_port}")
        rendered = rendered.replace(SERVER, f"127.0.0.1:{server.port}")
        if broken:
            rendered = re.sub(r".*proxy_set_header (Upgrade|Connection) .*\n", "", rendered)
        config = nginx_config(product, folder, rendered, port)
        with running([NGINX, "-c", config], port, folder / "output"):
            result = run_module(hub_probe.main, url=f"http://127.0.0.1:{port}", timeout=5, version=version)
    log = (folder / "access.log").read_text()
    assert "/alive" in log
    assert "/notifications/" not in log, "its query holds the token"
    return [finding["code"] for finding in result["diagnosis"]]


@with_nginx
@layouts
@pytest.mark.parametrize("product", ["npm", "swag", "synology"])
def test_the_live_channel_goes_through_and_a_broken_twin_is_found(product: str, layout: str, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "twin").mkdir()
    ours = findings(product, layout, tmp_path / "ours", broken=False)
    twin = findings(product, layout, tmp_path / "twin", broken=True)
    assert ours == []
    assert twin != []


@every
@layouts
def test_relayd_takes_the_last_rule_that_fits(layout: str, base: str) -> None:
    """fnmatch is what relayd compares with."""
    rendered = text("relayd", layout=layout, base=base)
    rules = re.findall(r'^    (?:block|pass) request path "([^"]+)"(?: forward to <(\w+)>)?$', rendered, re.MULTILINE)
    tables = dict(re.findall(r"forward to <(\w+)> port (\d+) check tcp", rendered))

    def port(path: str) -> str:
        return [tables.get(table, "blocked") for pattern, table in rules if fnmatch.fnmatchcase(path, pattern)][-1]

    assert port(f"{base}/notifications/hub") == ("8081" if layout == "legacy" else "8080")
    for path in ("/notifications/hub/negotiate", "/notifications/anonymous-hub", "/api/sync", "/"):
        assert port(base + path) == "8080"
    assert port("/elsewhere") == ("blocked" if base else "8080")
    assert "http { websockets," in rendered
    assert "\n    match request url log" not in rendered


def seen(product: str, folder: Path, around: str = "", **chosen: object) -> list[str]:
    """What the server is told of a client that claims a chain of addresses: address, chain, scheme."""
    port = free_port()
    claims = {"X-Real-IP": "203.0.113.9", "X-Forwarded-For": "203.0.113.9, 198.51.100.7, 192.0.2.5"}
    with FakeVault({"/alive": reply(200)}) as vault:
        rendered = text(product, server=f"127.0.0.1:{vault.port}", **chosen)
        config = nginx_config(product, folder, rendered, port)
        config.write_text(config.read_text().replace("http {", f"http {{\n{around}", 1))
        with running([NGINX, "-c", config], port, folder / "output"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/alive", headers=claims)
            assert urllib.request.urlopen(request, timeout=10).status == 200
    headers = vault.requests[0].headers
    return [headers[name] for name in ("x-real-ip", "x-forwarded-for", "x-forwarded-proto")]


@with_nginx
def test_dsm_tells_the_address_of_its_peer(tmp_path: Path) -> None:
    assert seen("synology", tmp_path) == ["203.0.113.9", "203.0.113.9", "https"]


@with_nginx
@pytest.mark.parametrize("product", ["npm", "swag"])
@pytest.mark.parametrize(
    ("hops", "expected"),
    [(["127.0.0.1", "192.0.2.5"], "198.51.100.7"), (["192.0.2.1"], "127.0.0.1"), ([], "127.0.0.1")],
)
def test_only_a_trusted_hop_tells_the_address(product: str, hops: list[str], expected: str, tmp_path: Path) -> None:
    """Nginx Proxy Manager believes others by itself, as here."""
    its_own = "set_real_ip_from 127.0.0.0/8;\nreal_ip_header X-Real-IP;\n" if product == "npm" else ""
    assert seen(product, tmp_path, its_own, trusted_hops=hops) == [expected, expected, "http"]


def problems(product: str, **changes: object) -> str:
    return " ".join(_render.render_choice(settings(**changes), product)["problems"])


LOOPBACK = [{"match": "prefix", "path": "/", "upstream": "127.0.0.1:8080"}]


@pytest.mark.parametrize(
    ("product", "changes", "advice"),
    [
        ("cloudflared", {"admin_networks": ["192.0.2.0/24"]}, "Cloudflare Access"),
        ("cloudflared", {"trusted_hops": ["192.0.2.0/24"]}, "by itself"),
        ("swag", {"routes": LOOPBACK}, "container itself"),
        ("swag", {"trusted_hops": ["192.0.2.0/24"], "proxy_protocol": True}, "no PROXY header"),
        ("npm", {"trusted_hops": ["192.0.2.0/24"], "proxy_protocol": True}, "no PROXY header"),
        ("envoy", {"trusted_hops": ["192.0.2.0/24"], "trusted_header": "CF-Connecting-IP"}, "only in X-Forwarded-For"),
        ("envoy", {"trusted_hops": ["192.0.2.0/24"], "proxy_protocol": True}, "no PROXY header"),
        ("istio", {"admin_networks": ["192.0.2.0/24"]}, "DECODE_AND_MERGE_SLASHES"),
        ("istio", {"trusted_hops": ["192.0.2.0/24"]}, "numTrustedProxies"),
        ("istio", {"routes": LOOPBACK}, "pod itself"),
        ("kubernetes", {"admin_networks": ["192.0.2.0/24"]}, "the Gateway API of Kubernetes has no rule for networks"),
        ("kubernetes_ingress", {"trusted_hops": ["192.0.2.0/24"]}, "proxy-real-ip-cidr"),
        ("pound", {"trusted_hops": ["192.0.2.0/24"]}, "before 4.18"),
        ("relayd", {"admin_networks": ["192.0.2.0/24"]}, "another spelling"),
        ("relayd", {"trusted_hops": ["192.0.2.0/24"]}, "knows no other"),
        ("synology", {"routes": LOOPBACK}, "the NAS itself"),
        ("synology", {"trusted_hops": ["192.0.2.0/24"]}, "connects to DSM"),
        ("squid", {}, "'squid'"),
        ("", {}, "is empty"),
    ],
)
def test_what_a_product_cannot_do_is_refused(product: str, changes: dict[str, object], advice: str) -> None:
    assert advice in problems(product, **changes)


def test_what_a_product_can_do_is_not() -> None:
    for name in _render.PRODUCTS:
        assert problems(name) == ""
    assert problems("cloudflared", routes=LOOPBACK) == ""
    assert problems("envoy", trusted_hops=["192.0.2.0/24"], admin_networks=["192.0.2.0/24"], routes=LOOPBACK) == ""


@pytest.mark.parametrize("path", ["/;}", "/a b", "/a\nb", "//", '/"', "/$host", "/{{ x }}"])
@pytest.mark.parametrize("product", ["npm", "all"])
def test_a_path_that_would_be_read_as_configuration_is_refused(path: str, product: str) -> None:
    assert "single slashes" in problems(product, routes=[{"match": "prefix", "path": path, "upstream": SERVER}])


def test_products_are_one_a_list_or_all_that_can() -> None:
    def products(chosen: str | list[str], **changes: object) -> list[str]:
        return _render.render_choice(settings(**changes), chosen)["products"]

    assert products("all") == sorted(_render.PRODUCTS)
    assert products("kubernetes, npm") == ["kubernetes_gateway", "kubernetes_ingress", "npm"]
    assert products("swag, npm") == products(["npm", "swag", "npm"]) == ["npm", "swag"]
    assert "cloudflared" not in products("all", admin_networks=["192.0.2.0/24"])


def test_all_says_whom_it_leaves_out_and_is_refused_where_nobody_is_left() -> None:
    choice = _render.render_choice(settings(routes=LOOPBACK), "all")
    assert "container itself" in " ".join(choice["left_out"])
    assert choice["problems"] == []
    assert problems("all", trusted_hops=["192.0.2.0/24"], proxy_protocol=True)


def play(folder: Path, *arguments: str) -> str:
    inventory = folder / "hosts.yml"
    host = {"vaultwarden_domain": "https://vault.example.com", "vaultwarden_bind_address": "192.0.2.1"}
    inventory.write_text(yaml.safe_dump({"vaultwarden": {"hosts": {"vault-1": host}}}))
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, "playbooks/render.yml", "-e", f"render_dir={folder}/out", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_playbook_writes_once_and_refuses_before_it_writes(tmp_path: Path) -> None:
    assert "Nothing has been written" in play(tmp_path, "-e", "render_for=squid")
    assert "failed=0" in play(tmp_path, "--check", "--diff", "-e", "render_for=swag")
    assert not (tmp_path / "out").exists()
    first = play(tmp_path)
    assert "failed=0" in first, first
    assert re.search(rf"Wrote the files for .*swag.* below\s+{tmp_path}/out", " ".join(first.split()))
    for name, product in _render.PRODUCTS.items():
        written = (tmp_path / "out" / name / product.file).read_text()
        assert "192.0.2.1" in written
        assert "notifications_check_url=https://vault.example.com\n" in written
    assert "changed=0" in play(tmp_path, "-e", "render_for=envoy,swag")


def test_a_proxy_without_a_file_is_told_what_there_is() -> None:
    """Those that the role runs have no file, and people have them in containers."""
    said = problems("traefik")
    assert "There are files for" in said and "reverse_proxy_provider" in said and f"/ to http://{SERVER}" in said
    said = problems("squid")
    assert "There are files for" in said and "reverse_proxy_provider" not in said


def test_the_documents_name_every_product() -> None:
    section = (ROOT / "docs" / "proxies.md").read_text().partition("## Proxies that the collection does not run")[2]
    rows = re.findall(r"^\| `(\w+)`", section.partition("\n## ")[0], re.MULTILINE)
    assert set(rows) - {"render_for"} == set(_render.PRODUCTS)
    defaults = (ROOT / "roles" / "reverse_proxy" / "defaults" / "main.yml").read_text()
    assert all(re.search(rf"^# .*\b{name}\b", defaults, re.MULTILINE) for name in [*_render.PRODUCTS, *_render.GROUPS])
