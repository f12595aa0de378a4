# SPDX-License-Identifier: GPL-3.0-or-later
"""What the recordings do not show of the stand-in: its settings, limits, start-up checks and scripts."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.stand_in.eras import SINCE, UNTIL, Era
from lab.stand_in.limits import Bucket, Slots, client_address
from lab.stand_in.settings import DEFAULT_PING_SECONDS, RefusedError, check_surroundings, load

from .servers import ROOT, Process, stand_in
from .wire import ask

SCRIPTS = ROOT / "lab" / "stand_in"
VOLUME = "0123456789abcdef" * 4
LOGIN = {
    "grant_type": "password",
    "username": "nobody@vault.example",
    "password": "wrong",
    "scope": "api offline_access",
    "client_id": "web",
    "deviceType": "9",
    "deviceIdentifier": "11111111-2222-4333-8444-555555555555",
    "deviceName": "probe",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working directory without a stray .env in it."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def test_it_pings_every_fifteen_seconds_unless_told_otherwise(folder: Path) -> None:
    """The recorded interval is the default; the contract tests shorten it."""
    assert DEFAULT_PING_SECONDS == 15.0
    assert load(Era.parse("1.37.2"), {}).ping_seconds == 15.0


def test_no_behaviour_is_in_both_tables() -> None:
    """Era.has() would otherwise look at one of them only."""
    assert not SINCE.keys() & UNTIL.keys()


@pytest.mark.parametrize(
    ("version", "rows"),
    [("1.28.1", 34), ("1.30.5", 42), ("1.32.7", 45), ("1.34.3", 46), ("1.36.0", 55), ("1.37.2", 56)],
)
def test_each_version_knows_its_migrations(version: str, rows: int) -> None:
    """As many as the real server's source has, each stamp once."""
    stamps = Era.parse(version).migrations
    assert (len(stamps), len(set(stamps))) == (rows, rows)


@pytest.mark.parametrize(
    ("version", "env", "hub_port", "hub_on_http"),
    [
        ("1.28.1", {}, False, False),
        ("1.28.1", {"WEBSOCKET_ENABLED": "true"}, True, False),
        ("1.30.5", {}, False, True),
        ("1.30.5", {"WEBSOCKET_ENABLED": "yes"}, True, True),
        ("1.30.5", {"ENABLE_WEBSOCKET": "false"}, False, True),
        ("1.31.0", {"WEBSOCKET_ENABLED": "false"}, False, True),
        ("1.37.2", {"WEBSOCKET_ENABLED": "true", "ENABLE_WEBSOCKET": "maybe"}, False, True),
        ("1.37.2", {"ENABLE_WEBSOCKET": "0"}, False, False),
    ],
)
def test_the_live_switch_has_a_name_for_each_era(
    folder: Path, version: str, env: dict[str, str], hub_port: bool, hub_on_http: bool
) -> None:
    """The other era's name is not read, and a word that is no boolean counts as unset."""
    settings = load(Era.parse(version), env)
    assert (settings.serves_hub_port, settings.serves_hub_on_http) == (hub_port, hub_on_http)


@pytest.mark.parametrize(
    ("version", "env", "code"),
    [
        ("1.37.2", {"ENV_FILE": "missing"}, 255),
        ("1.31.0", {"DOMAIN_FILE": "missing"}, 101),
        ("1.37.2", {"DOMAIN_FILE": "missing"}, 12),
        ("1.37.2", {"LOG_FILE": "missing/log"}, 12),
        ("1.37.2", {"DATABASE_URL": "new.sqlite3"}, 12),
        ("1.37.2", {"DATABASE_URL": "mysql://u:p@db/vault"}, 12),
    ],
)
def test_it_refuses_settings_that_cannot_work(folder: Path, version: str, env: dict[str, str], code: int) -> None:
    """With the exit status of the real server."""
    with pytest.raises(RefusedError) as refusal:
        load(Era.parse(version), env)
    assert refusal.value.code == code


def test_config_json_overrides_the_environment(folder: Path) -> None:
    """And the overridden variables are named."""
    data = folder / "data"
    data.mkdir()
    (data / "config.json").write_text('{"domain": "https://saved.example/v", "signups_allowed": false}')
    settings = load(Era.parse("1.37.2"), {"DOMAIN": "https://env.example"})
    assert (settings.domain, settings.base_path) == ("https://saved.example/v", "/v")
    assert (settings.signups_allowed, settings.overridden) == (False, ("DOMAIN",))


