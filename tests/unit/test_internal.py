# SPDX-License-Identifier: GPL-3.0-or-later
"""An error of the collection itself is named with its place, quotes nothing, and is never a finding about the vault."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from fake_module import run_module
from fake_server import ADMIN_TOKEN, StandIn
from fake_vault import HUB, FakeVault, alive, healthy, reply
from report_cases import healthy as proved_host
from test_check import ANSWERED, ARRIVED, DEFAULTS
from test_live_update import EMAIL, PASSWORD, register, throwaways
from test_watch import parse, settings, values

from ansible_collections.vaultwire.stack.plugins.action import live_proof
from ansible_collections.vaultwire.stack.plugins.module_utils import (
    _diagnosis,
    _folders,
    _footprint,
    _host,
    _host_findings,
    _http,
    _hub,
    _internal,
    _live,
    _session,
    _swap,
    _vaults,
    _watch,
)
from ansible_collections.vaultwire.stack.plugins.modules import deployment_info, hub_probe, live_update
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _check, _report

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "s3cret-that-an-exception-quotes"
QUESTIONS = ["alive", "version", "hub", "hub_plain", "anonymous_hub", "hub_session"]
Result = dict[str, t.Any]


def boom(*_: t.Any, **__: t.Any) -> t.NoReturn:
    """A fault of our own, whose text quotes a secret as a KeyError does."""
    raise KeyError(SECRET)


def assert_named(result: Result, step: str, file: str) -> None:
    """The result fails with the exception, its step and its place; it has no finding, no verdict and no secret."""
    told = result["internal_error"]
    assert result["failed"] is True
    assert (told["exception"], told["step"]) == ("KeyError", step)
    assert re.fullmatch(rf"{re.escape(file)}:\d+ [\w<>]+", told["where"]), told
    head = f"The check itself failed: KeyError in {step} ({told['where']})."
    assert result["msg"].startswith(head), result["msg"]
    shown = json.dumps(result)
    assert SECRET not in shown and "VW-" not in shown
    assert "verdict" not in result and "diagnosis" not in result


# The helper


def test_an_exception_of_a_thread_arrives_where_its_result_is_asked_for() -> None:
    with pytest.raises(_internal.InternalError, match="KeyError in the second") as caught:
        _internal.side_by_side({"the first": lambda: 1, "the second": boom}, 5)
    assert SECRET not in str(caught.value) and SECRET in caught.value.trace


def test_an_internal_error_goes_before_one_that_is_expected() -> None:
    def refuse() -> t.NoReturn:
        raise _session.LiveUpdateError("refused")

    with pytest.raises(_session.LiveUpdateError, match="refused"):
        _internal.side_by_side({"a": refuse, "b": lambda: 1}, 5, _session.EXPECTED)
    with pytest.raises(_internal.InternalError, match="KeyError in b"):
        _internal.side_by_side({"a": refuse, "b": boom}, 5, _session.EXPECTED)


def test_even_the_end_of_the_interpreter_does_not_end_a_thread_unseen() -> None:
    with pytest.raises(_internal.InternalError, match="SystemExit in a"):
        _internal.side_by_side({"a": sys.exit}, 5)


def test_work_that_is_late_is_told_from_work_that_failed() -> None:
    begin = time.monotonic()
    assert _internal.side_by_side({"a": lambda: time.sleep(5), "b": lambda: 2}, 0.2) == {"a": None, "b": 2}
    assert time.monotonic() - begin < 3


def test_the_place_is_the_innermost_line_of_the_collection() -> None:
    """Not that of the library that it called, which nobody could find again."""
    try:
        _http.read_json(t.cast(t.Any, 7))
    except TypeError as exc:
        assert _internal.place_of(exc).startswith("_http.py:") and _internal.place_of(exc).endswith(" read_json")
    assert _internal.place_of(ValueError()) == "place unknown"


def test_threads_are_started_by_the_helper_alone() -> None:
    """Elsewhere an exception would end one unseen. A Timer only shuts a socket."""
    starting = re.compile(r"threading\.Thread\(|ThreadPool|concurrent|multiprocessing|_thread")
    found = [path.name for path in (ROOT / "plugins").rglob("*.py") if starting.search(path.read_text("utf-8"))]
    assert found == ["_internal.py"]


def test_every_module_reports_its_own_errors() -> None:
    """Else Ansible shows the text of the exception, with whatever it quotes."""
    bare = []
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        main = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"), None)
        if main is not None and "_internal.reported(" not in ast.unparse(main):
            bare.append(path.stem)
    # These two return their own errors, since the action live_proof calls them as functions.
    assert bare == ["hub_probe", "live_update"]


# The probe


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_error_in_a_question_is_no_finding(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault is sound; and so it is where the other questions have faults to report."""
    original = _hub.ask
    paths = {name: asked.path.partition("?")[0] for name, asked in _hub._questions("token", 0).items()}

    def ask(target: t.Any, context: t.Any, asked: _hub.Question, deadline: t.Any) -> _diagnosis.Answer:
        upgrade = question not in ("alive", "version", "hub_plain")
        same_kind = (asked.path.partition("?")[0], asked.upgrade) == (paths[question], upgrade)
        if same_kind and ("access_token" in asked.path) == (question == "hub_session"):
            boom()
        return original(target, context, asked, deadline)

    monkeypatch.setattr(_hub, "ask", ask)
    for routes in (healthy(), {**healthy(), HUB: reply(502)}):
        with FakeVault(routes) as vault:
            begin = time.monotonic()
            result = run_module(hub_probe.main, url=vault.url, access_token="token", timeout=5, wait=30)
        assert_named(result, f"the question {question}", "_hub.py")
        # It is not repeated as a finding would be, and not waited out as a timeout would be.
        assert time.monotonic() - begin < 4


