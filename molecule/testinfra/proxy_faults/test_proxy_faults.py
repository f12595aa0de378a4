# SPDX-License-Identifier: GPL-3.0-or-later
"""Each mistake is really made in each proxy that can make it, and comes out under its code; a right rule has none."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
from actions import Module, Playbook
from configs import PRODUCTS, Recipe
from testinfra.host import Host
from vault import Vault

CASES = [(name, port, recipe) for name, product in PRODUCTS.items() for port, recipe in product.ports()]


@pytest.fixture(scope="session")
def started(host: Host, vault: Vault) -> Iterator[str]:
    """All proxies at once, each with all its recipes; the address where they listen."""
    for name, made in PRODUCTS.items():
        path = f"/root/faults/{name}/{made.file}"
        host.check_output("mkdir -p %s && printf %%s %s > %s", f"/root/faults/{name}", made.config(), path)
        # Their output must not keep the command open, and is wanted if they do not start.
        command = f"exec >/run/faults.log 2>&1 </dev/null; {made.start}"
        host.check_output("sh -c %s || { cat /run/faults.log >&2; false; }", command)
    for __, port, __ in CASES:
        wait_for(vault.address, port)
    yield vault.address
    for name in PRODUCTS:
        host.check_output(f"test ! -s /run/faults-{name}.pid || kill $(cat /run/faults-{name}.pid)")


def wait_for(address: str, port: int) -> None:
    """Until somebody listens."""
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nobody listens on port {port}"
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "port", "recipe"), CASES, ids=[f"{name}-{recipe.name.replace(' ', '_')}" for name, __, recipe in CASES]
)
def test_a_recipe_comes_out_under_its_code(
    started: str, run_module: Module, name: str, port: int, recipe: Recipe
) -> None:
    """The codes are exactly those of the mistakes, and each says what to do."""
    probe = run_module(
        "hub_probe",
        url=f"http://{started}:{port}{recipe.path}",
        connect_to=None,
        ca_file=None,
        idle_seconds=recipe.idle,
        fail_on_fault=False,
    )
    assert {finding["code"] for finding in probe["diagnosis"]} == recipe.codes, (name, probe)
    assert all(finding["symptom"] and finding["cause"] and finding["fix"] for finding in probe["diagnosis"])


def test_what_this_collection_writes_has_no_finding(started: str, run_module: Module) -> None:
    """Beside all of them, on the same server."""
    probe = run_module("hub_probe", fail_on_fault=False)
    assert (probe["verdict"], probe["diagnosis"]) == ("ok", [])


SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
DATA = "/var/lib/vaultwarden"


def test_verify_adds_what_is_wrong_on_the_host(host: Host, vault: Vault, run_playbook: Playbook) -> None:
    """A healthy host has no finding at all; then two faults at once are named, each in a line of its own."""
    healthy = run_playbook("verify")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert "VW-" not in healthy.stdout + healthy.stderr
    host.check_output("cp %s /run/site.good", SITE)
    stale = (
        r"/location ^~ \/notifications\//,/^    }/c location = /notifications/hub { proxy_pass http://127.0.0.1:3012; }"
    )
    try:
        host.check_output(
            "printf %%s %s > %s", json.dumps({"domain": "https://old.example.com"}), f"{DATA}/config.json"
        )
        host.check_output("sed -i %s %s && nginx -t -q && nginx -s reload", stale, SITE)
        faulty = run_playbook("verify", notifications_check_wait=0)
    finally:
        host.check_output("rm -f %s; cat /run/site.good > %s; nginx -s reload", f"{DATA}/config.json", SITE)
    shown = faulty.stdout + faulty.stderr
    assert faulty.returncode == 2, shown
    for line in (
        "VW-A01: /notifications/hub answered 502",
        f"VW-A01: {SITE} sends",
        "VW-E01: The server in vaultwarden",
    ):
        assert line in shown, shown