def test_a_broken_config_json_is_ignored(folder: Path) -> None:
    """As a whole, and without a word."""
    (folder / "data").mkdir()
    (folder / "data" / "config.json").write_text('{"domain": ')
    assert load(Era.parse("1.37.2"), {"DOMAIN": "https://env.example"}).domain == "https://env.example"


def test_a_setting_can_come_from_a_file(folder: Path) -> None:
    """X_FILE names it; white space around the value does not count."""
    (folder / "secret").write_text("token\n")
    assert load(Era.parse("1.37.2"), {"ADMIN_TOKEN_FILE": "secret"}).admin_token == "token"


@pytest.mark.parametrize(
    ("source", "more", "refused"),
    [
        (f"/var/lib/docker/volumes/{VOLUME}/_data", {}, True),
        (f"/var/lib/docker/volumes/{VOLUME}/_data", {"I_REALLY_WANT_VOLATILE_STORAGE": "true"}, False),
        ("/var/lib/docker/volumes/vault/_data", {}, False),
        ("/srv/vault", {}, False),
    ],
)
def test_it_refuses_a_volume_without_a_name(folder: Path, source: str, more: dict[str, str], refused: bool) -> None:
    """What lies in an anonymous volume is lost with the container."""
    (folder / "data").mkdir()
    (folder / "mounts").write_text(f"612 590 8:1 {source} {folder.resolve() / 'data'} rw - ext4 /dev/sda1 rw\n")
    env = {"WEB_VAULT_ENABLED": "false", "STAND_IN_MOUNTINFO": str(folder / "mounts"), **more}
    settings = load(Era.parse("1.37.2"), env)
    if not refused:
        return check_surroundings(settings, env)
    with pytest.raises(RefusedError, match="No persistent volume") as refusal:
        check_surroundings(settings, env)
    assert refusal.value.code == 1
    return None


@pytest.mark.parametrize("present", ["data", "web-vault"])
def test_it_needs_its_folders(folder: Path, present: str) -> None:
    """Without the data folder, or without the web vault's files, it exits with 1."""
    (folder / present).mkdir()
    with pytest.raises(RefusedError) as refusal:
        check_surroundings(load(Era.parse("1.37.2"), {}), {})
    assert refusal.value.code == 1


