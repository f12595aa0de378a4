# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and sessions of a vault, as far as a live-update check needs them.

An account is either one that exists (``given``), or a throwaway made by open sign-up (``signup``) or by an
invitation of the admin page (``admin``). A throwaway leaves no trace: whatever went wrong, remove() takes it away.
Its keys are random bytes, since nobody will ever decrypt anything with them.

Requests are written in camelCase, which every release understands; answers are read case-insensitively, since
releases before and after the change of case differ. No secret appears in any text raised here.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import typing as t
import uuid
from urllib.parse import quote, urlencode

from ansible_collections.vaultwire.stack.plugins.module_utils._http import Client, Deadline, Reply, TransportError
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import InternalError, named
from ansible_collections.vaultwire.stack.plugins.module_utils._said import shown

AccountKind = t.Literal["given", "signup", "admin"]

PBKDF2, ARGON2ID = 0, 1
#: Below 100000 newer servers refuse the registration, and a refused one may use up the invitation.
PBKDF2_ITERATIONS = 600_000
#: What the official clients accept of a server at sign-in (kdf-config.ts in libs/common of bitwarden/clients: the
#: floor is PRELOGIN_ITERATIONS_MIN). Less makes a hash that is guessed offline, more is work without an end.
PBKDF2_ROUNDS = range(5_000, 2_000_001)
ARGON2ID_ROUNDS = range(2, 11)
ARGON2ID_MEMORY_MIB = range(15, 1025)
ARGON2ID_LANES = range(1, 17)

#: A top-level name that is reserved for never existing, so no mail can reach anybody.
THROWAWAY_DOMAIN = "example.invalid"
INVITES_BY_MAIL = (
    "A server with mail switched on sends invitations by mail, which this check cannot read: give it a test account "
    "with email and password instead."
)

_JSON = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "vaultwire-live-update"}
_FORM = {**_JSON, "Content-Type": "application/x-www-form-urlencoded"}
_DEVICE_TYPE = "25"  # a command line on Linux; the numbers of phones would start push registration


class LiveUpdateError(Exception):
    """The check cannot go on, or proved a fault. The text is fit for the operator and holds no secret."""


class LoginRefusedError(LiveUpdateError):
    """The server does not know this account, or not with this password."""


class RateLimitedError(LiveUpdateError):
    """The server takes no more logins from this address for a while, which says nothing about the live channel."""


#: What a step of the check may raise by design; all else is an error of the check itself.
EXPECTED = (LiveUpdateError, TimeoutError)


