# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what deployment_info saw on a host to what is wrong there. Pure; the findings are those of the probes.

A probe from outside sees that something fails; here the line that makes it fail is named, and what no probe can see:
settings that something else beats, data that will be lost, ports open to everybody. Only vaults that run, or try to,
are judged. Values of settings are quoted only where they are no secrets.
"""

from __future__ import annotations

import re
import typing as t

from . import _footprint, _products
from ._diagnosis import Finding, Severity
from ._layout import LEGACY_VARIABLES, MODERN_VARIABLES

Data = t.Mapping[str, t.Any]
#: What is put into the words of a finding; a rule gives one entry for each time that it applies.
Words = t.Dict[str, str]
Push = t.Literal["configured", "none", "unknown"]

_EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})
_MOVING_TAGS = re.compile(r"(latest|testing)(-\w+)?|alpine")
_ANONYMOUS_VOLUME = re.compile(r"[0-9a-f]{64}")
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_PUSH_SECRETS = ("PUSH_INSTALLATION_ID", "PUSH_INSTALLATION_KEY")
_PUSH_PLACES = ("PUSH_RELAY_URI", "PUSH_IDENTITY_URI")
_RETIRED_RELAY = "push.bitwarden.eu"
#: The interface of the engine that Traefik spoke, until it began to ask which one there is.
_TRAEFIK_API = (1, 24)


#: For a file of this collection: what is changed there by hand is overwritten.
_WRITE_AGAIN = "This collection wrote that file. Run playbooks/site.yml, which writes it again."


class Text(t.NamedTuple):
    """The words for a finding; {vault} is the container's name, other names are those that the rule gives."""

    code: str
    symptom: str
    cause: str
    fix: str
    severity: Severity = "error"


def push_state(vaults: t.Iterable[Data]) -> Push:
    """Whether the vaults of a host hand changes to the relay of mobile apps, which do not use the hub."""
    states = {_push_of(vault) for vault in vaults}
    return states.pop() if len(states) == 1 else "unknown"


def _push_of(vault: Data) -> Push:
    saved = vault["config_json"]
    # What the admin page saved outranks the environment, and its value is not looked at.
    if saved["broken"] or "PUSH_ENABLED" in saved["names"]:
        return "unknown"
    return "configured" if _pushes(vault) else "none"


def host_findings(info: Data) -> t.List[Finding]:
    """All faults of a host that was looked at with details, errors first."""
    vaults = [vault for vault in info.get("vaults") or [] if vault["status"] in ("running", "restarting")]
    found = [
        _finding(TEXTS[name], {"vault": vault["name"], **words})
        for vault in vaults
        for name, rule in _RULES.items()
        for words in rule(vault, info)
    ]
    if vaults:
        found += [_finding(TEXTS["unreadable"], {"text": text}) for text in info.get("unreadable") or []]
    return sorted(found, key=lambda finding: finding.severity)


def _finding(text: Text, words: Words) -> Finding:
    symptom, cause, fix = (part.format(**words) for part in (text.symptom, text.cause, text.fix))
    if any(_footprint.is_own(words.get(name, "")) for name in ("file", "name")):
        fix = _WRITE_AGAIN
    return Finding(text.code, text.severity, symptom, cause, fix)


def _own_sites(vault: Data, info: Data) -> t.List[Data]:
    return [site for site in info.get("sites") or [] if site["vault"] == vault["name"]]


def _leftover(kind: str) -> t.Callable[[Data, Data], t.List[Words]]:
    def rule(vault: Data, info: Data) -> t.List[Words]:
        found = [entry for entry in vault["leftovers"] if entry["kind"] == kind]
        return [{"name": entry["name"], "text": entry["text"]} for entry in found]

    return rule


def _channel_off(vault: Data, info: Data) -> t.List[Words]:
    variable = {"legacy": LEGACY_VARIABLES, "single_port": MODERN_VARIABLES}.get(vault["era"], ("",))[0]
    return [{"variable": variable}] if variable and not vault["live"] else []


