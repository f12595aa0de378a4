# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault is really made in the proxy or the server, and has to come out under its own code.

A healthy deployment must yield no finding, and a change must reach the other session there and nowhere else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from actions import Module, Playbook
from probing import assert_sound
from testinfra.host import Host
from vault import Vault

SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
DEAD_HUB = "location = /notifications/hub { proxy_pass http://127.0.0.1:3999; }"
GATE = "location ^~ /notifications/ { return 302 https://login.example.com/; }"
ONLY_THE_HUB = (
    "location = /notifications/hub { proxy_pass http://127.0.0.1:8080; } "
    "location ^~ /notifications/ { proxy_set_header Host $http_host; proxy_http_version 1.1; "
    "proxy_pass http://127.0.0.1:8080; }"
)
STRIPPED = "location = /notifications/hub { proxy_pass http://127.0.0.1:8080/; }"
#: The block that serves both hubs in the rendered site, up to its closing brace.
HUBS = r"/location ^~ \/notifications\//,/^    }/"


class Fault(NamedTuple):
    """A sed script on the site's file, the layouts it makes sense in, and the codes that must come out."""

    name: str
    script: str
    layouts: frozenset[str]
    codes: frozenset[str]


def fault(name: str, script: str, layouts: str, *codes: str) -> Fault:
    """A fault, its layouts separated by spaces."""
    return Fault(name, script, frozenset(layouts.split()), frozenset(codes))


FAULTS = [
    fault("upgrade headers lost", r"/proxy_set_header \(Upgrade\|Connection\)/d", "modern", "VW-B01"),
    fault("connection header emptied", r's/\(proxy_set_header Connection\) .*/\1 "";/', "modern", "VW-B01"),
    fault("connection closed", r"s/\(proxy_set_header Connection\) .*/\1 close;/", "modern", "VW-B01"),
    fault("http 1.0 upstream", r"s/proxy_http_version 1.1/proxy_http_version 1.0/", "modern", "VW-B02"),
    fault("hub to a dead port", f"{HUBS}c {DEAD_HUB}", "modern", "VW-A01"),
    fault("anonymous hub not covered", f"{HUBS}c {ONLY_THE_HUB}", "modern", "VW-C01"),
    fault("path stripped", f"{HUBS}c {STRIPPED}", "modern", "VW-B08"),
    fault("login gate in front", f"{HUBS}c {GATE}", "modern", "VW-B22"),
    fault("stale hub and uncovered anonymous hub", rf"{HUBS}c {DEAD_HUB} \n location ^~ /notifications/ "
          "{ proxy_set_header Host $http_host; proxy_pass http://127.0.0.1:8080; }", "modern", "VW-A01", "VW-C01"),
    fault("everything to a dead port", r"s/127.0.0.1:8080/127.0.0.1:3999/", "modern legacy", "VW-B28"),
    fault("hub rule missing", r"/location = \/notifications\/hub/,/^    }/d", "legacy", "VW-A05"),
    fault("second port dead", r"s/127.0.0.1:3012/127.0.0.1:3999/", "legacy", "VW-L01"),
    fault("upgrade headers lost to the second port", r"/proxy_set_header \(Upgrade\|Connection\)/d", "legacy",
          "VW-L01"),
    fault("http 1.0 to the second port", r"s/proxy_http_version 1.1/proxy_http_version 1.0/", "legacy", "VW-L01"),
    fault("redirected away", r"s#^    server_name .*#&\n    return 301 https://other.example.com$request_uri;#",
          "modern", "VW-B22"),
]  # fmt: skip


def reload_proxy(host: Host, vault: Vault) -> None:
    """Reload, and wait until the workers of the old configuration take no more connections."""
    host.check_output("nginx -t -q && nginx -s reload")
    deadline = time.monotonic() + 10
    while "shutting down" in host.check_output("ps ax -o args | grep [n]ginx || true"):
        assert time.monotonic() < deadline, f"{vault.name}: nginx does not finish its reload"
        time.sleep(0.05)


