# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of the proofs: its data, its page as text, and how a run of Ansible comes to write it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from report_cases import HOSTILE, finding, fleet, healthy, stale_route

from ansible_collections.vaultwire.stack.plugins.plugin_utils import _report

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "roles" / "notifications_check" / "templates"
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
NOW = "2026-01-02T03:04:05Z"
SECRET = "a-password-nobody-may-read"


def shaped(**proofs: dict[str, Any] | None) -> dict[str, Any]:
    """A report that fits its schema."""
    report = _report.shape(proofs, NOW)
    jsonschema.validate(report, SCHEMA)
    return report


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_no_host_is_missing_and_the_worst_come_first() -> None:
    """Hosts without any proof are counted and shown."""
    proofs = fleet()
    report = _report.shape(proofs, NOW)
    jsonschema.validate({**report, "hosts": [{**host, "version": ""} for host in report["hosts"]]}, SCHEMA)
    assert {host["host"] for host in report["hosts"]} == set(proofs)
    assert report["summary"] == {
        "hosts": 12, "proved": 7, "hubs_only": 1, "faulty": 3, "no_result": 1, "check_failed": 0, "not_tried": 0,
        "errors": 2, "warnings": 1
    }  # fmt: skip
    severities = [host["severity"] for host in report["hosts"]]
    assert severities == sorted(severities, key=["error", "warning", "ok"].index)


@pytest.mark.parametrize(
    ("proof", "status", "severity"),
    [
        pytest.param(healthy(), "proved", "ok", id="everything proved"),
        pytest.param({**healthy(), "live_update": {"skipped": True}}, "hubs_only", "ok", id="no account"),
        pytest.param({**healthy(), "live_update": {"rate_limited": True, "msg": "429"}}, "hubs_only", "ok", id="429"),
        pytest.param(
            {**healthy(), "live_update": {"rate_limited": True, "msg": "429"}, "live_required": True},
            "faulty",
            "error",
            id="429 where a live update was required",
        ),
        pytest.param(
            {**healthy(), "live_update": {"msg": "Missing library"}}, "faulty", "error", id="live update failed"
        ),
        pytest.param(
            {**healthy(), "live_update": {**healthy()["live_update"], "msg": "The account could not be removed."}},
            "faulty",
            "error",
            id="something was left behind",
        ),
        pytest.param(stale_route(), "faulty", "error", id="probe failed"),
        pytest.param(healthy(diagnosis=[finding("VW-L02", "warning")]), "proved", "warning", id="warning"),
        pytest.param({**healthy(), "findings": [finding("VW-H01")]}, "faulty", "error", id="fault seen on the host"),
        pytest.param(
            {**healthy(), "host": {"diagnosis": [finding("VW-H01")]}}, "faulty", "error", id="in another part"
        ),
        pytest.param({"probe": {"msg": "Bad address.", "failed": True}}, "no_result", "error", id="unusable options"),
        pytest.param({}, "no_result", "error", id="nothing kept"),
        pytest.param(None, "no_result", "error", id="unreachable"),
    ],
)
def test_what_is_said_of_a_host(proof: dict[str, Any] | None, status: str, severity: str) -> None:
    """Only a change that arrived is a proof; anything that went wrong is an error."""
    host = shaped(vault=proof)["hosts"][0]
    assert (host["status"], host["severity"]) == (status, severity)


@pytest.mark.parametrize(
    ("push", "state", "words"),
    [
        ("configured", "configured", "which this server has configured; no part of this check asks for it."),
        ("none", "none", "which this server has not configured"),
        ("unknown", "unknown", "is not known here"),
        (None, "unknown", "is not known here"),
        (HOSTILE, "unknown", "is not known here"),
    ],
)
def test_push_is_told_and_changes_nothing(push: str | None, state: str, words: str) -> None:
    """On both sides of the verdict: a phone's channel is neither a proof of the hub nor a fault of it."""
    report = shaped(good={**healthy(), "push": push}, bad={**stale_route(), "push": push})
    bad, good = report["hosts"]
    assert (bad["status"], good["status"], good["severity"]) == ("faulty", "proved", "ok")
    assert good["push"]["state"] == bad["push"]["state"] == state
    assert good["push"]["text"].startswith("Browsers and desktop programs are live. Mobile apps use push instead, ")
    assert bad["push"]["text"].startswith("Browsers and desktop programs use this channel. ")
    assert "".join(Page(_report.render(report, str(TEMPLATES))).texts).count(words) == 2


