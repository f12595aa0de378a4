# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the server together: routes under the sub-path, headers, the log of requests, start and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import ssl
import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from .admin import Admin, LoginPage
from .api import Api
from .hub_port import HubPort
from .hub_routes import ANONYMOUS_HUB, HUB, HubRoutes
from .log import Log
from .server import HTML, AppError, GuardError, Server, answer_json, answer_page, framework_page
from .settings import EXIT_FAILED, RefusedError, Settings
from .store import Store
from .tokens import Tokens, load_key

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FOLDERS = ("attachments", "icon_cache", "sends", "tmp")
LARGEST_BODY = 525 * 1024 * 1024
LONGEST_LOGGED_QUERY = 30
LOGGED = ("/api", "/admin", "/identity", "/icons", "/notifications")
ROUTE_NAMES = {
    HUB: f"(websockets_hub) GET {HUB}?<data..>",
    ANONYMOUS_HUB: f"(anonymous_websockets_hub) GET {ANONYMOUS_HUB}?<token..>",
}


def build_server(settings: Settings, log: Log) -> Server:
    """Open or create what lies in the data folder."""
    try:
        for name in FOLDERS:
            (settings.data_folder / name).mkdir(exist_ok=True)
        key = load_key(settings.data_folder, settings.era)
        store = Store(settings.database, settings.era)
    except (OSError, sqlite3.Error) as exc:
        raise RefusedError(EXIT_FAILED, f"The data in {settings.data_folder} cannot be used: {exc}.") from exc
    return Server(settings, store, Tokens(key, settings.domain, settings.era), log)


