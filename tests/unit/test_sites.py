# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites of nginx and Caddy as people write them: where the hubs go, and unknown where that cannot be told."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils import _sites
from ansible_collections.vaultwire.stack.plugins.module_utils._sites import Target

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPES = ROOT / "molecule" / "adopt" / "files"
HUB, ANONYMOUS = "/notifications/hub", "/notifications/anonymous-hub"
UPGRADE = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection"
UNKNOWN = Target("unknown")


def files(tree: dict[str, str]) -> _sites.Read:
    """A read function over texts."""
    return lambda pattern: sorted((path, text) for path, text in tree.items() if fnmatch.fnmatchcase(path, pattern))


def nginx(server: str, http: str = "", version: str = "1.22.1") -> Callable[[str], Target]:
    """The routing of one server."""
    text = f"events {{}} http {{ {http} server {{ listen 443 ssl; server_name v.example.com; {server} }} }}"
    return _sites.nginx_sites(files({_sites.NGINX_MAIN: text}), version)[0].route


def caddy(body: str) -> Callable[[str], Target]:
    """The routing of one site."""
    return _sites.caddy_sites(files({_sites.CADDY_MAIN: f"v.example.com {{\n{body}\n}}\n"}))[0].route


@pytest.mark.parametrize(
    ("server", "http", "path", "expected"),
    [
        ("location / { proxy_pass http://127.0.0.1:8080; }", "", HUB, Target("127.0.0.1:8080", False)),
        (f'location / {{ {UPGRADE} "upgrade"; proxy_pass http://v:80; }}', "", HUB, Target("v:80", True)),
        (f"location / {{ {UPGRADE} Upgrade; proxy_pass http://v; }}", "", HUB, Target("v:80", True)),
        (f"location / {{ {UPGRADE} $http_connection; proxy_pass http://v; }}", "", HUB, Target("v:80", True)),
        (f"location / {{ {UPGRADE} $c; proxy_pass http://v; }}", "map $http_upgrade $c { default upgrade; '' close; }",
         HUB, Target("v:80", True)),
        (f"location / {{ {UPGRADE} $c; proxy_pass http://v; }}", "", HUB, Target("v:80", None)),
        (f'location / {{ {UPGRADE} ""; proxy_pass http://v; }}', "", HUB, Target("v:80", False)),
        ("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_http_version 1.1; "
         "location / { proxy_set_header Host $host; proxy_pass http://v; }", "", HUB, Target("v:80", False)),
        (f"{UPGRADE} upgrade; location / {{ proxy_pass http://v; }}", "", HUB, Target("v:80", True)),
        ("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; "
         "location / { proxy_pass http://v; }", "", HUB, Target("v:80", False)),
        ("location / { proxy_pass http://u; }", "upstream u { server 127.0.0.1:81; }", HUB,
         Target("127.0.0.1:81", False)),
        ("location / { proxy_pass http://u; }", "upstream u { server a:1; server b:1; }", HUB,
         Target("unknown", False)),
        ("set $up vault; location / { set $p 81; proxy_pass http://$up:$p; }", "", HUB, Target("vault:81", False)),
        ("location / { proxy_pass http://$nowhere; }", "", HUB, Target("unknown", False)),
        ("location / { proxy_pass http://unix:/run/v.sock; }", "", HUB, Target("unknown", False)),
        (f"location / {{ proxy_pass http://a:1; }} location = {HUB} {{ proxy_pass http://b:2; }}", "", HUB,
         Target("b:2", False)),
        (f"location / {{ proxy_pass http://a:1; }} location = {HUB} {{ proxy_pass http://b:2; }}", "", ANONYMOUS,
         Target("a:1", False)),
        ("location ~ ^/notifications { proxy_pass http://r:1; } location / { proxy_pass http://a:1; }", "", HUB,
         Target("r:1", False)),
        ("location ~ hub { proxy_pass http://r:1; } location ^~ /notifications/ { proxy_pass http://p:1; }", "", HUB,
         Target("p:1", False)),
        ("location ~* ^/(?P<a>x { proxy_pass http://r:1; }", "", HUB, UNKNOWN),
        ("location / { if ($x) { return 403; } proxy_pass http://a; }", "", HUB, UNKNOWN),
        ("rewrite ^/(.*)$ /vault/$1; location / { proxy_pass http://a; }", "", HUB, UNKNOWN),
        ("location / { location /notifications { proxy_pass http://b; } proxy_pass http://a; }", "", HUB, UNKNOWN),
        ("return 301 https://$host$request_uri;", "", HUB, Target("")),
        ("root /var/www;", "", HUB, Target("")),
    ],
)  # fmt: skip
def test_nginx(server: str, http: str, path: str, expected: Target) -> None:
    """Locations in nginx's order; headers inherited only where a block has none of its own."""
    assert nginx(server, http)(path) == expected


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        ("reverse_proxy 127.0.0.1:8080", HUB, Target("127.0.0.1:8080", True)),
        ("reverse_proxy /notifications/hub v:3012\nreverse_proxy v:80", HUB, Target("v:3012", True)),
        ("reverse_proxy v:80\nreverse_proxy /notifications/hub v:3012", HUB, Target("v:3012", True)),
        ("reverse_proxy /notifications/hub v:3012\nreverse_proxy v:80", HUB + "/negotiate", Target("v:80", True)),
        ("reverse_proxy /notifications/* v:3012\nreverse_proxy v:80", ANONYMOUS, Target("v:3012", True)),
        ("@hub path /notifications/hub\nreverse_proxy @hub v:3012\nreverse_proxy v:80", HUB, Target("v:3012", True)),
        (
            "@ws {\npath /notifications/hub\nheader Upgrade websocket\n}\nreverse_proxy @ws v:1\nreverse_proxy v:2",
            HUB,
            UNKNOWN,
        ),
        ("handle /notifications/* {\nreverse_proxy v:1\n}\nhandle {\nreverse_proxy v:2\n}", HUB, Target("v:1", True)),
        ("handle /notifications/* {\nreverse_proxy v:1\n}\nhandle {\nreverse_proxy v:2\n}", "/", Target("v:2", True)),
        ("reverse_proxy {\nto http://v:80\nheader_up X-Real-IP {remote_host}\n}", HUB, Target("v:80", True)),
        ("reverse_proxy v:80 {\nheader_up -Connection\n}", HUB, Target("v:80", None)),
        ("reverse_proxy v:80 w:80", HUB, UNKNOWN),
        ("reverse_proxy {$UPSTREAM}", HUB, UNKNOWN),
        ("rewrite /notifications/* /x{uri}\nreverse_proxy v:80", HUB, UNKNOWN),
        ("rewrite /other/* /x{uri}\nreverse_proxy v:80", HUB, Target("v:80", True)),
        ("file_server", HUB, Target("")),
        ("reverse_proxy :8080 # the server", HUB, Target("localhost:8080", True)),
    ],
)
def test_caddy(body: str, path: str, expected: Target) -> None:
    """The longer path wins whatever the order; upgrades always pass."""
    assert caddy(body)(path) == expected


