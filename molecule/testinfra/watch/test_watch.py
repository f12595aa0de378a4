# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch on a host: the timer is set, a run tells the truth in metrics and journal, and the password stays put.

The tests build on each other in the order in which they stand.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from actions import Playbook
from prometheus_client.parser import text_string_to_metric_families
from testinfra.host import Host
from vault import Account, Vault

UNIT = "vaultwire-watch-vaultwarden"
TEXTFILE = "/var/lib/prometheus/node-exporter/vaultwire-vaultwarden.prom"
SETTINGS = "/etc/vaultwire/watch-vaultwarden.json"
PASSWORD_FILE = "/etc/vaultwire/watch-vaultwarden.secrets/password"
SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
#: This scenario's playbook, which runs the role alone.
WATCH = "../molecule/watch/watch"


class Metrics(dict[str, list[tuple[dict[str, str], float]]]):
    """Name without its prefix -> labels and value of each sample."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self.setdefault(sample.name.removeprefix("vaultwire_watch_"), []).append((sample.labels, sample.value))

    def value(self, name: str) -> float:
        """That of the only sample."""
        ((__, value),) = self[name]
        return value

    def codes(self) -> set[str]:
        """Codes of the findings."""
        return {labels["code"] for labels, __ in self.get("finding", [])}


def check_now(host: Host) -> tuple[int, Metrics]:
    """Run the unit as its timer does, and read what it wrote."""
    done = host.run("systemctl start %s.service", UNIT)
    return done.rc, Metrics(host.file(TEXTFILE).content_string)


def journal(host: Host) -> str:
    """Everything that the unit ever said."""
    return host.check_output("journalctl --no-pager -o cat -u %s.service", UNIT)


@pytest.fixture(scope="session")
def with_account(person: Account, run_playbook: Playbook) -> dict[str, Any]:
    """The watch, given a test account; the variables that did it."""
    given = {"notifications_watch_email": person.email, "notifications_watch_password": person.password}
    done = run_playbook(WATCH, **given)
    assert done.returncode == 0, done.stdout
    assert person.password not in done.stdout
    return given


def test_a_timer_is_set(host: Host) -> None:
    """Running and from each boot on; the service itself is not enabled. It has been tried once."""
    timer = host.service(f"{UNIT}.timer")
    assert timer.is_running
    assert timer.is_enabled
    assert Metrics(host.file(TEXTFILE).content_string).value("up") == 1
    assert journal(host).count(" is up.") == 1


def test_a_watch_that_cannot_work_is_told_at_once(run_playbook: Playbook) -> None:
    """Not when its timer is due. What to set is named, and the right settings are tried as well."""
    done = run_playbook(WATCH, notifications_watch_connect_to="127.0.0.1:9")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "The watch is installed, and its first check failed." in said
    assert "VW-T02: Port 9 of 127.0.0.1 refused the connection." in said and "notifications_watch_connect_to" in said
    # Nor is the next run green, which changes nothing.
    assert run_playbook(WATCH, notifications_watch_connect_to="127.0.0.1:9").returncode != 0
    assert run_playbook(WATCH).returncode == 0
    again = run_playbook(WATCH)
    assert again.returncode == 0 and "Try | Run the check" not in again.stdout, again.stdout


def test_without_an_account_the_hubs_are_checked(host: Host, vault: Vault) -> None:
    """Nothing is said of a live update that was not tried."""
    code, metrics = check_now(host)
    assert (code, metrics.value("up"), metrics.value("probe_success")) == (0, 1, 1), journal(host)
    assert "live_update_success" not in metrics
    assert metrics["info"][0][0] == {
        "url": vault.url, "version": "1.37.2", "era": "single_port", "layout": "single_port"
    }  # fmt: skip
    assert host.file(TEXTFILE).mode == 0o644


def test_with_an_account_a_live_update_is_proved(host: Host, with_account: dict[str, Any]) -> None:
    """Each step has a latency, and the run ended just now by the host's clock."""
    code, metrics = check_now(host)
    assert (code, metrics.value("up"), metrics.value("live_update_success")) == (0, 1, 1), journal(host)
    assert {labels["step"] for labels, __ in metrics["latency_seconds"]} == {"create", "rename", "delete"}
    assert all(0 < value < 5 for __, value in metrics["latency_seconds"])
    assert abs(metrics.value("last_run_timestamp_seconds") - float(host.check_output("date +%s"))) < 60
    assert "is up." in journal(host)


def test_a_second_run_of_the_role_changes_nothing(run_playbook: Playbook, with_account: dict[str, Any]) -> None:
    """Nor does check mode say so."""
    for arguments in ([], ["--check"]):
        assert "changed=0" in run_playbook(WATCH, *arguments, **with_account).stdout


