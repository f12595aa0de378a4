# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's probes against a vault under test. The tests of scenarios and `make soak` share it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from vault import Vault

#: What is said of every vault whose release is too old for the clients of today.
OLD = "VW-V03"
NEW_ENOUGH = "1.37.2"
COLLECTIONS = Path(__file__).resolve().parents[2] / "collections"


def run_vault_module(vault: Vault, name: str, **arguments: Any) -> dict[str, Any]:
    """Run a probe against a vault, as Ansible would, and return its result."""
    given = {"url": vault.url, "ca_file": str(vault.ca_file), "connect_to": vault.address, **arguments}
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.vaultwire.stack.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def assert_sound(vault: Vault, probe: dict[str, Any]) -> None:
    """No finding, not even a warning, but that a release of yesterday is one."""
    old = vault.settings["vaultwarden_version"] != NEW_ENOUGH
    codes = [finding["code"] for finding in probe["diagnosis"]]
    assert (probe["verdict"], codes) == ("ok", [OLD] if old else []), probe