def test_a_check_passes_only_for_what_was_seen() -> None:
    """A stale route fails the upgrade; what was not tried is neither proved nor failed."""
    results = {check["name"]: check["result"] for check in shaped(vault=stale_route())["hosts"][0]["checks"]}
    assert results == {
        "alive": "pass", "upgrade": "fail", "hub": "skip", "handshake": "skip", "anonymous_hub": "pass",
        "create": "skip", "rename": "skip", "delete": "skip",
    }  # fmt: skip
    assert {check["result"] for check in shaped(vault=healthy())["hosts"][0]["checks"]} == {"pass"}


def test_a_live_update_ends_with_the_step_that_did_not_arrive() -> None:
    """What comes after it was not tried."""
    checks = shaped(vault=fleet()["vault-9"])["hosts"][0]["checks"]
    assert [check["result"] for check in checks[-3:]] == ["pass", "fail", "skip"]


def test_the_same_thing_to_do_is_said_once() -> None:
    """With all its hosts; nothing is to be done for hosts that were proved."""
    steps = shaped(one=stale_route(), two=stale_route(), three=healthy(), four=None)["next"]
    assert [(step["code"], step["hosts"]) for step in steps] == [("VW-A01", ["one", "two"]), ("", ["four"])]


def test_a_page_needs_nothing_from_elsewhere() -> None:
    """One file; its policy allows its own script and style and nothing else."""
    page = Page(_report.render(_report.shape(fleet(), NOW), str(TEMPLATES)))
    assert not {tag for tag, __ in page.tags} & {"link", "img", "iframe", "object", "embed", "form"}
    assert not [attributes for __, attributes in page.tags if {"src", "href", "style"} & set(attributes)]
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_texts_of_hosts_stay_texts() -> None:
    """No element, attribute or template comes out of a host's words, in whichever field they stand."""
    page = Page(_report.render(_report.shape({HOSTILE: fleet()[HOSTILE]}, NOW), str(TEMPLATES)))
    assert [tag for tag, __ in page.tags].count("script") == 1
    assert not [name for __, attributes in page.tags for name in attributes if name.startswith("on")]
    words = "".join(page.texts)
    assert words.count(HOSTILE) >= 6
    assert "49" not in words


def test_a_page_names_everything_for_those_who_do_not_see_it() -> None:
    """Plots have a text of their own, fields a label, and a mark is never the only sign."""
    page = Page(_report.render(_report.shape(fleet(), NOW), str(TEMPLATES)))
    assert all(a.get("role") == "img" and a.get("aria-label") for tag, a in page.tags if tag == "svg")
    labelled = {a.get("aria-labelledby") for tag, a in page.tags if tag in ("article", "section")}
    assert labelled <= {a.get("id") for __, a in page.tags}
    assert re.search(r"sees a rename.*?: failed", "".join(page.texts))