def field(data: t.Any, name: str) -> t.Any:
    """A key of a JSON object in whatever case the release writes it; None where it is missing."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key.lower() == name.lower():
                return value
    return None


def reason(reply: Reply) -> str:
    """Status and message of a refusal, for the operator."""
    message = field(field(reply.json(), "errorModel"), "message") or field(reply.json(), "message")
    return f"{reply.status} ({shown(message)})" if isinstance(message, str) and message else str(reply.status)


def random_enc_string() -> str:
    """A text in the form in which clients store names: random, but as well-formed as a real one."""
    parts = (base64.b64encode(os.urandom(size)).decode("ascii") for size in (16, 48, 32))
    return "2." + "|".join(parts)


def password_hash(password: str, email: str, prelogin: t.Any) -> str:
    """The hash that a client sends instead of the password, made with the account's own key derivation.

    Raises LiveUpdateError for a derivation that the official clients would refuse: a vault that asks for less is after
    the password, one that asks for more after the machine that checks.
    """
    kind = field(prelogin, "kdf")
    own_salt = email.strip().lower()
    if (field(prelogin, "salt") or own_salt) != own_salt:
        raise LiveUpdateError(f"The server names another salt for {email} than its address. {_NOT_SENT}")
    secret, salt = password.encode(), own_salt.encode()
    if kind == PBKDF2:
        rounds = _within(prelogin, "kdfIterations", PBKDF2_ROUNDS, PBKDF2_ITERATIONS)
        key = hashlib.pbkdf2_hmac("sha256", secret, salt, rounds, 32)
    elif kind == ARGON2ID:
        rounds = _within(prelogin, "kdfIterations", ARGON2ID_ROUNDS, 3)
        memory = _within(prelogin, "kdfMemory", ARGON2ID_MEMORY_MIB, 64)
        lanes = _within(prelogin, "kdfParallelism", ARGON2ID_LANES, 4)
        key = _argon2id(secret, hashlib.sha256(salt).digest(), rounds, memory, lanes)
    else:
        raise LiveUpdateError(
            f"The account of {email} uses key derivation {shown(repr(kind))}, which this check does not know."
        )
    return base64.b64encode(hashlib.pbkdf2_hmac("sha256", key, secret, 1, 32)).decode("ascii")


_NOT_SENT = "The official clients do not sign in then, and nor did this check: no hash of the password was sent."


def _within(prelogin: t.Any, name: str, allowed: range, default: int) -> int:
    """A number of the key derivation, ``default`` where the server names none. Raises LiveUpdateError."""
    value = field(prelogin, name)
    if value is None:
        return default
    # True is an int, too.
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise LiveUpdateError(
            f"The server asks for {name} {shown(repr(value), 40)}, and {allowed.start} to {allowed.stop - 1} is what "
            f"an account can have. {_NOT_SENT}"
        )
    return value


def _argon2id(secret: bytes, salt: bytes, iterations: int, memory_mib: int, lanes: int) -> bytes:
    try:
        from argon2.low_level import Type, hash_secret_raw
    except ImportError as exc:
        raise LiveUpdateError(
            "The test account derives its key with Argon2id, for which the Python package argon2-cffi is needed where "
            "the check runs. Install it, or give a test account that uses PBKDF2."
        ) from exc
    return hash_secret_raw(secret, salt, iterations, memory_mib * 1024, lanes, 32, Type.ID)


class Api:
    """JSON requests to one vault, as nobody, as the admin or as a session."""

    def __init__(self, client: Client, headers: t.Optional[t.Mapping[str, str]] = None) -> None:
        self.client = client
        self._headers = dict(headers or {})

    def send(self, method: str, path: str, deadline: Deadline, data: t.Any = None) -> Reply:
        """One request; ``data`` becomes the JSON body. Raises LiveUpdateError where no answer comes."""
        # The admin's POSTs need the content type even without a body.
        body = None if data is None and method != "POST" else json.dumps(data if data is not None else {}).encode()
        return self._request(method, path, {**_JSON, **self._headers}, body, deadline)

    def send_form(self, path: str, deadline: Deadline, data: t.Mapping[str, str]) -> Reply:
        return self._request("POST", path, {**_FORM, **self._headers}, urlencode(data).encode(), deadline)

    def _request(
        self, method: str, path: str, headers: t.Mapping[str, str], body: t.Optional[bytes], deadline: Deadline
    ) -> Reply:
        where = f"{method} {self.client.target.base_path}{path}"
        try:
            reply = self.client.request(method, path, headers, body, deadline)
        except (TransportError, OSError) as exc:
            text = str(exc) or type(exc).__name__
            raise LiveUpdateError(f"{where} got no answer ({text}). Is {self.client.target.url} up?") from exc
        if reply.status == 429:
            raise RateLimitedError(
                f"{where} was refused with 429: too many logins in a short time. The server allows about ten password "
                f"logins in a minute and three admin logins in five minutes from one address. Wait, then run again; "
                f"if nobody else logs in, the proxy may hide the clients' addresses (X-Real-IP)."
            )
        return reply


@dataclasses.dataclass
class Session:
    """One signed-in device."""

    device: str
    token: str
    api: Api


class Account:
    """An account to test with, from its making to its removal."""

    def __init__(
        self, new_client: t.Callable[[], Client], kind: AccountKind, email: str, admin_token: str = ""
    ) -> None:
        self.kind = kind
        self.email = email
        self.removed = False
        #: What a way to remove it failed with by an error of our own, also where another way did it.
        self.failure: t.Optional[InternalError] = None
        self._new_client = new_client
        self._nobody = Api(new_client())
        self._admin_token = admin_token
        self._admin: t.Optional[Api] = None
        self._hash = ""
        self._user_id = ""
        self.sessions: t.List[Session] = []
        # What may exist on the server by now, even if the answer to the request never arrived.
        self._invited = False
        self._registered: t.Literal["no", "maybe", "yes"] = "no"

    @property
    def throwaway(self) -> bool:
        return self.kind != "given"

    def server_version(self, deadline: Deadline) -> str:
        """What the server says of itself, empty where it says nothing; also the first proof that it is there."""
        version = self._nobody.send("GET", "/api/version", deadline).json()
        return version if isinstance(version, str) else ""

    def unlock(self, password: str, deadline: Deadline) -> None:
        """Make the password hash of an account that exists."""
        reply = self._nobody.send("POST", "/identity/accounts/prelogin", deadline, {"email": self.email})
        if reply.status != 200:
            raise LiveUpdateError(f"The server did not say how to sign in as {self.email}: {reason(reply)}.")
        self._hash = password_hash(password, self.email, reply.json())

    def create(self, deadline: Deadline) -> None:
        """Register a throwaway, invited first if it takes the admin's invitation."""
        self._hash = base64.b64encode(os.urandom(32)).decode("ascii")
        if self.kind == "admin":
            admin = self._as_admin(deadline)
            self._invited = True
            reply = admin.send("POST", "/admin/invite", deadline, {"email": self.email})
            if reply.status != 200:
                hint = f" {INVITES_BY_MAIL}" if reply.status == 500 else ""
                raise LiveUpdateError(f"The admin page did not invite the throwaway account: {reason(reply)}.{hint}")
            self._user_id = str(field(reply.json(), "id") or "")
        self._registered = "maybe"
        reply = self._nobody.send("POST", "/identity/accounts/register", deadline, self._registration())
        self._registered = "yes" if reply.status == 200 else "no"
        if reply.status != 200:
            raise LiveUpdateError(self._no_registration(reply))

    def _registration(self) -> t.Dict[str, t.Any]:
        return {
            "email": self.email,
            "name": "vaultwire check",
            "kdf": PBKDF2,
            "kdfIterations": PBKDF2_ITERATIONS,
            "masterPasswordHash": self._hash,
            "masterPasswordHint": None,
            "key": random_enc_string(),
            "keys": {
                "publicKey": base64.b64encode(os.urandom(294)).decode("ascii"),
                "encryptedPrivateKey": random_enc_string(),
            },
        }

    def _no_registration(self, reply: Reply) -> str:
        if self.kind == "admin":
            hint = INVITES_BY_MAIL
        else:
            hint = "Sign-up is not open on this server: give an admin token or a test account instead."
        return f"The throwaway account was not registered: {reason(reply)}. {hint}"

    def _as_admin(self, deadline: Deadline) -> Api:
        """The admin page, logged in once; three logins in five minutes are all that a server allows."""
        if self._admin is not None:
            return self._admin
        reply = self._nobody.send_form("/admin", deadline, {"token": self._admin_token})
        for cookie in reply.cookies:
            if cookie.startswith("VW_ADMIN="):
                self._admin = Api(self._nobody.client, {"Cookie": cookie.partition(";")[0]})
                return self._admin
        raise LiveUpdateError(_no_admin(reply))

    def sign_in(self, device: str, deadline: Deadline) -> Session:
        """A session of its own for one device, over a connection of its own. Two may sign in at the same time."""
        form = {
            "grant_type": "password",
            "username": self.email,
            "password": self._hash,
            "scope": "api offline_access",
            "client_id": "cli",
            "deviceType": _DEVICE_TYPE,
            "deviceIdentifier": device,
            "deviceName": "vaultwire check",
        }
        client = self._new_client()
        try:
            reply = Api(client).send_form("/identity/connect/token", deadline, form)
            token = field(reply.json(), "access_token")
            if reply.status != 200 or not token:
                refused = LoginRefusedError if reply.status in (400, 401) else LiveUpdateError
                raise refused(_no_login(self, reply))
        except BaseException:
            client.close()
            raise
        session = Session(device, token, Api(client, {"Authorization": f"Bearer {token}"}))
        self.sessions.append(session)
        return session

    def remove(self, deadline: Deadline) -> None:
        """Take a throwaway away again, by itself or by the admin. Raises LiveUpdateError when both fail."""
        if not self.throwaway or self.removed:
            return
        ways = [self._remove_by_itself] if self._registered != "no" else []
        if self._invited or (ways and self._admin_token):
            ways.append(self._remove_by_admin)
        problems = []
        for way in ways:
            try:
                with named("the step cleanup", EXPECTED):
                    way(deadline)
            except LiveUpdateError as exc:
                problems.append(str(exc))
            except InternalError as exc:
                self.failure = self.failure or exc
            else:
                self.removed = True
                return
        self.removed = not ways
        if ways:
            raise LiveUpdateError(
                f"The throwaway account {self.email} could not be removed; delete it in the admin page. "
                + " ".join(problems)
            )

    def _remove_by_itself(self, deadline: Deadline) -> None:
        try:
            # After a registration whose answer was lost there is no session yet.
            session = self.sessions[0] if self.sessions else self.sign_in(str(uuid.uuid4()), deadline)
        except LoginRefusedError:
            if self._registered == "maybe" and not self._invited:
                return  # The lost request did not register anything.
            raise
        reply = session.api.send("DELETE", "/api/accounts", deadline, {"masterPasswordHash": self._hash})
        if reply.status != 200:
            raise LiveUpdateError(f"The account's own request to be deleted got {reason(reply)}.")

    def _remove_by_admin(self, deadline: Deadline) -> None:
        if not self._admin_token:
            raise LiveUpdateError("There is no admin token to delete it with.")
        admin = self._as_admin(deadline)
        if not self._user_id:
            reply = admin.send("GET", f"/admin/users/by-mail/{quote(self.email)}", deadline)
            if reply.status == 404:
                return  # It was never made, or is gone already.
            self._user_id = str(field(reply.json(), "id") or "")
            if reply.status != 200 or not self._user_id:
                raise LiveUpdateError(f"The admin page did not say which account it is: {reason(reply)}.")
        reply = admin.send("POST", f"/admin/users/{quote(self._user_id)}/delete", deadline)
        if reply.status not in (200, 404):
            raise LiveUpdateError(f"The admin's request to delete it got {reason(reply)}.")

    def close(self) -> None:
        """End the connections of the account and of its sessions."""
        self._nobody.client.close()
        for session in self.sessions:
            session.api.client.close()


def _no_admin(reply: Reply) -> str:
    if reply.status == 401:
        return "The admin page refused the admin token (401). Give the token itself, not the hash the server stores."
    if reply.status in (301, 302, 303, 307, 308, 403):
        return (
            f"The admin page cannot be reached: {reply.status} came from something in front of it. Let this machine "
            f"pass, or give a test account with email and password instead."
        )
    return (
        f"The admin page did not log in: {reason(reply)}. It is switched off unless ADMIN_TOKEN is set on the server; "
        f"give a test account with email and password instead."
    )


def _no_login(account: Account, reply: Reply) -> str:
    text = f"Signing in as {account.email} got {reason(reply)}."
    if field(reply.json(), "TwoFactorProviders") is not None:
        return f"{text} The test account has a second factor; give one without."
    if reply.status in (400, 401) and not account.throwaway:
        return f"{text} Check email and password of the test account."
    return text


def throwaway_address() -> str:
    return f"vaultwire-check-{uuid.uuid4()}@{THROWAWAY_DOMAIN}"
