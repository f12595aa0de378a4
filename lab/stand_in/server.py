# SPDX-License-Identifier: GPL-3.0-or-later
"""What all request handlers share, and the answers they have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from .eras import Era
from .hub import Habits, Subscriptions
from .limits import ANONYMOUS_SOCKETS_PER_ADDRESS, Bucket, Slots, client_address
from .log import Log
from .settings import Settings
from .shapes import Shapes
from .store import Store
from .tokens import Tokens

HTML = "text/html; charset=utf-8"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class AppError(Exception):
    """The application's own refusal: a status and the standard error body."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class GuardError(Exception):
    """The framework's refusal: a request that no route could take, or data that does not fit."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def answer_json(body: Any, status: int = 200) -> web.Response:
    """A JSON answer; the content type carries no charset."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers={"Content-Type": JSON})


def answer_page(title: str, status: int = 200, text: str = "") -> web.Response:
    """A page for people. What it says carries no meaning."""
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1>{text}</body></html>\n"
    return web.Response(body=page.encode(), status=status, headers={"Content-Type": HTML})


def answer_empty(status: int = 200) -> web.Response:
    """No body and no content type."""
    return web.Response(body=b"", status=status)


def framework_page(request: web.Request, status: int) -> web.Response:
    """The framework's own error: JSON for who prefers it, HTML for everybody else."""
    reason = HTTPStatus(status).phrase
    if JSON in request.headers.get("Accept", ""):
        return answer_json({"error": {"code": status, "reason": reason, "description": f"stand-in: {reason}"}}, status)
    return answer_page(f"{status}: {reason}", status, "<p>stand-in</p>")


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body as an object. Keys may come in either case, as old versions allowed; new ones want camelCase."""
    try:
        data = json.loads(await request.read())
    except ValueError as exc:
        raise GuardError(400) from exc
    if not isinstance(data, dict):
        raise GuardError(422)
    return data


def wanted(data: dict[str, Any], key: str) -> Any:
    """A value that has to be there, or the framework refuses the data."""
    if data.get(key) is None:
        raise GuardError(422)
    return data[key]


@dataclass
class Server:
    """The state of one running stand-in."""

    settings: Settings
    store: Store
    tokens: Tokens
    log: Log
    shapes: Shapes = field(init=False)
    users: Subscriptions = field(default_factory=Subscriptions)
    guests: Subscriptions = field(default_factory=Subscriptions)
    guest_slots: Slots = field(default_factory=lambda: Slots(ANONYMOUS_SOCKETS_PER_ADDRESS))
    logins: Bucket = field(init=False)
    admin_logins: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.shapes = Shapes(self.settings.era)
        self.logins = Bucket(self.settings.login_limit)
        self.admin_logins = Bucket(self.settings.admin_limit)

    @property
    def era(self) -> Era:
        """The version's behaviours."""
        return self.settings.era

    def client(self, request: web.Request) -> str:
        """The address that a request counts for."""
        return client_address(self.settings, request.remote or "unknown", request.headers)

    def error(self, message: str, status: int) -> web.Response:
        """The standard error body."""
        return answer_json(self.shapes.error(message), status)

    def check_hub_token(self, token: str) -> str | None:
        """The user whose events a token entitles to."""
        claims = self.tokens.check_login(token)
        return str(claims["sub"]) if claims else None

    def habits(self, *, own_port: bool) -> Habits:
        """How this version treats sockets on the HTTP port, or on the hub's own port."""
        return Habits(
            ping_seconds=self.settings.ping_seconds,
            echoes_text=own_port and self.era.has("hub_port_echoes_text"),
            pongs_per_ping=2 if own_port else 1,
            echoes_close=own_port or not self.era.has("close_without_echo"),
        )
