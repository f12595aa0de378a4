# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role notifications_check makes of its settings and says of a proof, also where no host can be reached."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_server import ADMIN_TOKEN, Proxy, StandIn
from fake_vault import HUB, FakeVault, healthy, page

from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check

ROOT = Path(__file__).resolve().parent.parent.parent
DEFAULTS = {name: option.get("default") for name, option in _check.SETTINGS.items()} | {"url": "https://vault.test"}
ANSWERED: dict[str, Any] = {"verdict": "ok", "version": "1.37.2", "layout": "single_port", "diagnosis": [],
                            "anonymous_hub": {"handshake": True}}  # fmt: skip
ARRIVED = {"latencies": {"create_ms": 6.1, "rename_ms": 4.9, "delete_ms": 5.3}}
SECRET = "no-one-may-see-this"


def test_the_settings_are_those_of_the_roles_argument_specs() -> None:
    """Names, types, choices and defaults."""
    specs = yaml.safe_load((ROOT / "roles/notifications_check/meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    wanted = {
        name.removeprefix(_check.PREFIX): {key: value for key, value in option.items() if key != "description"}
        for name, option in options.items()
    }
    assert wanted == _check.SETTINGS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ca_file": "/a", "ca_content": "b"}, "are both set"),
        ({"email": "check@example.com"}, "Only one of"),
        ({"live_update": "always"}, "there is no account for it"),
        ({"admin_token": "$argon2id$v=19$secret"}, "is a hash"),
    ],
)
def test_what_cannot_work_is_named_and_no_secret_is_quoted(changes: dict[str, Any], words: str) -> None:
    (text,) = _check.problems({**DEFAULTS, **changes})
    assert words in text and "notifications_check_" in text and "secret" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"live_update": "always", "signup": True},
        {"email": "check@example.com", "password": "x"},
        {"live_update": "never", "admin_token": "$argon2id$v=19$"},
    ],
)
def test_what_can_work_is_let_through(changes: dict[str, Any]) -> None:
    assert _check.problems({**DEFAULTS, **changes}) == []
    assert _check.why_not({**DEFAULTS, **changes}) == {}