def test_the_probe_names_the_line_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "_skew", boom)
    with FakeVault(healthy()) as vault:
        result = run_module(hub_probe.main, url=vault.url)
    assert_named(result, "the question alive", "_hub.py")
    assert result["internal_error"]["where"].endswith(" _plain_answer")


def test_an_error_of_the_diagnosis_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub, "diagnose", boom)
    with FakeVault(healthy()) as vault:
        assert_named(run_module(hub_probe.main, url=vault.url), "the diagnosis", "_hub.py")


@pytest.mark.parametrize(
    "body", ["[" * 60_000, '{"a":' * 9_000, '{"version":"1.37.2"}', "[1]", "17", "null", '"1.37.2\\u0000"', "\xff", ""]
)
@pytest.mark.parametrize("path", ["/alive", "/api/version"])
def test_whatever_a_server_answers_is_an_answer(path: str, body: str) -> None:
    """A page that the probe cannot read says something about the server, and nothing against the probe."""
    with FakeVault({**healthy(), path: reply(200, body)}) as vault:
        result = run_module(hub_probe.main, url=vault.url)
    assert "internal_error" not in result, result["msg"]
    assert result["alive"]["status"] == 200


@pytest.mark.parametrize("date", ["Mon, 01 Jan 0001 00:00:00 -0000", "x", "Tue, 31 Feb 2026 99:99:99 GMT", "1" * 400])
def test_whatever_a_proxy_dates_is_an_answer(date: str) -> None:
    with FakeVault({**healthy(), "/alive": reply(200, "{}", Date=date)}) as vault:
        result = run_module(hub_probe.main, url=vault.url)
    assert "internal_error" not in result, result["msg"]


# The live update


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[StandIn]:
    with StandIn(tmp_path_factory.mktemp("server"), "1.37.2") as running:
        register(running)
        yield running


def fail_in_step(step: str) -> t.Callable[..., t.Any]:
    original = _live.Proof._step

    def wrapped(self: _live.Proof, name: str, *rest: t.Any) -> t.Any:
        return boom() if name == step else original(self, t.cast(t.Any, name), *rest)

    return wrapped


def fail_for_one_device(self: _session.Account, device: str, deadline: t.Any) -> _session.Session:
    return boom() if device == "a" else SIGN_IN(self, device, deadline)


SIGN_IN = _session.Account.sign_in
STEPS: list[tuple[str, t.Any, str, t.Callable[..., t.Any], str]] = [
    ("version", _session.Account, "server_version", boom, "_live.py"),
    ("account", _session.Account, "_registration", boom, "_session.py"),
    ("sign-in of A", _session.Account, "sign_in", fail_for_one_device, "_internal.py"),
    ("connect", _live.Listener, "_greet", boom, "_live.py"),
    ("listen", _live, "read_events", boom, "_live.py"),
    ("create", _live.Proof, "_step", fail_in_step("create"), "_live.py"),
    ("rename", _live.Proof, "_step", fail_in_step("rename"), "_live.py"),
    ("rename", _live.Proof, "_see_name", boom, "_live.py"),
    ("delete", _live.Proof, "_step", fail_in_step("delete"), "_live.py"),
    ("delete", _live, "judge_event", boom, "_live.py"),
    ("close", _live.Listener, "close", boom, "_live.py"),
    ("cleanup", _session.Account, "_remove_by_itself", boom, "_session.py"),
    ("cleanup", _session.Account, "remove", boom, "_live.py"),
    ("close", _session.Account, "close", boom, "_live.py"),
]


