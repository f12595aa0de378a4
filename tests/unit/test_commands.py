# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that hang end within a limit, in an error that names them and says where to look."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_module import run_module

from ansible_collections.vaultwire.stack.plugins.module_utils import _backup, _commands, _footprint, _host, _swap
from ansible_collections.vaultwire.stack.plugins.modules import (
    checked_files,
    container_gate,
    deployment_info,
    image_version,
    service_state,
    site_removal,
    tls_certificate,
    vault_backup,
)

ROOT = Path(__file__).resolve().parent.parent.parent
#: Longer than any test may take: what waits for it has no limit.
HANG = "exec sleep 60"
Programs = Callable[..., None]


def plain(command: list[str]) -> tuple[int, str, str]:
    """What AnsibleModule.run_command does."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Put shell scripts first on the path, each by the body it is given; and make every limit short."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("QUERY_SECONDS", "ACTION_SECONDS", "RESTART_SECONDS", "TRANSFER_SECONDS"):
        monkeypatch.setattr(_commands, name, 0.5)

    def install(**bodies: str) -> None:
        for name, body in bodies.items():
            (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (folder / name).chmod(0o755)

    return install


def ends_soon(main: Callable[[], None], **arguments: Any) -> dict[str, Any]:
    """The result of a module, which must not have waited for the command."""
    begin = time.monotonic()
    result = run_module(main, **arguments)
    assert time.monotonic() - begin < 10
    return result


def test_a_command_that_hangs_is_ended_and_named(programs: Programs) -> None:
    programs(docker=HANG)
    with pytest.raises(_commands.CommandTimeout) as caught:
        _commands.limited(plain)(["docker", "version"])
    assert str(caught.value) == (
        "docker version did not end within 0.5 s, and was ended. Look at 'systemctl status docker' and "
        "'journalctl --unit docker' there."
    )


def test_one_that_ignores_the_signal_is_ended_too(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(stubborn='trap "" TERM; while :; do sleep 1; done')
    monkeypatch.setattr(_commands, "_KILL_SECONDS", 1)
    with pytest.raises(_commands.CommandTimeout, match="Run it on the host yourself"):
        _commands.limited(plain)(["stubborn"])


def test_a_command_that_ends_is_left_alone(programs: Programs) -> None:
    """Its output and exit code are its own, also the code that a limit would have given."""
    programs(quick="echo out; echo err >&2; exit 124")
    assert _commands.limited(plain, 30)(["quick"]) == (124, "out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["systemctl", "reload", "caddy"], "'systemctl status caddy'"),
        (["service", "nginx", "restart"], "'systemctl status nginx'"),
        (["/usr/bin/docker", "stop"], "'systemctl status docker'"),
        (["nginx", "-t"], "yourself"),
    ],
)
def test_it_says_where_to_look(command: list[str], words: str) -> None:
    assert words in _commands.where_to_look(command)


def test_a_whole_script_is_cut_off() -> None:
    assert len(_commands.shown(["sh", "-c", "x" * 1000])) < 200


def test_no_module_runs_a_command_without_a_limit() -> None:
    """Every use of run_command is the argument of limited()."""
    bare = re.compile(
        r"(?<!limited\()(?<!limited\(self\.)module\.run_command|subprocess\.(?!TimeoutExpired|DEVNULL)(?!run\()|os\.(system|popen)"
    )
    for path in (ROOT / "plugins").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not bare.search(line) or "AnsibleModule.run_command" in line, f"{path.name}: {line}"


# The engine


def test_an_engine_that_hangs_is_not_taken_for_one_that_is_stopped(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(docker=HANG, dockerd=HANG)
    monkeypatch.setattr(_host, "unfinished_packages", list)
    result = ends_soon(deployment_info.main)
    assert result["failed"] and "internal_error" not in result
    assert result["msg"].startswith("docker version ") and "systemctl status docker" in result["msg"]


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (container_gate.main, {"container": "vault", "url": "http://127.0.0.1:9"}),
        (image_version.main, {"image": "vaultwarden/server:latest"}),
    ],
)
def test_modules_that_ask_the_engine_do_not_hang_with_it(
    main: Callable[[], None], arguments: dict[str, Any], programs: Programs
) -> None:
    programs(docker=HANG)
    result = ends_soon(main, **arguments)
    assert result["failed"] and "systemctl status docker" in result["msg"] and "internal_error" not in result


def test_a_backup_does_not_hang_with_the_engine(programs: Programs, tmp_path: Path, monkeypatch: Any) -> None:
    """By the module, and by the program of the timer, which has a limit of its own."""
    programs(docker=HANG)
    (tmp_path / "data").mkdir()
    result = ends_soon(
        vault_backup.main, data_dir=str(tmp_path / "data"), directory=str(tmp_path / "backups"), make=True
    )
    assert result["failed"] and "systemctl status docker" in result["msg"] and "No backup was made" in result["msg"]
    monkeypatch.setattr(_backup, "COMMAND_SECONDS", 0.5)
    with pytest.raises(_backup.BackupError, match=r"docker version did not end within 0\.5 s"):
        _backup.run_command(["docker", "version"])


def test_an_upgrade_that_is_undone_starts_the_old_server_though_the_proxy_hangs(
    programs: Programs, tmp_path: Path
) -> None:
    """What the proxy did not do is in the reason."""
    programs(systemctl=HANG, service=HANG)
    record = _swap.Record(
        name="vault", old_id="old", new_id="new", source="1.28.1", target="1.37.2", data_dir=str(tmp_path),
        folder=str(tmp_path / "copy"), uid=0, gid=0, old_url="", new_url="", timeout=1, proxy_service="caddy",
    )  # fmt: skip
    swap = _swap.Swap(
        _swap.Engine(plain), _swap.Journal(str(tmp_path)), record, _commands.limited(plain, 0.5)
    )  # fmt: skip
    swap._tell(["systemctl", "reload", "caddy"])
    assert "systemctl reload caddy did not end within 0.5 s" in record.reason
    programs(systemctl="echo caddy is not active >&2; exit 1")
    swap._tell(["systemctl", "reload", "caddy"])
    assert "systemctl reload caddy failed: caddy is not active" in record.reason


# The proxy's own checker


@pytest.mark.parametrize("main", [checked_files.main, site_removal.main])
def test_a_checker_that_hangs_leaves_the_files_as_they_were(
    main: Callable[[], None], programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(nginx=HANG)
    site, marker = tmp_path / "site.conf", tmp_path / "run" / "marker"
    site.write_text("before", encoding="utf-8")
    if main is site_removal.main:
        gone = _footprint.Removal(files={str(site): None}, last=True)
        monkeypatch.setattr(_footprint, "removal", lambda *_: gone)
        monkeypatch.setattr(site_removal, "_runs", lambda *_: False)
        monkeypatch.setattr(shutil, "which", lambda *_, **__: "nginx")
        arguments: dict[str, Any] = {"provider": "nginx", "site": "vault", "service": "nginx"}
    else:
        arguments = {"files": [{"path": str(site), "content": "after"}], "check": ["nginx", "-t"]}
    result = ends_soon(main, marker=str(marker), **arguments)
    assert result["failed"] and "nginx -t did not end within 0.5 s" in result["msg"]
    assert "the files are as they were" in result["msg"]
    assert site.read_text(encoding="utf-8") == "before" and not marker.exists()


def test_a_certificate_is_not_waited_for(programs: Programs, tmp_path: Path) -> None:
    programs(openssl=HANG)
    result = ends_soon(tls_certificate.main, host="vault.example.com", directory=str(tmp_path / "tls"))
    assert result["failed"] and "openssl " in result["msg"] and "did not end within" in result["msg"]


def test_a_proxy_that_does_not_say_its_version_is_named(programs: Programs) -> None:
    programs(caddy=HANG)
    with pytest.raises(_commands.CommandTimeout, match="caddy version did not end"):
        _host.proxies_info(_commands.limited(plain), [])


# Services

SYSTEMCTL = """
echo "$*" >> "$0.calls"
case "$1" in
is-active) echo {active};;
is-enabled) echo {enabled};;
{verb}) {body};;
esac
"""


@pytest.fixture
def systemd(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Call the module with a systemctl of the test; what it was asked to do."""
    monkeypatch.setattr(service_state, "SYSTEMD", str(tmp_path))
    calls = tmp_path / "bin" / "systemctl.calls"

    def call(result: dict[str, Any], active: str, at_boot: str = "enabled", verb: str = "none", body: str = ":",
             **arguments: Any) -> list[str]:  # fmt: skip
        programs(systemctl=SYSTEMCTL.format(active=active, enabled=at_boot, verb=verb, body=body))
        result.update(ends_soon(service_state.main, name="caddy", **arguments))
        return [line for line in calls.read_text(encoding="utf-8").splitlines() if not line.startswith("is-")]

    return call