@pytest.mark.parametrize(
    ("probe", "live", "wanted", "words", "ends"),
    [
        ({}, ARRIVED, "auto", "both hubs answer; an item created, renamed and deleted in one session reached another "
         "after 6.1, 4.9 and 5.3 ms. Browsers and desktop programs are live. Mobile apps use push instead,", ""),
        ({"anonymous_hub": {"handshake": False}}, ARRIVED, "auto", ": the hub answers; an item", ""),
        ({}, {"skipped": True}, "auto", "was not proved, since there is no account for it: set ", ""),
        ({}, {"skipped": True}, "never", "was not proved, since notifications_check_live_update is never.", ""),
        ({}, {"failed": True, "rate_limited": True, "msg": "429"}, "auto", "no further login just now (429).", ""),
        ({}, {"failed": True, "rate_limited": True, "msg": "429"}, "always", "although the hubs answer. 429", "failed"),
        ({}, {"failed": True, "msg": "Lost."}, "auto", "although the hubs answer. Lost.", "failed"),
        ({}, {**ARRIVED, "failed": True, "msg": "It is left."}, "auto", "It is left.", "failed"),
        ({}, {}, "auto", "The module ended without a result.", "failed"),
        ({"version": "", "layout": ""}, ARRIVED, "auto", "runs an unknown version (unknown layout)", ""),
        ({"failed": True, "msg": "VW-A01"}, None, "auto", "VW-A01", "failed"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_proof(
    probe: dict[str, Any], live: dict[str, Any] | None, wanted: str, words: str, ends: str
) -> None:
    proof = {"url": "https://vault.test", "probe": {**ANSWERED, **probe}, "live_update": live}
    said = _check.verdict(proof, {**DEFAULTS, "live_update": wanted})
    assert words in said["msg"]
    assert (bool(said.get("failed")), bool(said.get("unreachable"))) == (ends == "failed", False)


@pytest.mark.parametrize(
    ("unfit", "names", "silent"),
    [
        ("", ["notifications_check_email", "notifications_check_password", "vaultwarden_admin_token"], []),
        ("mail", ["notifications_check_email", "sends mail"], ["vaultwarden_admin_token"]),
        ("hash", ["notifications_check_email", "notifications_check_admin_token", "is a hash"], []),
    ],
)
def test_a_live_update_without_an_account_says_what_to_set(unfit: str, names: list[str], silent: list[str]) -> None:
    """A token that is set already is no advice."""
    proof = {"url": "https://vault.test", "probe": ANSWERED, "live_update": {"skipped": True}}
    said = _check.verdict(proof, {**DEFAULTS, "live_update": "auto", "token_unfit": unfit})["msg"]
    assert [name for name in names if name not in said] == [] and [name for name in silent if name in said] == []


def test_check_mode_says_what_a_probe_found_and_fails_for_nothing() -> None:
    found = {**ANSWERED, "verdict": "failed", "diagnosis": [{"symptom": "The hub answered 502."}]}
    said = _check.verdict({"url": "u", "probe": found, "live_update": {"skipped": True}}, DEFAULTS, check_mode=True)
    assert said["msg"].endswith(": The hub answered 502; a live update was not proved, since this is check mode.")
    assert not said.get("failed")


def test_check_mode_names_no_release_where_nothing_answers() -> None:
    """The version would be the one that is wanted, and the host may be empty."""
    found = {**ANSWERED, "verdict": "failed", "alive": {"status": None}, "diagnosis": [{"symptom": "No such name."}]}
    said = _check.verdict({"url": "u", "probe": found, "live_update": {"skipped": True}}, DEFAULTS, check_mode=True)
    assert said["msg"] == (
        "u does not answer yet. No such name; a live update was not proved, since this is check mode."
    )  # fmt: skip
    assert not said.get("failed")


@pytest.mark.parametrize(("look", "ends"), [({"unreachable": True, "msg": "No route."}, "unreachable"),
                                            ({"msg": "sudo: a password is required"}, "failed"),
                                            ({"rc": 1}, "failed")])  # fmt: skip
def test_a_host_that_could_not_be_looked_at_ends_as_the_look_did(look: dict[str, Any], ends: str) -> None:
    """Its vault is not asked, and a problem of the report does not hide that."""
    proof = {"url": "https://vault.test", "probe": _check.why_not({**DEFAULTS, "failed_look": look})}
    said = _check.with_problem(_check.verdict(proof, DEFAULTS), "")
    assert said[ends] is True and look.get("msg", "without a result") in said["msg"]


# With Ansible


def verify(folder: Path, hosts: dict[str, Any], *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """The playbook on an inventory of hosts."""
    running = start(folder, hosts, *arguments, **variables)
    stdout, stderr = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, stdout, stderr)


def start(folder: Path, hosts: dict[str, Any], *arguments: str, **variables: Any) -> subprocess.Popen[str]:
    """The playbook on an inventory of hosts, running."""
    (folder / "hosts.json").write_text(json.dumps({"vaultwarden": {"hosts": hosts}}), encoding="utf-8")
    given = {"notifications_check_wait": 0, "notifications_check_report_dir": str(folder / "reports"), **variables}
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(folder / "hosts.json"), "playbooks/verify.yml", "-e", json.dumps(given),
         *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def reported(folder: Path) -> dict[str, dict[str, Any]]:
    """The hosts in the report of a run."""
    (report,) = folder.glob("reports/*/report.json")
    return {host["host"]: host for host in json.loads(report.read_text(encoding="utf-8"))["hosts"]}


def statuses(folder: Path) -> dict[str, str]:
    return {name: host["status"] for name, host in reported(folder).items()}


def test_a_fleet_that_cannot_be_reached_is_reported_all_the_same(tmp_path: Path) -> None:
    """Ansible's own exit code for it, and the words of ssh in the report."""
    lost = {"ansible_host": "127.0.0.1", "ansible_port": 9, "vaultwarden_domain": "https://vault.example.com"}
    done = verify(tmp_path, {"one": lost, "two": lost})
    assert done.returncode == 4, done.stdout
    assert statuses(tmp_path) == {"one": "no_result", "two": "no_result"}
    (report,) = tmp_path.glob("reports/*/report.json")
    assert "Connection refused" in json.loads(report.read_text(encoding="utf-8"))["hosts"][0]["note"]
    assert f"{report.with_name('report.html')}." in done.stdout
    assert done.stdout.count("unreachable=1") == 2 and done.stdout.count("failed=0") == 2


def test_a_host_without_its_sudo_password_is_reported_all_the_same(tmp_path: Path) -> None:
    """With the words of sudo. Ansible does not ask failed_when there, since no module has run."""
    become = {"ansible_become_user": "nobody", "ansible_become_exe": "/bin/false"}
    here = {"ansible_connection": "local", "vaultwarden_domain": "https://vault.example.com", **become}
    done = verify(tmp_path, {"one": here, "two": here})
    assert done.returncode == 2, done.stdout
    assert statuses(tmp_path) == {"one": "no_result", "two": "no_result"}
    note = reported(tmp_path)["one"]["note"]
    assert "become" in note, note
    assert "The vault was not asked." in done.stdout


def test_each_host_ends_by_itself_and_no_secret_is_shown(tmp_path: Path) -> None:
    """One is proved, one has faults, one is lost; at any verbosity no account's password comes out."""
    (tmp_path / "data").mkdir()
    with StandIn(tmp_path / "data", "1.37.2") as server, FakeVault({**healthy(), HUB: page(502)}) as faulty:
        here = {"ansible_connection": "local", "notifications_check_url": server.url}
        hosts: dict[str, Any] = {
            "good": {**here, "notifications_check_admin_token": ADMIN_TOKEN, "notifications_check_push": "none",
                     "notifications_check_report_file": str(tmp_path / "made" / "good.json")},
            "refused": {**here, "notifications_check_email": "nobody@example.com",
                        "notifications_check_password": SECRET},
            "from_itself": {**here, "notifications_check_from": "host", "notifications_check_admin_token": ADMIN_TOKEN,
                            "ansible_python_interpreter": sys.executable},
            "faulty": {**here, "notifications_check_url": faulty.url, "notifications_check_push": "configured"},
            "wrong": {**here, "notifications_check_live_update": "always"},
            "typo": {**here, "notifications_check_live_update": "allways"},
        }  # fmt: skip
        done = verify(tmp_path, hosts, "-vvvv", "--forks=6", vaultwire_look=False)
        accounts = server.accounts()
    shown = done.stdout + done.stderr
    assert done.returncode == 2, shown
    assert statuses(tmp_path) == {
        "good": "proved", "refused": "faulty", "from_itself": "proved", "faulty": "faulty", "wrong": "no_result",
        "typo": "no_result",
    }, shown  # fmt: skip
    assert {name: host["push"]["state"] for name, host in reported(tmp_path).items()} == {
        "good": "none", "refused": "unknown", "from_itself": "unknown", "faulty": "configured", "wrong": "unknown",
        "typo": "unknown",
    }  # fmt: skip
    assert accounts == []
    assert SECRET not in shown and ADMIN_TOKEN not in shown
    assert shown.count("reached another after") >= 2
    for words in (
        "VW-A01: ",
        "there is no account for it",
        "value of live_update must be one of",
        "nobody@example.com",
    ):
        assert words in shown
    assert set(json.loads((tmp_path / "made" / "good.json").read_text(encoding="utf-8"))) == {
        "url", "probe", "live_update",
    }  # fmt: skip


def test_a_report_that_cannot_be_written_fails_and_hides_no_finding(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way", encoding="utf-8")
    with FakeVault({**healthy(), HUB: page(502)}) as vault:
        done = verify(
            tmp_path, {"one": {"ansible_connection": "local", "notifications_check_url": vault.url}},
            vaultwire_look=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "VW-A01: " in done.stdout and "The report could not be written" in done.stdout


def test_a_run_that_is_broken_off_removes_its_account(tmp_path: Path) -> None:
    """Ctrl-C while session A renames the item: Ansible ends its workers, and this one tidies up first."""
    (tmp_path / "data").mkdir()
    reached = threading.Event()

    def hold(data: bytes) -> None:
        if data.startswith(b"PUT "):
            reached.set()
            time.sleep(1)

    with StandIn(tmp_path / "data", "1.37.2") as server, Proxy(server.port, before=hold) as proxy:
        here = {"notifications_check_url": proxy.url, "notifications_check_signup": True}
        run = start(tmp_path, {"one": {"ansible_connection": "local", **here}}, vaultwire_look=False)
        assert reached.wait(60)
        assert len(server.accounts()) == 1
        os.killpg(run.pid, signal.SIGINT)
        run.communicate(timeout=60)
        assert run.returncode != 0
        end = time.monotonic() + 20
        while server.accounts() and time.monotonic() < end:
            time.sleep(0.1)
        assert server.accounts() == []


def test_secrets_are_masked_wherever_a_string_quotes_them() -> None:
    """The whole of a secret also where another one is a part of it; all else stays as it is, in kind and value."""
    answer: dict[str, Any] = {
        "msg": f"refused: token={SECRET}; {SECRET}-and-more",
        "rows": [{"body": SECRET}, [SECRET, 5, None]],
        "pair": ("a", f"b{SECRET}"),
        "ok": True,
        "latencies": ARRIVED["latencies"],
    }
    masked = _check.masked(answer, [SECRET, f"{SECRET}-and-more"])
    assert masked == {
        "msg": "refused: token=********; ********",
        "rows": [{"body": "********"}, ["********", 5, None]],
        "pair": ["a", "b********"],
        "ok": True,
        "latencies": ARRIVED["latencies"],
    }
    assert SECRET in answer["msg"]
    assert _check.masked(answer, []) == json.loads(json.dumps(answer))
