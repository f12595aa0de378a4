# SPDX-License-Identifier: GPL-3.0-or-later
"""Each mistake is really made on a host and comes out of the playbook under its code, in its own container's name."""

from __future__ import annotations

import re
import subprocess

import pytest
from actions import play
from made import CERTIFICATE, MADE, UNREADABLE, UNREADABLE_FOUND, Made, faults_script, ports, sound_script
from soundness import wait_until
from testinfra.host import Host

#: Before the start of this number the engine waits for 25.6 seconds, enough for a look also on a busy machine.
STARTS = 9
SOMEBODY = "somebody@example.com"
SIGN_IN = (
    "curl --silent --insecure --retry 30 --retry-delay 1 --resolve {site}:443:127.0.0.1 "
    "https://{site}/identity/connect/token "
    f"--data 'grant_type=password&username={SOMEBODY}&password=wrong&scope=api offline_access&client_id=web' "
    "--data 'device_type=9&device_identifier=a&device_name=a'"
)


@pytest.fixture(scope="session")
def healthy(host: Host) -> str:
    """What the playbook says of a host on which nothing is wrong."""
    host.check_output("sh -c %s", sound_script())
    sign_in(host, "vault.example.com")
    done = verify(host)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def found(healthy: str, host: Host) -> list[str]:
    """What the playbook says with all mistakes at once: each finding with its code in front."""
    host.check_output("sh -c %s", faults_script())
    for name in (name for name, made in named().items() if made.asked):
        sign_in(host, f"{name}.example.com")
    failing = [name for name, made in named().items() if any("VW-F05" in text for text in made.findings)]
    wait_until(lambda: health(host) == "unhealthy", "the health check fails")
    wait_until(lambda: all(rests(host, name) for name in failing), "the engine waits before it starts them again", 120)
    return findings(verify(host))


def findings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Each finding with its code in front. Warnings are folded, and errors stand in the lines of one message."""
    assert done.returncode == 2, done.stdout + done.stderr
    words = " ".join((done.stdout + done.stderr).replace("\\n", " ").split())
    return re.split(r"(?=VW-[A-Z][0-9]{2}: )", words)[1:]


def named() -> dict[str, Made]:
    """All mistakes by the names of their containers."""
    return {name.replace("_", "-"): made for name, made in MADE.items()}


def verify(host: Host) -> subprocess.CompletedProcess[str]:
    """Run the playbook."""
    return play("verify", notifications_check_ca_content=host.file(CERTIFICATE).content_string)


def health(host: Host) -> str:
    """What the engine says of the one container whose check fails."""
    return str(host.check_output("docker inspect --format '{{.State.Health.Status}}' unhealthy"))


def rests(host: Host, name: str) -> bool:
    """Whether a container that keeps ending has done so often enough to stay down for a while."""
    starts, status = host.check_output("docker inspect --format '{{.RestartCount}} {{.State.Status}}' %s", name).split()
    return int(starts) >= STARTS and status == "restarting"


def sign_in(host: Host, site: str) -> None:
    """Somebody does not know the password, three times."""
    for __ in range(3):
        answer = host.check_output(SIGN_IN.format(site=site))
        assert "incorrect" in answer, answer


def test_a_sound_host_has_no_finding(healthy: str) -> None:
    """No code at all, in messages as little as in warnings."""
    assert "runs 1.37.2" in healthy
    assert "VW-" not in healthy


@pytest.mark.parametrize("entry", MADE)
def test_a_mistake_comes_out_under_its_code(found: list[str], entry: str) -> None:
    """Where it brings another fault with it, both are named."""
    name = entry.replace("_", "-")
    for text in expected(name):
        assert [line for line in found if line.startswith(text)], "\n".join(found)


def expected(name: str) -> list[str]:
    """How the findings about one container begin."""
    port = str(ports()[name])
    return [text.replace("NAME", name).replace("PORT", port) for text in named()[name].findings]


def test_nothing_else_is_said(found: list[str]) -> None:
    """Every finding is one of a mistake that was made; the sound container beside them has none."""
    wanted = tuple(text for name in named() for text in expected(name))
    assert [line for line in found if not line.startswith(wanted)] == []


def test_no_word_of_a_log_and_no_secret_is_shown(found: list[str]) -> None:
    """Not the account that somebody tried, and not what is left of a token."""
    shown = " ".join(found)
    assert SOMEBODY not in shown
    assert "65540" not in shown


def test_a_configuration_that_cannot_be_read_is_no_silence(found: list[str], host: Host) -> None:
    """Last: what was known of sites is gone, what is known of containers is not."""
    host.check_output("printf %%s %s > /etc/nginx/conf.d/broken.conf", UNREADABLE)
    left = findings(verify(host))
    assert [line for line in left if line.startswith(UNREADABLE_FOUND)]
    assert not [line for line in left if line.startswith(("VW-A01", "VW-B01", "VW-C01"))]
    assert [line for line in left if line.startswith("VW-D06")]
