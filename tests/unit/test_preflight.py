# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles check their settings by themselves, whatever they were handed. In check mode: a failure does nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STATE: dict[str, Any] = {
    "engine": {"installed": False, "running": False}, "container": {"exists": False}, "proxies": {}, "folders": [],
    "port_conflicts": [], "unfinished_swap": False, "unfinished_restore": "", "own_sites": [],
    "unfinished_packages": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("role", "variables", "words"),
    [
        ("vaultwarden", {"vaultwarden_domain": "vault.example.com"}, "vaultwarden_domain is"),
        (
            "reverse_proxy",
            {
                "reverse_proxy_domain": "https://vault.example.com",
                "reverse_proxy_http_port": "443",
                "reverse_proxy_routes": [{"match": "prefix", "path": "/", "upstream": "127.0.0.1:8080"}],
            },
            "are both 443",
        ),
    ],
)
def test_a_role_that_is_handed_the_state_of_the_host_still_checks(
    role: str, variables: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Data handed over says nothing of whether anybody has judged it."""
    play = [{"hosts": "localhost", "gather_facts": False, "connection": "local", "become": False,
             "roles": [f"vaultwire.stack.{role}"]}]  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    given = {f"{role}_host_info": STATE, **variables}
    done = subprocess.run(
        ["ansible-playbook", "--check", "-i", "localhost,", "play.yml", "-e", json.dumps(given)],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
             "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert words in done.stdout and "changed=0" in done.stdout