def _moving_tag(vault: Data, info: Data) -> t.List[Words]:
    tag = vault["tag"] or ("" if "@" in vault["image"] or vault["image"].startswith("sha256:") else "latest")
    return [{"image": vault["image"]}] if _MOVING_TAGS.fullmatch(tag) else []


def _plain_route(name: str) -> t.Callable[[Data, Data], t.List[Words]]:
    def rule(vault: Data, info: Data) -> t.List[Words]:
        if vault["era"] not in ("bridge", "single_port"):
            return []
        return [
            {"file": site["file"], "path": route["path"]}
            for site in _own_sites(vault, info)
            for route in [site["routes"][name]]
            if route["port"] == "http"
            and route["upgrade"] is False
            # Where both lose it, the first says so for both.
            and (name == "hub" or site["routes"]["hub"]["upgrade"] is not False)
        ]

    return rule


def _no_address(vault: Data, info: Data) -> t.List[Words]:
    header = vault["environment"].get("IP_HEADER", "")
    return [{}] if header.lower() == "none" and _own_sites(vault, info) else []


def _proxy_as_client(vault: Data, info: Data) -> t.List[Words]:
    seen, header = vault["proxy_as_client"], vault["environment"].get("IP_HEADER", "X-Real-IP")
    # Where it is set to be so, that is the cause, and another rule says it.
    if not seen or header.lower() == "none":
        return []
    return [{"header": header, **{name: str(seen[name]) for name in ("address", "times", "place")}}]


def _trusts_all(vault: Data, info: Data) -> t.List[Words]:
    trusted = vault["environment"].get("IP_HEADER_TRUSTED_PROXIES", "").lower().split(",")
    return [{}] if "all" in [entry.strip() for entry in trusted] else []


def _open_port(vault: Data, info: Data) -> t.List[Words]:
    ports = sorted({port["host"] for port in vault["published_ports"] if port["address"] in _EVERY_ADDRESS})
    return [{"ports": ", ".join(map(str, ports))}] if ports else []


def _engine_floor(vault: Data, info: Data) -> t.List[Words]:
    engine = info.get("engine") or {}
    floor = str(engine.get("oldest_api") or "")
    traefik = str(((info.get("proxies") or {}).get("traefik") or {}).get("version") or "")
    # By what the engine refuses and not by its release: a floor can be lowered for such clients, and raised.
    if not traefik or not vault["label_router"] or _numbers(floor) <= _TRAEFIK_API:
        return []
    fine = _products.holds("traefik_engine_api", traefik) is not False
    return [] if fine else [{"engine": engine["version"], "traefik": traefik, "floor": floor}]


def _numbers(version: str) -> t.Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3]) or (0,)


def _overridden_domain(vault: Data, info: Data) -> t.List[Words]:
    wanted, saved = vault["environment"].get("DOMAIN"), vault["config_json"]["values"].get("DOMAIN")
    return [{"wanted": wanted, "saved": saved}] if wanted and saved and wanted != saved else []


def _overridden(vault: Data, info: Data) -> t.List[Words]:
    saved, wanted = vault["config_json"]["values"], vault["environment"]
    names = [
        name
        for name in vault["config_json"]["overrides"]
        if name != "DOMAIN" and (name not in saved or saved[name] != wanted.get(name))
    ]
    return [{"names": ", ".join(names)}] if names else []


def _broken_config(vault: Data, info: Data) -> t.List[Words]:
    return [{}] if vault["config_json"]["broken"] else []


def _damaged_token(vault: Data, info: Data) -> t.List[Words]:
    return [{}] if vault.get("admin_token_form") == "damaged" else []


def _wrong_domain(vault: Data, info: Data) -> t.List[Words]:
    domain = vault["environment"].get("DOMAIN", "")
    return [{"domain": domain}] if domain and not re.match(r"https?://", domain) else []


