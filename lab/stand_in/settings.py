# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's settings: environment, ``X_FILE`` variables and config.json, with the refusals of a real start."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .eras import Era
from .log import DEFAULT_TIME

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

EXIT_FAILED = 1
EXIT_BAD_SETTING = 12
EXIT_PANIC = 101
EXIT_NO_ENV_FILE = 255

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0"})

# Every setting the stand-in reads, apart from ROCKET_*, which the real server hands to its web framework: those have
# no X_FILE form and no place in config.json.
NAMES = (
    "ADMIN_RATELIMIT_MAX_BURST",
    "ADMIN_RATELIMIT_SECONDS",
    "ADMIN_SESSION_LIFETIME",
    "ADMIN_TOKEN",
    "DATABASE_URL",
    "DATA_FOLDER",
    "DISABLE_ADMIN_TOKEN",
    "DOMAIN",
    "ENABLE_WEBSOCKET",
    "INVITATIONS_ALLOWED",
    "IP_HEADER",
    "IP_HEADER_TRUSTED_PROXIES",
    "LOGIN_RATELIMIT_MAX_BURST",
    "LOGIN_RATELIMIT_SECONDS",
    "LOG_FILE",
    "LOG_LEVEL",
    "LOG_TIMESTAMP_FORMAT",
    "PUSH_ENABLED",
    "PUSH_INSTALLATION_ID",
    "PUSH_INSTALLATION_KEY",
    "SIGNUPS_ALLOWED",
    "SIGNUPS_DOMAINS_WHITELIST",
    "WEBSOCKET_ADDRESS",
    "WEBSOCKET_ENABLED",
    "WEBSOCKET_PORT",
    "WEB_VAULT_ENABLED",
    "WEB_VAULT_FOLDER",
)


