# SPDX-License-Identifier: GPL-3.0-or-later
"""The client API: signs of life, registration, login, items and folders."""

from __future__ import annotations

import secrets
import sqlite3
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiohttp import web

from .hub import Event, event_frame, timestamp
from .server import AppError, GuardError, Server, answer_empty, answer_json, read_json, wanted
from .store import new_id, now_text
from .tokens import LOGIN_SECONDS

IDENTITY_LOG = "vaultwarden::api::identity"
BAD_LOGIN = "Username or password is incorrect. Try again"
NOT_ALLOWED = "Registration not allowed or user already exists"
DEFAULT_KDF = (0, 600000, None, None)
REFRESH_SECONDS = 30 * 24 * 3600
LONGEST_NAME = 50

DEVICE_TYPES = {
    "0": "Android",
    "1": "iOS",
    "6": "Windows Desktop",
    "7": "macOS Desktop",
    "8": "Linux Desktop",
    "9": "Chrome",
    "10": "Firefox",
}


class Session(NamedTuple):
    """Who is asking, and from which device."""

    user: sqlite3.Row
    device: str

    @property
    def user_id(self) -> str:
        """The user's identifier."""
        return str(self.user["uuid"])


class Registration(NamedTuple):
    """What a registration says, whichever shape it came in."""

    email: str
    credentials: dict[str, Any]


