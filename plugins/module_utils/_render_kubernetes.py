# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests for a vault outside the cluster, as data: Ingress, Gateway API and Istio. Pure: no Ansible imports."""

from __future__ import annotations

import typing as t

Plan = t.Mapping[str, t.Any]
Manifest = t.Dict[str, t.Any]


def _manifest(kind: str, version: str, name: str, **rest: t.Any) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}


def _service_name(plan: Plan, number: int) -> str:
    """The last route takes everything, and so the name of the site."""
    return plan["site"] if number == len(plan["routes"]) - 1 else f"{plan['site']}-{number}"


def _services(plan: Plan) -> t.List[Manifest]:
    """A Service without a selector for each upstream, and the address behind it."""
    manifests = []
    for number, route in enumerate(plan["routes"]):
        name = _service_name(plan, number)
        port = {"name": "http", "protocol": "TCP", "port": route["port"]}
        manifests.append(_manifest("Service", "v1", name, spec={"ports": [{**port, "targetPort": route["port"]}]}))
        endpoints = _manifest(
            "EndpointSlice",
            "discovery.k8s.io/v1",
            name,
            addressType="IPv6" if ":" in route["address"] else "IPv4",
            ports=[port],
            endpoints=[{"addresses": [route["address"]], "conditions": {"ready": True}}],
        )
        endpoints["metadata"]["labels"] = {"kubernetes.io/service-name": name}
        manifests.append(endpoints)
    return manifests


def ingress(plan: Plan) -> t.List[Manifest]:
    """For the controller ingress-nginx, which passes upgrades on by itself."""
    last = len(plan["routes"]) - 1
    prefix = plan["routes"][last]["path"]
    exact = [("Exact", route["path"], number) for number, route in enumerate(plan["routes"][:last])]
    # The query of the hubs holds the client's token, and the log has queries.
    live = [*exact, ("Prefix", f"{prefix}notifications", last)]
    manifests = [
        *_services(plan),
        _ingress(plan, "live", live, {"enable-access-log": "false"}),
        _ingress(plan, "", [("Prefix", prefix, last)], {}),
    ]
    if plan["admin_networks"]:
        allowed = {"whitelist-source-range": ",".join(plan["admin_networks"])}
        manifests.append(_ingress(plan, "admin", [("Prefix", f"{prefix}admin", last)], allowed))
    if plan["base"]:
        target = {"permanent-redirect": f"{plan['origin']}{plan['base']}/", "permanent-redirect-code": "308"}
        manifests.append(_ingress(plan, "slash", [("Exact", plan["base"], last)], target))
    return manifests


def _ingress(
    plan: Plan, part: str, paths: t.Sequence[t.Tuple[str, str, int]], annotations: t.Mapping[str, str]
) -> Manifest:
    settings = {
        "proxy-body-size": str(plan["max_body"]),
        "proxy-read-timeout": str(plan["read_timeout"]),
        "proxy-send-timeout": str(plan["read_timeout"]),
        **annotations,
    }
    rules = [
        {
            "path": path,
            "pathType": kind,
            "backend": {"service": {"name": _service_name(plan, number), "port": {"name": "http"}}},
        }
        for kind, path, number in paths
    ]
    manifest = _manifest(
        "Ingress",
        "networking.k8s.io/v1",
        f"{plan['site']}-{part}" if part else plan["site"],
        spec={
            "ingressClassName": "nginx",
            "tls": [{"hosts": [plan["host"]], "secretName": f"{plan['site']}-tls"}],
            "rules": [{"host": plan["host"], "http": {"paths": rules}}],
        },
    )
    manifest["metadata"]["annotations"] = {
        f"nginx.ingress.kubernetes.io/{name}": value for name, value in settings.items()
    }
    return manifest


