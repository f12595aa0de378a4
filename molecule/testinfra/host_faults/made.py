# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes as people make them by hand, each in a container of its own on one host, beside one that has none.

Entries are named as the findings in ``_host_findings.TEXTS``, with a word behind where one is made in several ways; a
unit test wants each of those in ``MADE`` or ``MADE_ELSEWHERE``, or in ``NOT_MADE`` with the reason. Whatever is not
said of a container is right.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping

IMAGE = "vaultwarden/server:1.37.2"
CERTIFICATE = "/etc/ssl/vault/fullchain.pem"
KEY = "/etc/ssl/vault/privkey.pem"

_CLIENT = "proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;"
_UPGRADE = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
_PASS = "proxy_pass http://127.0.0.1:PORT;"
#: What guides teach for the layout with one port.
SOUND_SITE = f"location / {{ {_PASS} {_CLIENT} {_UPGRADE} }}"


@dataclasses.dataclass(frozen=True)
class Made:
    """One container, its data, and the site of nginx that has its name.

    NAME and PORT in the texts are the container's name and its port on the host. ``findings`` are how the lines about
    it begin; where a mistake brings another fault with it, there are two.
    """

    findings: tuple[str, ...] = ()
    image: str = IMAGE
    domain: str = "https://NAME.example.com"
    publish: str = "127.0.0.1:PORT:80"
    volume: str = "/srv/NAME:/data"
    #: Words for the shell, as they are.
    options: str = ""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: The locations of the site; empty where there is none.
    site: str = ""
    #: Whether clients fail to sign in through the site, so that the log speaks of them.
    asked: bool = False


SOUND = Made(domain="https://vault.example.com", site=SOUND_SITE, asked=True)

_RESTARTS = "VW-F05: The container NAME keeps restarting."

MADE: dict[str, Made] = {
    "stale_route": Made(
        ("VW-A01: /etc/nginx/conf.d/NAME.conf sends /notifications/hub to the second port",),
        site=f"{SOUND_SITE} location = /notifications/hub {{ proxy_pass http://127.0.0.1:3012; {_UPGRADE} }}",
    ),
    "ignored_variable": Made(
        ("VW-A02: The container NAME has the variable WEBSOCKET_ENABLED.",), options="--env WEBSOCKET_ENABLED=true"
    ),
    "channel_off": Made(
        ("VW-A03: The live channel of the container NAME is switched off",), options="--env ENABLE_WEBSOCKET=false"
    ),
    "moving_tag": Made(
        ("VW-A06: The container NAME was made from vaultwarden/server:latest",), image="vaultwarden/server:latest"
    ),
    "stale_port": Made(
        ("VW-A07: The container NAME publishes a port for nothing. Port 3012",),
        options="--publish 127.0.0.1:3012:3012",
    ),
    "plain_hub": Made(
        ("VW-B01: /etc/nginx/conf.d/NAME.conf sends /notifications/hub to the server without passing upgrades on",),
        site=f"location / {{ {_PASS} {_CLIENT} }}",
    ),
    "plain_anonymous_hub": Made(
        (
            "VW-C01: /etc/nginx/conf.d/NAME.conf passes upgrades on for the hub, "
            "but not for /notifications/anonymous-hub",
        ),
        site=f"location / {{ {_PASS} {_CLIENT} }} location = /notifications/hub {{ {_PASS} {_CLIENT} {_UPGRADE} }}",
    ),
    "plain_domain": Made(("VW-C18: DOMAIN of the container NAME is http://",), domain="http://NAME.example.com"),
    "no_address": Made(
        ("VW-D01: The server in NAME takes the proxy for its client, since IP_HEADER is none.",),
        options="--env IP_HEADER=none",
        site=SOUND_SITE,
        asked=True,
    ),
    "proxy_as_client": Made(
        ("VW-D01: The server in NAME takes the proxy for its client: the newest 3 sign-ins and sockets in its log",),
        site=f"location / {{ {_PASS} {_UPGRADE} }}",
        asked=True,
    ),
    "proxy_as_client_untrusted": Made(
        ("VW-D01: The server in NAME takes the proxy for its client: the newest 3 sign-ins and sockets in its log",),
        options="--env IP_HEADER_TRUSTED_PROXIES=192.0.2.0/24",
        site=SOUND_SITE,
        asked=True,
    ),
    "trusts_all": Made(
        ("VW-D01: The server in NAME believes every sender what client it stands for.",),
        options="--env IP_HEADER_TRUSTED_PROXIES=all",
    ),
    "open_port": Made(("VW-D06: The container NAME publishes PORT on every address of the host.",), publish="PORT:80"),
    "open_port_in_layers": Made(
        (
            "VW-D06: The container NAME publishes PORT on every address of the host.",
            "VW-A03: The live channel of the container NAME is switched off",
            "VW-A02: The container NAME has the variable WEBSOCKET_ENABLED.",
        ),
        publish="PORT:80",
        options="--env WEBSOCKET_ENABLED=true --env ENABLE_WEBSOCKET=false",
    ),
    "overridden_domain": Made(
        ("VW-E01: The server in NAME uses https://old.example.com as its DOMAIN, and not https://NAME.example.com.",),
        files={"config.json": json.dumps({"domain": "https://old.example.com"})},
    ),
    "overridden": Made(
        ("VW-E01: Settings of NAME in its environment have no effect: SIGNUPS_ALLOWED.",),
        options="--env SIGNUPS_ALLOWED=false",
        files={"config.json": json.dumps({"signups_allowed": True})},
    ),
    "broken_config": Made(("VW-E01: The config.json of NAME cannot be read.",), files={"config.json": '{"domain": '}),
    # A guide's line with double quotes, whose dollars the shell expands.
    "damaged_token": Made(
        ("VW-E02: The ADMIN_TOKEN of NAME is a hash that arrived damaged.",),
        options='--env ADMIN_TOKEN="$argon2id$v=19$m=65540,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"',
    ),
    "wrong_domain": Made(
        ("VW-E05: DOMAIN of the container NAME is NAME.example.com,", _RESTARTS), domain="NAME.example.com"
    ),
    "push_without_keys": Made(
        (
            "VW-E06: Push to mobile apps is on in NAME, but PUSH_INSTALLATION_ID and PUSH_INSTALLATION_KEY is missing.",
            _RESTARTS,
        ),
        options="--env PUSH_ENABLED=true",
    ),
    "mixed_regions": Made(
        (
            "VW-E07: Push of NAME mixes regions: PUSH_RELAY_URI is https://api.bitwarden.eu, "
            "PUSH_IDENTITY_URI is unset.",
        ),
        options="--env PUSH_ENABLED=true --env PUSH_INSTALLATION_ID=id --env PUSH_INSTALLATION_KEY=key "
        "--env PUSH_RELAY_URI=https://api.bitwarden.eu",
    ),
    # The server reads its operator's file, and the check in the image does not.
    "unhealthy": Made(
        ("VW-F01: The engine says that NAME is unhealthy.",),
        options="--volume /srv/NAME/vaultwarden.sh:/etc/vaultwarden.sh:ro --health-interval 1s --health-retries 1",
        files={"vaultwarden.sh": "export DOMAIN=https://NAME.example.com/vault\n"},
    ),
    # The project's image refuses this unless it is told so.
    "no_volume": Made(
        ("VW-F03: The data of NAME in /data lies in no folder and no named volume.",),
        volume="",
        options="--env I_REALLY_WANT_VOLATILE_STORAGE=true",
    ),
    "restarts": Made((_RESTARTS,), files={"db.sqlite3": "This is no database, and was one before.\n" * 50}),
}

