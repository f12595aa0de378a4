# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the playbook with a copy of the inventory, and looking at hosts before and after."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
HOSTS = list(yaml.safe_load((SCENARIO / "inventory" / "hosts.yml").read_text(encoding="utf-8"))["vaultwarden"]["hosts"])
#: Everything a run might touch; a container that was restarted counts as touched.
LOOK = (
    "cd / && find etc opt srv usr/local vw-data var/www -xdev -printf '%p %m %U %G %s\\n' 2>/dev/null | sort; "
    "find etc -xdev -type f -exec sha256sum {} + | sort; "
    "docker ps -aq | xargs docker inspect -f '{{.Id}} {{.State.StartedAt}} {{json .Config}} {{json .HostConfig}}'; "
    "docker network ls -q; docker volume ls -q; docker image ls -q"
)


class Adopted(NamedTuple):
    """One run over all hosts: the inventory it wrote into, its output, and the hosts before and after."""

    inventory: Path
    output: str
    before: dict[str, str]
    after: dict[str, str]


def look(name: str) -> str:
    """A text that changes when anything changes on a host that a run might touch."""
    command = ["docker", "exec", name, "sh", "-c", LOOK]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def play(folder: Path, name: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook with a copy of the inventory."""
    return subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={folder}",
            f"--inventory={PROJECT}/molecule/shared/inventory",
            f"--extra-vars={json.dumps(variables)}",
            *arguments,
            f"playbooks/{name}.yml",
        ],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def shown(done: subprocess.CompletedProcess[str]) -> str:
    """All output in one line, as words."""
    return " ".join((done.stdout + done.stderr).split())


class _Loader(yaml.SafeLoader):
    """YAML with the mark for texts that are no templates."""


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("!unsafe", _text)


def load(path: Path) -> dict[str, Any]:
    """The variables in a file."""
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
