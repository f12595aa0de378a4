# SPDX-License-Identifier: GPL-3.0-or-later
"""One site file on each host's own nginx: what its release makes of it, the probe and deployment_info agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from actions import Playbook, run_playbook
from testinfra.host import Host

from ansible_collections.vaultwire.stack.plugins.module_utils import _products

__all__ = ["run_playbook"]

SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"


@pytest.fixture
def no_http_version(host: Host) -> Iterator[None]:
    """Headers for upgrades, and no word on the version of HTTP: what the release does by itself decides."""
    host.check_output("cp %s /root/site.conf", SITE)
    host.check_output("sed -i '/proxy_http_version/d' %s && nginx -s reload", SITE)
    yield
    host.check_output("mv /root/site.conf %s && nginx -s reload", SITE)


def test_probe_and_look_agree_on_a_site_without_http_version(
    host: Host, run_playbook: Playbook, no_http_version: None
) -> None:
    """Before 1.29.7 the live channel is dead and both say why; from then on it works and neither says a word."""
    version = host.run("nginx -v").stderr.strip().rpartition("/")[2]
    done = run_playbook("verify", notifications_check_live_update="never")
    said = done.stdout + done.stderr
    if _products.holds("nginx_upstream_http11", version):
        assert done.returncode == 0, said
        assert "VW-" not in said
    else:
        assert done.returncode == 2, said
        assert "VW-B02" in said
        assert f"VW-B01: {SITE} sends /notifications/hub to the server without passing upgrades on" in said


def test_both_sides_of_the_release_are_here(host: Host) -> None:
    """The host named after the newest release has the newer default, the other one the older."""
    version = host.run("nginx -v").stderr.strip().rpartition("/")[2]
    assert _products.holds("nginx_upstream_http11", version) is (host.backend.name == "vw-forky")