@pytest.mark.parametrize("state", ["reloaded", "restarted", "started", "stopped"])
def test_a_service_that_hangs_fails_the_run_in_time(state: str, systemd: Callable[..., list[str]]) -> None:
    """systemctl reload caddy waited for ever, and the run with it."""
    result: dict[str, Any] = {}
    verb = service_state._VERBS[state]
    systemd(result, "inactive" if state == "started" else "active", verb=verb, body=HANG, state=state)
    assert result["failed"] and "internal_error" not in result
    assert result["msg"] == (
        f"systemctl {verb} caddy did not end within 0.5 s, and was ended. Look at 'systemctl status caddy' and "
        "'journalctl --unit caddy' there."
    )


def test_a_service_that_refuses_is_quoted(systemd: Callable[..., list[str]]) -> None:
    result: dict[str, Any] = {}
    systemd(result, "active", verb="reload", body="echo Job failed. >&2; exit 1", state="reloaded")
    assert result["failed"] and result["msg"].startswith("systemctl reload caddy failed: Job failed. Look at ")


@pytest.mark.parametrize(
    ("active", "state", "wanted"),
    [
        ("active", "started", []),
        ("activating", "started", []),
        ("inactive", "started", ["start caddy"]),
        ("failed", "started", ["start caddy"]),
        ("active", "reloaded", ["reload caddy"]),
        ("reloading", "reloaded", ["reload caddy"]),
        ("inactive", "reloaded", ["start caddy"]),
        ("active", "stopped", ["stop caddy"]),
        ("inactive", "stopped", []),
        ("active", "restarted", ["restart caddy"]),
        ("inactive", "restarted", ["restart caddy"]),
    ],
)
def test_a_state_costs_one_command_at_most(
    active: str, state: str, wanted: list[str], systemd: Callable[..., list[str]]
) -> None:
    """And none in check mode, which says the same."""
    said: dict[str, Any] = {}
    assert systemd(said, active, state=state, _ansible_check_mode=True) == []
    done: dict[str, Any] = {}
    assert systemd(done, active, state=state) == wanted
    assert (done["changed"], done["commands"]) == (bool(wanted), [f"systemctl {line}" for line in wanted])
    assert (said["changed"], said["commands"]) == (done["changed"], done["commands"])