def _plain_domain(vault: Data, info: Data) -> t.List[Words]:
    domain = vault["environment"].get("DOMAIN", "")
    return [{"domain": domain}] if domain.startswith("http://") else []


def _pushes(vault: Data) -> bool:
    return str(vault["environment"].get("PUSH_ENABLED", "")).lower() in _TRUE


def _push_without_keys(vault: Data, info: Data) -> t.List[Words]:
    given = {*vault["secret_names"], *vault["secret_files"], *vault["environment"], *vault["config_json"]["names"]}
    missing = [name for name in _PUSH_SECRETS if name not in given]
    return [{"names": " and ".join(missing)}] if _pushes(vault) and missing else []


def _mixed_regions(vault: Data, info: Data) -> t.List[Words]:
    relay, identity = (vault["environment"].get(name, "") for name in _PUSH_PLACES)
    mixed = (".eu" in relay) != (".eu" in identity) or _RETIRED_RELAY in relay
    return [{"relay": relay or "unset", "identity": identity or "unset"}] if _pushes(vault) and mixed else []


def _unhealthy(vault: Data, info: Data) -> t.List[Words]:
    # The engine says so of a container that waits for its next start as well, which is another finding.
    return [{}] if vault.get("health") == "unhealthy" and vault["status"] == "running" else []


def _no_volume(vault: Data, info: Data) -> t.List[Words]:
    data = vault["data"]
    return [{"folder": data["folder"]}] if not data["type"] or _ANONYMOUS_VOLUME.fullmatch(data["volume"]) else []


def _restarts(vault: Data, info: Data) -> t.List[Words]:
    return [{}] if vault["status"] == "restarting" else []


def _proxy_stopped(vault: Data, info: Data) -> t.List[Words]:
    proxies = info.get("proxies") or {}
    return [
        {"proxy": site["provider"], "site": site["site"], "process": site["process"]}
        for site in info.get("own_sites") or []
        if vault["managed"] and not (proxies.get(site["provider"]) or {"running": False}).get("running", True)
    ]


def _network_share(vault: Data, info: Data) -> t.List[Words]:
    data = vault["data"]
    share = data["network_share"] and vault["database"].startswith("sqlite")
    return [{"file_system": data["file_system"], "path": data["path"]}] if share else []


_RULES: t.Dict[str, t.Callable[[Data, Data], t.List[Words]]] = {
    "stale_route": _leftover("route"),
    "ignored_variable": _leftover("variable"),
    "channel_off": _channel_off,
    "moving_tag": _moving_tag,
    "stale_port": _leftover("port"),
    "plain_hub": _plain_route("hub"),
    "plain_anonymous_hub": _plain_route("anonymous_hub"),
    "plain_domain": _plain_domain,
    "no_address": _no_address,
    "proxy_as_client": _proxy_as_client,
    "trusts_all": _trusts_all,
    "open_port": _open_port,
    "engine_floor": _engine_floor,
    "overridden_domain": _overridden_domain,
    "overridden": _overridden,
    "broken_config": _broken_config,
    "damaged_token": _damaged_token,
    "wrong_domain": _wrong_domain,
    "push_without_keys": _push_without_keys,
    "mixed_regions": _mixed_regions,
    "unhealthy": _unhealthy,
    "no_volume": _no_volume,
    "restarts": _restarts,
    "network_share": _network_share,
    "proxy_stopped": _proxy_stopped,
}

