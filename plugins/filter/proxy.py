# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the reverse proxy: thin shells over the pure functions of its settings."""

from __future__ import annotations

import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _proxy


class FilterModule:
    """The filters of the role reverse_proxy."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        """Name to function."""
        return {
            "absent_files": _proxy.absent_files,
            "apache_listen": _proxy.apache_listen,
            "body_bytes": _proxy.body_bytes,
            "caddyfile_with_imports": _proxy.caddyfile_with_imports,
            "traefik_site": _proxy.traefik_site,
            "traefik_static": _proxy.traefik_static,
            "traefik_trial": _proxy.traefik_trial,
            "with_host": _proxy.with_host,
        }
