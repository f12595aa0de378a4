# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of an Envoy for a vault, as data. Pure: no Ansible imports."""

from __future__ import annotations

import ipaddress
import typing as t

Plan = t.Mapping[str, t.Any]
Document = t.Dict[str, t.Any]

_LONGEST = 2**63 - 1
_ENVOY = "type.googleapis.com/envoy.extensions"


def envoy(plan: Plan) -> t.List[Document]:
    """The whole configuration of an Envoy that serves this vault."""
    listeners = [_envoy_listener("https", plan["port"], _envoy_site(plan))]
    listeners[0]["filter_chains"][0].update(_envoy_tls(plan))
    if plan["host_is_name"]:
        listeners[0]["listener_filters"] = [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {"@type": f"{_ENVOY}.filters.listener.tls_inspector.v3.TlsInspector"},
            }
        ]
        listeners[0]["filter_chains"][0]["filter_chain_match"] = {"server_names": [plan["host"]]}
    if plan["http_port"]:
        listeners.append(_envoy_listener("http", plan["http_port"], _envoy_redirect(plan)))
    clusters = [_envoy_cluster(plan, number, route) for number, route in enumerate(plan["routes"])]
    connections = {
        "@type": f"{_ENVOY}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": plan["connections"],
    }
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections}
    return [
        {
            "static_resources": {"listeners": listeners, "clusters": clusters},
            "overload_manager": {"resource_monitors": [monitor]},
        }
    ]


def _envoy_listener(name: str, port: int, manager: Document) -> Document:
    return {
        "name": name,
        "address": {"socket_address": {"address": "::", "ipv4_compat": True, "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _envoy_tls(plan: Plan) -> Document:
    context = {
        "@type": f"{_ENVOY}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            # Browsers open sockets over HTTP/1.1 whatever they load pages with.
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": plan["certificate"]},
                    "private_key": {"filename": plan["key"]},
                }
            ],
        },
    }
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def _envoy_manager(name: str, plan: Plan, routes: t.List[Document], filters: t.List[Document]) -> Document:
    router = {"@type": f"{_ENVOY}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    # REQ_WITHOUT_QUERY: clients send their token in the query of the hub.
    line = (
        '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% [%START_TIME%] "%REQ(:METHOD)% %REQ_WITHOUT_QUERY(:PATH)% %PROTOCOL%"'
        " %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_SENT% %DURATION%\n"
    )
    return {
        "@type": f"{_ENVOY}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"{plan['name']}_{name}",
        "access_log": [
            {
                "name": "envoy.access_loggers.stdout",
                "typed_config": {
                    "@type": f"{_ENVOY}.access_loggers.stream.v3.StdoutAccessLog",
                    "log_format": {
                        "text_format_source": {"inline_string": line},
                        "formatters": [
                            {
                                "name": "envoy.formatter.req_without_query",
                                "typed_config": {"@type": f"{_ENVOY}.formatter.req_without_query.v3.ReqWithoutQuery"},
                            }
                        ],
                    },
                },
            }
        ],
        **_envoy_client_address(plan),
        "server_header_transformation": "PASS_THROUGH",
        # The path goes on as it is.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        # Silence before a cut, for sockets as well; a connection without requests is let go of.
        "stream_idle_timeout": f"{plan['read_timeout']}s",
        "request_headers_timeout": "30s",
        "common_http_protocol_options": {"idle_timeout": "180s"},
        "route_config": {
            "name": name,
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [{"name": plan["site"], "domains": [plan["host"]], "routes": routes}],
        },
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
    }


def _envoy_client_address(plan: Plan) -> Document:
    """The address of the peer, or what a trusted hop says; never what the client claims."""
    if not plan["trusted_hops"]:
        return {"use_remote_address": True}
    networks = [ipaddress.ip_network(str(hop)) for hop in plan["trusted_hops"]]
    detection = {
        "@type": f"{_ENVOY}.http.original_ip_detection.xff.v3.XffConfig",
        "xff_trusted_cidrs": {"cidrs": [_envoy_cidr(network) for network in networks]},
    }
    return {
        "use_remote_address": False,
        "original_ip_detection_extensions": [
            {"name": "envoy.http.original_ip_detection.xff", "typed_config": detection}
        ],
    }


def _envoy_cidr(network: t.Any) -> Document:
    return {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}


def _envoy_site(plan: Plan) -> Document:
    routes: t.List[Document] = [
        {
            # By the announced length: to count a body, Envoy would have to keep all of it in memory.
            "match": {
                "prefix": "/",
                "headers": [
                    {
                        "name": "content-length",
                        "range_match": {"start": plan["max_body_bytes"] + 1, "end": _LONGEST},
                    }
                ],
            },
            "direct_response": {"status": 413},
        }
    ]
    if not plan["max_body_bytes"]:
        routes = []
    for number, route in enumerate(plan["routes"]):
        routes.append(
            {
                "match": {"path" if route["match"] == "exact" else "prefix": route["path"]},
                # Downloads and sockets last; the timeout of a route would end them after 15 seconds.
                "route": {"cluster": _cluster_name(plan, number), "timeout": "0s"},
            }
        )
    if plan["base"]:
        target = {"https_redirect": True, "path_redirect": f"{plan['base']}/", "response_code": "PERMANENT_REDIRECT"}
        routes.append({"match": {"path": plan["base"]}, "redirect": target})
    manager = _envoy_manager("https", plan, routes, _envoy_admin(plan))
    manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    peer = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    manager["route_config"]["request_headers_to_add"] = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in (("X-Real-IP", peer), ("X-Forwarded-For", peer), ("X-Forwarded-Proto", "https"))
    ]
    return manager


def _envoy_admin(plan: Plan) -> t.List[Document]:
    """403 for the admin page outside the given networks."""
    if not plan["admin_networks"]:
        return []
    networks = [ipaddress.ip_network(str(network)) for network in plan["admin_networks"]]
    others = {"not_id": {"or_ids": {"ids": [{"remote_ip": _envoy_cidr(network)} for network in networks]}}}
    policy = {
        "permissions": [{"url_path": {"path": {"safe_regex": {"regex": plan["admin_spellings"]}}}}],
        "principals": [others],
    }
    rules = {"action": "DENY", "policies": {"admin page": policy}}
    rbac = {"@type": f"{_ENVOY}.filters.http.rbac.v3.RBAC", "rules": rules}
    return [{"name": "envoy.filters.http.rbac", "typed_config": rbac}]


def _envoy_redirect(plan: Plan) -> Document:
    target: Document = {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"}
    if plan["port"] != 443:
        target["port_redirect"] = plan["port"]
    return _envoy_manager("http", plan, [{"match": {"prefix": "/"}, "redirect": target}], [])


def _cluster_name(plan: Plan, number: int) -> str:
    return f"{plan['name']}_{number}"


def _envoy_cluster(plan: Plan, number: int, route: Plan) -> Document:
    name = _cluster_name(plan, number)
    # Each client's socket takes a connection and a request; by default Envoy stops at 1024.
    limit = plan["connections"]
    options = {
        "@type": f"{_ENVOY}.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": f"{plan['upstream_idle']}s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    endpoint = {"address": {"socket_address": {"address": route["address"], "port_value": route["port"]}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": limit, "max_pending_requests": limit, "max_requests": limit}]
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
