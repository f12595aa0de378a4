# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests for a vault outside the cluster: where each path leads, and that they name each other rightly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import yaml
from rendered import text

every = pytest.mark.parametrize("base", ["", "/vault"])
layouts = pytest.mark.parametrize("layout", ["legacy", "single_port"])
PLAIN = ("/notifications/hub/negotiate", "/notifications/anonymous-hub", "/api/sync", "/")


def manifests(product: str, **chosen: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    documents = list(yaml.safe_load_all(text(product, **chosen)))
    for document in documents:
        found.setdefault(document["kind"], []).append(document)
    names = Counter((document["kind"], document["metadata"]["name"]) for document in documents)
    assert set(names.values()) == {1}
    return found


def addresses(found: dict[str, list[Any]]) -> dict[str, int]:
    """The port of the vault behind each Service."""
    ports = {}
    for service, slices in zip(found["Service"], found["EndpointSlice"], strict=True):
        name = service["metadata"]["name"]
        assert "selector" not in service["spec"]
        assert slices["metadata"]["labels"] == {"kubernetes.io/service-name": name}
        assert slices["endpoints"][0]["addresses"] == ["192.0.2.1"]
        port = service["spec"]["ports"][0]
        assert (port["name"], port["targetPort"]) == (slices["ports"][0]["name"], slices["ports"][0]["port"])
        ports[name] = slices["ports"][0]["port"]
    return ports


def below(path: str, prefix: str) -> bool:
    """Prefixes of Kubernetes end with an element of the path."""
    return f"{path.rstrip('/')}/".startswith(f"{prefix.rstrip('/')}/")


def check(port: Any, layout: str, base: str) -> None:
    assert port(f"{base}/notifications/hub") == (8081 if layout == "legacy" else 8080)
    for path in PLAIN:
        assert port(base + path) == 8080
    if base:
        assert port("/elsewhere") is None


@every
@layouts
def test_an_ingress_sends_each_path_where_it_belongs(layout: str, base: str) -> None:
    found = manifests("kubernetes_ingress", layout=layout, base=base, admin_networks=["192.0.2.0/24", "2001:db8::/32"])
    ports = addresses(found)

    def rule(path: str) -> tuple[Any, Any] | None:
        """What nginx takes: the exact path, else the longest prefix."""
        rules = [
            (item["pathType"] == "Exact", len(item["path"]), item, ingress["metadata"]["annotations"])
            for ingress in found["Ingress"]
            for item in ingress["spec"]["rules"][0]["http"]["paths"]
            if (item["path"] == path if item["pathType"] == "Exact" else below(path, item["path"]))
        ]
        return max(rules, key=lambda found: found[:2])[2:] if rules else None

    def port(path: str) -> int | None:
        taken = rule(path)
        return ports[taken[0]["backend"]["service"]["name"]] if taken else None

    def annotation(path: str, name: str) -> str | None:
        taken = rule(path)
        assert taken
        return taken[1].get(f"nginx.ingress.kubernetes.io/{name}")

    check(port, layout, base)
    for hub in ("hub", "anonymous-hub"):
        assert annotation(f"{base}/notifications/{hub}", "enable-access-log") == "false"
        assert annotation(f"{base}/notifications/{hub}", "proxy-read-timeout") == "90"
    assert annotation(f"{base}/api/sync", "proxy-body-size") == "525M"
    assert annotation(f"{base}/admin/users", "whitelist-source-range") == "192.0.2.0/24,2001:db8::/32"
    assert annotation(f"{base}/administration", "whitelist-source-range") is None
    if base:
        assert annotation(base, "permanent-redirect") == f"https://vault.example.com{base}/"
    assert {ingress["spec"]["tls"][0]["secretName"] for ingress in found["Ingress"]} == {"vaultwarden-tls"}


@every
@layouts
def test_the_gateway_api_sends_each_path_where_it_belongs(layout: str, base: str) -> None:
    found = manifests("kubernetes_gateway", layout=layout, base=base)
    ports = addresses(found)
    site, redirect = found["HTTPRoute"]
    listeners = {listener["name"]: listener for listener in found["Gateway"][0]["spec"]["listeners"]}

    def taken(path: str) -> Any:
        rules = [
            (match["path"]["type"] == "Exact", len(match["path"]["value"]), rule)
            for rule in site["spec"]["rules"]
            for match in rule["matches"]
            if (
                match["path"]["value"] == path
                if match["path"]["type"] == "Exact"
                else below(path, match["path"]["value"])
            )
        ]
        return max(rules, key=lambda found: found[:2])[2] if rules else None

    def port(path: str) -> int | None:
        rule = taken(path)
        if not rule:
            return None
        backend = rule["backendRefs"][0]
        assert backend["port"] == ports[backend["name"]]
        assert rule["timeouts"] == {"request": "0s"}
        return ports[backend["name"]]

    check(port, layout, base)
    if base:
        assert taken(base)["filters"][0]["requestRedirect"]["path"]["replaceFullPath"] == f"{base}/"
    assert listeners["https"]["tls"]["certificateRefs"] == [{"name": "vaultwarden-tls"}]
    for route, listener in ((site, "https"), (redirect, "http")):
        assert route["spec"]["parentRefs"] == [{"name": "vaultwarden", "sectionName": listener}]
        assert listeners[listener]["hostname"] in route["spec"]["hostnames"]
    assert redirect["spec"]["rules"][0]["filters"][0]["requestRedirect"]["scheme"] == "https"


@every
@layouts
def test_istio_sends_each_path_where_it_belongs(layout: str, base: str) -> None:
    found = manifests("istio", layout=layout, base=base)
    entries = {entry["spec"]["hosts"][0]: entry["spec"] for entry in found["ServiceEntry"]}
    service = found["VirtualService"][0]["spec"]

    def taken(path: str) -> Any:
        for rule in service["http"]:
            ((kind, value),) = rule["match"][0]["uri"].items()
            if path == value if kind == "exact" else path.startswith(value):
                return rule
        return None

    def port(path: str) -> int | None:
        rule = taken(path)
        if not rule:
            return None
        target = rule["route"][0]["destination"]
        assert rule["timeout"] == "0s"
        assert rule["headers"]["request"]["set"]["X-Real-IP"] == "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
        assert entries[target["host"]]["ports"][0]["number"] == target["port"]["number"]
        assert entries[target["host"]]["endpoints"] == [{"address": "192.0.2.1"}]
        return int(target["port"]["number"])

    check(port, layout, base)
    if base:
        assert taken(base)["redirect"]["uri"] == f"{base}/"
    assert {policy["spec"]["host"] for policy in found["DestinationRule"]} == set(entries)
    for policy in found["DestinationRule"]:
        assert policy["spec"]["trafficPolicy"]["connectionPool"]["http"]["h2UpgradePolicy"] == "DO_NOT_UPGRADE"
    assert service["gateways"] == [found["Gateway"][0]["metadata"]["name"]]
    assert {tuple(server["hosts"]) for server in found["Gateway"][0]["spec"]["servers"]} == {tuple(service["hosts"])}