@contextlib.contextmanager
def broken(host: Host, vault: Vault, script: str) -> Iterator[None]:
    """The site with a fault in it; as it was afterwards."""
    host.check_output("cp %s /run/site.good", SITE)
    before = host.file(SITE).md5sum
    try:
        host.check_output("sed -i -e %s %s", script, SITE)
        assert host.file(SITE).md5sum != before, "the script changed nothing"
        reload_proxy(host, vault)
        yield
    finally:
        host.check_output("cat /run/site.good > %s", SITE)
        reload_proxy(host, vault)


@pytest.mark.parametrize("made", FAULTS, ids=lambda made: made.name.replace(" ", "-"))
def test_a_fault_is_named(host: Host, vault: Vault, run_module: Module, made: Fault) -> None:
    """The probe finds the fault, says what to do, and the live update does not pretend to work."""
    if ("legacy" if vault.legacy else "modern") not in made.layouts:
        pytest.skip("a fault of the other layout")
    with broken(host, vault, made.script):
        probe = run_module("hub_probe", fail_on_fault=False)
        assert probe["verdict"] == "failed", probe
        assert {finding["code"] for finding in probe["diagnosis"]} == made.codes, probe["diagnosis"]
        assert all(finding["symptom"] and finding["cause"] and finding["fix"] for finding in probe["diagnosis"])
        if made.codes != {"VW-C01"}:  # that one breaks login with device only
            live = run_module("live_update", admin_token=vault.settings["vaultwarden_admin_token"])
            assert live.get("failed"), live
            assert vault.settings["vaultwarden_admin_token"] not in str(live)


def test_a_release_too_old_for_clients_is_warned_of(vault: Vault, run_playbook: Playbook) -> None:
    """Before anything is deployed; the current release has nothing to be warned of."""
    done = run_playbook("site", "--check", notifications_check_live_update="never")
    assert done.returncode == 0, done.stdout
    words = "Release 1.28.1 is too old for Bitwarden's clients from 2026.7.0 on"
    assert (words in done.stdout) is vault.legacy, done.stdout


def test_a_healthy_deployment_has_no_finding(vault: Vault, run_module: Module) -> None:
    """No false alarm, and the change does arrive."""
    probe = run_module("hub_probe", fail_on_fault=False)
    assert_sound(vault, probe)
    live = run_module("live_update", admin_token=vault.settings["vaultwarden_admin_token"])
    assert not live.get("failed"), live
    assert live["account"]["removed"] is True


def test_a_stopped_proxy_is_named(host: Host, run_module: Module, run_playbook: Playbook) -> None:
    """Nothing listens at all; what reads the host as well says which proxy has stopped."""
    host.check_output("systemctl stop nginx")
    try:
        probe = run_module("hub_probe", fail_on_fault=False)
        done = run_playbook("verify")
    finally:
        host.check_output("systemctl start nginx")
    assert {finding["code"] for finding in probe["diagnosis"]} == {"VW-T02"}
    assert done.returncode == 2, done.stdout
    assert "VW-T02: The proxy nginx does not run on this host." in done.stdout, done.stdout


def test_a_strange_certificate_is_named(vault: Vault, run_module: Module) -> None:
    """Without the internal authority, and for another name."""
    strange = run_module("hub_probe", fail_on_fault=False, ca_file="/etc/ssl/certs/ca-certificates.crt")
    assert {finding["code"] for finding in strange["diagnosis"]} == {"VW-T03"}
    other = run_module("hub_probe", fail_on_fault=False, url=vault.url.replace("vault.", "other."))
    assert {finding["code"] for finding in other["diagnosis"]} == {"VW-T04"}


def test_two_sessions_of_one_device_prove_nothing(vault: Vault, run_module: Module) -> None:
    """The module's two sessions always differ; its result shows both so that anyone can see it."""
    live = run_module("live_update", admin_token=vault.settings["vaultwarden_admin_token"])
    assert not live.get("failed"), live
    assert live["latencies"].keys() == {"create_ms", "rename_ms", "delete_ms"}
