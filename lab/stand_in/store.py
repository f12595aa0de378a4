# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server remembers: one SQLite file in WAL mode that survives upgrades and downgrades."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .eras import Era

SCHEMA = """
CREATE TABLE IF NOT EXISTS __diesel_schema_migrations (
    version TEXT PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS users (
    uuid TEXT PRIMARY KEY NOT NULL, created_at TEXT NOT NULL, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    password_hash BLOB NOT NULL, salt BLOB NOT NULL, akey TEXT NOT NULL DEFAULT '', private_key TEXT, public_key TEXT,
    security_stamp TEXT NOT NULL, client_kdf_type INTEGER NOT NULL DEFAULT 0,
    client_kdf_iter INTEGER NOT NULL DEFAULT 600000, client_kdf_memory INTEGER, client_kdf_parallelism INTEGER);
CREATE TABLE IF NOT EXISTS invitations (email TEXT PRIMARY KEY NOT NULL);
CREATE TABLE IF NOT EXISTS devices (
    uuid TEXT NOT NULL, user_uuid TEXT NOT NULL REFERENCES users (uuid) ON DELETE CASCADE, name TEXT NOT NULL,
    atype INTEGER NOT NULL, refresh_token TEXT NOT NULL, PRIMARY KEY (uuid, user_uuid));
CREATE TABLE IF NOT EXISTS folders (
    uuid TEXT PRIMARY KEY NOT NULL, updated_at TEXT NOT NULL, name TEXT NOT NULL,
    user_uuid TEXT NOT NULL REFERENCES users (uuid) ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS ciphers (
    uuid TEXT PRIMARY KEY NOT NULL, user_uuid TEXT NOT NULL REFERENCES users (uuid) ON DELETE CASCADE,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleted_at TEXT, atype INTEGER NOT NULL, name TEXT NOT NULL,
    notes TEXT, fields TEXT, password_history TEXT, key TEXT, data TEXT NOT NULL,
    folder_uuid TEXT REFERENCES folders (uuid) ON DELETE SET NULL,
    favorite INTEGER NOT NULL DEFAULT 0, reprompt INTEGER NOT NULL DEFAULT 0);
"""

HASH_ROUNDS = 1000


def now_text() -> str:
    """The present moment as the server writes it: UTC, six digits, Z."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A fresh identifier."""
    return str(uuid.uuid4())


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, HASH_ROUNDS)