def gateway(plan: Plan) -> t.List[Manifest]:
    """For any controller of the Gateway API; rules with an exact path outrank those with a prefix."""
    version, site = "gateway.networking.k8s.io/v1", plan["site"]
    listeners: t.List[Manifest] = [
        {
            "name": "https",
            "protocol": "HTTPS",
            "port": plan["port"],
            "hostname": plan["host"],
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": f"{site}-tls"}]},
        }
    ]
    rules: t.List[Manifest] = []
    for number, route in enumerate(plan["routes"]):
        kind = "Exact" if route["match"] == "exact" else "PathPrefix"
        rules.append(
            {
                "matches": [{"path": {"type": kind, "value": route["path"]}}],
                "backendRefs": [{"name": _service_name(plan, number), "port": route["port"]}],
                # Without an end: downloads and sockets last.
                "timeouts": {"request": "0s"},
            }
        )
    if plan["base"]:
        target = {"path": {"type": "ReplaceFullPath", "replaceFullPath": f"{plan['base']}/"}, "statusCode": 301}
        rules.append(
            {
                "matches": [{"path": {"type": "Exact", "value": plan["base"]}}],
                "filters": [{"type": "RequestRedirect", "requestRedirect": target}],
            }
        )
    manifests = [
        *_services(plan),
        _manifest(
            "Gateway", version, site, spec={"gatewayClassName": "the-class-of-your-cluster", "listeners": listeners}
        ),
        _route(plan, site, "https", rules),
    ]
    if plan["http_port"]:
        listeners.append(
            {"name": "http", "protocol": "HTTP", "port": plan["http_port"], "hostname": plan["host"]},
        )
        target = {"scheme": "https", "port": plan["port"], "statusCode": 301}
        redirect = {"filters": [{"type": "RequestRedirect", "requestRedirect": target}]}
        manifests.append(_route(plan, f"{site}-https", "http", [redirect]))
    return manifests


def _route(plan: Plan, name: str, listener: str, rules: t.List[Manifest]) -> Manifest:
    parents = [{"name": plan["site"], "sectionName": listener}]
    spec = {"parentRefs": parents, "hostnames": [plan["host"]], "rules": rules}
    return _manifest("HTTPRoute", "gateway.networking.k8s.io/v1", name, spec=spec)


def istio(plan: Plan) -> t.List[Manifest]:
    """For Istio's own interface; the first rule of a VirtualService that fits is taken."""
    version, site = "networking.istio.io/v1", plan["site"]
    servers: t.List[Manifest] = [
        {
            "port": {"number": plan["port"], "name": "https", "protocol": "HTTPS"},
            "hosts": [plan["host"]],
            "tls": {"mode": "SIMPLE", "credentialName": f"{site}-tls", "minProtocolVersion": "TLSV1_2"},
        }
    ]
    if plan["http_port"]:
        servers.append(
            {
                "port": {"number": plan["http_port"], "name": "http", "protocol": "HTTP"},
                "hosts": [plan["host"]],
                "tls": {"httpsRedirect": True},
            }
        )
    manifests = [
        _manifest("Gateway", version, site, spec={"selector": {"istio": "ingressgateway"}, "servers": servers})
    ]
    # The address of the peer, or what numTrustedProxies makes of it; what the client claims is overwritten.
    peer = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    rules: t.List[Manifest] = []
    for number, route in enumerate(plan["routes"]):
        name = _service_name(plan, number)
        host = f"{name}.vaultwire.internal"
        entry = {
            "hosts": [host],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": route["port"], "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": route["address"]}],
        }
        pool = {
            "tcp": {"connectTimeout": "5s"},
            # Sockets need HTTP/1.1 on the way to the server.
            "http": {"h2UpgradePolicy": "DO_NOT_UPGRADE", "idleTimeout": f"{plan['upstream_idle']}s"},
        }
        policy = {"host": host, "trafficPolicy": {"connectionPool": pool, "tls": {"mode": "DISABLE"}}}
        manifests += [
            _manifest("ServiceEntry", version, name, spec=entry),
            _manifest("DestinationRule", version, name, spec=policy),
        ]
        rules.append(
            {
                "match": [{"uri": {route["match"]: route["path"]}}],
                "route": [{"destination": {"host": host, "port": {"number": route["port"]}}}],
                "timeout": "0s",
                "headers": {"request": {"set": {"X-Real-IP": peer}}},
            }
        )
    if plan["base"]:
        target = {"uri": f"{plan['base']}/", "scheme": "https", "redirectCode": 308}
        rules.append({"match": [{"uri": {"exact": plan["base"]}}], "redirect": target})
    service = {"hosts": [plan["host"]], "gateways": [site], "http": rules}
    return [*manifests, _manifest("VirtualService", version, site, spec=service)]
