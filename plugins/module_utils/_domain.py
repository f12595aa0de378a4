# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public address of a vault, taken apart. Pure: no Ansible imports, Python 3.8 and later."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
from urllib.parse import urlsplit

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
LONGEST_HOST = 253
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class DomainError(ValueError):
    """An address that clients or the server would refuse. The text says what to write instead."""


@dataclasses.dataclass(frozen=True)
class Domain:
    """``https://host:port/path`` in parts; ``base_path`` is empty or ``/name``, ``origin`` has no path."""

    url: str
    host: str
    port: int
    base_path: str
    origin: str


def parse_domain(url: object, name: str = "vaultwarden_domain") -> Domain:
    """Take apart the address that users type. Raises DomainError, whose text names the variable ``name``."""
    advice = f"Set {name} to what users type, for example https://vault.example.com or https://www.example.com/vault."
    if not isinstance(url, str) or not url:
        raise DomainError(f"{name} is empty. {advice}")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise DomainError(f"{name} is {url!r}: it holds a space, a line break or a control character. {advice}")
    if not url.startswith("https://"):
        raise DomainError(
            f"{name} is {url!r}, which does not start with https://. The server refuses an address without a "
            f"scheme, and clients refuse plain http. {advice}"
        )
    if url.endswith("/"):
        raise DomainError(f"{name} is {url!r}: a slash at the end changes every link. Leave it out. {advice}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise DomainError(f"{name} is {url!r}, which is not an address ({exc}). {advice}") from exc
    if parts.query or parts.fragment or parts.username is not None or "?" in url or "#" in url:
        raise DomainError(f"{name} is {url!r}: a query, a fragment or a login has no place in it. {advice}")
    if port == 0 or parts.netloc.endswith(":"):
        raise DomainError(f"{name} is {url!r}: it has a colon, but no port that can be reached. {advice}")
    host = _check_host(parts.hostname or "", url, name, advice)
    if not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
        raise DomainError(
            f"{name} is {url!r}: its path may hold only letters, digits and - . _ ~ between single slashes. {advice}"
        )
    return Domain(url, host, 443 if port is None else port, parts.path, f"https://{parts.netloc}")


def _check_host(host: str, url: str, name: str, advice: str) -> str:
    """A DNS name in its ASCII form, or an IP address."""
    if not host.isascii():
        raise DomainError(
            f"{name} is {url!r}: write the host in its ASCII form, {_punycode(host)}, since certificates and "
            f"proxies know only that. {advice}"
        )
    if host.endswith("."):
        raise DomainError(f"{name} is {url!r}: leave out the dot at the end of the host. {advice}")
    if _is_address(host) or (len(host) <= LONGEST_HOST and all(_LABEL.fullmatch(label) for label in host.split("."))):
        return host
    raise DomainError(f"{name} is {url!r}: {host!r} is not a host name. {advice}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _punycode(host: str) -> t.Optional[str]:
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return "the xn-- form"
