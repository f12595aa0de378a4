# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON bodies: written once in camelCase, with the keys that each version adds or drops, and re-cased for old ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from .eras import Era

# Keys that are lower case in every version.
FIXED_KEYS = frozenset({"error", "error_description", "unofficialServer"})

CIPHER_KINDS = {1: "login", 2: "secureNote", 3: "card", 4: "identity"}


def _recase(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {change(key): _recase(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_recase(item, change) for item in value]
    return value


def _upper_first(key: str) -> str:
    if key in FIXED_KEYS:
        return key
    lead = len(key) - len(key.lstrip("_"))
    return key[:lead] + key[lead : lead + 1].upper() + key[lead + 1 :]


def _lower_first(key: str) -> str:
    return key[:1].lower() + key[1:]


def pascal(value: Any) -> Any:
    """Keys as before 1.31.0."""
    return _recase(value, _upper_first)


def camel(value: Any) -> Any:
    """Keys as since 1.31.0."""
    return _recase(value, _lower_first)


class Shapes:
    """Builds the bodies of one version."""

    def __init__(self, era: Era) -> None:
        self._era = era
        self._cased: Callable[[Any], Any] = (lambda value: value) if era.has("camel_case") else pascal

    def _only(self, behaviour: str, **values: Any) -> dict[str, Any]:
        return values if self._era.has(behaviour) else {}

    @property
    def kinds(self) -> dict[int, str]:
        """The kinds of items this version stores, with the key each keeps its data under."""
        kinds = dict(CIPHER_KINDS)
        if self._era.has("cipher_ssh_key"):
            kinds[5] = "sshKey"
        if self._era.has("cipher_new_kinds"):
            kinds |= {6: "bankAccount", 7: "driversLicense", 8: "passport"}
        return kinds

    def stored(self, value: Any) -> Any:
        """What a client sent, as this version writes it into the database."""
        return camel(value) if self._era.has("camel_case") else pascal(value)

    def error(self, message: str) -> Any:
        """The body of every error that the application itself reports."""
        return self._cased(
            {
                "message": message,
                "validationErrors": {"": [message]},
                "errorModel": {"message": message, "object": "error"},
                "error": "",
                "error_description": "",
                "exceptionMessage": None,
                "exceptionStackTrace": None,
                "innerExceptionMessage": None,
                "object": "error",
            }
        )

    def registered(self) -> Any:
        """The answer to a registration."""
        return self._cased({"object": "register", "captchaBypassToken": ""})

    def prelogin(self, user: sqlite3.Row | None) -> Any:
        """How the client has to derive its key; strangers get the defaults."""
        kdf, iterations, memory, parallelism = kdf_of(user) if user else (0, 600000, None, None)
        body = {"kdf": kdf, "kdfIterations": iterations, "kdfMemory": memory, "kdfParallelism": parallelism}
        settings = {"kdfType": kdf, "iterations": iterations, "memory": memory, "parallelism": parallelism}
        return self._cased(body | self._only("prelogin_settings", kdfSettings=settings, salt=None))

    def user(self, user: sqlite3.Row) -> dict[str, Any]:
        """A profile, not yet re-cased."""
        body = {
            "_status": 0 if user["password_hash"] else 1,
            "id": user["uuid"],
            "name": user["name"],
            "email": user["email"],
            "emailVerified": True,
            "premium": True,
            "culture": "en-US",
            "twoFactorEnabled": False,
            "key": user["akey"],
            "privateKey": user["private_key"],
            "securityStamp": user["security_stamp"],
            "organizations": [],
            "providers": [],
            "providerOrganizations": [],
            "forcePasswordReset": False,
            "avatarColor": None,
            "object": "profile",
        }
        body |= self._only("user_password_hint", masterPasswordHint=None)
        body |= self._only("camel_case", premiumFromOrganization=False, usesKeyConnector=False)
        body |= self._only("user_creation_date", creationDate=user["created_at"])
        return body | self._only("user_account_keys", accountKeys=_account_keys(user))

    def profile(self, user: sqlite3.Row) -> Any:
        """A profile as a client sees it."""
        return self._cased(self.user(user))

    def admin_user(self, user: sqlite3.Row) -> Any:
        """A profile as the admin page's API shows it."""
        created = user["created_at"].replace("T", " ")[:19]
        return self._cased(self.user(user) | {"userEnabled": True, "createdAt": f"{created} +00:00"})

    def folder(self, folder: sqlite3.Row) -> Any:
        """A folder."""
        return self._cased(
            {"id": folder["uuid"], "revisionDate": folder["updated_at"], "name": folder["name"], "object": "folder"}
        )

    def listed(self, rows: list[Any]) -> Any:
        """A list of bodies that are re-cased already."""
        return self._cased({"data": [], "object": "list", "continuationToken": None}) | {self._key("data"): rows}

    def _key(self, name: str) -> str:
        """One key, re-cased."""
        return str(next(iter(self._cased({name: None}))))

    def _cipher_data(self, cipher: sqlite3.Row) -> dict[str, Any]:
        """What the item's own kind holds. Old versions do not re-case what newer ones stored."""
        data: dict[str, Any] = json.loads(cipher["data"])
        if self._era.has("camel_case"):
            data = camel(data)
        if cipher["atype"] == 1:
            uri, uris = ("uri", "uris") if self._era.has("camel_case") else ("Uri", "Uris")
            entries = data.get(uris)
            data[uri] = entries[0].get(uri) if isinstance(entries, list) and entries else None
            if self._era.has("cipher_uris"):
                data.setdefault(uris, None)
        return data

    def _list(self, text: str | None) -> Any:
        entries = json.loads(text) if text else None
        return camel(entries or []) if self._era.has("camel_case") else entries

    def cipher(self, cipher: sqlite3.Row) -> Any:
        """An item."""
        fields, history = self._list(cipher["fields"]), self._list(cipher["password_history"])
        common = {"fields": fields, "name": cipher["name"], "notes": cipher["notes"], "passwordHistory": history}
        body = common | {
            "object": "cipherDetails",
            "id": cipher["uuid"],
            "type": cipher["atype"],
            "creationDate": cipher["created_at"],
            "revisionDate": cipher["updated_at"],
            "deletedDate": cipher["deleted_at"],
            "reprompt": cipher["reprompt"],
            "organizationId": None,
            "attachments": None,
            "organizationUseTotp": True,
            "collectionIds": [],
            "folderId": cipher["folder_uuid"],
            "favorite": bool(cipher["favorite"]),
            "edit": True,
            "viewPassword": True,
        }
        body |= dict.fromkeys(self.kinds.values())
        body |= self._only("cipher_key", key=cipher["key"])
        body |= self._only("cipher_permissions", permissions={"delete": True, "restore": True})
        body |= self._only("cipher_archived_date", archivedDate=None)
        cased: dict[str, Any] = self._cased(body)
        data = self._cipher_data(cipher)
        kind = self.kinds.get(cipher["atype"], "login")
        cased[self._key(kind)] = data
        if self._era.has("cipher_data"):
            cased[self._key("data")] = data | self._cased(common)
        return cased

    def sync(self, user: sqlite3.Row, ciphers: list[sqlite3.Row], folders: list[sqlite3.Row]) -> Any:
        """All that a client needs to start."""
        body: dict[str, Any] = {"collections": [], "policies": [], "domains": None, "sends": [], "object": "sync"}
        body |= self._only("unofficial_mark", unofficialServer=True)
        body |= self._only("token_account_keys", userDecryption={"masterPasswordUnlock": camel(_unlock(user))})
        parts = {"profile": self.profile(user)}
        lists = {"ciphers": [self.cipher(row) for row in ciphers], "folders": [self.folder(row) for row in folders]}
        outer = {self._key(key): value for key, value in (parts | lists).items()}
        return self._cased(body) | outer

    def token(self, user: sqlite3.Row, access: str, refresh: str, seconds: int) -> dict[str, Any]:
        """The answer to a login: snake_case beside PascalCase in every version."""
        kdf, iterations, memory, parallelism = kdf_of(user)
        body: dict[str, Any] = {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": seconds,
            "token_type": "Bearer",
            "scope": "api offline_access",
            "Key": user["akey"],
            "PrivateKey": user["private_key"],
            "Kdf": kdf,
            "KdfIterations": iterations,
            "KdfMemory": memory,
            "KdfParallelism": parallelism,
            "ResetMasterPassword": False,
        }
        body |= self._only("unofficial_mark", unofficialServer=True)
        if self._era.has("token_master_password_policy"):
            key = "Object" if self._era.has("policy_object_upper_case") else "object"
            body |= {"ForcePasswordReset": False, "MasterPasswordPolicy": {key: "masterPasswordPolicy"}}
        options: dict[str, Any] = {"HasMasterPassword": True, "Object": "userDecryptionOptions"}
        if self._era.has("token_account_keys"):
            options["MasterPasswordUnlock"] = _unlock(user)
            pair = {
                "wrappedPrivateKey": user["private_key"],
                "publicKey": user["public_key"],
                "Object": "publicKeyEncryptionKeyPair",
            }
            body["AccountKeys"] = {"publicKeyEncryptionKeyPair": pair, "Object": "privateKeys"}
        return body | self._only("token_user_decryption", UserDecryptionOptions=options)

    def config(self, domain: str, registration_closed: bool) -> dict[str, Any]:
        """What /api/config tells every client; camelCase in every version."""
        places: dict[str, Any] = {name: f"{domain}/{name}" for name in ("api", "identity", "notifications")}
        body: dict[str, Any] = {
            "version": self._era.client_version,
            "gitHash": None,
            "server": {"name": "Vaultwarden", "url": "https://github.com/dani-garcia/vaultwarden"},
            "environment": places | {"vault": domain, "sso": ""} | self._only("config_push", cloudRegion=None),
            "object": "config",
        }
        if self._era.has("config_emulates_client_version"):
            body["featureStates"] = self._era.features
            body["server"] |= self._only("config_names_server_version", version=str(self._era))
        if self._era.has("config_settings"):
            extra = self._only("config_onboarding", suppressOnboardingInterstitials=False)
            body["settings"] = {"disableUserRegistration": registration_closed} | extra
        body |= self._only("config_push", push={"pushTechnology": 0, "vapidPublicKey": None})
        return body | self._only("config_onboarding", communication=None)


def kdf_of(user: sqlite3.Row) -> tuple[int, int, int | None, int | None]:
    """How this user's client derives its key."""
    return (
        user["client_kdf_type"],
        user["client_kdf_iter"],
        user["client_kdf_memory"],
        user["client_kdf_parallelism"],
    )


def _unlock(user: sqlite3.Row) -> dict[str, Any]:
    kdf, iterations, memory, parallelism = kdf_of(user)
    return {
        "Kdf": {"KdfType": kdf, "Iterations": iterations, "Memory": memory, "Parallelism": parallelism},
        "MasterKeyEncryptedUserKey": user["akey"],
        "MasterKeyWrappedUserKey": user["akey"],
        "Salt": user["email"],
    }


def _account_keys(user: sqlite3.Row) -> dict[str, Any] | None:
    if not user["private_key"]:
        return None
    pair = {
        "wrappedPrivateKey": user["private_key"],
        "publicKey": user["public_key"],
        "signedPublicKey": None,
        "object": "publicKeyEncryptionKeyPair",
    }
    return {
        "publicKeyEncryptionKeyPair": pair,
        "securityState": None,
        "signatureKeyPair": None,
        "object": "privateKeys",
    }
