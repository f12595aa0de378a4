# SPDX-License-Identifier: GPL-3.0-or-later
"""The image is pinned by the digest that the registry has, and by no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from actions import Playbook
from testinfra.host import Host

TEXT = '---\nvaultwarden_domain: https://vault.example.com\nvaultwarden_version: "1.37.2"  # ours\nother: 1\n'


def test_the_digest_is_written_once(
    host: Host, run_playbook: Playbook, snapshot: Callable[[], str], tmp_path: Path
) -> None:
    """Into the line that sets the release; the host has fetched the image by it and is not touched."""
    path, before = tmp_path / "main.yml", snapshot()
    path.write_text(TEXT, encoding="utf-8")
    for changes in ("changed=1", "changed=0"):
        done = run_playbook("digest", digest_file=str(path))
        assert done.returncode == 0, done.stdout[-3000:]
        assert changes in done.stdout
    found = re.search(r'^vaultwarden_version: "1\.37\.2@(sha256:\w{64})"  # ours$', path.read_text(), re.M)
    assert found
    assert path.read_text() == TEXT.replace("1.37.2", f"1.37.2@{found[1]}")
    fetched = host.check_output("docker image ls --digests --format '{{.Digest}}' vaultwarden/server")
    assert found[1] in fetched.split()
    assert snapshot() == before


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"vaultwarden_version": "1.37.999"}, ["server:1.37.999", "manifest unknown", "tags that are published"]),
        ({"vaultwarden_image": "127.0.0.1:9/vaultwarden/server"}, ["127.0.0.1:9", "cannot be asked", "refused"]),
        (
            {"vaultwarden_version": f"1.37.2@sha256:{'0' * 64}"},
            ["replaced it", "digest_accept", "Nothing has been changed"],
        ),
        (
            {"digest_file": "/etc/hostname"},
            ["/etc/hostname has no line", "vaultwarden_version", "Nothing has been changed"],
        ),
    ],
    ids=["unknown tag", "registry down", "another image", "another file"],
)
def test_what_cannot_be_pinned_is_refused(
    run_playbook: Playbook, snapshot: Callable[[], str], variables: dict[str, str], words: list[str]
) -> None:
    """With the reason and the remedy."""
    before = snapshot()
    done = run_playbook("digest", **variables)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in words if word not in said] == []
    assert snapshot() == before
