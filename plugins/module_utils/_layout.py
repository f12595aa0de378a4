# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout model: what a server version means for ports, environment, routes and proofs.

Everything in this collection that depends on the server's version asks this module; the port numbers and
version boundaries below are written nowhere else. It is pure: no input or output, no Ansible imports, and it
runs on any Python from 3.8 on, since modules carry it to the managed hosts.

Source of the facts: the public vaultwarden source at each tag, checked against recordings of the running
server for 1.28.1, 1.30.5, 1.31.0, 1.34.3 and 1.37.2.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

Era = t.Literal["legacy", "bridge", "single_port"]
Layout = t.Literal["legacy", "single_port"]
Upstream = t.Literal["http", "websocket"]

HUB_PATH = "/notifications/hub"
ANONYMOUS_HUB_PATH = "/notifications/anonymous-hub"

DEFAULT_HTTP_PORT = 8080
DEFAULT_WEBSOCKET_PORT = 3012

#: Variables that only mean something while the second port exists. From 1.31.0 the server ignores them
#: without a word, so they are removed rather than left to mislead.
LEGACY_VARIABLES = ("WEBSOCKET_ENABLED", "WEBSOCKET_ADDRESS", "WEBSOCKET_PORT")
MODERN_VARIABLES = ("ENABLE_WEBSOCKET",)

#: Variables of a role that the model judges.
VERSION_VARIABLE = "vaultwarden_version"
LAYOUT_VARIABLE = "vaultwarden_layout"
HTTP_PORT_VARIABLE = "vaultwarden_container_port"
WEBSOCKET_PORT_VARIABLE = "vaultwarden_websocket_port"