@pytest.mark.parametrize(
    ("before", "enabled", "wanted"),
    [("enabled", True, []), ("disabled", True, ["enable caddy"]), ("enabled", False, ["disable caddy"]),
     ("disabled", False, []), ("static", True, [])],
)  # fmt: skip
def test_a_service_starts_at_boot_or_not(
    before: str, enabled: bool, wanted: list[str], systemd: Callable[..., list[str]]
) -> None:
    assert systemd({}, "active", before, enabled=enabled) == wanted


def test_units_are_read_before_they_are_started(systemd: Callable[..., list[str]]) -> None:
    assert systemd({}, "inactive", state="started", daemon_reload=True) == ["daemon-reload", "start caddy"]


def test_a_host_without_systemd_has_a_limit_too(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_state, "SYSTEMD", str(tmp_path / "none"))
    programs(service=f'[ "$2" = status ] || {HANG}')
    result = ends_soon(service_state.main, name="nginx", state="reloaded", enabled=True)
    assert result["failed"] and "service nginx reload did not end within" in result["msg"]


def test_roles_start_and_reload_by_the_module_alone() -> None:
    """The modules of Ansible wait for ever. A timer runs nothing when it starts, so it may be left to them.

    The unit of the watch has a limit of its own.
    """
    limited = "TimeoutStartSec=" in (ROOT / "roles/notifications_watch/templates/watch.service.j2").read_text("utf-8")
    found = []
    for path in [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]:
        text = path.read_text(encoding="utf-8")
        for task in re.split(r"^\s*- name: ", text, flags=re.MULTILINE):
            uses = re.search(
                r"ansible\.builtin\.(systemd(_service)?|service):|argv: \[(systemctl|service), (?!is-)", task
            )
            if limited and "__notifications_watch_unit }}.service" in task:
                continue
            if uses and ".timer" not in task and "daemon_reload: true" not in task:
                found.append(f"{path.relative_to(ROOT)}: {task.splitlines()[0]}")
    assert found == []


def test_the_program_timeout_is_that_of_coreutils() -> None:
    """The lab's hosts, and every Debian, have it; a busybox would not know --kill-after."""
    assert sys.platform == "linux"
    assert subprocess.run(["timeout", "--kill-after=1", "5", "true"], check=False).returncode == 0
