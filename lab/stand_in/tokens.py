# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that look like the server's: three base64url parts, RS256 in the header, the issuer taken from DOMAIN.

The signature is an HMAC with the key file's bytes as its secret. That is all a stand-in needs: a token is good as long
as the key file and DOMAIN stay the same, also after an upgrade. Since 1.34.0 a login token must name the client that
got it, so tokens issued by older versions are refused from there on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import textwrap
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .eras import Era

LOGIN_SECONDS = 7200
LEEWAY_SECONDS = 30


def load_key(folder: Path, era: Era) -> bytes:
    """The bytes of rsa_key.pem, written on the first start; older versions keep a public half beside it."""
    path = folder / "rsa_key.pem"
    if not path.exists():
        body = "\n".join(textwrap.wrap(base64.b64encode(secrets.token_bytes(1190)).decode(), 64))
        path.write_text(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n", encoding="ascii")
    key = path.read_bytes()
    public = folder / "rsa_key.pub.pem"
    if era.has("public_key_file") and not public.exists():
        body = "\n".join(textwrap.wrap(base64.b64encode(hashlib.sha512(key).digest() * 4).decode(), 64))
        public.write_text(f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n", encoding="ascii")
    return key


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Tokens:
    """Issues and checks tokens for one key and one DOMAIN."""

    def __init__(self, key: bytes, domain: str, era: Era) -> None:
        parts = urlsplit(domain)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._key = key
        self._era = era

    def _sign(self, message: str) -> str:
        digest = hmac.digest(self._key, message.encode("ascii"), "sha512")
        return _encode(digest * 4)  # as long as an RSA signature

    def issue(self, purpose: str, claims: dict[str, Any], seconds: int) -> str:
        """A signed token for one purpose: login, admin, register_verify or refresh."""
        now = int(time.time())
        body = {"nbf": now, "exp": now + seconds, "iss": f"{self._origin}|{purpose}", **claims}
        head = _encode(b'{"typ":"JWT","alg":"RS256"}')
        message = f"{head}.{_encode(json.dumps(body, separators=(',', ':')).encode())}"
        return f"{message}.{self._sign(message)}"

    def check(self, purpose: str, token: str) -> dict[str, Any] | None:
        """The claims of a good token, or nothing."""
        message, __, signature = token.rpartition(".")
        if (
            message.count(".") != 1
            or not message.isascii()
            or not hmac.compare_digest(self._sign(message).encode(), signature.encode())
        ):
            return None
        claims = json.loads(_decode(message.partition(".")[2]))
        if claims["iss"] != f"{self._origin}|{purpose}" or claims["exp"] + LEEWAY_SECONDS < time.time():
            return None
        return dict(claims)

    def issue_login(self, user: Any, device: str, client: str, device_type: str) -> str:
        """A login token; what it says about the client depends on the version."""
        claims = {
            "sub": user["uuid"],
            "premium": True,
            "name": user["name"],
            "email": user["email"],
            "email_verified": True,
            "sstamp": user["security_stamp"],
            "device": device,
            "scope": ["api", "offline_access"],
            "amr": ["Application"],
        }
        if self._era.has("claims_name_the_client"):
            claims |= {"devicetype": device_type, "client_id": client}
        return self.issue("login", claims, LOGIN_SECONDS)

    def check_login(self, token: str) -> dict[str, Any] | None:
        """The claims of a good login token; newer versions insist on the claims that only they write."""
        claims = self.check("login", token)
        if claims and self._era.has("claims_name_the_client") and "client_id" not in claims:
            return None
        return claims