@pytest.mark.parametrize(("step", "owner", "name", "fault", "file"), STEPS, ids=lambda value: str(value)[:40])
def test_an_error_in_a_step_is_no_fault_of_the_channel(
    step: str, owner: t.Any, name: str, fault: t.Any, file: str, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the throwaway account goes all the same, by the other way if its own one is what failed."""
    if name == "judge_event":
        sound = iter(["create", "rename"])

        def fault(*__: t.Any) -> t.Any:
            return next(sound, None) or boom()

    monkeypatch.setattr(_live, "device_identifiers", lambda *_: ("a", "b"))
    monkeypatch.setattr(owner, name, fault)
    token = {} if name != "_remove_by_itself" else {"admin_token": ADMIN_TOKEN}
    result = run_module(live_update.main, url=server.url, signup=True, timeout=10, timeout_per_step=2, **token)
    monkeypatch.undo()
    assert_named(result, f"the step {step}", file)
    # Nothing beside it sends the reader to look for a fault of the proxy.
    assert "session B" not in result["msg"] and "interrupted" not in result["msg"]
    if name == "remove":
        assert result["account"]["removed"] is False
        (left,) = throwaways(server)
        cookie = server.ask("POST", "/admin", f"token={ADMIN_TOKEN}", **{
            "Content-Type": "application/x-www-form-urlencoded"})[2].partition(";")[0]  # fmt: skip
        found = server.ask("GET", f"/admin/users/by-mail/{left}", **{"Cookie": cookie})[1]
        server.ask("POST", f"/admin/users/{found['id']}/delete", **{"Cookie": cookie})
    assert throwaways(server) == []
    assert result["account"]["removed"] is (name != "remove")


def test_an_account_that_an_error_of_our_own_left_is_named(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both: that the check itself failed, and what the reader has to remove."""
    monkeypatch.setattr(_session.Account, "_remove_by_itself", boom)
    account = _session.Account(lambda: t.cast(t.Any, None), "signup", "vaultwire-check-x@example.invalid")
    account._registered = "yes"
    with pytest.raises(_session.LiveUpdateError, match=r"vaultwire-check-x@example\.invalid could not"):
        account.remove(_http.Deadline(5))
    assert account.failure is not None and not account.removed


@pytest.mark.parametrize("name", ["unlock", "tidy"])
def test_an_error_around_a_given_account_is_no_fault_of_the_channel(
    name: str, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session.Account if name == "unlock" else _live.Proof, name, boom)
    result = run_module(live_update.main, url=server.url, email=EMAIL, password=PASSWORD, timeout=10)
    assert_named(result, "the step account" if name == "unlock" else "the step cleanup", "_live.py")


def test_the_traceback_is_shown_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """notifications_check_no_log=false is for this."""
    monkeypatch.setattr(_hub, "_skew", boom)
    with FakeVault(healthy()) as vault:
        options = {"url": vault.url, "connect_to": "", "ca_file": None, "ca_content": None, "validate_certs": True,
                   "version": "", "layout": "auto", "access_token": "", "timeout": 5, "wait": 0, "idle_seconds": 0,
                   "more_findings": [], "fail_on_fault": False}  # fmt: skip
        hidden = live_proof._ask_here("hub_probe", options, False, False)
        shown = live_proof._ask_here("hub_probe", options, True, True)
    assert_named({key: value for key, value in hidden.items() if key != "warnings"}, "the question alive", "_hub.py")
    assert "Traceback" in shown["msg"] and SECRET in shown["msg"]


# The look

PARTS: list[tuple[str, t.Any, str]] = [
    ("packages", _host, "unfinished_packages"),
    ("listeners", _host, "listeners"),
    ("engine", _host, "engine_info"),
    ("container", _host, "container_info"),
    ("swap", _swap, "is_unfinished"),
    ("proxies", _host, "proxies_info"),
    ("sites of this collection", _footprint, "own_sites"),
    ("ports", _host, "port_conflicts"),
    ("folders", _folders, "describe_folder"),
    ("authority", deployment_info, "_authority"),
    ("vaults", _vaults, "_inspect"),
    ("sites", _vaults, "_own_addresses"),
    ("findings", _host_findings, "host_findings"),
]


@pytest.mark.parametrize(("part", "owner", "name"), PARTS, ids=[part for part, __, __ in PARTS])
def test_an_error_in_a_part_of_the_look_is_no_finding(
    part: str, owner: t.Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {
        "engine_info": lambda run: {"installed": True, "running": True, "version": "28", "oldest_api": "1.24"},
        "container_info": lambda run, name: {"exists": False},
        "unfinished_packages": list,
    }
    for function, replacement in sound.items():
        monkeypatch.setattr(_host, function, replacement)
    monkeypatch.setattr(_vaults, "_inspect", lambda run: [])
    monkeypatch.setattr(owner, name, boom)
    result = run_module(
        deployment_info.main, details=True, swap_directory=str(tmp_path), folders=["/srv"], ports=[{"port": 443}],
        authority_directory=str(tmp_path),
    )  # fmt: skip
    place = "_vaults.py" if part in ("vaults", "sites") else "deployment_info.py"
    assert_named(result, f"the part {part}", place)


# The swap


def test_an_error_of_the_swap_itself_is_undone_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is down by then, so it must not stay where it failed."""
    journal = _swap.Journal(str(tmp_path / "upgrades"))
    record = _swap.Record(
        name="vault", old_id="old", new_id="new", source="1.28.1", target="1.37.2", data_dir=str(tmp_path),
        folder=str(tmp_path / "copy"), uid=0, gid=0, old_url="", new_url="", timeout=1,
    )  # fmt: skip
    swap = _swap.Swap(_swap.Engine(lambda command: (0, "", "")), journal, record, lambda command: (0, "", ""))
    undone: list[str] = []

    def back(self: _swap.Swap, why: str) -> None:
        undone.append(why)
        record.reason = why

    monkeypatch.setattr(_swap.Swap, "back", back)
    monkeypatch.setattr(_swap.Swap, "_copy", boom)
    with pytest.raises(_swap.SwapError, match="The swap itself failed: KeyError in the step copied"):
        swap.forward()
    assert len(undone) == 1 and SECRET not in undone[0]


# What is said of it

TOLD = {"exception": "KeyError", "where": "_hub.py:282 _skew", "step": "the question alive"}
FAILED: Result = {
    "failed": True,
    "msg": "The check itself failed: KeyError in the question alive (_hub.py:282 _skew).",
    "internal_error": TOLD,
}


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_verdict_says_that_the_check_failed(check_mode: bool) -> None:
    """The probe itself, the live update itself, or the look itself."""
    said = _check.verdict({"url": "u", "probe": dict(FAILED)}, DEFAULTS, check_mode)
    assert (said["failed"], said["msg"], said["internal_error"]) == (True, FAILED["msg"], TOLD)
    for live in (FAILED, {**FAILED, **ARRIVED}):
        said = _check.verdict({"url": "u", "probe": ANSWERED, "live_update": live}, DEFAULTS, check_mode)
        assert said["failed"] is True and said["internal_error"] == TOLD
        assert "does not work" not in said["msg"] and "failed, although" not in said["msg"]
    looked = _check.why_not({**DEFAULTS, "failed_look": FAILED})
    said = _check.verdict({"url": "u", "probe": looked}, DEFAULTS, check_mode)
    assert said["failed"] is True and said["internal_error"] == TOLD


@pytest.mark.parametrize("part", ["probe", "live_update"])
def test_the_report_shows_it_as_what_it_is(part: str) -> None:
    """A status of its own, with no step of the channel marked as failed."""
    proof = {**proved_host(), part: dict(FAILED)}
    report = _report.shape({"one": proof, "two": proved_host()}, "2026-01-01T00:00:00Z")
    host = next(host for host in report["hosts"] if host["host"] == "one")
    assert (host["status"], host["severity"], host["note"]) == ("check_failed", "error", FAILED["msg"])
    assert report["summary"]["check_failed"] == 1 and report["summary"]["faulty"] == 0
    assert "fail" not in {check["result"] for check in host["checks"]}
    assert any("Report the line" in step["text"] and step["hosts"] == ["one"] for step in report["next"])
    page = _report.render(report, str(ROOT / "roles/notifications_check/templates"))
    assert "Check failed" in page and FAILED["msg"] in page


def test_a_step_that_arrived_is_no_proof_where_the_check_failed() -> None:
    proof = {**proved_host(), "live_update": {**proved_host()["live_update"], **FAILED}}
    (host,) = _report.shape({"one": proof}, "2026-01-01T00:00:00Z")["hosts"]
    assert host["status"] == "check_failed"


# The watch


@pytest.mark.parametrize("part", ["probe", "live update", "metrics"])
def test_the_watch_has_a_state_of_its_own(
    part: str, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither up nor down, and no finding: an alert on a dead hub stays silent, and that of the check fires."""
    owner, name = {"probe": (_hub, "_skew"), "live update": (_live, "judge_event"), "metrics": (_watch, "_text")}[part]
    monkeypatch.setattr(owner, name, boom)
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    given = settings(tmp_path, server.url, email=EMAIL, password_file=str(tmp_path / "password"))
    assert _watch.main([given]) == _watch.CHECK_FAILED == 3
    said = "".join(capsys.readouterr())
    assert "The check itself failed: KeyError in " in said and SECRET not in said and "DOWN" not in said
    if part == "metrics":
        return
    metrics = parse((tmp_path / "watch.prom").read_text(encoding="utf-8"))
    assert values(metrics, "check_failed") == [1]
    assert not {"up", "finding", "live_update_success"} & set(metrics)
    assert ("probe_success" in metrics) is (part == "live update")
    assert said.startswith(f"{server.url} is NOT CHECKED. The check itself failed: KeyError in ")


def test_a_watch_that_worked_says_so(tmp_path: Path) -> None:
    with FakeVault({**healthy(), "/alive": alive()}) as vault:
        _watch.main([settings(tmp_path, vault.url)])
    assert values(parse((tmp_path / "watch.prom").read_text(encoding="utf-8")), "check_failed", "up") == [0, 1]


# With Ansible


@pytest.mark.parametrize("where", ["controller", "host"])
def test_a_run_says_that_the_check_failed_and_shows_no_secret(where: str, tmp_path: Path) -> None:
    """The whole collection with one line broken, on the way of both proofs, and with tracebacks switched on."""
    copy = tmp_path / "ansible_collections" / "vaultwire" / "stack"
    for name in ("plugins", "roles", "playbooks", "meta"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", copy)
    broken = copy / "plugins" / "module_utils" / "_hub.py"
    text = broken.read_text(encoding="utf-8")
    line = "    # Only a text can be a time"
    assert text.count("    with contextlib.suppress(ValueError):\n        said") == 1 and line in text
    broken.write_text(
        text.replace("    with contextlib.suppress(ValueError):\n        said", f"    raise KeyError({SECRET!r})\n"
                     "    with contextlib.suppress(ValueError):\n        said"), encoding="utf-8"
    )  # fmt: skip
    (tmp_path / "hosts").write_text("[vaultwarden]\none ansible_connection=local\n", encoding="utf-8")
    with FakeVault(healthy()) as vault:
        given = {"notifications_check_url": vault.url, "notifications_check_from": where, "vaultwire_look": False,
                 "ansible_python_interpreter": sys.executable,
                 "notifications_check_report_dir": str(tmp_path / "reports")}  # fmt: skip
        done = subprocess.run(
            ["ansible-playbook", "-i", str(tmp_path / "hosts"), "vaultwire.stack.verify", "-vvv", "-e",
             json.dumps(given)],
            env={**{key: value for key, value in os.environ.items() if key != "ANSIBLE_CONFIG"},
                 "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_DISPLAY_TRACEBACK": "always"},
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    shown = done.stdout + done.stderr
    assert done.returncode == 2, shown
    assert "The check itself failed: KeyError in the question alive (_hub.py:" in shown
    assert SECRET not in shown and "VW-" not in shown
    (report,) = tmp_path.glob("reports/*/report.json")
    (host,) = json.loads(report.read_text(encoding="utf-8"))["hosts"]
    assert host["status"] == "check_failed" and "VW-" not in report.read_text(encoding="utf-8")


# What else could pass for something it is not


@pytest.mark.parametrize("number", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])
def test_a_limit_of_this_machine_is_no_finding_about_the_network(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was VW-T10, the network is unreachable."""

    def refuse(*_: t.Any) -> t.NoReturn:
        raise OSError(getattr(errno, number), SECRET)

    monkeypatch.setattr(_http, "_connect", refuse)
    result = run_module(hub_probe.main, url="https://vault.example.com")
    assert result["failed"] and result["internal_error"]["exception"] == "OSError"
    assert f"The check itself failed: OSError {number} in the question alive (_http.py:" in result["msg"]
    assert SECRET not in result["printed"] and "VW-" not in result["printed"]


def test_an_error_of_our_own_is_no_frame_that_a_server_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ValueError of any origin was taken for a handshake that never came, VW-W02."""

    def broken(*_: t.Any) -> t.NoReturn:
        raise ValueError(SECRET)

    monkeypatch.setattr(_hub, "client_frame", broken)
    with FakeVault(healthy()) as vault:
        result = run_module(hub_probe.main, url=vault.url)
    assert result["internal_error"]["step"] == "the question anonymous_hub" and "VW-" not in result["printed"]
