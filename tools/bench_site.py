# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab host that the benchmarks of the live channel use: a server with one proxy before it, and what both take."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench_hub import Target
from demo_vault import DemoVault
from playbook import ROOT, address_of, lab, play, write_inventory
from vault import Session

FOLDER = ROOT / "build" / "bench"
DOMAIN, PORT = "https://vault.example.com", 8080
#: Programs that no package of the hosts brings, or an older one only, and where they belong.
PROGRAMS = {"caddy": "/usr/bin/caddy", "traefik": "/usr/local/bin/traefik"}
#: Proportional memory of the proxy's processes, and of the server's, which descend from its container's first one.
MEMORY = """
import json, pathlib, sys
name, first = sys.argv[1], int(sys.argv[2])
found, parents = {}, {}
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        stat = entry.joinpath("stat").read_text()
        rollup = entry.joinpath("smaps_rollup").read_text()
    except OSError:
        continue
    pid, parent = int(entry.name), int(stat.rpartition(")")[2].split()[1])
    parents[pid] = parent
    found[pid] = (stat[stat.index("(") + 1 : stat.rindex(")")], int(rollup.partition("\\nPss:")[2].split()[0]) * 1024)
def descends(pid):
    while pid not in (0, first):
        pid = parents.get(pid, 0)
    return pid == first
print(json.dumps({
    "proxy": sum(size for process, size in found.values() if process == name),
    "server": sum(size for pid, (__, size) in found.items() if descends(pid)),
}))
"""


class Place(NamedTuple):
    """A host of the lab, and the number that ends its address."""

    host: str
    number: int

    def run(self, script: str) -> str:
        """A command there; its output."""
        command = ["docker", "exec", self.host, "sh", "-c", script]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class Memory(NamedTuple):
    """Bytes, each page shared out among the processes that use it. What the kernel keeps for sockets is not in it."""

    proxy: int
    server: int


class Site:
    """A fresh host with one proxy, deployed by the playbook of the collection."""

    def __init__(self, place: Place, provider: str, clients: int) -> None:
        self.place, self.provider, self.address = place, provider, address_of(place.number)
        self._settings: dict[str, Any] = {
            "vaultwarden_domain": DOMAIN,
            "vaultwarden_admin_token": "bench-admin-token",
            "vaultwarden_environment": {"ADMIN_RATELIMIT_MAX_BURST": 100, "LOGIN_RATELIMIT_MAX_BURST": 100},
            # Not on loopback, where each socket takes a second detour, through a process of the engine.
            "vaultwarden_bind_address": self.address,
            "reverse_proxy_provider": provider,
            "reverse_proxy_max_clients": clients,
        }
        lab("down", place.host)
        lab("up", f"{place.host}={self.address}@host-trixie")
        self._bring_program()
        inventory = FOLDER / f"{place.host}.json"
        write_inventory(inventory, place.host, self.address, self._settings)
        done = play("site", inventory)
        if not done.ok:
            raise SystemExit(done.output)
        self.vault = DemoVault(FOLDER, place.host, self.address, self._settings)

    def _bring_program(self) -> None:
        program = PROGRAMS.get(self.provider)
        if program is None:
            return
        if self.provider == "caddy":
            self.place.run("apt-get update -q && apt-get install -qy caddy 2>&1")
        source = Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv")) / "bin" / self.provider
        subprocess.run(["docker", "cp", "-q", "-L", str(source), f"{self.place.host}:{program}"], check=True)
        if self.provider == "caddy":
            self.place.run("systemctl restart caddy")

    def session(self) -> Session:
        """One more signed-in device of the site's account."""
        return self.vault.session()

    def target(self, session: Session, direct: bool) -> Target:
        """Where a device's hub is: through the proxy, or straight at the server."""
        host = DOMAIN.removeprefix("https://")
        if direct:
            return Target(self.address, PORT, host, session.token)
        return Target(self.address, 443, host, session.token, str(self.vault.vault.ca_file))

    def memory(self) -> Memory:
        """What proxy and server take now."""
        first = self.place.run("docker inspect -f '{{.State.Pid}}' vaultwarden").strip()
        shown = self.place.run(f"python3 - {self.provider} {first} <<'END'\n{MEMORY}\nEND")
        return Memory(**json.loads(shown))

    def restart_server(self) -> float:
        """Restart the server's container; the moment at which that began."""
        begin = time.monotonic()
        self.place.run("docker restart vaultwarden")
        return begin

    def close(self) -> None:
        """Take everything down."""
        self.vault.close()
        lab("down", self.place.host)


def files_of_a_process() -> int:
    """How many files this machine lets one process open, and so each process of its lab hosts."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def machine() -> str:
    """What the figures were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    model = names[0].partition(":")[2].strip() if names else "unknown processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {os.uname().release.split('-')[0]}"