class RefusedError(Exception):
    """The server would not start; ``code`` is what it exits with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sources:
    """Looks a setting up: config.json first, then the environment, where ``X_FILE`` names a file with the value."""

    def __init__(self, era: Era, environ: Mapping[str, str]) -> None:
        self._panic = EXIT_BAD_SETTING if era.has("settings_panic_exits_12") else EXIT_PANIC
        self._environ = dict(environ)
        self._saved: dict[str, str] = {}
        for name in NAMES:
            self._read_file_variable(name)

    def _read_file_variable(self, name: str) -> None:
        path = self._environ.get(f"{name}_FILE")
        if path is None:
            return
        if name in self._environ:
            raise RefusedError(self._panic, f"Both {name} and {name}_FILE are set. Set one of them.")
        try:
            self._environ[name] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise RefusedError(self._panic, f"{name}_FILE names {path}, which cannot be read: {exc}.") from exc

    def load_saved(self, path: Path) -> list[str]:
        """Let config.json override; return the variables it overrides. A broken file is ignored as a whole."""
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        if not isinstance(saved, dict):
            return []
        for key, value in saved.items():
            if value is not None:
                self._saved[str(key).upper()] = _as_text(value)
        return sorted(name for name in self._saved if name in self._environ)

    def text(self, name: str, default: str = "") -> str:
        """The value as text; an empty variable is still a value, as in the real server."""
        return self._saved.get(name, self._environ.get(name, default))

    def flag(self, name: str, default: bool) -> bool:
        """The value as a boolean; a word that is neither yes nor no counts as unset."""
        word = self.text(name).strip().lower()
        if word in TRUE_WORDS:
            return True
        return False if word in FALSE_WORDS else default

    def number(self, name: str, default: int) -> int:
        """The value as a number; anything else counts as unset."""
        word = self.text(name).strip()
        return int(word) if word.isdigit() else default


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Settings:
    """All that the rest of the program needs to know about how it was set up."""

    era: Era
    domain: str
    data_folder: Path
    database: Path
    address: str
    port: int
    tls: ssl.SSLContext | None
    live: bool
    hub_address: str
    hub_port: int
    web_vault: Path | None
    admin_token: str
    admin_open: bool
    admin_session_minutes: int
    signups_allowed: bool
    signups_domains: tuple[str, ...]
    invitations_allowed: bool
    ip_header: str
    trusted_proxies: str
    trusted_networks: tuple[IPNetwork, ...]
    login_limit: tuple[int, int]
    admin_limit: tuple[int, int]
    log_file: Path | None
    log_level: str
    log_time: str
    ping_seconds: float
    overridden: tuple[str, ...] = field(default=())

    @property
    def base_path(self) -> str:
        """The path of DOMAIN, without a slash at the end: everything is mounted under it."""
        return urlsplit(self.domain).path.rstrip("/")

    @property
    def serves_hub_port(self) -> bool:
        """Whether the second listener, for WebSockets alone, is opened."""
        return self.era.has("hub_port") and self.live

    @property
    def serves_hub_on_http(self) -> bool:
        """Whether the HTTP port has hub routes."""
        return self.era.has("hub_on_http") and (self.live or not self.era.has("live_switch"))

    def signup_allowed(self, email: str) -> bool:
        """Whether a stranger with this address may register."""
        if self.signups_domains:
            return email.rpartition("@")[2] in self.signups_domains
        return self.signups_allowed

    @property
    def registration_closed(self) -> bool:
        """What /api/config reports; an invitation is still a way in, but older versions did not count it."""
        closed = not self.signups_allowed and not self.signups_domains
        return closed and not (self.era.has("two_step_registration") and self.invitations_allowed)


def load(era: Era, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings, or raise :class:`RefusedError` as the real server would exit."""
    given = _with_env_file(os.environ if environ is None else environ)
    sources = Sources(era, given)
    folder = Path(sources.text("DATA_FOLDER", "data"))
    overridden = sources.load_saved(Path(given.get("CONFIG_FILE") or folder / "config.json"))
    _check_domain(sources)
    _check_push(era, sources)
    live_name, live_default = ("ENABLE_WEBSOCKET", True) if era.has("live_switch") else ("WEBSOCKET_ENABLED", False)
    proxies = sources.text("IP_HEADER_TRUSTED_PROXIES", "local").strip()
    log_file = sources.text("LOG_FILE")
    return Settings(
        era=era,
        domain=sources.text("DOMAIN", "http://localhost").rstrip("/"),
        data_folder=folder,
        database=_database(era, sources, folder),
        address=given.get("ROCKET_ADDRESS", "127.0.0.1"),
        port=int(given.get("ROCKET_PORT", "8000")),
        tls=_tls(given.get("ROCKET_TLS", "")),
        live=sources.flag(live_name, live_default),
        hub_address=sources.text("WEBSOCKET_ADDRESS", "0.0.0.0"),
        hub_port=sources.number("WEBSOCKET_PORT", 3012),
        web_vault=_web_vault(sources),
        admin_token=sources.text("ADMIN_TOKEN").strip(),
        admin_open=sources.flag("DISABLE_ADMIN_TOKEN", False),
        admin_session_minutes=sources.number("ADMIN_SESSION_LIFETIME", 20),
        signups_allowed=sources.flag("SIGNUPS_ALLOWED", True),
        signups_domains=_words(sources.text("SIGNUPS_DOMAINS_WHITELIST")),
        invitations_allowed=sources.flag("INVITATIONS_ALLOWED", True),
        ip_header=sources.text("IP_HEADER", "X-Real-IP").strip(),
        trusted_proxies=proxies,
        trusted_networks=_networks(era, proxies),
        login_limit=(sources.number("LOGIN_RATELIMIT_SECONDS", 60), sources.number("LOGIN_RATELIMIT_MAX_BURST", 10)),
        admin_limit=(sources.number("ADMIN_RATELIMIT_SECONDS", 300), sources.number("ADMIN_RATELIMIT_MAX_BURST", 3)),
        log_file=_log_file(log_file) if log_file else None,
        log_level=sources.text("LOG_LEVEL", "info").lower(),
        log_time=sources.text("LOG_TIMESTAMP_FORMAT", DEFAULT_TIME),
        ping_seconds=float(given.get("STAND_IN_PING_SECONDS", DEFAULT_PING_SECONDS)),
        overridden=tuple(overridden),
    )


# The server pings every open socket this often. Tests may shorten it with STAND_IN_PING_SECONDS.
DEFAULT_PING_SECONDS = 15.0


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


