# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: thin shells over the pure functions of the layout model and the settings."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible import context
from ansible.errors import AnsibleFilterError

from ansible_collections.vaultwire.stack.plugins.module_utils import (
    _bans,
    _caps,
    _engine,
    _host_findings,
    _proxy,
    _settings,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._domain import DomainError, parse_domain
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import (
    DEFAULT_WEBSOCKET_PORT,
    LayoutError,
    parse_image_version,
    parse_version,
    warnings_of,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import (
    other_release_advice as _layout_other_release_advice,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import (
    upgrade_problem as _layout_upgrade_problem,
)
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _admin_token, _check, _variables

Result = t.TypeVar("Result")


def _guard(function: t.Callable[..., Result]) -> t.Callable[..., Result]:
    """Turn the model's own errors into filter errors with the same text."""

    def wrapped(*args: t.Any, **kwargs: t.Any) -> Result:
        try:
            return function(*args, **kwargs)
        except (LayoutError, DomainError) as exc:
            raise AnsibleFilterError(str(exc)) from exc

    return wrapped


def _plain(value: t.Any) -> t.Any:
    """Tuples as lists, which is what templates and JSON know."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


def vaultwarden_plan(settings: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """Settings of the role -> the LayoutPlan as a dictionary, with what it means on the host.

    ``listen``: ports taken, ``{name, address, port}``; ``publish``: the same as ``address:host:container``;
    ``proxy_routes``: rules for a proxy on the same host, ``{match, path, upstream: 'address:port'}``, most specific
    first; ``server_url``: where the server itself answers;
    ``warnings``: sentences on a release better avoided;
    ``secrets_mount``: where the secrets appear in the container.
    """
    if not _settings.release_known(settings):
        return _plan_of_any_release(settings)
    plan = _settings.plan_for(settings)
    listen = _settings.listening(settings)
    upstream = {entry["name"]: f"{_settings.url_host(entry['address'])}:{entry['port']}" for entry in listen}
    return {
        **_plain(dataclasses.asdict(plan)),
        "listen": listen,
        "publish": _settings.published(settings),
        "proxy_routes": [
            {"match": route.match, "path": route.path, "upstream": upstream[route.upstream]} for route in plan.routes
        ],
        "warnings": warnings_of(parse_version(plan.version)),
        "secrets_mount": _settings.SECRETS_MOUNT,
        "server_url": f"http://{upstream['http']}{plan.base_path}",
    }


def _plan_of_any_release(settings: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """What is certain while the release behind a moving tag is not known: the HTTP port, and a proxy's rule for it.

    ``version`` is empty and ``layout`` auto. The real plan takes its place once the image is on the host.
    """
    domain = parse_domain(settings["domain"])
    address, port = settings["bind_address"], int(settings["http_port"])
    upstream = f"{_settings.url_host(address)}:{port}"
    return {
        "version": "",
        "layout": "auto",
        "base_path": domain.base_path,
        "listen": [{"name": "http", "address": address, "port": port}],
        "publish": [],
        "proxy_routes": [{"match": "prefix", "path": f"{domain.base_path}/", "upstream": upstream}],
        # As the newest releases do.
        "trusted_proxies": True,
        "warnings": [],
        "secrets_mount": _settings.SECRETS_MOUNT,
        "server_url": f"http://{upstream}{domain.base_path}",
    }


def vaultwarden_problems(settings: t.Dict[str, t.Any]) -> t.List[str]:
    """Why settings of the role cannot work, and what the controller lacks for them; as full sentences."""
    return [*_settings.find_problems(settings), *_admin_token.problems(settings)]


def image_reference(version: str, allow_floating: bool = False) -> str:
    """``'v1.37.2'`` -> ``'1.37.2'``: what follows the colon of an image name."""
    return parse_image_version(version, allow_floating).reference


def is_floating(version: str) -> bool:
    """Whether a version is a moving tag such as latest."""
    return parse_image_version(version, allow_floating=True).version is None


def vault_domain(url: str, name: str = "vaultwarden_domain") -> t.Dict[str, t.Any]:
    """``'https://h:8443/vault'`` -> ``{url, host, port, base_path, origin}``; ``name`` is for messages."""
    return dataclasses.asdict(parse_domain(url, name))


def upgrade_problem(source: str, target: str) -> str:
    """Why a host that runs ``source`` cannot go to ``target``, or empty; ``source`` is empty where it is not known."""
    return _layout_upgrade_problem(source, parse_version(target)) or ""


def vaultwarden_caps(settings: t.Dict[str, t.Any], engine: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """Settings of the role, and the engine as deployment_info describes it -> the Caps of _caps.py as a dictionary."""
    return _caps.caps_for(settings, engine)._asdict()


def other_release_advice(source: str, target: str, inventory: t.Optional[str] = None) -> str:
    """What to do where ``source`` runs and ``target`` is set in an inventory, given by its path.

    Empty where one of them is not known: Ansible makes up a message before it knows whether it is needed.
    """
    if not source or not target:
        return ""
    place = f"your inventory, {inventory}" if inventory else "your inventory"
    return _layout_other_release_advice(source, parse_version(target), place)


def server_url(container: t.Dict[str, t.Any], base_path: str = "") -> str:
    """Where a container of deployment_info answers HTTP on its host, or empty where it publishes no such port."""
    for port in container.get("published_ports", []):
        if port["container"] != DEFAULT_WEBSOCKET_PORT:
            address = "127.0.0.1" if port["address"] in ("0.0.0.0", "::") else port["address"]
            return f"http://{_settings.url_host(address)}:{port['host']}{base_path}"
    return ""


def without_invocation(result: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """A registered result without the arguments of its module and Ansible's own marks."""
    unwanted = ("invocation", "_ansible", "failed_when")
    return {key: value for key, value in result.items() if not key.startswith(unwanted)}


def push_state(
    host: t.Dict[str, t.Any],
    region: str = "unknown",
    environment: t.Optional[t.Dict[str, t.Any]] = None,
) -> str:
    """Whether push is configured: as deployment_info saw it, else by the settings of the server, else unknown.

    ``region`` is ``unknown`` where the settings of the server are not.
    """
    if host.get("vaults"):
        return _host_findings.push_state(host["vaults"])
    if region == "unknown":
        return "unknown"
    given = environment if isinstance(environment, t.Mapping) else {}
    by_hand = _settings.as_text(given.get("PUSH_ENABLED", False))
    return "configured" if region or by_hand == "true" else "none"


def sends_mail(environment: t.Dict[str, t.Any]) -> bool:
    """Whether these settings have the server send mail: then it invites by mail, and who is invited has to read it."""
    # A proof reads these settings without the rules of the server's role, which refuse another kind.
    environment = environment if isinstance(environment, t.Mapping) else {}
    return bool(environment.get("SMTP_HOST")) or _settings.as_text(environment.get("USE_SENDMAIL", False)) == "true"


def hosts_of(groups: t.Dict[str, t.List[str]], group: str, otherwise: str = "", hint: str = "") -> str:
    """The pattern for the hosts of a play: ``group``, or ``otherwise`` where the inventory has no host in it.

    Ansible itself takes an inventory that was not named for a warning: the run does nothing and ends well. Without
    ``otherwise`` this is an error, which goes on with ``hint``.
    """
    # A check of the syntax has no hosts.
    if groups.get(group) or context.CLIARGS.get("syntax"):
        return group
    if otherwise:
        return otherwise
    raise AnsibleFilterError(
        f"The inventory has no host in the group {group}. Name your inventory with -i, for example "
        f"-i inventories/mine{hint}. Nothing has been changed."
    )


class FilterModule:
    """The filters of this collection."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        """Name to function."""
        return {
            "vaultwarden_plan": _guard(vaultwarden_plan),
            "notifications_check_problems": _check.problems,
            "live_update_wanted": _check.live_wanted,
            "vaultwarden_problems": vaultwarden_problems,
            "fail2ban_problems": _bans.find_problems,
            "vaultwarden_folder_problems": _settings.folder_problems,
            "vaultwarden_caps": vaultwarden_caps,
            "vaultwarden_environment": _guard(_settings.build_environment),
            "vaultwarden_secret_files": _settings.secret_files,
            "engine_problem": _engine.engine_problem,
            "swarm_problem": _engine.swarm_problem,
            "image_reference": _guard(image_reference),
            "upgrade_problem": _guard(upgrade_problem),
            "other_release_advice": _guard(other_release_advice),
            "server_url": server_url,
            "push_state": push_state,
            "sends_mail": sends_mail,
            "hosts_of": hosts_of,
            "unknown_variables": _variables.unknown_variables,
            "without_invocation": without_invocation,
            "is_floating": _guard(is_floating),
            "reverse_proxy_problems": _proxy.find_problems,
            "vault_domain": _guard(vault_domain),
        }