class Front:
    """Everything around the handlers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._base = server.settings.base_path

    def application(self) -> web.Application:
        """The web application with all routes of this version."""
        app = web.Application(middlewares=[self._log_requests, self._answer_errors], client_max_size=LARGEST_BODY)
        server = self._server
        routes = [*Api(server).routes(), *Admin(server).routes(), *HubRoutes(server).routes()]
        if server.settings.web_vault:
            routes += [web.get("/", self._web_vault), web.get("/index.html", self._web_vault)]
            if self._base:
                routes.append(web.get("", self._web_vault))
        app.add_routes([web.RouteDef(r.method, self._base + r.path, r.handler, r.kwargs) for r in routes])
        app.add_routes([web.route("*", "/{path:.*}", self._tidied)])
        app.on_response_prepare.append(self._set_headers)
        return app

    def _inside(self, request: web.Request) -> str | None:
        """The path below the sub-path, or nothing when the request is for somewhere else."""
        if self._base and not f"{request.path}/".startswith(f"{self._base}/"):
            return None
        return request.path.removeprefix(self._base)

    async def _tidied(self, request: web.Request) -> web.StreamResponse:
        """The real server looks at the parts between slashes and passes over empty ones: //admin/ is /admin."""
        path = request.rel_url.raw_path
        tidy = "/" + "/".join(filter(None, path.split("/")))
        if tidy == path:
            raise web.HTTPNotFound
        url = URL.build(path=tidy, query_string=request.rel_url.raw_query_string, encoded=True)
        clone = request.clone(rel_url=url)
        clone._match_info = found = await request.app.router.resolve(clone)
        return await found.handler(clone)

    async def _web_vault(self, request: web.Request) -> web.StreamResponse:
        folder = self._server.settings.web_vault
        body = (folder / "index.html").read_bytes() if folder else b""
        return web.Response(body=body, headers={"Content-Type": HTML})

    def _not_found(self, request: web.Request) -> web.Response:
        """JSON under /api, the application's own page elsewhere, and the framework's where nothing is mounted."""
        inside = self._inside(request)
        if inside is None:
            return framework_page(request, 404)
        if inside.startswith("/api/"):
            error = {"code": 404, "reason": "Not Found", "description": "stand-in: nothing is here"}
            return answer_json({"error": error}, 404)
        if self._server.settings.web_vault is None:
            return framework_page(request, 404)
        return answer_page("Not found", 404)

    def _no_route(self, request: web.Request, status: int) -> web.Response:
        """A hub request that a guard refused falls through to the web vault, if there is one."""
        inside = self._inside(request) or ""
        if status == 404 or (self._server.settings.web_vault and inside in (HUB, ANONYMOUS_HUB)):
            return self._not_found(request)
        return framework_page(request, status)

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except AppError as exc:
            return self._server.error(str(exc), exc.status)
        except LoginPage as exc:
            return answer_page("Stand-in admin login", exc.status)
        except GuardError as exc:
            return self._no_route(request, exc.status)
        except web.HTTPException as exc:
            return self._no_route(request, 404 if exc.status in (404, 405) else exc.status)
        except Exception:
            self._server.log.error("stand_in", traceback.format_exc())
            return framework_page(request, 500)

    @web.middleware
    async def _log_requests(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        inside = self._inside(request) or request.path
        if not inside.startswith(LOGGED):
            return await handler(request)
        query = f"?{request.query_string[:LONGEST_LOGGED_QUERY]}" if request.query_string else ""
        self._server.log.info("request", f"{request.method} {request.path}{query} from {self._server.client(request)}")
        response = await handler(request)
        if response.status != 101:  # an upgrade is logged when it is answered, not when its socket ends
            self._log_response(request, response.status)
        return response

    def _log_response(self, request: web.Request, status: int) -> None:
        inside = self._inside(request) or request.path
        if inside in ROUTE_NAMES and status in (200, 401, 429) and self._server.era.has("hub_on_http"):
            route = ROUTE_NAMES[inside]
        else:
            route = f"{request.method} {request.path}"
        reason = {200: "OK", 401: "Unauthorized", 429: "Too Many Requests"}.get(status, "")
        self._server.log.info("response", f"{route} => {status} {reason}".rstrip())

    async def _set_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers["Server"] = "Rocket"
        if response.status == 101:
            headers["Connection"] = "Upgrade"
            headers["Sec-WebSocket-Version"] = "13"
            headers["Content-Length"] = "0"
            headers.pop("Content-Type", None)
            self._log_response(request, 200)
        elif response.body_length == 0 and getattr(response, "body", None) in (b"", None):
            headers.pop("Content-Type", None)
        if not self._is_bare(request):
            self._add_security_headers(response)

    def _is_bare(self, request: web.Request) -> bool:
        """Since 1.30.0 answers to an upgrade on a hub's path carry nothing that could upset a proxy."""
        return (
            self._server.era.has("bare_hub_headers")
            and request.path.endswith((HUB, ANONYMOUS_HUB))
            and "upgrade" in request.headers.get("Connection", "").lower()
            and "websocket" in request.headers.get("Upgrade", "").lower()
        )

    def _add_security_headers(self, response: web.StreamResponse) -> None:
        strict = self._server.era.has("strict_content_policy")
        first = "default-src 'none'; font-src 'self'" if strict else "default-src 'self'; base-uri 'self'"
        policy = f"{first}; connect-src 'self'; frame-ancestors 'self'"
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"


def _leave(log: Log) -> None:
    """End at once with 0 and leave the database as it is: -wal and -shm stay, as with the real server."""
    log.info("vaultwarden", "Exiting on a signal")
    os._exit(0)


def _backup(server: Server) -> None:
    try:
        server.log.info("vaultwarden", f"Backup written to {server.store.backup()}")
    except sqlite3.Error as exc:
        server.log.error("vaultwarden", f"The backup failed: {exc}")


async def _open_hub_port(server: Server) -> asyncio.Server | None:
    """The second port. When it cannot be opened the HTTP port runs on without it, as with the real server."""
    settings = server.settings
    if not settings.serves_hub_port:
        return None
    port = HubPort(server.check_hub_token, server.users, server.habits(own_port=True), server.log)
    try:
        return await port.start(settings.hub_address, settings.hub_port)
    except OSError as exc:
        server.log.error("vaultwarden::api::notifications", f"The WebSocket port cannot be opened: {exc}")
        return None


async def serve(server: Server) -> None:
    """Run until a signal comes."""
    settings, log = server.settings, server.log
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave, log)
    if server.era.has("backup_command"):
        loop.add_signal_handler(signal.SIGUSR1, _backup, server)
    hub_port = await _open_hub_port(server)
    runner = web.AppRunner(Front(server).application(), access_log=None)
    await runner.setup()
    tls: ssl.SSLContext | None = settings.tls
    try:
        await web.TCPSite(runner, settings.address, settings.port, ssl_context=tls).start()
    except OSError as exc:
        raise RefusedError(EXIT_FAILED, f"{settings.address}:{settings.port} cannot be opened: {exc}.") from exc
    scheme = "https" if tls else "http"
    log.info("start", f"Rocket has launched from {scheme}://{settings.address}:{settings.port}")
    await asyncio.Event().wait()
    del hub_port  # kept alive until here


def run(settings: Settings, log: Log) -> None:
    """Run the server; returns only by an exception."""
    asyncio.run(serve(build_server(settings, log)))


def backup(settings: Settings, log: Log) -> None:
    """The command of that name, run beside a server or without one."""
    try:
        target = Store(settings.database, settings.era).backup()
    except sqlite3.Error as exc:
        raise RefusedError(EXIT_FAILED, f"The backup failed: {exc}.") from exc
    log.plain(f"Backup written to {target}")