#: Made after all others, since nothing is known of any site from then on. nginx goes on with what it read before.
UNREADABLE = "server { listen 443 ssl;"
UNREADABLE_FOUND = "VW-X01: The configuration of nginx has a brace that is not closed."

#: What needs a site of this collection, and where a test makes it: its file, and its name.
MADE_ELSEWHERE = {"proxy_stopped": ("faults/test_faults.py", "test_a_stopped_proxy_is_named")}

NOT_MADE = {
    "engine_floor": "needs a Traefik that is older than the one that the tests bring, of which there can be only one; "
    "made by hand with 3.5.3 and Debian 13's engine under DOCKER_MIN_API_VERSION=1.44",
    "network_share": "needs a share: the kernel is that of the machine, which may know neither NFS nor CIFS, and "
    "hosts may not open /dev/fuse for the others",
}


def ports() -> dict[str, int]:
    """Each mistake's container with its port on the host."""
    return {name.replace("_", "-"): 8100 + number for number, name in enumerate(MADE)}


def sound_script() -> str:
    """Commands that make the deployment without a mistake, on a host with nothing else, and a certificate for all."""
    return "\n".join(
        [
            "set -e; docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes",
            "rm -rf /srv/* /etc/nginx/conf.d/* /etc/nginx/sites-enabled/default; mkdir -p /etc/ssl/vault",
            f"docker pull --quiet {IMAGE}",
            "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 90 -subj /CN=example.com "
            f"-addext subjectAltName=DNS:vault.example.com -keyout {KEY} -out {CERTIFICATE} 2>&1",
            *_commands("sound", 8080, SOUND),
            "systemctl restart nginx",
        ]
    )


def faults_script() -> str:
    """Commands that make all mistakes, those first that need time to show."""
    numbered = [(name, port, MADE[name.replace("-", "_")]) for name, port in ports().items()]
    numbered.sort(key=lambda each: _RESTARTS not in each[2].findings)
    return "\n".join(
        [
            f"set -e; docker tag {IMAGE} vaultwarden/server:latest",
            *(command for each in numbered for command in _commands(*each)),
            "nginx -t -q && nginx -s reload",
        ]
    )


def _commands(name: str, port: int, made: Made) -> Iterator[str]:
    def filled(text: str) -> str:
        return text.replace("NAME", name).replace("PORT", str(port))

    yield f"mkdir -p /srv/{name}"
    for file, text in made.files.items():
        yield f"printf %s {shlex.quote(filled(text))} > /srv/{name}/{file}"
    volume = f"--volume {filled(made.volume)}" if made.volume else ""
    # Not "set -u": a variable that nobody set is what a token loses its parts to.
    yield (
        f"docker run --detach --name {name} --restart always --env DOMAIN={filled(made.domain)} "
        f"--publish {filled(made.publish)} {volume} {filled(made.options)} {made.image}"
    )
    if made.site:
        host = f"{name}.example.com" if made is not SOUND else "vault.example.com"
        site = (
            f"server {{ listen 443 ssl; server_name {host}; ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY}; "
            f"{filled(made.site)} }}"
        )
        yield f"printf '%s\\n' {shlex.quote(site)} > /etc/nginx/conf.d/{name}.conf"