TEXTS: t.Dict[str, Text] = {
    "stale_route": Text(
        "VW-A01",
        "{text}",
        "The rule is left over from the layout with two ports.",
        "Remove the rule for the hub from {name}; one rule for / to the HTTP port, with upgrades, serves everything.",
    ),
    "ignored_variable": Text(
        "VW-A02",
        "The container {vault} has the variable {name}. {text}",
        "It belongs to releases of another layout. Nothing in the server warns of it.",
        "Remove {name} from the container's environment.",
        "warning",
    ),
    "channel_off": Text(
        "VW-A03",
        "The live channel of the container {vault} is switched off by its settings.",
        "{variable} is not true.",
        "Set {variable} to true, and start the server again. If it is off on purpose, do not run this check.",
        "warning",
    ),
    "moving_tag": Text(
        "VW-A06",
        "The container {vault} was made from {image}, a tag that moves.",
        "With the next pull another release runs, while the proxy stays as it is.",
        "Name a full release, in this collection with vaultwarden_version.",
        "warning",
    ),
    "stale_port": Text(
        "VW-A07",
        "The container {vault} publishes a port for nothing. {text}",
        "It is left over from the layout with two ports, or from a guide that still teaches it.",
        "Remove the published port {name}, and every rule of proxy and firewall for it.",
        "warning",
    ),
    "plain_hub": Text(
        "VW-B01",
        "{file} sends {path} to the server without passing upgrades on.",
        "The location that serves the path lacks HTTP/1.1 or the headers Upgrade and Connection, or gives Connection "
        "another value.",
        "In {file}, set proxy_http_version 1.1, Upgrade to $http_upgrade and Connection to upgrade in the location "
        "that serves {path}.",
    ),
    "plain_anonymous_hub": Text(
        "VW-C01",
        "{file} passes upgrades on for the hub, but not for {path}: login with device will not work.",
        "The rule that passes them on matches the hub only.",
        "In {file}, let that rule match everything below /notifications/, or /.",
    ),
    "plain_domain": Text(
        "VW-C18",
        "DOMAIN of the container {vault} is {domain}, without TLS.",
        "Clients refuse plain http, for the address of the live channel as well.",
        "Set DOMAIN to the https address, in this collection with vaultwarden_domain.",
        "warning",
    ),
    "no_address": Text(
        "VW-D01",
        "The server in {vault} takes the proxy for its client, since IP_HEADER is none.",
        "Limits and bans then hit everybody at once.",
        "Let the proxy overwrite X-Real-IP, and remove IP_HEADER, or name the header that the proxy sets.",
        "warning",
    ),
    "proxy_as_client": Text(
        "VW-D01",
        "The server in {vault} takes the proxy for its client: the newest {times} sign-ins and sockets in its log all "
        "come from {address}, {place}.",
        "The proxy does not hand on the client's address in {header}, or IP_HEADER_TRUSTED_PROXIES leaves the proxy "
        "out. Limits and bans then hit everybody at once.",
        "Let the proxy overwrite {header} with the address of its peer, or name the header that it sets in IP_HEADER; "
        "list the proxy where there is a list. One sign-in under another address ends this warning.",
        "warning",
    ),
    "trusts_all": Text(
        "VW-D01",
        "The server in {vault} believes every sender what client it stands for.",
        "IP_HEADER_TRUSTED_PROXIES is all, so whoever reaches the port can pretend to be anybody.",
        "List the proxy's addresses there, in this collection with vaultwarden_trusted_proxies.",
        "warning",
    ),
    "open_port": Text(
        "VW-D06",
        "The container {vault} publishes {ports} on every address of the host.",
        "The engine's own rules come before the firewall's, so the server answers everybody in clear text.",
        "Publish on 127.0.0.1, or on the private address that the proxy connects to; in this collection with "
        "vaultwarden_bind_address.",
        "warning",
    ),
    "engine_floor": Text(
        "VW-D10",
        "Traefik {traefik} cannot read the labels of Docker {engine}.",
        "The engine speaks no interface older than {floor}, and this Traefik only 1.24, so all its routes answer 404.",
        "Use Traefik 2.11.31, 3.6.1 or newer.",
    ),
    "overridden_domain": Text(
        "VW-E01",
        "The server in {vault} uses {saved} as its DOMAIN, and not {wanted}.",
        "The admin page saved it to config.json, which beats the container's environment.",
        "Change it in the admin page, or remove domain from config.json while the server is stopped.",
    ),
    "overridden": Text(
        "VW-E01",
        "Settings of {vault} in its environment have no effect: {names}.",
        "The admin page saved them to config.json, which beats the environment.",
        "Change them in the admin page, or remove them from config.json while the server is stopped.",
        "warning",
    ),
    "broken_config": Text(
        "VW-E01",
        "The config.json of {vault} cannot be read.",
        "It is no JSON, or no object. The server ignores all of it without a word.",
        "Repair it, or move it away if what the admin page saved is not needed.",
    ),
    "damaged_token": Text(
        "VW-E02",
        "The ADMIN_TOKEN of {vault} is a hash that arrived damaged. Nothing of its value is shown.",
        "Its dollars were expanded by compose or a shell, or quotes became part of it.",
        "In the YAML of compose write each $ as $$, in its .env file use single quotes, and for docker run no quotes "
        "at all; in this collection set vaultwarden_admin_token.",
    ),
    "wrong_domain": Text(
        "VW-E05",
        "DOMAIN of the container {vault} is {domain}, which does not begin with https://.",
        "The server needs a whole address, and builds its routes and tokens from it.",
        "Set it to what users type, such as https://vault.example.com.",
    ),
    "push_without_keys": Text(
        "VW-E06",
        "Push to mobile apps is on in {vault}, but {names} is missing.",
        "The server does not start like this, or does so only until its next start.",
        "Get both from bitwarden.com/host, in this collection into vaultwarden_secrets; or set PUSH_ENABLED to false.",
    ),
    "mixed_regions": Text(
        "VW-E07",
        "Push of {vault} mixes regions: PUSH_RELAY_URI is {relay}, PUSH_IDENTITY_URI is {identity}.",
        "Keys belong to one region, and both addresses must be of it. Mobile apps use push, not the hub.",
        "For keys of the EU set https://api.bitwarden.eu and https://identity.bitwarden.eu; else set neither. In this "
        "collection set vaultwarden_push_region.",
    ),
    "unhealthy": Text(
        "VW-F01",
        "The engine says that {vault} is unhealthy.",
        "The server does not answer its health check, or the check asks a wrong address: it builds that from "
        "ROCKET_ADDRESS, ROCKET_PORT and the path of DOMAIN, in the environment and in config.json.",
        "Look at the log of the check with docker inspect, and set DOMAIN with its path in the environment.",
    ),
    "no_volume": Text(
        "VW-F03",
        "The data of {vault} in {folder} lies in no folder and no named volume.",
        "When the container is made anew, the vault will be empty.",
        "Copy the data out with the server stopped, and mount a folder of the host or a named volume there.",
    ),
    "restarts": Text(
        "VW-F05",
        "The container {vault} keeps restarting.",
        "The server ends as soon as it starts: its log says why, often a migration of the database that fails.",
        "Stop it and read docker logs. After an upgrade restore image and database together.",
    ),
    "network_share": Text(
        "VW-F08",
        "The SQLite database of {vault} is on a network share ({file_system} at {path}).",
        "Such shares do not lock as SQLite needs it, so the database can be damaged.",
        "Move the data to a local disk, or use another database.",
        "warning",
    ),
    "proxy_stopped": Text(
        "VW-T02",
        "The proxy {proxy} does not run on this host. It has the site {site} of {vault}.",
        "It was stopped, or did not start: a configuration that it refuses, or a port that another program holds.",
        "Look at 'systemctl status' and the journal of {process}, correct what they report, and start it.",
    ),
    "unreadable": Text(
        "VW-X01",
        "{text}",
        "This check cannot read it, and so knows nothing of the routes in it: faults there are not named.",
        "Let the proxy check it, with nginx -t or caddy validate. Where that finds nothing, compare the rules for the "
        "hubs with docs/proxies.md.",
        "warning",
    ),
}