def test_a_snippet_with_arguments_is_not_guessed_at() -> None:
    """Its words are not what Caddy will read."""
    whole = "(proxied) {\nreverse_proxy v:{args[0]}\n}\nv.example.com {\nimport proxied 8080\n}\n"
    assert _sites.caddy_sites(files({_sites.CADDY_MAIN: whole}))[0].route(HUB) == UNKNOWN


def test_caddy_snippets_and_imported_files() -> None:
    """The file that holds a site is named, not the one that imports it; a site may stand without braces."""
    read = files(
        {
            _sites.CADDY_MAIN: "{\n  email a@example.com\n}\n(up) {\n  reverse_proxy v:80\n}\nimport sites/*\n",
            "/etc/caddy/sites/vault": "https://v.example.com:8443, http://w.example.com {\n  import up\n}\n",
        }
    )
    found = _sites.caddy_sites(read)
    assert [site.file for site in found] == ["/etc/caddy/sites/vault"]
    assert found[0].names == ["v.example.com", "w.example.com"]
    assert found[0].listen == [{"port": 8443, "tls": True}, {"port": 80, "tls": False}]
    bare = _sites.caddy_sites(files({_sites.CADDY_MAIN: "v.example.com\nreverse_proxy v:80\n"}))
    assert bare[0].route("/") == Target("v:80", True)


