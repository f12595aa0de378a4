# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch: what it writes of a healthy vault, of a broken one, and of one it cannot ask; and that it runs alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from fake_server import StandIn
from fake_vault import ANONYMOUS, HUB, FakeVault, healthy, reply
from prometheus_client.parser import text_string_to_metric_families
from test_live_update import EMAIL, PASSWORD, register

from ansible_collections.vaultwire.stack.plugins.module_utils import _live, _watch

ROOT = Path(__file__).resolve().parent.parent.parent
ROLE = ROOT / "roles" / "notifications_watch"

Metrics = dict[str, list[tuple[dict[str, str], float]]]


def parse(text: str) -> Metrics:
    """Name without its prefix -> labels and value of each sample, as Prometheus itself reads them."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.name.startswith("vaultwire_watch_")
            found.setdefault(sample.name[len("vaultwire_watch_") :], []).append((sample.labels, sample.value))
    return found


def values(metrics: Metrics, *names: str) -> list[float]:
    """Those of metrics with one sample each."""
    return [metrics[name][0][1] for name in names]


def settings(tmp_path: Path, url: str, **changes: t.Any) -> str:
    """The path of a file with settings."""
    path = tmp_path / "settings.json"
    given = {"url": url, "textfile": str(tmp_path / "watch.prom"), "timeout": 5, "step_timeout": 2, **changes}
    path.write_text(json.dumps(given), encoding="utf-8")
    return str(path)


def watch(tmp_path: Path, url: str, **changes: t.Any) -> tuple[int, Metrics]:
    """Run the program; its exit code and the metrics that are there afterwards."""
    code = _watch.main([settings(tmp_path, url, **changes)])
    return code, parse((tmp_path / "watch.prom").read_text(encoding="utf-8"))


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """The password where the role puts it."""
    path = tmp_path / "password.json"
    path.write_text(PASSWORD, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[StandIn]:
    """A server with a lasting account."""
    with StandIn(tmp_path_factory.mktemp("server"), "1.37.2") as running:
        register(running)
        yield running


def test_a_healthy_vault_is_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an account nothing is said of a live update."""
    with FakeVault(healthy()) as vault:
        code, metrics = watch(tmp_path, vault.url)
    assert code == 0
    assert values(metrics, "up", "probe_success", "info") == [1, 1, 1]
    assert not {"live_update_success", "rate_limited", "finding", "latency_seconds"} & set(metrics)
    assert {labels["request"] for labels, __ in metrics["answer_seconds"]} >= {"alive", "hub", "anonymous_hub"}
    assert capsys.readouterr().out == f"{vault.url} is up.\n"


def test_a_broken_proxy_is_down_with_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same code in metrics and line."""
    with FakeVault({**healthy(), HUB: reply(502), ANONYMOUS: reply(502)}) as vault:
        code, metrics = watch(tmp_path, vault.url)
    assert code == 1
    assert values(metrics, "up", "probe_success") == [0, 0]
    assert {labels["code"] for labels, __ in metrics["finding"]} == {"VW-A01"}
    line = capsys.readouterr().out
    assert "is DOWN. VW-A01:" in line
    assert line.count("\n") == 1


def test_a_live_update_is_timed(tmp_path: Path, server: StandIn, password_file: Path) -> None:
    """Each step, in seconds."""
    code, metrics = watch(tmp_path, server.url, email=EMAIL, password_file=str(password_file))
    assert code == 0
    assert values(metrics, "up", "live_update_success", "rate_limited") == [1, 1, 0]
    assert {labels["step"] for labels, __ in metrics["latency_seconds"]} == {"create", "rename", "delete"}


def test_a_wrong_password_is_down_and_not_told(
    tmp_path: Path, server: StandIn, password_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hubs answer, yet nothing was proved."""
    password_file.write_text("not the password", encoding="utf-8")
    code, metrics = watch(tmp_path, server.url, email=EMAIL, password_file=str(password_file))
    assert code == 1
    assert values(metrics, "up", "probe_success", "live_update_success") == [0, 1, 0]
    assert [labels["code"] for labels, __ in metrics["finding"]] == ["live_update"]
    assert "not the password" not in capsys.readouterr().out + (tmp_path / "watch.prom").read_text(encoding="utf-8")


def test_a_server_without_patience_is_not_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 says nothing about the live channel, and is told as what it is."""

    class Limited:
        def __init__(self, *__: t.Any) -> None:
            self.outcome = _live.Outcome("given", rate_limited=True, problems=["The server answered 429."])

        def run(self) -> _live.Outcome:
            return self.outcome

    monkeypatch.setattr(_live, "LiveUpdate", Limited)
    with FakeVault(healthy()) as vault:
        code, metrics = watch(tmp_path, vault.url, email=EMAIL)
    assert (code, values(metrics, "up", "rate_limited")) == (0, [1, 1])
    assert "live_update_success" not in metrics


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ftp://x"},
        {"ca_file": "/nowhere.pem", "url": "https://127.0.0.1:9"},
        {"url": "https://127.0.0.1:9", "password_file": "/nowhere"},
    ],
)
def test_a_check_that_cannot_be_made_leaves_the_last_metrics(
    tmp_path: Path, changes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Their age then raises the alarm."""
    (tmp_path / "watch.prom").write_text("old\n", encoding="utf-8")
    assert _watch.main([settings(tmp_path, **changes)]) == 2
    assert (tmp_path / "watch.prom").read_text(encoding="utf-8") == "old\n"
    assert "could not be made" in capsys.readouterr().err


def test_no_reader_sees_half_a_file(tmp_path: Path) -> None:
    """Nothing else with the collector's ending is left in the folder, and everybody may read the file."""
    with FakeVault(healthy()) as vault:
        watch(tmp_path, vault.url)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".json"] == ["watch.prom"]
    assert (tmp_path / "watch.prom").stat().st_mode & 0o777 == 0o644


def test_texts_of_the_vault_cannot_forge_metrics() -> None:
    """Quotes, backslashes and ends of lines in a label stay in it."""
    hostile = 'x"} 1\nvaultwire_watch_up{url="y\\'
    (family,) = text_string_to_metric_families(_watch._text([("info", {"version": hostile}, 1)]))
    assert [sample.labels for sample in family.samples] == [{"version": hostile}]


def test_the_program_runs_without_ansible(tmp_path: Path) -> None:
    """The files that the role copies are all it takes, and other collections on the host are not asked."""
    program = tmp_path / "program"
    program.mkdir()
    names = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["__notifications_watch_modules"]
    shutil.copy(ROLE / "files" / "watch.py", program)
    for name in names:
        shutil.copy(ROOT / "plugins" / "module_utils" / name, program)
    with FakeVault(healthy()) as vault:
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(program / "watch.py"), settings(tmp_path, vault.url, email=EMAIL)],
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )
    # The account is unknown there; that the live update was tried shows that its modules are complete.
    assert (done.returncode, done.stderr) == (1, "")
    assert "is DOWN." in done.stdout


def test_every_metric_is_documented() -> None:
    """By its full name."""
    text = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
    for name in _watch._HELP:
        assert f"`vaultwire_watch_{name}`" in text
