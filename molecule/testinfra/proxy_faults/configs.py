# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes that people write for their proxies, right ones and wrong ones, each on a port of its own.

``$port`` is the recipe's port, ``$app`` the server, ``$dead`` an address where nothing listens, as the second port is
since the releases that lack it. All recipes of a product go into one configuration, so that it is started once.
"""

from __future__ import annotations

from typing import NamedTuple

APP = "127.0.0.1:8080"
DEAD = "127.0.0.1:3999"
GATE = "https://login.example.com/"


class Recipe(NamedTuple):
    """Cases that it shows, its text, the codes that must come out, and what the probe is asked in addition."""

    name: str
    text: str
    codes: frozenset[str]
    path: str = ""
    idle: float = 0


class Product(NamedTuple):
    """A proxy: what stands around its recipes, how each is wrapped, and the commands to check and start it."""

    first_port: int
    head: str
    wrap: str
    start: str
    recipes: list[Recipe]
    foot: str = ""
    file: str = "proxy.conf"

    def ports(self) -> list[tuple[int, Recipe]]:
        """Each recipe with its port."""
        return list(enumerate(self.recipes, self.first_port))

    def config(self) -> str:
        """The whole configuration."""
        sites = []
        for port, recipe in self.ports():
            text = self.wrap.replace("$text", recipe.text).replace("$port", str(port))
            sites.append(text.replace("$app", APP).replace("$dead", DEAD))
        return self.head + "".join(sites) + self.foot


def recipe(name: str, text: str, *codes: str, path: str = "", idle: float = 0) -> Recipe:
    """A recipe and the codes that must come out, none for a right one."""
    return Recipe(name, text, frozenset(codes), path, idle)


PASS = "proxy_pass http://$app;"
UPGRADE = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $hop;"
EMPTY = "''"
STALE = f"location = /notifications/hub {{ {UPGRADE} proxy_pass http://$dead; }}"
RIGHT = f"location / {{ {UPGRADE} {PASS} }}"

NGINX = Product(
    8100,
    "pid /run/faults-nginx.pid; error_log /dev/null; events {} http { access_log off; "
    "map $http_upgrade $hop { default upgrade; '' ''; }\n",
    "server { listen $port; $text }\n",
    "nginx -c /root/faults/nginx/proxy.conf",
    [
        recipe("right", RIGHT),
        recipe("B-01 nothing passed on", f"location / {{ {PASS} }}", "VW-B01"),
        recipe("B-02 http 1.0", f"location / {{ {UPGRADE.replace('1.1', '1.0')} {PASS} }}", "VW-B02"),
        recipe("B-03 keepalive recipe", f"location / {{ {UPGRADE.replace('$hop', EMPTY)} {PASS} }}", "VW-B01"),
        recipe("B-04 connection close", f"location / {{ {UPGRADE.replace('$hop', 'close')} {PASS} }}", "VW-B01"),
        recipe("B-07 location of its own", f"{RIGHT} location /notifications/hub {{ {PASS} }}", "VW-B01"),
        recipe("B-08 path stripped", f"{RIGHT} location = /notifications/hub {{ {UPGRADE} proxy_pass http://$app/; }}",
               "VW-B08"),
        recipe("B-20 headers added", f"add_header X-Frame-Options DENY always; {RIGHT}", "VW-B20"),
        recipe("B-22 gate", f"{RIGHT} location /notifications/ {{ return 302 {GATE}; }}", "VW-B22"),
        recipe("B-26 path that the server lacks", RIGHT, "VW-B26", path="/vault"),
        recipe("B-28 wrong port", f"location / {{ {UPGRADE} proxy_pass http://$dead; }}", "VW-B28"),
        recipe("A-01 C-02 stale route", f"{RIGHT} {STALE}", "VW-A01"),
        recipe("A-01 and C-01", f"location / {{ {PASS} }} {STALE}", "VW-A01", "VW-C01"),
        recipe("C-01 anonymous hub", f"location / {{ {PASS} }} location = /notifications/hub {{ {UPGRADE} {PASS} }}",
               "VW-C01"),
        recipe("C-07 idle cut", f"proxy_read_timeout 1s; {RIGHT}", "VW-C07", idle=3),
        recipe("D-05 limit", f"{RIGHT} location /notifications/ {{ return 429; }}", "VW-D05"),
        recipe("two layers", f"add_header X-Frame-Options DENY always; {RIGHT} "
               "location = /notifications/anonymous-hub { return 418; }", "VW-B20", "VW-X00"),
    ],
    foot="}\n",
)  # fmt: skip

_MODULES = "mpm_event authz_core proxy proxy_http proxy_wstunnel rewrite headers"
APACHE = Product(
    8200,
    "ServerName localhost\nPidFile /run/faults-apache.pid\nErrorLog /dev/null\nServerRoot /etc/apache2\n"
    + "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in _MODULES.split()),
    "Listen $port\n<VirtualHost *:$port>\n$text\n</VirtualHost>\n",
    "apache2 -f /root/faults/apache/proxy.conf",
    [
        recipe("right", "ProxyPass / http://$app/ upgrade=websocket"),
        recipe("B-01 nothing passed on", "ProxyPass / http://$app/", "VW-B01"),
        recipe("B-08 old rewrite", "RewriteEngine On\nRewriteCond %{HTTP:Upgrade} websocket\n"
               "RewriteRule /notifications/hub$ ws://$app/ [P,L]\nProxyPass / http://$app/ upgrade=websocket",
               "VW-B08"),
        recipe("B-09 order of lines", "ProxyPass / http://$app/\n"
               "ProxyPass /notifications/ http://$app/notifications/ upgrade=websocket", "VW-B01"),
        recipe("B-22 gate", f"RewriteEngine On\nRewriteRule ^/notifications/ {GATE} [R=302,L]\n"
               "ProxyPass / http://$app/ upgrade=websocket", "VW-B22"),
        recipe("B-28 wrong port", "ProxyPass / http://$dead/ upgrade=websocket", "VW-B28"),
        recipe("A-01 stale route", "ProxyPass /notifications/hub http://$dead/notifications/hub upgrade=websocket\n"
               "ProxyPass / http://$app/ upgrade=websocket", "VW-A01"),
        recipe("C-01 anonymous hub", "ProxyPass /notifications/hub http://$app/notifications/hub upgrade=websocket\n"
               "ProxyPass / http://$app/", "VW-C01"),
        recipe("D-05 limit", "RewriteEngine On\nRewriteRule ^/notifications/ - [R=429,L]\n"
               "ProxyPass / http://$app/ upgrade=websocket", "VW-D05"),
    ],
)  # fmt: skip

HAPROXY = Product(
    8300,
    "global\n pidfile /run/faults-haproxy.pid\ndefaults\n mode http\n timeout connect 2s\n timeout client 30s\n"
    " timeout server 30s\nbackend app\n server app $app\nbackend dead\n server dead $dead\n"
    "backend short\n timeout tunnel 1s\n server app $app\n".replace("$app", APP).replace("$dead", DEAD),
    "frontend on_$port\n bind :$port\n acl hub path /notifications/hub\n$text\n",
    "haproxy -D -f /root/faults/haproxy/proxy.conf",
    [
        recipe("right", " default_backend app"),
        recipe("B-08 path stripped", " http-request set-path / if hub\n default_backend app", "VW-B08"),
        recipe("B-13 negated", " use_backend dead if !hub\n default_backend dead", "VW-B28"),
        recipe("B-22 gate", f" http-request redirect location {GATE} if {{ path_beg /notifications }}\n"
               " default_backend app", "VW-B22"),
        recipe("A-01 stale route", " use_backend dead if hub\n default_backend app", "VW-A01"),
        recipe("C-07 idle cut", " default_backend short", "VW-C07", idle=3),
        recipe("D-05 limit", " http-request deny deny_status 429 if hub\n default_backend app", "VW-D05"),
    ],
)  # fmt: skip

CADDY = Product(
    8400,
    "{\n\tadmin off\n\tauto_https off\n}\n",
    "http://:$port {\n$text\n}\n",
    "caddy start --config /root/faults/caddy/Caddyfile --pidfile /run/faults-caddy.pid",
    [
        recipe("right", "reverse_proxy $app"),
        recipe("A-01 C-02 old recipe", "reverse_proxy /notifications/hub $dead\nreverse_proxy $app", "VW-A01"),
        recipe("B-08 path stripped", "handle /notifications/hub {\nrewrite * /\nreverse_proxy $app\n}\n"
               "reverse_proxy $app", "VW-B08"),
        recipe("B-20 headers added", "header X-Frame-Options DENY\nreverse_proxy $app", "VW-B20"),
        recipe("B-22 gate", f"redir /notifications/* {GATE}\nreverse_proxy $app", "VW-B22"),
        recipe("B-26 prefix kept for a server without it", "handle /vault/* {\nreverse_proxy $app\n}", "VW-B26",
               path="/vault"),
        recipe("B-28 wrong port", "reverse_proxy $dead", "VW-B28"),
    ],
    file="Caddyfile",
)  # fmt: skip

LIGHTTPD = Product(
    8500,
    'server.port = 8499\nserver.pid-file = "/run/faults-lighttpd.pid"\nserver.document-root = "/var/empty"\n'
    'server.modules = ("mod_proxy", "mod_redirect")\n',
    '$SERVER["socket"] == ":$port" {\n$text\n}\n',
    "lighttpd -f /root/faults/lighttpd/proxy.conf",
    [
        recipe("right", 'proxy.header = ("upgrade" => "enable")\nproxy.server = ("" => (("host" => "127.0.0.1", '
               '"port" => 8080)))'),
        recipe("B-12 no upgrade", 'proxy.server = ("" => (("host" => "127.0.0.1", "port" => 8080)))', "VW-B01"),
        recipe("B-22 gate", f'url.redirect = ("^/notifications/" => "{GATE}")\nproxy.header = ("upgrade" => "enable")\n'
               'proxy.server = ("" => (("host" => "127.0.0.1", "port" => 8080)))', "VW-B22"),
        recipe("B-28 wrong port", 'proxy.server = ("" => (("host" => "127.0.0.1", "port" => 3999)))', "VW-B28"),
        recipe("A-01 stale route", 'proxy.header = ("upgrade" => "enable")\nproxy.server = ("/notifications/hub" => '
               '(("host" => "127.0.0.1", "port" => 3999)), "" => (("host" => "127.0.0.1", "port" => 8080)))', "VW-A01"),
    ],
)  # fmt: skip

_ROUTER = '  r$port{n}: {entryPoints: [p$port], rule: "{rule}", service: {service}, middlewares: [{more}]}'


def router(rule: str, service: str = "app", more: str = "", n: str = "") -> str:
    """One router of Traefik."""
    line = _ROUTER
    for name, value in (("{n}", n), ("{rule}", rule), ("{service}", service), ("{more}", more)):
        line = line.replace(name, value)
    return line


ALL = router("PathPrefix(`/`)")
TRAEFIK = Product(
    8600,
    "http:\n services:\n"
    + "".join(
        f"  {name}: {{loadBalancer: {{servers: [{{url: 'http://{place}'}}]}}}}\n"
        for name, place in (("app", APP), ("dead", DEAD))
    )
    + " middlewares:\n  start: {replacePath: {path: /}}\n  framed: {headers: {customFrameOptionsValue: DENY}}\n"
    f"  gate: {{redirectRegex: {{regex: '.*', replacement: '{GATE}'}}}}\n routers:\n",
    "$text\n",
    "setsid traefik --providers.file.filename=/root/faults/traefik/proxy.yml "
    + " ".join(f"--entrypoints.p{port}.address=:{port}" for port in range(8600, 8606))
    + " & echo $! > /run/faults-traefik.pid",
    [
        recipe("right", ALL),
        recipe("B-19 second service left over", f"{ALL}\n{router('Path(`/notifications/hub`)', 'dead', n='h')}",
               "VW-A01"),
        recipe("B-08 path replaced", f"{ALL}\n{router('Path(`/notifications/hub`)', more='start', n='h')}", "VW-B08"),
        recipe("B-20 headers added", router("PathPrefix(`/`)", more="framed"), "VW-B20"),
        recipe("B-22 gate", f"{ALL}\n{router('PathPrefix(`/notifications`)', more='gate', n='h')}", "VW-B22"),
        recipe("B-28 wrong port", router("PathPrefix(`/`)", "dead"), "VW-B28"),
    ],
    file="proxy.yml",
)  # fmt: skip

PRODUCTS = {
    "nginx": NGINX,
    "apache": APACHE,
    "haproxy": HAPROXY,
    "caddy": CADDY,
    "lighttpd": LIGHTTPD,
    "traefik": TRAEFIK,
}