def test_nginx_includes_are_followed() -> None:
    """Also inside a location; the file that has the server is named."""
    read = files(
        {
            _sites.NGINX_MAIN: "http { include /etc/nginx/conf.d/*.conf; }",
            "/etc/nginx/conf.d/a.conf": "server { server_name A.example.com; location / { include up.inc; } } # end",
            "/etc/nginx/up.inc": "proxy_pass http://v:80;",
        }
    )
    found = _sites.nginx_sites(read)
    assert [(site.file, site.names) for site in found] == [("/etc/nginx/conf.d/a.conf", ["a.example.com"])]
    assert found[0].route("/") == Target("v:80", False)


@pytest.mark.parametrize("text", ["http { server {", "http { } }", 'http { server_name "x; }'])
def test_a_broken_configuration_is_not_guessed_at(text: str) -> None:
    """It is said to be so."""
    with pytest.raises(_sites.NotUnderstood):
        _sites.nginx_sites(files({_sites.NGINX_MAIN: text}))


def test_the_recipes_of_the_scenario() -> None:
    """The documented split route."""
    text = (RECIPES / "nginx-split.conf").read_text(encoding="utf-8")
    found = _sites.nginx_sites(files({_sites.NGINX_MAIN: f"http {{ {text} }}"}))
    assert len(found) == 1
    assert (found[0].certificate, found[0].key) == ("/etc/ssl/vault/fullchain.pem", "/etc/ssl/vault/privkey.pem")
    assert found[0].route(HUB) == Target("127.0.0.1:3012", True)
    assert found[0].route("/") == found[0].route(HUB + "/negotiate") == Target("127.0.0.1:80", False)
    shared = (RECIPES / "nginx-shared.conf").read_text(encoding="utf-8")
    assert all(site.shared for site in _sites.nginx_sites(files({_sites.NGINX_MAIN: f"http {{ {shared} }}"})))
    caddyfile = (RECIPES / "Caddyfile").read_text(encoding="utf-8")
    site = _sites.caddy_sites(files({_sites.CADDY_MAIN: caddyfile}))[0]
    assert site.certificate == "/etc/ssl/vault/fullchain.pem"
    assert (site.route(HUB), site.route("/")) == (Target("127.0.0.1:3013", True), Target("127.0.0.1:8081", True))


HEADERS = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.22.1", False), ("1.26.3", False), ("1.29.6", False), ("1.29.7", True), ("1.30.6", True), ("2.0", True),
     ("", None)],
)  # fmt: skip
def test_the_http_version_that_is_not_set_is_that_of_the_release(version: str, expected: bool | None) -> None:
    """One file is a fault on one release and none on another; without the release that is not known."""
    assert nginx(f"location / {{ {HEADERS} proxy_pass http://v; }}", version=version)(HUB).upgrade is expected
    # What is set holds everywhere, in the file or one level up.
    stated = f"location / {{ {HEADERS} proxy_http_version 1.1; proxy_pass http://v; }}"
    assert nginx(stated, version=version)(HUB).upgrade is True
    assert nginx(stated.replace("1.1", "1.0"), version=version)(HUB).upgrade is False
    assert nginx(stated.replace("1.1", "2"), version=version)(HUB).upgrade is False
    inherited = f"location / {{ {HEADERS} proxy_pass http://v; }}"
    assert nginx(inherited, "proxy_http_version 1.0;", version)(HUB).upgrade is False


@pytest.mark.parametrize("version", ["1.22.1", "1.30.6", ""])
@pytest.mark.parametrize(
    "headers",
    ["", "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection upgrade;",
     "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection close;"],
)  # fmt: skip
def test_headers_are_needed_on_every_release(version: str, headers: str) -> None:
    """From 1.29.7 on nginx sends no Connection by itself, where it sent close before. Neither asks for an upgrade."""
    assert nginx(f"location / {{ {headers} proxy_pass http://v; }}", version=version)(HUB).upgrade is False