PLAY = """
- hosts: all
  gather_facts: false
  pre_tasks:
    - name: Lose a host before the proofs
      ansible.builtin.ping:
      when: lost is defined
  roles: [vaultwire.stack.notifications_check]
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The role on a fleet of which no vault answers, one host is unreachable and one is set up wrongly."""
    dead = {"notifications_check_url": "https://127.0.0.1:9", "ansible_connection": "local"}
    hosts = {
        "dead": dead,
        "wrong": {
            **dead,
            "notifications_check_email": "check@example.com",
            "notifications_check_live_update": "always",
        },
        "lost": {"lost": True, "ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_connection": "ssh"},
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    variables = {
        "notifications_check_wait": 0,
        "notifications_check_report_dir": str(folder / "reports"),
        "notifications_check_admin_token": SECRET,
    }
    return subprocess.run(
        ["ansible-playbook", "-i", "hosts.json", "play.yml", "-e", json.dumps(variables), *arguments],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_fails_everywhere_is_reported(tmp_path: Path) -> None:
    """The report is written once, has every host, and no secret; the run still fails."""
    done = run(tmp_path)
    assert done.returncode != 0
    (report,) = tmp_path.glob("reports/*/report.json")
    data = json.loads(report.read_text(encoding="utf-8"))
    jsonschema.validate(data, SCHEMA)
    statuses = {host["host"]: host["status"] for host in data["hosts"]}
    assert statuses == {"dead": "faulty", "wrong": "no_result", "lost": "no_result"}, done.stdout
    page = report.with_name("report.html")
    assert f"{page}." in done.stdout
    assert SECRET not in page.read_text(encoding="utf-8") + report.read_text(encoding="utf-8") + done.stdout


def test_check_mode_writes_no_report(tmp_path: Path) -> None:
    """Not even the folder."""
    run(tmp_path, "--check")
    assert not (tmp_path / "reports").exists()


def test_a_host_whose_turn_has_not_come_needs_no_attention() -> None:
    """It was neither asked nor lost."""
    waiting = {"url": "https://vault-2.example.com", "waiting": True}
    report = _report.shape({"vault-1": healthy("vault-1"), "vault-2": waiting}, NOW)
    jsonschema.validate(report, SCHEMA)
    host = report["hosts"][1]
    assert (host["status"], host["severity"], host["url"]) == ("not_tried", "ok", "https://vault-2.example.com")
    assert report["summary"]["not_tried"] == 1 and report["summary"]["no_result"] == 0 and report["next"] == []
    words = " ".join(" ".join(Page(_report.render(report, str(TEMPLATES))).texts).split())
    assert "The host works." in words and "1 host is not yet tried." in words and "attention" not in words


@pytest.mark.parametrize(
    ("proof", "status", "note"),
    [
        ({"url": "https://a.example.com"}, "no_result", "It broke."),
        (healthy("a"), "proved", "The run failed on this host: It broke."),
    ],
)
def test_a_host_on_which_the_run_failed_has_the_reason(proof: dict[str, Any], status: str, note: str) -> None:
    """Also where the old server has been proven by then: what was wanted did not come about."""
    report = _report.shape({"a": {**proof, "failure": "It broke."}}, NOW)
    jsonschema.validate(report, SCHEMA)
    (host,) = report["hosts"]
    assert (host["status"], host["severity"], host["note"], host["url"]) == (
        status, "error", note, "https://a.example.com"
    )  # fmt: skip
    assert report["next"][0]["severity"] == "error"
    assert "1 host needs attention" in " ".join("".join(Page(_report.render(report, str(TEMPLATES))).texts).split())


BATCHES = """
- hosts: all
  gather_facts: false
  serial: 2
  max_fail_percentage: 0
  tasks:
    - block:
        - ansible.builtin.fail: {msg: The swap failed.}
          when: breaks is defined
        - ansible.builtin.include_role: {name: vaultwire.stack.notifications_check}
      rescue:
        - ansible.builtin.fail: {msg: The swap failed. Everything was undone.}
"""


def batches(tmp_path: Path, play: str, hosts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The hosts of the report of a run, none of which answers."""
    dead = {"notifications_check_url": "https://{{ inventory_hostname }}.example.com", "ansible_connection": "local",
            "notifications_check_connect_to": "127.0.0.1:9"}  # fmt: skip
    inventory = {"all": {"hosts": {name: {**dead, **more} for name, more in hosts.items()}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    (tmp_path / "play.yml").write_text(play, encoding="utf-8")
    variables = {"notifications_check_wait": 0, "notifications_check_report_dir": str(tmp_path / "reports")}
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.json", "play.yml", "-e", json.dumps(variables)],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
             "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    reports = list(tmp_path.glob("reports/*/report.json"))
    assert len(reports) == 1, done.stdout
    return list(json.loads(reports[0].read_text(encoding="utf-8"))["hosts"])


def test_a_run_in_batches_says_who_is_next_and_who_failed(tmp_path: Path) -> None:
    """As an upgrade of a fleet does; the address of a host that was not asked comes from its settings."""
    hosts = batches(tmp_path, BATCHES, {"a": {"breaks": True}, "b": {}, "c": {}, "d": {}})
    hosts_then = {host["host"]: host for host in hosts}
    assert {name: host["status"] for name, host in hosts_then.items()} == {
        "a": "no_result", "b": "faulty", "c": "not_tried", "d": "not_tried"
    }  # fmt: skip
    assert hosts_then["a"]["note"] == "The swap failed."
    assert {host["url"] for host in hosts_then.values()} == {f"https://{name}.example.com" for name in "abcd"}


RESCUED = """
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.fail: {msg: "hunter2 of another play"}
          no_log: "{{ hidden | default(false) }}"
      rescue:
        - ansible.builtin.debug: {msg: That was expected.}
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: vaultwire.stack.notifications_check}
"""


@pytest.mark.parametrize("hidden", [False, True])
def test_a_failure_that_was_dealt_with_is_none_of_this_run(hidden: bool, tmp_path: Path) -> None:
    """Ansible keeps the last failure of a host for good, also what no_log kept from the screen."""
    (host,) = batches(tmp_path, RESCUED, {"a": {"hidden": hidden}})
    assert "hunter2" not in json.dumps(host) and "The run failed" not in host["note"]


HIDDEN = """
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.fail: {msg: "hunter2"}
          no_log: true
          when: breaks is defined
        - ansible.builtin.include_role: {name: vaultwire.stack.notifications_check}
      rescue:
        - ansible.builtin.fail: {msg: It was undone.}
"""


def test_what_no_log_hides_is_in_no_report(tmp_path: Path) -> None:
    """The file may be read by others."""
    hosts = batches(tmp_path, HIDDEN, {"a": {"breaks": True}, "b": {}})
    assert "hunter2" not in json.dumps(hosts)
    (broken,) = [host for host in hosts if host["host"] == "a"]
    assert "no_log" in broken["note"]
