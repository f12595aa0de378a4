# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is asking, and how often they may: the client's address and the token buckets kept for each address."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping

from .settings import Settings

ANONYMOUS_SOCKETS_PER_ADDRESS = 25


class Bucket:
    """Allows a burst, then one more every few seconds, for each address; kept in memory only."""

    def __init__(self, limit: tuple[int, int]) -> None:
        self._seconds, self._burst = max(limit[0], 1), max(limit[1], 1)
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, address: str) -> bool:
        """Take one token; False when there is none left."""
        now = time.monotonic()
        level, since = self._levels.get(address, (float(self._burst), now))
        level = min(self._burst, level + (now - since) / self._seconds)
        allowed = level >= 1
        self._levels[address] = (level - 1 if allowed else level, now)
        return allowed


class Slots:
    """Counts what one address holds open at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}

    def take(self, address: str) -> bool:
        """Reserve one; False when the address already holds as many as it may."""
        held = self._held.get(address, 0)
        if held >= self._limit:
            return False
        self._held[address] = held + 1
        return True

    def give_back(self, address: str) -> None:
        """Give one back; forget the address when it was the last."""
        held = self._held.get(address, 0) - 1
        if held > 0:
            self._held[address] = held
        else:
            self._held.pop(address, None)


def _trusted(settings: Settings, peer: str) -> bool:
    if not settings.era.has("trusted_proxies") or settings.trusted_proxies == "all":
        return True
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if settings.trusted_proxies == "local":
        return not address.is_global
    return any(address in network for network in settings.trusted_networks)


def client_address(settings: Settings, peer: str, headers: Mapping[str, str]) -> str:
    """The address that counts: IP_HEADER's first entry when the peer may set it, else the peer's own."""
    name = settings.ip_header
    if not name or name.lower() == "none" or not _trusted(settings, peer):
        return peer
    claimed = headers.get(name, "").partition(",")[0].strip()
    try:
        return str(ipaddress.ip_address(claimed))
    except ValueError:
        return peer