_EXAMPLE = "1.37.2"
_FLOATING = frozenset({"latest", "testing", "alpine", "latest-alpine", "testing-alpine"})
_VERSION = re.compile(r"v?([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([a-z0-9]+))?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class LayoutError(ValueError):
    """A version, layout or port that cannot work. The text says what is wrong and what to write instead.

    ``variable``: the variable to change. For a version the text does not name it, since several variables hold one.
    """

    def __init__(self, text: str, variable: str = VERSION_VARIABLE) -> None:
        super().__init__(text)
        self.variable = variable


@dataclasses.dataclass(frozen=True, order=True)
class Version:
    """A release of the server, comparable: ``Version(1, 30, 5) < Version(1, 31, 0)``."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


OLDEST_SUPPORTED = Version(1, 20, 0)

#: First release with each ability, and the era that release opens where it opens one.
HUB_ON_HTTP_PORT = Version(1, 29, 0)
ANONYMOUS_HUB = Version(1, 29, 2)
SECOND_PORT_GONE = Version(1, 31, 0)
TRUSTED_PROXIES = Version(1, 37, 0)


#: Releases with faults of their own that an upgrade should not end on, and why;
KNOWN_BAD: t.Dict[Version, str] = {
    Version(1, 35, 0): "it signs every client out",
    Version(1, 36, 0): "its migration fails on MariaDB databases whose tables have mixed collations",
    Version(1, 37, 0): "signing in to the web vault spins for ever",
    Version(1, 37, 1): "signing in to the web vault spins for ever",
}

#: Releases of the server -> the first version of Bitwarden's clients that needs it, as its release notes say.
#: Clients update themselves; their versions are years and months.
CLIENTS_ASK_FOR: t.Dict[Version, str] = {
    Version(1, 37, 0): "2026.7.0",
    Version(1, 37, 2): "2026.8.0",
}


@dataclasses.dataclass(frozen=True)
class ImageVersion:
    """A version as an operator wrote it.

    ``version`` is None for a floating tag, which says nothing until its image has been looked at.
    ``tag`` is what follows the colon in an image name, ``digest`` is ``sha256:<hex>`` or empty.
    """

    version: t.Optional[Version]
    tag: str
    digest: str = ""

    @property
    def reference(self) -> str:
        """The part of an image name from the tag on: ``1.37.2`` or ``1.37.2@sha256:...``."""
        return f"{self.tag}@{self.digest}" if self.digest else self.tag


@dataclasses.dataclass(frozen=True)
class Route:
    """One rule of a reverse proxy, most specific first. Every route passes upgrades and keeps the path."""

    match: t.Literal["exact", "prefix"]
    path: str
    upstream: Upstream


@dataclasses.dataclass(frozen=True)
class LayoutPlan:
    """Everything that follows from one version and one layout.

    ``environment``: variables that switch the live channel on in this layout, name to text.
    ``container_ports``: the ports the server listens on inside its container, by role.
    ``anonymous_hub``: whether login with device has its hub at all (101 and a handshake), else 404.
    ``trusted_proxies``: whether the server can be told which proxies to believe.
    """

    version: str
    era: Era
    layout: Layout
    base_path: str
    container_ports: t.Dict[Upstream, int]
    environment: t.Dict[str, str]
    routes: t.Tuple[Route, ...]
    anonymous_hub: bool
    trusted_proxies: bool


def parse_version(text: str) -> Version:
    """Read ``1.37.2``, ``v1.37.2`` or ``1.30.5-alpine``; anything else is a LayoutError."""
    parsed = parse_image_version(text)
    if parsed.version is None:
        raise LayoutError(_floating_message(text))
    return parsed.version


def parse_image_version(text: str, allow_floating: bool = False) -> ImageVersion:
    """Read a version the way people write it, with an optional variant and digest.

    A floating tag (``latest``) is refused unless ``allow_floating``; then its ``version`` is None.
    Raises LayoutError with the text to write instead.
    """
    if not isinstance(text, str):
        raise LayoutError(
            f"The version {text!r} is not a text. YAML reads 1.30 as a number: write it in quotes and in full, "
            f'for example "{_EXAMPLE}".'
        )
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise LayoutError(
            f"The digest in {text!r} is not sha256: and 64 lower-case hexadecimal digits. "
            f"Write <version>@sha256:<digest>, or leave the digest out."
        )
    if name in _FLOATING:
        if not allow_floating:
            raise LayoutError(_floating_message(text))
        return ImageVersion(None, name, digest)
    found = _VERSION.fullmatch(name)
    if not found:
        raise LayoutError(
            f"{text!r} is not a version of the server. Write the full release number, for example {_EXAMPLE}, "
            f"{_EXAMPLE}-alpine or {_EXAMPLE}@sha256:<digest>."
        )
    version = Version(*(int(part) for part in found.groups()[:3]))
    if version < OLDEST_SUPPORTED:
        raise LayoutError(f"Version {version} is older than {OLDEST_SUPPORTED}, the oldest that is supported.")
    # Published tags carry no "v".
    return ImageVersion(version, name[1:] if name.startswith("v") else name, digest)


def _floating_message(text: str) -> str:
    return (
        f"{text!r} is a moving tag: it would change the server, and with it the ports, without anyone deciding so. "
        f"Write a release number, for example {_EXAMPLE}. To follow a moving tag on purpose, set "
        f"vaultwarden_allow_floating_tag to true; the version is then read from the pulled image."
    )


def upgrade_problem(source: str, target: Version) -> t.Optional[str]:
    """Why a host cannot go from one release to another, or None. ``source`` is empty where it is not known."""
    if not source:
        return (
            f"The release that runs now cannot be told: its image carries no version, and the server did not say. "
            f"Start it, or run it from an image with a release number as its tag, then upgrade to {target}."
        )
    if target < parse_version(source):
        return (
            f"Release {source} runs, and {target} is older. Its database has been migrated and no release undoes that: "
            f"restore the backup that was made before {source} with the playbook restore, or set vaultwarden_version "
            f"to {source} or newer."
        )
    return None


def other_release_advice(source: str, target: Version, inventory: str) -> str:
    """What to do where a server of release ``source`` runs and ``target`` is wanted, by a run that swaps no release.

    ``inventory`` is where the user's settings stand, as the user knows it.
    """
    if target < parse_version(source):
        return (
            f"The release that runs is the newer one, and no release undoes the migration of its database. Set "
            f'vaultwarden_version to "{source}" in {inventory}, then run again.'
        )
    return (
        "A swap migrates the database for good, so this playbook does not do it: use playbooks/upgrade.yml, "
        "which copies the data first and goes back if anything fails."
    )


def known_fault(target: Version) -> str:
    """What is known to be wrong with a release, as a sentence; empty where nothing is."""
    reason = KNOWN_BAD.get(target)
    return (
        f"Release {target} is known for a fault: {reason}. Choose a newer one if that concerns you." if reason else ""
    )


def first_client_beyond(version: Version) -> str:
    """The first version of Bitwarden's clients that a release is too old for; empty where none is known."""
    return next((client for release, client in sorted(CLIENTS_ASK_FOR.items()) if version < release), "")


def client_fault(target: Version) -> str:
    """Which clients a release is too old for, as a sentence; empty where none is known."""
    client = first_client_beyond(target)
    return (
        f"Release {target} is too old for Bitwarden's clients from {client} on, which may not sign in or may show an "
        f"empty vault. Clients update themselves: choose {max(CLIENTS_ASK_FOR)} or newer."
        if client
        else ""
    )


def warnings_of(target: Version) -> t.List[str]:
    """What to say before a release is deployed, as sentences; empty where there is nothing."""
    return [text for text in (known_fault(target), client_fault(target)) if text]


def era_of(version: Version) -> Era:
    """The era a release belongs to."""
    if version < HUB_ON_HTTP_PORT:
        return "legacy"
    return "bridge" if version < SECOND_PORT_GONE else "single_port"


_POSSIBLE: t.Dict[Era, t.Tuple[Layout, ...]] = {
    "legacy": ("legacy",),
    "bridge": ("single_port", "legacy"),
    "single_port": ("single_port",),
}


def choose_layout(version: Version, wanted: str = "auto") -> Layout:
    """The layout for a version: the wanted one where the server can do it, the best one for ``auto``."""
    possible = _POSSIBLE[era_of(version)]
    if wanted == "auto":
        return possible[0]
    if wanted not in ("legacy", "single_port"):
        text = f"{LAYOUT_VARIABLE} is {wanted!r}, which is unknown. Set it to auto, legacy or single_port."
        raise LayoutError(text, LAYOUT_VARIABLE)
    if wanted not in possible:
        raise LayoutError(_impossible_message(version, wanted), LAYOUT_VARIABLE)
    return wanted


def _impossible_message(version: Version, wanted: str) -> str:
    if wanted == "legacy":
        return (
            f"Version {version} has no second port for notifications: it was removed in {SECOND_PORT_GONE}. "
            f"Set vaultwarden_layout to auto or single_port, or a version below {SECOND_PORT_GONE}."
        )
    return (
        f"Version {version} serves the hub only on a port of its own: one port for everything needs "
        f"{HUB_ON_HTTP_PORT} or newer. Set vaultwarden_layout to auto or legacy, or a newer version."
    )


def check_port(port: object, name: str) -> int:
    """A TCP port as an int, or a LayoutError that names the variable."""
    if isinstance(port, bool) or not isinstance(port, (int, str)) or not re.fullmatch("[0-9]+", str(port)):
        raise LayoutError(f"{name} is {port!r}, which is not a port. Set it to a number from 1 to 65535.", name)
    number = int(port)
    if not 1 <= number <= 65535:
        raise LayoutError(f"{name} is {number}, outside the range of ports. Set it to a number from 1 to 65535.", name)
    return number


def plan_layout(
    version: Version,
    layout: str = "auto",
    http_port: object = DEFAULT_HTTP_PORT,
    websocket_port: object = None,
    base_path: str = "",
) -> LayoutPlan:
    """Work out ports, environment, routes and proofs for a version.

    ``http_port`` and ``websocket_port`` are ports inside the container (None: the server's own default);
    ``base_path`` is empty or ``/name``, the path of the public address. Raises LayoutError.
    """
    chosen = choose_layout(version, layout)
    ports: t.Dict[Upstream, int] = {"http": check_port(http_port, HTTP_PORT_VARIABLE)}
    if chosen == "legacy":
        wanted = DEFAULT_WEBSOCKET_PORT if websocket_port is None else websocket_port
        ports["websocket"] = check_port(wanted, WEBSOCKET_PORT_VARIABLE)
        if ports["websocket"] == ports["http"]:
            raise LayoutError(
                f"{WEBSOCKET_PORT_VARIABLE} and {HTTP_PORT_VARIABLE} are both {ports['http']}; "
                f"the legacy layout needs two ports. Change one of them.",
                WEBSOCKET_PORT_VARIABLE,
            )
    return LayoutPlan(
        version=str(version),
        era=era_of(version),
        layout=chosen,
        base_path=base_path,
        container_ports=ports,
        environment=_environment(version, chosen, ports),
        routes=_routes(chosen, base_path),
        anonymous_hub=version >= ANONYMOUS_HUB,
        trusted_proxies=version >= TRUSTED_PROXIES,
    )


def _environment(version: Version, layout: Layout, ports: t.Dict[Upstream, int]) -> t.Dict[str, str]:
    if layout == "legacy":
        return {
            "WEBSOCKET_ENABLED": "true",
            "WEBSOCKET_ADDRESS": "0.0.0.0",
            "WEBSOCKET_PORT": str(ports["websocket"]),
        }
    # The bridge releases serve the hub on the HTTP port whatever is set; only later ones know the switch.
    return {} if version < SECOND_PORT_GONE else {"ENABLE_WEBSOCKET": "true"}


def _routes(layout: Layout, base_path: str) -> t.Tuple[Route, ...]:
    everything = Route("prefix", f"{base_path}/", "http")
    if layout == "single_port":
        return (everything,)
    # Exactly the hub: the anonymous hub and negotiate live on the HTTP port in every era.
    return (Route("exact", f"{base_path}{HUB_PATH}", "websocket"), everything)
