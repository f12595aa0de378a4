# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the reverse proxy: thin shells over the pure functions of its settings."""

from __future__ import annotations

import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _footprint, _products, _proxy, _render


def proxy_check(provider: str) -> t.List[str]:
    """``'nginx'`` -> the command and arguments of its own checker."""
    return list(_footprint.FOOTPRINTS[provider].check)


def proxy_has(version: str, fact: str) -> bool:
    """``'1.30.6' | vaultwire.stack.proxy_has('nginx_http2_directive')`` -> whether the release has that, if known."""
    return bool(_products.holds(fact, version))


def proxy_folders(provider: str) -> t.List[str]:
    """``'caddy'`` -> patterns of the folders that go when no site needs them any more."""
    return list(_footprint.FOOTPRINTS[provider].folders)


class FilterModule:
    """The filters of the role reverse_proxy."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        """Name to function."""
        return {
            "absent_files": _proxy.absent_files,
            "apache_listen": _proxy.apache_listen,
            "body_bytes": _proxy.body_bytes,
            "caddy_ports": _proxy.caddy_ports,
            "caddyfile_with_imports": _proxy.caddyfile_with_imports,
            "host_problem": _proxy.host_problem,
            "hop_problem": _proxy.hop_problem,
            "other_networks": _proxy.other_networks,
            "port_problems": _proxy.port_problems,
            "proxy_check": proxy_check,
            "proxy_has": proxy_has,
            "proxy_folders": proxy_folders,
            "render_choice": _render.render_choice,
            "render_plan": _render.render_plan,
            "split_problems": _proxy.split_problems,
            "traefik_site": _proxy.traefik_site,
            "traefik_static": _proxy.traefik_static,
            "traefik_trial": _proxy.traefik_trial,
            "with_host": _proxy.with_host,
        }