class Api:
    """Handlers under /api and /identity, and /alive."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = server.store
        self._shapes = server.shapes
        self._started = time.time()
        self._changed: dict[str, float] = {}

    def routes(self) -> list[web.RouteDef]:
        """The routes that this version has."""
        routes = [
            web.get("/alive", self.alive),
            web.get("/api/alive", self.alive),
            web.get("/api/now", self.now),
            web.get("/api/version", self.version),
            web.get("/api/config", self.config),
            web.post("/identity/accounts/prelogin", self.prelogin),
            web.post("/api/accounts/prelogin", self.prelogin),
            web.post("/identity/accounts/register", self.register),
            web.post("/identity/connect/token", self.token),
            web.get("/api/sync", self.sync),
            web.get("/api/accounts/profile", self.profile),
            web.get("/api/accounts/revision-date", self.revision_date),
            web.delete("/api/accounts", self.delete_account),
            web.post("/api/accounts/delete", self.delete_account),
            web.post("/api/ciphers", self.create_cipher),
            web.get("/api/ciphers/{id}", self.read_cipher),
            web.put("/api/ciphers/{id}", self.update_cipher),
            web.post("/api/ciphers/{id}", self.update_cipher),
            web.delete("/api/ciphers/{id}", self.delete_cipher),
            web.post("/api/ciphers/{id}/delete", self.delete_cipher),
            web.put("/api/ciphers/{id}/delete", self.bin_cipher),
            web.put("/api/ciphers/{id}/restore", self.restore_cipher),
            web.get("/api/folders", self.list_folders),
            web.post("/api/folders", self.create_folder),
            web.put("/api/folders/{id}", self.update_folder),
            web.delete("/api/folders/{id}", self.delete_folder),
        ]
        if self._server.era.has("api_registration"):
            routes.append(web.post("/api/accounts/register", self.register))
        if self._server.era.has("prelogin_by_password"):
            routes.append(web.post("/identity/accounts/prelogin/password", self.prelogin))
        if self._server.era.has("two_step_registration"):
            routes.append(web.post("/identity/accounts/register/send-verification-email", self.send_verification))
            routes.append(web.post("/identity/accounts/register/finish", self.finish_registration))
        return routes

    # Signs of life

    async def alive(self, request: web.Request) -> web.Response:
        """The time, provided that the database answers."""
        try:
            self._store.ping()
        except sqlite3.Error as exc:
            raise GuardError(503) from exc
        if request.method == "HEAD":
            return answer_empty()
        return answer_json(now_text())

    async def now(self, request: web.Request) -> web.Response:
        """The time."""
        return answer_json(now_text())

    async def version(self, request: web.Request) -> web.Response:
        """The server's own version."""
        return answer_json(str(self._server.era))

    async def config(self, request: web.Request) -> web.Response:
        """Where things are, for clients."""
        settings = self._server.settings
        return answer_json(self._shapes.config(settings.domain, settings.registration_closed))

    # Registration

    async def prelogin(self, request: web.Request) -> web.Response:
        """How to derive the key for an address."""
        email = str(wanted(await read_json(request), "email")).strip().lower()
        return answer_json(self._shapes.prelogin(self._store.user_by_mail(email)))

    async def register(self, request: web.Request) -> web.Response:
        """Become a user, by invitation or because anybody may."""
        self._register(self._registration(await read_json(request)))
        return answer_json(self._shapes.registered())

    async def send_verification(self, request: web.Request) -> web.Response:
        """Step one of the web vault's registration; without mail the token comes in the answer."""
        data = await read_json(request)
        email = str(wanted(data, "email"))
        user = self._store.user_by_mail(email.lower())
        if not self._server.settings.signup_allowed(email.lower()) and (user is None or user["password_hash"]):
            raise AppError(NOT_ALLOWED)
        claims = {"sub": email, "name": data.get("name"), "verified": False}
        return answer_json(self._server.tokens.issue("register_verify", claims, 1800))

    async def finish_registration(self, request: web.Request) -> web.Response:
        """Step two: the token must belong to the same address."""
        data = await read_json(request)
        claims = self._server.tokens.check("register_verify", str(data.get("emailVerificationToken") or ""))
        if claims is None or claims["sub"] != data.get("email"):
            raise AppError("The verification token does not fit the address")
        data.setdefault("name", claims["name"])
        self._register(self._registration(data))
        return answer_json(self._shapes.registered())

    def _registration(self, data: dict[str, Any]) -> Registration:
        nested = self._server.era.has("nested_registration") and "masterPasswordAuthentication" in data
        secret = self._nested_secret(data) if nested else self._flat_secret(data)
        keys = data.get("keys") or {}
        name = data.get("name")
        if name and len(name) > LONGEST_NAME:
            raise AppError(f"The name is longer than {LONGEST_NAME} characters")
        more = {"name": name, "private_key": keys.get("encryptedPrivateKey"), "public_key": keys.get("publicKey")}
        return Registration(str(wanted(data, "email")).lower(), secret | more)

    def _flat_secret(self, data: dict[str, Any]) -> dict[str, Any]:
        if self._server.era.has("kdf_floor"):
            wanted(data, "kdf")
            wanted(data, "kdfIterations")
        kdf = (
            data.get("kdf", DEFAULT_KDF[0]),
            data.get("kdfIterations", DEFAULT_KDF[1]),
            data.get("kdfMemory"),
            data.get("kdfParallelism"),
        )
        return {"hash": str(wanted(data, "masterPasswordHash")), "key": str(wanted(data, "key")), "kdf": kdf}

    def _nested_secret(self, data: dict[str, Any]) -> dict[str, Any]:
        proof, unlock = wanted(data, "masterPasswordAuthentication"), wanted(data, "masterPasswordUnlock")
        salts = {str(part.get("salt")) for part in (proof, unlock)}
        if proof.get("kdf") != unlock.get("kdf") or salts != {str(wanted(data, "email")).strip().lower()}:
            raise GuardError(422)
        kdf = wanted(proof, "kdf")
        return {
            "hash": _either(proof, "hash", "masterPasswordAuthenticationHash"),
            "key": _either(unlock, "key", "masterKeyWrappedUserKey"),
            "kdf": (
                _either(kdf, "kdf", "kdfType"),
                _either(kdf, "kdfIterations", "iterations"),
                kdf.get("kdfMemory", kdf.get("memory")),
                kdf.get("kdfParallelism", kdf.get("parallelism")),
            ),
        }

    def _register(self, registration: Registration) -> None:
        """The order matters: the invitation is used up before the key derivation is judged."""
        user = self._store.user_by_mail(registration.email)
        if user is not None and user["password_hash"]:
            raise AppError(NOT_ALLOWED)
        invited = self._store.take_invitation(registration.email)
        if not invited and not self._server.settings.signup_allowed(registration.email):
            raise AppError(NOT_ALLOWED)
        if self._server.era.has("kdf_floor"):
            _judge_kdf(*registration.credentials["kdf"])
        user = user or self._store.add_user(registration.email)
        self._store.set_credentials(user["uuid"], registration.credentials)

    # Login

    async def token(self, request: web.Request) -> web.Response:
        """A login with a password, or a renewal. Field names may be written in several ways."""
        form = {str(k).lower().replace("_", ""): str(v) for k, v in (await request.post()).items()}
        kind = form.get("granttype")
        if kind == "password":
            return self._password_login(form, self._server.client(request))
        if kind == "refresh_token":
            return self._renew(form)
        raise AppError("Invalid type")

    def _password_login(self, form: dict[str, str], client: str) -> web.Response:
        fields = ("clientid", "password", "scope", "username", "deviceidentifier", "devicename", "devicetype")
        for name in fields:
            if not form.get(name):
                raise AppError(f"{name} cannot be blank")
        if form["scope"] != "api offline_access":
            raise AppError("Scope not supported")
        if not self._server.logins.take(client):
            raise AppError("Too many login requests", 429)
        user = self._store.user_by_mail(form["username"].strip().lower())
        if user is None or not self._store.password_matches(user, form["password"]):
            self._server.log.error(IDENTITY_LOG, f"{BAD_LOGIN}. IP: {client}. Username: {form['username']}.")
            raise AppError(BAD_LOGIN)
        device_type = form["devicetype"] if form["devicetype"].isdigit() else "14"
        device = form["deviceidentifier"]
        refresh = self._store.ensure_device(
            device, user["uuid"], form["devicename"], int(device_type), self._new_refresh_token(user, device)
        )
        self._server.log.info(IDENTITY_LOG, f"User {user['email']} logged in successfully. IP: {client}")
        return self._grant(user, device, refresh, form["clientid"], device_type)

    def _new_refresh_token(self, user: sqlite3.Row, device: str) -> str:
        if self._server.era.has("refresh_token_is_jwt"):
            return self._server.tokens.issue("refresh", {"sub": user["uuid"], "device": device}, REFRESH_SECONDS)
        return secrets.token_urlsafe(64) + "=="

    def _grant(self, user: sqlite3.Row, device: str, refresh: str, client_id: str, device_type: str) -> web.Response:
        if self._server.era.has("refresh_token_is_jwt") and refresh.count(".") != 2:
            refresh = self._new_refresh_token(user, device)
        kind = DEVICE_TYPES.get(device_type, "Unknown Browser")
        access = self._server.tokens.issue_login(user, device, client_id, kind)
        return answer_json(self._shapes.token(user, access, refresh, LOGIN_SECONDS))

    def _renew(self, form: dict[str, str]) -> web.Response:
        token = form.get("refreshtoken", "")
        claims = self._server.tokens.check("refresh", token) if token.count(".") == 2 else None
        if claims is not None:
            device = self._store.device(str(claims["device"]), str(claims["sub"]))
        else:
            device = self._store.device_by_refresh_token(token)
        user = self._store.user(device["user_uuid"]) if device else None
        if device is None or user is None:
            raise AppError("Invalid refresh token", 401)
        return self._grant(user, device["uuid"], token, form.get("clientid", "web"), str(device["atype"]))

    def _session(self, request: web.Request) -> Session:
        __, bearer, token = request.headers.get("Authorization", "").rpartition("Bearer ")
        claims = self._server.tokens.check_login(token) if bearer else None
        user = self._store.user(claims["sub"]) if claims else None
        if claims is None or user is None or claims["sstamp"] != user["security_stamp"]:
            raise GuardError(401)
        return Session(user, str(claims["device"]))

    # Accounts

    async def profile(self, request: web.Request) -> web.Response:
        """The user."""
        return answer_json(self._shapes.profile(self._session(request).user))

    async def revision_date(self, request: web.Request) -> web.Response:
        """When the user's vault last changed, in milliseconds; a start counts as a change, since it is not stored."""
        changed = self._changed.get(self._session(request).user_id, self._started)
        return answer_json(int(changed * 1000))

    async def sync(self, request: web.Request) -> web.Response:
        """All that the user has."""
        session = self._session(request)
        user_id = session.user_id
        return answer_json(self._shapes.sync(session.user, self._store.ciphers(user_id), self._store.folders(user_id)))

    async def delete_account(self, request: web.Request) -> web.Response:
        """Remove the user, who has to know the password."""
        session = self._session(request)
        proof = str((await read_json(request)).get("masterPasswordHash") or "")
        if not self._store.password_matches(session.user, proof):
            raise AppError("Invalid password")
        self._store.delete_user(session.user_id)
        return answer_empty()

    # Items

    async def _tell(self, session: Session, kind: Event, item: str, *, cipher: bool = True) -> None:
        self._changed[session.user_id] = time.time()
        payload: dict[str, Any] = {"Id": item, "UserId": session.user_id}
        if cipher:
            payload |= {"OrganizationId": None, "CollectionIds": None}
        frame = event_frame(kind, session.device, payload | {"RevisionDate": timestamp()})
        await self._server.users.publish(session.user_id, frame)

    def _cipher(self, request: web.Request) -> tuple[Session, sqlite3.Row]:
        session = self._session(request)
        row = self._store.cipher(request.match_info["id"], session.user_id)
        if row is None:
            raise AppError("Cipher doesn't exist")
        return session, row

    def _cipher_values(self, data: dict[str, Any]) -> dict[str, Any]:
        kind = self._shapes.kinds.get(wanted(data, "type"))
        if kind is None:
            raise AppError("Invalid type")
        if not isinstance(data.get(kind), dict):
            raise AppError("Data missing")
        return {
            "atype": data["type"],
            "name": str(wanted(data, "name")),
            "notes": data.get("notes"),
            "fields": self._shapes.stored(data.get("fields")),
            "password_history": self._shapes.stored(data.get("passwordHistory")),
            "key": data.get("key"),
            "data": self._shapes.stored(data[kind]),
            "folder_uuid": data.get("folderId"),
            "favorite": int(bool(data.get("favorite"))),
            "reprompt": int(data.get("reprompt") or 0),
        }

    async def _save_cipher(self, session: Session, cipher_id: str, data: dict[str, Any], kind: Event) -> web.Response:
        folder = data.get("folderId")
        if folder is not None and self._store.folder(folder, session.user_id) is None:
            raise AppError("Invalid folder")
        self._store.save_cipher(cipher_id, session.user_id, self._cipher_values(data))
        await self._tell(session, kind, cipher_id)
        return self._show_cipher(session, cipher_id)

    def _show_cipher(self, session: Session, cipher_id: str) -> web.Response:
        row = self._store.cipher(cipher_id, session.user_id)
        if row is None:
            raise AppError("Cipher doesn't exist")
        return answer_json(self._shapes.cipher(row))

    async def create_cipher(self, request: web.Request) -> web.Response:
        """A new item."""
        session = self._session(request)
        return await self._save_cipher(session, new_id(), await read_json(request), Event.CIPHER_CREATE)

    async def read_cipher(self, request: web.Request) -> web.Response:
        """One item."""
        session, row = self._cipher(request)
        return self._show_cipher(session, row["uuid"])

    async def update_cipher(self, request: web.Request) -> web.Response:
        """Replace what an item says, unless the client worked on an old copy."""
        session, row = self._cipher(request)
        data = await read_json(request)
        known = data.get("lastKnownRevisionDate")
        if known and _seconds_between(str(known), row["updated_at"]) > 1:
            raise AppError("The client copy of this cipher is out of date. Resync the client and try again.")
        return await self._save_cipher(session, row["uuid"], data, Event.CIPHER_UPDATE)

    async def bin_cipher(self, request: web.Request) -> web.Response:
        """Into the bin: for other clients an update."""
        session, row = self._cipher(request)
        self._store.mark_deleted(row["uuid"], deleted=True)
        await self._tell(session, Event.CIPHER_UPDATE, row["uuid"])
        return answer_empty()

    async def restore_cipher(self, request: web.Request) -> web.Response:
        """Out of the bin."""
        session, row = self._cipher(request)
        self._store.mark_deleted(row["uuid"], deleted=False)
        await self._tell(session, Event.CIPHER_UPDATE, row["uuid"])
        return self._show_cipher(session, row["uuid"])

    async def delete_cipher(self, request: web.Request) -> web.Response:
        """Gone for good. The event's number changed in 1.35.0."""
        session, row = self._cipher(request)
        self._store.delete_cipher(row["uuid"])
        kind = Event.LOGIN_DELETE if self._server.era.has("delete_is_type_2") else Event.CIPHER_DELETE
        await self._tell(session, kind, row["uuid"])
        return answer_empty()

    # Folders

    def _folder(self, request: web.Request) -> tuple[Session, sqlite3.Row]:
        session = self._session(request)
        row = self._store.folder(request.match_info["id"], session.user_id)
        if row is None:
            raise AppError("Invalid folder")
        return session, row

    async def _save_folder(self, session: Session, folder_id: str, request: web.Request, kind: Event) -> web.Response:
        name = str(wanted(await read_json(request), "name"))
        self._store.save_folder(folder_id, session.user_id, name)
        await self._tell(session, kind, folder_id, cipher=False)
        row = self._store.folder(folder_id, session.user_id)
        if row is None:
            raise AppError("Invalid folder")
        return answer_json(self._shapes.folder(row))

    async def list_folders(self, request: web.Request) -> web.Response:
        """All folders."""
        session = self._session(request)
        rows = [self._shapes.folder(row) for row in self._store.folders(session.user_id)]
        return answer_json(self._shapes.listed(rows))

    async def create_folder(self, request: web.Request) -> web.Response:
        """A new folder."""
        return await self._save_folder(self._session(request), new_id(), request, Event.FOLDER_CREATE)

    async def update_folder(self, request: web.Request) -> web.Response:
        """Another name for a folder."""
        session, row = self._folder(request)
        return await self._save_folder(session, row["uuid"], request, Event.FOLDER_UPDATE)

    async def delete_folder(self, request: web.Request) -> web.Response:
        """Remove a folder."""
        session, row = self._folder(request)
        self._store.delete_folder(row["uuid"])
        await self._tell(session, Event.FOLDER_DELETE, row["uuid"], cipher=False)
        return answer_empty()


def _seconds_between(earlier: str, later: str) -> float:
    try:
        moments = [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (earlier, later)]
    except ValueError:
        return 0.0
    known, stored = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments)
    return (stored - known).total_seconds()


def _either(data: dict[str, Any], name: str, alias: str) -> Any:
    """A value that has to be there under one of two names."""
    return data[name] if data.get(name) is not None else wanted(data, alias)


def _judge_kdf(kind: Any, iterations: Any, memory: Any, parallelism: Any) -> None:
    """Newer versions refuse a key derivation that is too cheap."""
    if kind == 0 and iterations < 100_000:
        raise AppError("PBKDF2 KDF iterations must be at least 100000.")
    if kind == 1 and not (iterations >= 1 and 15 <= (memory or 0) <= 1024 and 1 <= (parallelism or 0) <= 16):
        raise AppError("The Argon2 parameters are out of range.")