@pytest.mark.parametrize(
    ("version", "env", "peer", "claimed", "expected"),
    [
        ("1.36.0", {}, "203.0.113.9", "192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("1.37.2", {}, "172.18.0.1", "192.0.2.1", "192.0.2.1"),
        ("1.37.2", {}, "8.8.8.8", "192.0.2.1", "8.8.8.8"),
        ("1.37.2", {"IP_HEADER_TRUSTED_PROXIES": "all"}, "8.8.8.8", "192.0.2.1", "192.0.2.1"),
        ("1.37.2", {"IP_HEADER_TRUSTED_PROXIES": "8.8.8.0/24"}, "8.8.8.8", "192.0.2.1", "192.0.2.1"),
        ("1.37.2", {"IP_HEADER_TRUSTED_PROXIES": "1.1.1.1"}, "172.18.0.1", "192.0.2.1", "172.18.0.1"),
        ("1.37.2", {"IP_HEADER": "none"}, "172.18.0.1", "192.0.2.1", "172.18.0.1"),
        ("1.37.2", {}, "172.18.0.1", "nonsense", "172.18.0.1"),
    ],
)
def test_the_client_is_who_a_trusted_peer_says(
    folder: Path, version: str, env: dict[str, str], peer: str, claimed: str, expected: str
) -> None:
    """Everybody was trusted up to 1.36."""
    assert client_address(load(Era.parse(version), env), peer, {"X-Real-IP": claimed}) == expected


def test_a_bucket_and_slots_count_each_address_alone() -> None:
    """A burst, then nothing; a slot given back can be taken again."""
    bucket, slots = Bucket((60, 2)), Slots(1)
    assert [bucket.take("a"), bucket.take("a"), bucket.take("a"), bucket.take("b")] == [True, True, False, True]
    assert [slots.take("a"), slots.take("a"), slots.take("b")] == [True, False, True]
    slots.give_back("a")
    assert slots.take("a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A newest stand-in with a small login burst."""
    env = {
        "ADMIN_TOKEN": "$argon2id$broken",
        "LOGIN_RATELIMIT_MAX_BURST": "1",
        "DOMAIN": "https://vault.example/v",
        "LOG_TIMESTAMP_FORMAT": "%Y-%m-%d %H:%M:%S.%3f%z word",
    }
    process = Process(stand_in("1.37.2"), tmp_path_factory.mktemp("settings"), env)
    assert process.wait() == "keeps running", process.log
    yield process
    process.stop()


def test_a_failed_login_is_logged_with_the_clients_address(server: Process) -> None:
    """So that fail2ban can see it; and the limit counts that address alone."""
    path = "/v/identity/connect/token"
    statuses = [
        ask(server.http_port, {"method": "POST", "path": path, "data": LOGIN, "headers": {"X-Real-IP": address}}).status
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
    ]
    assert statuses == [400, 429, 400]
    failed = [line for line in server.log if re.search(r"\[ERROR\] .* IP: 192\.0\.2\.[12]\. Username: nobody@", line)]
    assert len(failed) == 2, server.log
    assert re.match(r"\[\d{4}(-\d\d){2} \d\d(:\d\d){2}\.\d{3}[+-]\d{4} word\]\[vaultwarden::", failed[0])
    assert any(line.endswith(f"[request][INFO] POST {path} from 192.0.2.2") for line in server.log)


def test_a_broken_hash_lets_nobody_in(server: Process) -> None:
    """And does not stop the server."""
    answer = ask(server.http_port, {"method": "POST", "path": "/v/admin", "data": {"token": "$argon2id$broken"}})
    assert answer.status == 401
    assert any("[ERROR] Invalid admin token. IP: 127.0.0.1" in line for line in server.log)


@pytest.mark.parametrize(
    ("salt", "iterations", "status"),
    [("new@vault.example", 600000, 200), ("new@vault.example", 600000, 400), ("other@vault.example", 600000, 422)],
    ids=["new user", "the same again", "a salt that is not the address"],
)
def test_the_newest_shape_of_a_registration(server: Process, salt: str, iterations: int, status: int) -> None:
    """Nested since 1.37.0; both salts have to be the address."""
    kdf = {"kdfType": 0, "iterations": iterations, "memory": None, "parallelism": None}
    body = {
        "email": "new@vault.example",
        "masterPasswordAuthentication": {"kdf": kdf, "salt": salt, "masterPasswordAuthenticationHash": "hash"},
        "masterPasswordUnlock": {"kdf": kdf, "salt": salt, "masterKeyWrappedUserKey": "2.AAAA|BBBB|CCCC"},
    }
    request = {"method": "POST", "path": "/v/identity/accounts/register", "json": body}
    assert ask(server.http_port, request).status == status


def test_it_says_that_it_is_not_the_real_server(server: Process) -> None:
    """At the start, on standard output."""
    assert "stand-in" in "\n".join(server.log[:5])


def test_the_health_check_knows_the_sub_path(server: Process, tmp_path: Path) -> None:
    """config.json counts more than DOMAIN, and a wrong path is unhealthy."""
    env = {
        "PATH": os.environ["PATH"],
        "APP_VERSION": "1.37.2",
        "ROCKET_ADDRESS": "0.0.0.0",
        "ROCKET_PORT": str(server.http_port),
        "DATA_FOLDER": str(tmp_path),
        "DOMAIN": "https://vault.example/v/",
    }

    def check() -> int:
        return subprocess.run([SCRIPTS / "healthcheck.sh"], env=env, capture_output=True, check=False).returncode

    assert check() == 0
    (tmp_path / "config.json").write_text('{\n  "domain": "https://vault.example/other",\n  "x": 1\n}\n')
    assert check() == 1


@pytest.mark.parametrize(("version", "code"), [("1.32.0", 1), ("1.32.1", 0)])
def test_the_backup_command_came_with_a_version(tmp_path: Path, version: str, code: int) -> None:
    """Before, it is no command at all."""
    process = Process(stand_in(version), tmp_path, {})
    try:
        assert process.wait() == "keeps running"
        assert process.run("backup") == code
        copies = [path.name for path in process.data.glob("db_*.sqlite3")]
        assert [bool(re.fullmatch(r"db_\d{8}_\d{6}\.sqlite3", name)) for name in copies] == [True] * (1 - code)
    finally:
        process.stop()


@pytest.mark.parametrize("argument", ["--version", "-v"])
def test_it_tells_its_version_like_the_real_program(argument: str) -> None:
    """The one line that tools read."""
    kind = stand_in("1.30.5")
    env = {"PATH": os.environ["PATH"], **kind.env}
    said = subprocess.run([*kind.command, argument], env=env, capture_output=True, text=True, check=True).stdout
    assert said == "vaultwarden 1.30.5\n"
