# SPDX-License-Identifier: GPL-3.0-or-later
"""The hubs on the HTTP port: who is let in, and what everybody else hears."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import HttpVersion10, WSMsgType, web

from .hub import Opcode, Subscriptions, converse
from .hub_port import TARGET, upgrade_offered
from .server import AppError, GuardError, Server, answer_json

HUB = "/notifications/hub"
ANONYMOUS_HUB = "/notifications/anonymous-hub"
LARGEST_MESSAGE = 64 * 1024 * 1024

OPCODES = {
    WSMsgType.TEXT: Opcode.TEXT,
    WSMsgType.BINARY: Opcode.BINARY,
    WSMsgType.PING: Opcode.PING,
    WSMsgType.PONG: Opcode.PONG,
    WSMsgType.CLOSE: Opcode.CLOSE,
}


class HttpSocket:
    """A WebSocket that aiohttp accepted."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        """One frame."""
        if self._ws.closed:
            raise ConnectionResetError
        if opcode is Opcode.TEXT:
            await self._ws.send_str(payload.decode())
        elif opcode is Opcode.PING:
            await self._ws.ping(payload)
        elif opcode is Opcode.PONG:
            await self._ws.pong(payload)
        elif opcode is Opcode.CLOSE:
            await self._ws.close(code=int.from_bytes(payload[:2] or b"\x03\xe8", "big"))
        else:
            await self._ws.send_bytes(payload)

    async def frames(self) -> AsyncIterator[tuple[Opcode, bytes]]:
        """The client's frames."""
        while True:
            message = await self._ws.receive()
            opcode = OPCODES.get(message.type)
            if opcode is None:
                return
            if opcode is Opcode.CLOSE:
                yield opcode, int(message.data or 1000).to_bytes(2, "big")
                return
            data = message.data
            yield opcode, data.encode() if isinstance(data, str) else bytes(data)


def is_upgrade(request: web.Request) -> bool:
    """Whether the request offers a proper WebSocket upgrade."""
    return upgrade_offered({name.lower(): value for name, value in request.headers.items()})


class HubRoutes:
    """Handlers for both hubs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._warned = False

    def routes(self) -> list[web.RouteDef]:
        """The routes that this version and its settings have."""
        server = self._server
        if not server.era.has("hub_on_http"):
            return [web.get(HUB, self.not_here)]
        if not server.settings.serves_hub_on_http:
            server.log.info(TARGET, "WebSocket are disabled: no hub is served.")
            return []
        routes = [web.get(HUB, self.hub)]
        if server.era.has("anonymous_hub"):
            routes.append(web.get(ANONYMOUS_HUB, self.anonymous_hub))
        return routes

    async def not_here(self, request: web.Request) -> web.StreamResponse:
        """Before 1.29.0 the hub has its own port; whoever comes here is told so once."""
        if self._warned or not self._server.settings.live:
            return answer_json({}, 400)
        self._warned = True
        message = (
            f"'{HUB}' has to be proxied to the WebSocket port, or notifications will not arrive."
            " Set WEBSOCKET_ENABLED=false if you do not want them."
        )
        self._server.log.error(TARGET, message)
        return self._server.error(message, 400)

    async def hub(self, request: web.Request) -> web.StreamResponse:
        """The hub of a logged-in user."""
        self._require_upgrade(request)
        client = self._server.client(request)
        self._server.log.info(TARGET, f"Accepting Rocket WS connection from {client}")
        token = request.query.get("access_token")
        if token is None and self._server.era.has("hub_token_in_header"):
            __, bearer, after = request.headers.get("Authorization", "").rpartition("Bearer ")
            token = after if bearer else None
        if token is None:
            raise AppError("Invalid claim", 401)
        user = self._server.check_hub_token(token)
        if user is None:
            raise AppError("Invalid token", 401)
        return await self._serve(request, self._server.users, user)

    async def anonymous_hub(self, request: web.Request) -> web.StreamResponse:
        """The hub of somebody who waits for another device to approve a login; the token is any text."""
        self._require_upgrade(request)
        if "token" not in request.query:
            raise GuardError(422)
        client = self._server.client(request)
        limited = self._server.era.has("anonymous_hub_limit")
        if limited and not self._server.guest_slots.take(client):
            raise AppError("Too many connections", 429)
        try:
            return await self._serve(request, self._server.guests, request.query["token"])
        finally:
            if limited:
                self._server.guest_slots.give_back(client)

    def _require_upgrade(self, request: web.Request) -> None:
        if not is_upgrade(request):
            raise GuardError(400 if self._server.era.has("failed_guard_answers_400") else 404)

    async def _serve(self, request: web.Request, subscriptions: Subscriptions, key: str) -> web.StreamResponse:
        ws = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=LARGEST_MESSAGE)
        await ws.prepare(request)
        if request.version != HttpVersion10:
            socket = HttpSocket(ws)
            with subscriptions.member(key, socket):
                await converse(socket, self._server.habits(own_port=False))
        # Over HTTP/1.0 the 101 is sent and the connection dropped, as the recorded server does. And after a close
        # frame the connection just ends: closing the transport keeps aiohttp from saying goodbye.
        if request.transport is not None:
            request.transport.close()
        return ws