class Store:
    """The database. It is never closed: a clean stop leaves the -wal and -shm files, as the real server does."""

    def __init__(self, path: Path, era: Era) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA busy_timeout = 5000")
        self._db.executescript(SCHEMA)
        self._migrate(era)

    def _migrate(self, era: Era) -> None:
        """Add this version's migrations; those of a newer version stay, as they do when one goes back."""
        rows = [(stamp,) for stamp in era.migrations]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO __diesel_schema_migrations (version) VALUES (?)", rows)
        self._db.execute("COMMIT")

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
        return row

    def ping(self) -> None:
        """Raise sqlite3.Error when the database does not answer."""
        self._db.execute("SELECT 1 FROM users LIMIT 1").fetchone()

    def backup(self) -> Path:
        """A consistent copy beside the database."""
        target = self._path.with_name(f"db_{datetime.now():%Y%m%d_%H%M%S}.sqlite3")
        self._db.execute("VACUUM INTO ?", (str(target),))
        return target

    # Users and invitations

    def user(self, user_id: str) -> sqlite3.Row | None:
        """A user by identifier."""
        return self._one("SELECT * FROM users WHERE uuid = ?", user_id)

    def user_by_mail(self, email: str) -> sqlite3.Row | None:
        """A user by address."""
        return self._one("SELECT * FROM users WHERE email = ?", email)

    def users(self) -> list[sqlite3.Row]:
        """All users."""
        return self._db.execute("SELECT * FROM users ORDER BY email").fetchall()

    def invite(self, email: str) -> sqlite3.Row:
        """A user without a password, and the invitation that lets somebody become that user."""
        self._db.execute("INSERT OR REPLACE INTO invitations (email) VALUES (?)", (email,))
        return self.add_user(email)

    def add_user(self, email: str) -> sqlite3.Row:
        """A user who cannot log in yet."""
        self._db.execute(
            "INSERT INTO users (uuid, created_at, email, name, password_hash, salt, security_stamp)"
            " VALUES (?, ?, ?, ?, x'', x'', ?)",
            (new_id(), now_text(), email, email, new_id()),
        )
        row = self.user_by_mail(email)
        if row is None:
            raise sqlite3.IntegrityError(f"user {email} was not stored")
        return row

    def take_invitation(self, email: str) -> bool:
        """Use an invitation up; False when there is none."""
        return self._db.execute("DELETE FROM invitations WHERE email = ?", (email,)).rowcount > 0

    def set_credentials(self, user_id: str, data: dict[str, Any]) -> None:
        """Complete a user at registration."""
        salt = secrets.token_bytes(16)
        self._db.execute(
            "UPDATE users SET name = coalesce(?, name), password_hash = ?, salt = ?, akey = ?, private_key = ?,"
            " public_key = ?, security_stamp = ?, client_kdf_type = ?, client_kdf_iter = ?, client_kdf_memory = ?,"
            " client_kdf_parallelism = ? WHERE uuid = ?",
            (
                data["name"],
                _hash(data["hash"], salt),
                salt,
                data["key"],
                data["private_key"],
                data["public_key"],
                new_id(),
                *data["kdf"],
                user_id,
            ),
        )

    def password_matches(self, user: sqlite3.Row, password: str) -> bool:
        """Whether this is the user's master password hash; an invited user has none."""
        return bool(user["password_hash"]) and hmac.compare_digest(
            bytes(user["password_hash"]), _hash(password, bytes(user["salt"]))
        )

    def delete_user(self, user_id: str) -> bool:
        """Remove a user with all that is theirs; False when there is no such user."""
        user = self.user(user_id)
        if user is None:
            return False
        self.take_invitation(user["email"])
        self._db.execute("DELETE FROM users WHERE uuid = ?", (user_id,))
        return True

    # Devices

    def device(self, device_id: str, user_id: str) -> sqlite3.Row | None:
        """A user's device."""
        return self._one("SELECT * FROM devices WHERE uuid = ? AND user_uuid = ?", device_id, user_id)

    def device_by_refresh_token(self, token: str) -> sqlite3.Row | None:
        """The device that holds a refresh token."""
        return self._one("SELECT * FROM devices WHERE refresh_token = ?", token)

    def ensure_device(self, device_id: str, user_id: str, name: str, kind: int, refresh_token: str) -> str:
        """Remember the device at its first login; return the refresh token it keeps."""
        self._db.execute(
            "INSERT OR IGNORE INTO devices (uuid, user_uuid, name, atype, refresh_token) VALUES (?, ?, ?, ?, ?)",
            (device_id, user_id, name, kind, refresh_token),
        )
        device = self.device(device_id, user_id)
        return str(device["refresh_token"]) if device else refresh_token

    # Folders

    def folder(self, folder_id: str, user_id: str) -> sqlite3.Row | None:
        """A user's folder."""
        return self._one("SELECT * FROM folders WHERE uuid = ? AND user_uuid = ?", folder_id, user_id)

    def folders(self, user_id: str) -> list[sqlite3.Row]:
        """All folders of a user."""
        return self._db.execute("SELECT * FROM folders WHERE user_uuid = ? ORDER BY uuid", (user_id,)).fetchall()

    def save_folder(self, folder_id: str, user_id: str, name: str) -> None:
        """Create or rename a folder."""
        self._db.execute(
            "INSERT INTO folders (uuid, user_uuid, name, updated_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at",
            (folder_id, user_id, name, now_text()),
        )

    def delete_folder(self, folder_id: str) -> None:
        """Remove a folder; what is in it stays."""
        self._db.execute("DELETE FROM folders WHERE uuid = ?", (folder_id,))

    # Ciphers

    def cipher(self, cipher_id: str, user_id: str) -> sqlite3.Row | None:
        """A user's item."""
        return self._one("SELECT * FROM ciphers WHERE uuid = ? AND user_uuid = ?", cipher_id, user_id)

    def ciphers(self, user_id: str) -> list[sqlite3.Row]:
        """All items of a user."""
        return self._db.execute("SELECT * FROM ciphers WHERE user_uuid = ? ORDER BY uuid", (user_id,)).fetchall()

    def save_cipher(self, cipher_id: str, user_id: str, values: dict[str, Any]) -> None:
        """Create an item or replace what it says."""
        now = now_text()
        columns = {name: _column(value) for name, value in values.items()}
        names = ", ".join(columns)
        marks = ", ".join("?" for __ in columns)
        updates = ", ".join(f"{name} = excluded.{name}" for name in (*columns, "updated_at"))
        self._db.execute(
            f"INSERT INTO ciphers (uuid, user_uuid, created_at, updated_at, {names}) VALUES (?, ?, ?, ?, {marks})"
            f" ON CONFLICT (uuid) DO UPDATE SET {updates}",
            (cipher_id, user_id, now, now, *columns.values()),
        )

    def mark_deleted(self, cipher_id: str, deleted: bool) -> None:
        """Put an item into the bin, or take it out again."""
        now = now_text()
        self._db.execute(
            "UPDATE ciphers SET deleted_at = ?, updated_at = ? WHERE uuid = ?",
            (now if deleted else None, now, cipher_id),
        )

    def delete_cipher(self, cipher_id: str) -> None:
        """Remove an item for good."""
        self._db.execute("DELETE FROM ciphers WHERE uuid = ?", (cipher_id,))


def _column(value: Any) -> Any:
    """Nested values are kept as JSON text."""
    return json.dumps(value) if isinstance(value, dict | list) else value
