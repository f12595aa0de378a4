# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin page: login, invitations, users and the backup."""

from __future__ import annotations

import hmac
import sqlite3
from typing import Any

from aiohttp import web

from .server import TEXT, AppError, GuardError, Server, answer_empty, answer_json, answer_page, read_json

ADMIN_LOG = "vaultwarden::api::admin"
COOKIE = "VW_ADMIN"
FORM = "application/x-www-form-urlencoded"


class Admin:
    """Handlers under /admin."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = server.store

    def routes(self) -> list[web.RouteDef]:
        """One route when there is no admin token, all of them when there is."""
        settings = self._server.settings
        if not settings.admin_token and not settings.admin_open:
            return [web.get("/admin", self.disabled)]
        return [
            web.get("/admin", self.page),
            web.get("/admin/", self.page),
            web.post("/admin", self.login),
            web.post("/admin/", self.login),
            web.get("/admin/diagnostics", self.page),
            web.get("/admin/users/overview", self.page),
            web.get("/admin/users", self.users),
            web.get("/admin/users/by-mail/{mail}", self.user_by_mail),
            web.post("/admin/invite", self.invite),
            web.post("/admin/users/{id}/delete", self.delete_user),
            web.post("/admin/config/backup_db", self.backup),
        ]

    async def disabled(self, request: web.Request) -> web.Response:
        """All that is left without a token."""
        text = "The admin page is off: neither ADMIN_TOKEN nor DISABLE_ADMIN_TOKEN is set.\n"
        return web.Response(body=text.encode(), headers={"Content-Type": TEXT})

    def _known(self, request: web.Request) -> bool:
        token = request.cookies.get(COOKIE, "")
        return self._server.settings.admin_open or self._server.tokens.check("admin", token) is not None

    def _require_admin(self, request: web.Request) -> None:
        """Programs get an error, people get the login page, whose status changed in 1.29.0."""
        if self._known(request):
            return
        if request.content_type == "application/json" and "Content-Type" in request.headers:
            raise AppError("Authorization failed.", 401)
        raise LoginPage(200 if self._server.era.has("admin_login_page_answers_200") else 401)

    def _require_type(self, request: web.Request, kind: str) -> None:
        """Since 1.33.0 a POST with another content type, or none, finds no route."""
        if not self._server.era.has("admin_wants_content_type"):
            return
        if "Content-Type" not in request.headers or request.content_type != kind:
            raise GuardError(404)

    async def page(self, request: web.Request) -> web.Response:
        """A page for people."""
        self._require_admin(request)
        return answer_page("Stand-in admin page")

    async def login(self, request: web.Request) -> web.Response:
        """A token for a cookie."""
        self._require_type(request, FORM)
        client = self._server.client(request)
        form = await request.post()
        if not self._server.admin_logins.take(client):
            return answer_page("Too many requests", 429)
        if not token_matches(self._server.settings.admin_token, str(form.get("token", ""))):
            self._server.log.error(ADMIN_LOG, f"Invalid admin token. IP: {client}")
            return answer_page("Invalid admin token", 401)
        answer = self._entry(str(form.get("redirect", "")))
        minutes = self._server.settings.admin_session_minutes
        base = self._server.settings.base_path
        cookie = f"{COOKIE}={self._server.tokens.issue('admin', {'sub': 'admin_panel'}, minutes * 60)}"
        parts = [cookie, "HttpOnly", "SameSite=Strict", f"Path={base}/admin", f"Max-Age={minutes * 60}"]
        if self._server.era.has("admin_cookie_secure") and self._is_secure(request):
            parts.insert(3, "Secure")
        answer.headers["Set-Cookie"] = "; ".join(parts)
        return answer

    def _entry(self, redirect: str) -> web.Response:
        if not redirect:
            return answer_page("Stand-in admin page")
        target = f"{self._server.settings.base_path}/admin{redirect}"
        return web.Response(status=303, headers={"Location": target})

    def _is_secure(self, request: web.Request) -> bool:
        return request.headers.get("X-Forwarded-Proto") == "https" or self._server.settings.tls is not None

    async def users(self, request: web.Request) -> web.Response:
        """All users."""
        self._require_admin(request)
        return answer_json([self._server.shapes.admin_user(row) for row in self._store.users()])

    async def user_by_mail(self, request: web.Request) -> web.Response:
        """One user."""
        self._require_admin(request)
        row = self._store.user_by_mail(request.match_info["mail"].lower())
        if row is None:
            raise AppError("User doesn't exist", 404)
        return answer_json(self._server.shapes.admin_user(row))

    async def invite(self, request: web.Request) -> web.Response:
        """Let an address register once."""
        self._require_type(request, "application/json")
        self._require_admin(request)
        email: Any = (await read_json(request)).get("email")
        if not isinstance(email, str) or "@" not in email:
            raise GuardError(422)
        if self._store.user_by_mail(email.lower()) is not None:
            raise AppError("User already exists", 409)
        return answer_json(self._server.shapes.profile(self._store.invite(email.lower())))

    async def delete_user(self, request: web.Request) -> web.Response:
        """Remove a user. No event tells their clients."""
        self._require_type(request, "application/json")
        self._require_admin(request)
        if not self._store.delete_user(request.match_info["id"]):
            raise AppError("User doesn't exist", 404)
        return answer_empty()

    async def backup(self, request: web.Request) -> web.Response:
        """A copy of the database beside it."""
        self._require_type(request, "application/json")
        self._require_admin(request)
        try:
            target = self._store.backup()
        except sqlite3.Error as exc:
            raise AppError(f"The backup failed: {exc}") from exc
        self._server.log.info(ADMIN_LOG, f"Backup written to {target}")
        return answer_empty()


class LoginPage(Exception):
    """Show the admin login page instead."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def token_matches(wanted: str, given: str) -> bool:
    """Compare with the plain token, or with its Argon2 hash where python3-argon2 is there to do it.

    Without that module nobody is let in, which is also what happens to a broken hash: neither stops the start.
    """
    if not wanted.startswith("$argon2"):
        return bool(wanted) and hmac.compare_digest(wanted.encode(), given.strip().encode())
    try:
        import argon2
    except ImportError:
        return False
    try:
        return bool(argon2.PasswordHasher().verify(wanted, given))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHash):
        return False
