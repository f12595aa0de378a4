# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that people have met with this server, and who notices each: the table at the end of docs/diagnosis.md.

``PROBE`` sees it from outside, without credentials; ``SESSION`` needs an account, as the live update has one; ``HOST``
is the look at the host. ``ROLES`` means that it cannot happen, or is refused, where this collection deploys, and
``NOBODY`` that no check can see it.
"""

from __future__ import annotations

from typing import NamedTuple

PROBE, SESSION, HOST, ROLES, NOBODY = "probe", "live update", "host", "roles", "nobody"


class Case(NamedTuple):
    """One kind of failure: its number, what happens, who notices, the codes, and where else to look."""

    number: str
    title: str
    seen: tuple[str, ...]
    codes: tuple[str, ...] = ()
    note: str = ""


def case(number: str, title: str, seen: str, codes: str = "", note: str = "") -> Case:
    """A case, written shortly: those who notice separated by commas, codes without their prefix by spaces."""
    return Case(number, title, tuple(seen.split(", ")), tuple(f"VW-{code}" for code in codes.split()), note)


CASES = (
    case("A-01", "the hub is still sent to the second port", "probe, host, roles", "A01 L01 L02"),
    case("A-02", "variables of the old layout are left over", "host, roles", "A02", "the container's environment is "
         "compared by name"),
    case("A-03", "the live channel is switched off", "probe, host", "A03"),
    case("A-05", "a jump over the releases that know both layouts", "probe, roles", "A05 L03", "the upgrade changes "
         "server and proxy together"),
    case("A-06", "a moving tag brings another release", "host, roles", "A06", "vaultwarden_allow_floating_tag"),
    case("A-07", "a guide that still teaches the second port", "probe, host", "A01 A07"),
    case("A-09", "the wanted tag does not exist", "roles", "", "the image is fetched before anything stops"),
    case("A-10", "404 on negotiate is taken for a fault", "roles", "", "the probe does not ask it"),
    case("A-12", "a release with a known fault", "roles", "", "a warning before the deployment"),
    case("A-13", "the server listens on loopback only", "probe, roles", "B28"),
    case("A-14", "clients update themselves and need a newer server", "probe, roles", "V03", "as far as the release "
         "notes of known releases say"),
    case("B-01", "the upgrade headers are not passed on", "probe, host", "B01"),
    case("B-02", "HTTP/1.0 to the server", "probe", "B02"),
    case("B-03", "an empty Connection header", "probe, host", "B01"),
    case("B-04", "a fixed Connection header", "probe, host", "B01"),
    case("B-07", "a location of its own for the hub", "probe, host", "B01"),
    case("B-08", "the path is stripped", "probe", "B08"),
    case("B-09", "Apache: the order of lines loses the upgrade", "probe", "B01"),
    case("B-10", "Apache: a module is missing", "probe, roles", "X00", "shown as the 500 that it is"),
    case("B-11", "Apache: every upgrade is sent to the second port", "probe", "A01 C01"),
    case("B-12", "lighttpd: upgrades are off", "probe", "B01"),
    case("B-13", "HAProxy: a negated rule catches everything", "probe", "A01 B28"),
    case("B-14", "a hand-made request is refused", "roles", "", "the probe sends the whole handshake"),
    case("B-15", "a proxy's release breaks sockets over HTTP/2", "nobody", "", "the probe asks over HTTP/1.1"),
    case("B-16", "a port without HTTP/1.1", "probe", "B16"),
    case("B-17", "a mesh refuses the upgrade", "probe", "B17"),
    case("B-18", "an ingress loses the upgrade", "probe", "B01 C01"),
    case("B-19", "Traefik: a second router or service is left over", "probe", "A01"),
    case("B-20", "the proxy adds security headers to the hubs", "probe, roles", "B20"),
    case("B-21", "a rule at the CDN still sends the hub elsewhere", "probe", "B21"),
    case("B-22", "a login gate in front of the hub", "probe", "B22"),
    case("B-26", "a sub-path that is stripped or that DOMAIN lacks", "probe", "B26"),
    case("B-28", "the wrong side of the port mapping", "probe, roles", "B28"),
    case("B-29", "localhost as upstream", "probe, roles", "B28", "seen only while it fails; addresses are literal"),
    case("B-31", "SELinux holds the proxy back", "probe", "B28", "the proxy's log says errno 13"),
    case("B-32", "rootless ports hide the client", "nobody", "", "the host's proxy names the client"),
    case("B-33", "a certificate that clients do not trust", "probe", "B33 T03 T04 T09 T11"),
    case("C-01", "login with device is not covered", "probe, host", "C01"),
    case("C-02", "the admin page is green while the hub is dead", "probe", "A01", "the cause says so"),
    case("C-03", "both hubs work, login with device does not", "nobody", "", "a fault of clients, releases or push"),
    case("C-04", "a token of another DOMAIN", "probe, live update", "C04", "with access_token"),
    case("C-05", "the signing key was replaced", "probe, live update, roles", "C04", "archives have rsa_key"),
    case("C-06", "a wrong clock", "probe", "C06"),
    case("C-07", "a socket is cut when idle", "probe, roles", "C07", "with notifications_check_idle_seconds"),
    case("C-08", "frames are held back", "probe", "C08 W02", "with notifications_check_idle_seconds"),
    case("C-09", "tokens in logs", "roles", "", "the access log has no queries"),
    case("C-10", "the proxy is out of connections", "roles", "", "reverse_proxy_max_clients"),
    case("C-11", "old workers linger after reloads", "roles", "", "a reload only on change"),
    case("C-14", "a locked client opens no socket", "live update", "", "has sessions of its own"),
    case("C-15", "a device ignores its own change", "live update", "", "the sessions are two devices"),
    case("C-16", "a phone is expected to use the hub", "nobody", "", "mobile apps use push, not the hub"),
    case("C-18", "plain http", "probe, host, roles", "C18 T07 T13"),
    case("D-01", "all clients share an address", "probe, host, roles", "D01", "from settings and the server's log"),
    case("D-03", "fail2ban counts the hub's answers", "nobody"),
    case("D-04", "a ban does not block", "nobody"),
    case("D-05", "a filter or limit in front refuses", "probe", "D05"),
    case("D-06", "the published port is open to all", "host, roles", "D06"),
    case("D-07", "opened to all for a proxy elsewhere", "host, roles", "D06", "vaultwarden_bind_address"),
    case("D-09", "another stack answers to the name", "probe", "B08 V02 X00"),
    case("D-10", "Docker is too new for Traefik's labels", "probe, host", "B26 D10"),
    case("E-01", "config.json beats the environment", "host", "E01", "names only"),
    case("E-02", "the hash of the admin token lost its dollars", "host, roles", "E02"),
    case("E-05", "DOMAIN without a scheme", "host, roles", "E05"),
    case("E-06", "push without keys", "host, roles", "E06", "vaultwarden_push_region"),
    case("E-07", "push with keys of another region", "host, roles", "E07", "vaultwarden_push_region"),
    case("E-08", "a phone that signed in before push was set up", "nobody", "", "sign in again on the phone"),
    case("E-09", "push has no way out of the network", "nobody", "", "the server's log names the relay"),
    case("E-10", "outside containers the server listens on loopback", "probe", "B28 T02"),
    case("E-11", "a server without root cannot bind its port", "host, roles", "F05", "vaultwarden_container_port"),
    case("E-12", "attachments are refused", "roles", "", "reverse_proxy_max_body"),
    case("F-01", "the health check lies", "host, roles", "F01"),
    case("F-03", "the data is in no volume", "host, roles", "F03"),
    case("F-05", "a migration fails, the container loops", "host, roles", "F05"),
    case("F-06", "a downgrade", "roles", "", "refused"),
    case("F-07", "a copy of a live database", "roles", "", "archives are consistent and checked"),
    case("F-08", "SQLite on a network share", "host", "F08"),
    case("F-10", "a client empties a restored server", "nobody"),
    case("F-11", "backups ended unnoticed", "roles", "", "see docs/backup.md"),
    case("G-01", "docker modules fail with http+docker", "roles"),
    case("G-02", "the container is always made anew", "roles", "", "idempotence is tested"),
    case("G-04", "compose pulls or recreates by itself", "roles", "", "compose is not used"),
    case("G-05", "compose always builds", "roles", "", "compose is not used"),
    case("G-07", "a path glued without a slash", "roles", "", "one layout model"),
    case("G-08", "a directive that one nginx lacks", "roles", "", "written for the version that is there"),
    case("G-09", "one site checked by itself", "roles", "", "the whole configuration is checked"),
    case("G-10", "systemd in test containers", "roles", "", "the lab"),
    case("G-11", "podman modules are not idempotent", "nobody", "", "podman is not supported"),
    case("G-12", "numbers and flags without quotes", "roles", "", "values arrive as text"),
    case("G-13", "a port forward in between", "probe", "T02 T05", "notifications_check_from asks from inside"),
)  # fmt: skip