def _with_env_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Add what ENV_FILE (or ./.env) says; the environment wins. A file asked for by name has to be there."""
    asked = environ.get("ENV_FILE")
    path = Path(asked or ".env")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        if asked is None and isinstance(exc, FileNotFoundError):
            return dict(environ)
        raise RefusedError(EXIT_NO_ENV_FILE, f"The environment file {path} cannot be read: {exc}.") from exc
    values = dict(environ)
    for line in lines:
        found = re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$", line)
        if found:
            values.setdefault(found[1], found[2].strip("'\""))
    return values


def _check_domain(sources: Sources) -> None:
    domain = sources.text("DOMAIN", "http://localhost")
    parts = urlsplit(domain)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RefusedError(EXIT_BAD_SETTING, f"DOMAIN is {domain!r}. It needs a scheme, such as https://.")


def _check_push(era: Era, sources: Sources) -> None:
    if not era.has("push") or not sources.flag("PUSH_ENABLED", False):
        return
    for name in ("PUSH_INSTALLATION_ID", "PUSH_INSTALLATION_KEY"):
        if not sources.text(name):
            raise RefusedError(EXIT_BAD_SETTING, f"PUSH_ENABLED is true but {name} is empty.")


def _database(era: Era, sources: Sources, folder: Path) -> Path:
    """Where the SQLite file is; the newest versions know sqlite:// URLs, older ones take them for a path."""
    url = sources.text("DATABASE_URL")
    if not url:
        return folder / "db.sqlite3"
    if re.match(r"(mysql|postgresql|postgres):", url):
        raise RefusedError(EXIT_BAD_SETTING, "The stand-in keeps its data in SQLite only. Unset DATABASE_URL.")
    known_url = era.has("sqlite_urls") and url.startswith("sqlite://")
    path = Path(url.removeprefix("sqlite://") if known_url else url)
    if not path.parent.is_dir():
        raise RefusedError(EXIT_BAD_SETTING, f"DATABASE_URL needs the directory {path.parent}, which is not there.")
    if era.has("sqlite_urls") and not known_url and not path.exists():
        raise RefusedError(EXIT_BAD_SETTING, f"DATABASE_URL is {url!r}. A new database needs the form sqlite://PATH.")
    return path


def _networks(era: Era, proxies: str) -> tuple[IPNetwork, ...]:
    if not era.has("trusted_proxies") or proxies in ("local", "all"):
        return ()
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in _words(proxies))
    except ValueError as exc:
        raise RefusedError(EXIT_BAD_SETTING, f"IP_HEADER_TRUSTED_PROXIES holds a bad entry: {exc}.") from exc


def _web_vault(sources: Sources) -> Path | None:
    if not sources.flag("WEB_VAULT_ENABLED", True):
        return None
    return Path(sources.text("WEB_VAULT_FOLDER", "web-vault/"))


def _log_file(name: str) -> Path:
    path = Path(name)
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as exc:
        raise RefusedError(EXIT_BAD_SETTING, f"LOG_FILE {path} cannot be written: {exc}.") from exc
    return path


def _tls(text: str) -> ssl.SSLContext | None:
    """ROCKET_TLS is a table: {certs="chain.pem",key="key.pem"}."""
    files = dict(re.findall(r'(certs|key)\s*=\s*"([^"]+)"', text))
    if not files:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(files.get("certs", ""), files.get("key"))
    except OSError as exc:
        raise RefusedError(EXIT_FAILED, f"ROCKET_TLS names files that cannot be used: {exc}.") from exc
    return context


def check_surroundings(settings: Settings, environ: Mapping[str, str] | None = None) -> None:
    """What is checked after the settings: the data folder, whether it will last, and the web vault's files."""
    given = os.environ if environ is None else environ
    if not settings.data_folder.is_dir():
        raise RefusedError(EXIT_FAILED, f"The data folder {settings.data_folder} does not exist.")
    mounts = Path(given.get("STAND_IN_MOUNTINFO", "/proc/self/mountinfo"))
    if "I_REALLY_WANT_VOLATILE_STORAGE" not in given and on_anonymous_volume(settings.data_folder, mounts):
        raise RefusedError(
            EXIT_FAILED,
            f"No persistent volume: {settings.data_folder} is an anonymous one and goes away with the container. "
            "Mount a folder or a named volume, or set I_REALLY_WANT_VOLATILE_STORAGE.",
        )
    if settings.web_vault and not (settings.web_vault / "index.html").is_file():
        raise RefusedError(
            EXIT_FAILED,
            f"The web vault is not in {settings.web_vault}. Set WEB_VAULT_FOLDER, or WEB_VAULT_ENABLED=false.",
        )


def on_anonymous_volume(folder: Path, mounts: Path) -> bool:
    """Whether a container engine mounted a nameless volume there: its name is 64 hexadecimal digits."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    place = str(folder.resolve())
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 4 and fields[4] == place and re.search(r"/volumes/[0-9a-f]{64}/_data$", fields[3]):
            return True
    return False