def test_the_password_is_for_root_alone(host: Host, person: Account, with_account: dict[str, Any]) -> None:
    """In one file; not in unit, settings, environment, journal or metrics."""
    file = host.file(PASSWORD_FILE)
    assert (file.mode, file.user, file.content_string) == (0o400, "root", person.password)
    for text in (
        host.check_output("systemctl cat %s.service %s.timer", UNIT, UNIT),
        host.check_output("systemctl show %s.service", UNIT),
        host.file(SETTINGS).content_string,
        host.file(TEXTFILE).content_string,
        journal(host),
    ):
        assert person.password not in text


@pytest.fixture
def broken_proxy(host: Host) -> Iterator[None]:
    """The proxy no longer hands upgrades on."""
    host.check_output("cp %s /root/site.conf && sed -i '/proxy_set_header Upgrade/d' %s", SITE, SITE)
    host.check_output("nginx -s reload")
    yield
    host.check_output("mv /root/site.conf %s && nginx -s reload", SITE)


def test_a_broken_proxy_is_reported(host: Host, with_account: dict[str, Any], broken_proxy: None) -> None:
    """By its code, in metrics and journal; the unit fails, so that OnFailure= works."""
    code, metrics = check_now(host)
    assert (code, metrics.value("up"), metrics.value("probe_success")) == (1, 0, 0)
    assert "VW-B01" in metrics.codes()
    assert "is DOWN. VW-B01:" in journal(host)


def test_a_wrong_password_is_reported(host: Host, run_playbook: Playbook, with_account: dict[str, Any]) -> None:
    """The hubs answer, and the live update could not be proved."""
    wrong = {**with_account, "notifications_watch_password": "nobody's password"}
    done = run_playbook(WATCH, **wrong)
    assert done.returncode != 0 and "Check email and password of the test account." in " ".join(done.stdout.split())
    assert "nobody's password" not in done.stdout
    code, metrics = check_now(host)
    assert (code, metrics.value("probe_success"), metrics.value("up"), metrics.codes()) == (1, 1, 0, {"live_update"})
    assert "nobody's password" not in journal(host)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"notifications_watch_email": "check@example.com"}, "A test account needs both."),
        ({"notifications_watch_schedule": "now and then"}, 'schedule is "now and then"'),
        ({"notifications_watch_url": "http://vault.example.com/"}, "Set it to what users type"),
    ],
)
def test_what_cannot_work_is_refused(host: Host, run_playbook: Playbook, settings: dict[str, Any], words: str) -> None:
    """Before anything changes."""
    before = host.file(SETTINGS).content_string
    done = run_playbook(WATCH, **settings)
    assert done.returncode != 0
    assert words in done.stdout.replace("\\", "")
    assert host.file(SETTINGS).content_string == before


def test_a_deployment_with_such_a_watch_is_refused_as_a_whole(run_playbook: Playbook) -> None:
    """The watch comes last in site.yml, its checks first."""
    settings = {"notifications_watch_enabled": True, "notifications_watch_schedule": "now and then"}
    done = run_playbook("site", vaultwarden_environment={"INVITATION_ORG_NAME": "changed"}, **settings)
    assert done.returncode != 0
    assert 'schedule is "now and then"' in done.stdout.replace("\\", "")
    assert "changed=0" in done.stdout


@pytest.fixture
def unknown_distribution(host: Host) -> Iterator[None]:
    """No Debian as far as anybody can tell, and no msgpack either."""
    package = "/usr/lib/python3/dist-packages/msgpack"
    host.check_output("mv /etc/debian_version /root && mv %s /var/tmp/msgpack", package)
    yield
    host.check_output("mv /root/debian_version /etc && mv /var/tmp/msgpack %s", package)


def test_a_host_without_the_libraries_is_refused_before_anything_is_deployed(
    run_playbook: Playbook, person: Account, unknown_distribution: None
) -> None:
    """Where no package can bring them, the whole deployment waits, and not only the watch at its end."""
    account = {"notifications_watch_email": person.email, "notifications_watch_password": person.password}
    settings = {"notifications_watch_enabled": True, "vaultwarden_environment": {"INVITATION_ORG_NAME": "changed"}}
    done = run_playbook("site", **account, **settings)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "lacks msgpack or websocket-client" in said
    assert "Nothing has been changed." in said
    assert "changed=0" in said


def test_a_watch_is_removed_without_a_trace(host: Host, run_playbook: Playbook) -> None:
    """Switched off, it takes timer, program, password and metrics with it; a second run has nothing to do."""
    done: subprocess.CompletedProcess[str] = run_playbook(WATCH, notifications_watch_enabled=False)
    assert done.returncode == 0, done.stdout
    left = host.check_output("find /etc /usr/local /var/lib/prometheus -name '*watch-*' -o -name 'vaultwire-*.prom'")
    assert "vaultwire-watch" not in left
    assert "watch-vaultwarden" not in left
    assert not host.file(TEXTFILE).exists
    assert host.run("systemctl cat %s.timer", UNIT).rc != 0
    assert "changed=0" in run_playbook(WATCH, notifications_watch_enabled=False).stdout
