# SPDX-License-Identifier: GPL-3.0-or-later
"""One controller and one host of the support table: the host, its inventory, and runs on the controller.

Run as a program with the names of both, it takes the host away.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from lab import controllers
from lab.engine import client
from lab.paths import FACTS, REPOSITORY, SUITES

#: What ends the hosts' addresses, from here on.
FIRST_NUMBER = 5
#: The settings; the tests of what is deployed read them, too.
INVENTORY = Path(__file__).resolve().parent / "hosts.yml"
#: From this release the vault is upgraded to the one of the scenario.
FROM_RELEASE = "1.34.3"
SECONDS = 900
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
WARNING = re.compile(r"^\[(?:WARNING|DEPRECATION WARNING|ERROR)\].*", re.MULTILINE)
#: What Ansible says where no inventory is wanted, and what the collection finds by a code.
WANTED = ("[WARNING]: No inventory was parsed", "[WARNING]: provided hosts list is empty", "[WARNING]: VW-")
VERSIONS = """
import json, pathlib, sys
import ansible.release, ansible_collections.community.docker as docker
manifest = pathlib.Path(list(docker.__path__)[0], "MANIFEST.json").read_text(encoding="utf-8")
print(json.dumps({
    "core": ansible.release.__version__,
    "python": ".".join(map(str, sys.version_info[:3])),
    "community.docker": json.loads(manifest)["collection_info"]["version"],
}))
"""


class Run(NamedTuple):
    """What came of a playbook."""

    ok: bool
    changed: int
    output: str

    @property
    def warnings(self) -> list[str]:
        """Everything that Ansible warns of, on its own account."""
        return [line for line in WARNING.findall(self.output) if not line.startswith(WANTED)]


class Cell:
    """A controller, a fresh host of a suite, and what they share."""

    def __init__(self, controller: str, suite: str) -> None:
        self.controller, self.suite = controllers.controller(controller), suite
        self.name = host_of(controller, suite)
        self.folder = folder_of(controller, suite)
        names = [each.name for each in controllers.CONTROLLERS]
        self.number = FIRST_NUMBER + names.index(controller) * len(SUITES) + SUITES.index(suite)
        subnet = str(json.loads(FACTS.read_text(encoding="utf-8"))["subnet"])
        self.address = re.sub(r"\d+/\d+$", str(self.number), subnet)
        self.image = controllers.ensure(self.controller)
        self.warnings: list[str] = []

    def prepare(self) -> None:
        """Start the host and write its inventory."""
        text = INVENTORY.read_text(encoding="utf-8")
        for name in ("name", "number", "suite"):
            text = text.replace(f"@{name}@", str(getattr(self, name)))
        inventory = self.folder / "inventory"
        inventory.mkdir(parents=True, exist_ok=True)
        (inventory / "hosts.yml").write_text(text, encoding="utf-8")
        lab("down", self.name)  # of a run before
        lab("up", f"{self.name}={self.address}@host-{self.suite}")

    def play(self, playbook: str, *arguments: str, hosts: bool = True) -> Run:
        """Run a playbook on the controller, on the host or on none."""
        inventories = [str(self.folder / "inventory"), str(REPOSITORY / "molecule" / "shared" / "inventory")]
        options = [f"--inventory={path}" for path in inventories] if hosts else []
        done = self.run("ansible-playbook", *options, *arguments, f"playbooks/{playbook}.yml")
        output = done.stdout + done.stderr
        recap = RECAP.search(output)
        run = Run(done.returncode == 0, int(recap[1]) if recap else -1, output)
        self.warnings += run.warnings
        return run

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program on the controller."""
        # Inside, so that no container outlives its client.
        call = controllers.command(self.image, ["timeout", str(SECONDS), *argv], {"ANSIBLE_NOCOLOR": "1"})
        return subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def versions(self) -> dict[str, str]:
        """What there is on both sides."""
        shown = self.run("python3", "-c", VERSIONS)
        assert shown.returncode == 0, shown.stderr
        found: dict[str, str] = json.loads(shown.stdout)
        found["docker"] = self.on_host("docker", "version", "--format", "{{.Server.Version}}")
        found["nginx"] = self.on_host("sh", "-c", "nginx -v 2>&1").rpartition("/")[2].split()[0]
        return found

    def on_host(self, *argv: str) -> str:
        """What a program on the host says."""
        call = [client(), "exec", self.name, *argv]
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def host_of(controller: str, suite: str) -> str:
    """The name of a cell's host."""
    return f"matrix-{controller.replace('.', '-')}-{suite}"


def folder_of(controller: str, suite: str) -> Path:
    """Where a cell keeps its inventory and its results; molecule's tests take it for a scenario."""
    return REPOSITORY / "build" / "matrix" / f"{controller}-{suite}"


def lab(*arguments: str) -> None:
    """A command of the lab."""
    subprocess.run([sys.executable, "-m", "lab", *arguments], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    lab("down", host_of(*sys.argv[1:]))
