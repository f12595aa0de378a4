# SPDX-License-Identifier: GPL-3.0-or-later
"""What may happen to a host while nobody looks, really done to it. The tests of faults and `make soak` share it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from soundness import wait_until
from testinfra.host import Host

SITE = "/etc/nginx/conf.d/vaultwire-vaultwarden.conf"
TOKEN = "/etc/vaultwarden/secrets/admin_token"
DATA = "/var/lib/vaultwarden"

#: What gives a host a clock of its own, and where its server sees that.
CLOCK, SERVERS_CLOCK = f"{DATA}/.clock", "/data/.clock"
#: Settings of a server whose clock can be moved while it runs. The time since the boot, by which timers go, goes on.
CLOCK_SETTINGS = {
    "LD_PRELOAD": f"{SERVERS_CLOCK}/library",
    "FAKETIME_TIMESTAMP_FILE": f"{SERVERS_CLOCK}/time",
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",
}
#: Takes all the memory it gets, and is in every image: it waits for the end of an endless line.
HOG = "tail /dev/zero"


def boot(host: Host, *, power: bool) -> None:
    """Restart the whole host; with ``power`` lost nothing gets to end as it likes."""
    name = str(host.backend.name)
    if power:
        subprocess.run(["docker", "kill", name], check=True, capture_output=True)
        subprocess.run(["docker", "start", name], check=True, capture_output=True)
    else:
        subprocess.run(["docker", "restart", "--time", "30", name], check=True, capture_output=True)
    # At first there is not even a bus to ask systemd on.
    wait_until(lambda: host.run("docker info").rc == 0, "the engine answers after the boot")
    host.run("timeout 60 systemctl is-system-running --wait")


def server_process(host: Host) -> int:
    """The server's process on the host; 0 while it does not run."""
    shown = host.run("docker inspect -f '{{.State.Pid}}' vaultwarden")
    return int(shown.stdout) if shown.rc == 0 else 0


def started_again(host: Host, before: int) -> None:
    """Wait until the engine has started the server once more."""
    wait_until(lambda: server_process(host) not in (0, before), "the engine starts the server again")


def restart_engine(host: Host) -> None:
    """As an update of its package does."""
    host.check_output("systemctl restart docker")


def kill_engine(host: Host) -> None:
    """The daemon dies, its containers live on until the next one takes over."""
    host.check_output("systemctl kill --signal KILL --kill-who main docker")
    wait_until(lambda: host.run("docker info").rc == 0, "the engine answers again")


def kill_proxy(host: Host) -> None:
    """SIGKILL for its first process."""
    host.check_output("systemctl kill --signal KILL --kill-who main nginx")
    wait_until(lambda: host.run("systemctl is-active nginx").stdout.strip() != "active", "the proxy is gone")


def kill_server(host: Host) -> None:
    """SIGKILL for the server's process, past the engine."""
    before = server_process(host)
    host.check_output(f"kill -9 {before}")
    started_again(host, before)


def starve_server(host: Host) -> None:
    """The kernel kills the server for want of memory in its container: a hog has it all, the server is to go first."""
    before = server_process(host)
    assert int(host.check_output("docker inspect -f '{{.HostConfig.Memory}}' vaultwarden")) in range(1, 2**30 + 1)
    host.check_output(f"echo 1000 > /proc/{before}/oom_score_adj")
    host.check_output(f"docker exec -d vaultwarden {HOG}")
    started_again(host, before)


@contextlib.contextmanager
def without_controllers(host: Host, *names: str) -> Iterator[None]:
    """A kernel that has no such control groups, as far as the engine can see."""
    for name in names:
        host.check_output(f"umount /sys/fs/cgroup/{name}")
    try:
        restart_engine(host)
        yield
    finally:
        for name in names:
            host.check_output(f"mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}")
        restart_engine(host)


def cut_in_half(host: Host, path: str) -> None:
    """The file as a full disk or a crash might have left it."""
    size = int(host.file(path).size)
    host.check_output(f"truncate -s {size // 2} {path}")
    assert host.file(path).size == size // 2


@contextlib.contextmanager
def small_disk(host: Host, folder: str, megabytes: int) -> Iterator[None]:
    """A folder moves onto a file system of its own; and back, with what it holds then."""
    mode, uid, gid = host.check_output(f"stat -c '%a %u %g' {folder}").split()
    host.check_output(
        f"rm -rf /root/aside && cp -a {folder} /root/aside && "
        f"mount -t tmpfs -o size={megabytes}m,mode={mode},uid={uid},gid={gid} tmpfs {folder} && "
        f"cp -a /root/aside/. {folder}/"
    )
    try:
        yield
    finally:
        free(host, folder)
        host.check_output(
            f"rm -rf /root/aside && cp -a {folder} /root/aside && umount {folder} && "
            f"find {folder} -mindepth 1 -delete && cp -a /root/aside/. {folder}/ && rm -r /root/aside"
        )


def fill(host: Host, folder: str) -> None:
    """Not a byte more goes onto the file system."""
    host.check_output(f"cat /dev/zero > {folder}/.filler 2>/dev/null || true; df {folder} | grep -q 100%")


def free(host: Host, folder: str) -> None:
    """Room again."""
    host.check_output(f"rm -f {folder}/.filler")


@contextlib.contextmanager
def cut_off(host: Host, address: str) -> Iterator[None]:
    """Nothing from this host reaches an address, and nobody says so."""
    host.check_output("iptables -I OUTPUT -d %s -j DROP", address)
    try:
        yield
    finally:
        host.check_output("iptables -D OUTPUT -d %s -j DROP", address)


@contextlib.contextmanager
def bad_network(host: Host, address: str) -> Iterator[None]:
    """Of what comes from an address a tenth is lost."""
    rule = f"INPUT -s {address} -m statistic --mode random --probability 0.1 -j DROP"
    host.check_output(f"iptables -I {rule}")
    try:
        yield
    finally:
        host.check_output(f"iptables -D {rule}")


@contextlib.contextmanager
def no_names(host: Host) -> Iterator[None]:
    """The host's name server does not answer."""
    host.check_output("cp /etc/resolv.conf /run/resolv.good && echo 'nameserver 127.0.0.9' > /etc/resolv.conf")
    try:
        yield
    finally:
        host.check_output("cat /run/resolv.good > /etc/resolv.conf")


def lend_clock(host: Host, library: Path) -> None:
    """Bring libfaketime onto the host, for the server and for what is started on the host."""
    host.check_output(f"install -d {CLOCK} /opt/clock")
    target = f"{host.backend.name}:/opt/clock/library"
    subprocess.run(["docker", "cp", library, target], check=True, capture_output=True)
    host.check_output(f"cp /opt/clock/library {CLOCK}/library")
    set_clock(host, "+0")


def set_clock(host: Host, offset: str) -> None:
    """The clock jumps, for the server that runs and for all that is started on the host from now on; +0 is right.

    Engine and proxy run on with the clock that they had.
    """
    host.check_output(f"echo {offset} > {CLOCK}/time && echo {offset} > /etc/faketimerc")
    host.check_output("rm -f /etc/ld.so.preload" if offset == "+0" else "echo /opt/clock/library > /etc/ld.so.preload")


def take_clock_back(host: Host) -> None:
    """The host goes by its own clock."""
    host.check_output(f"rm -rf /etc/ld.so.preload /etc/faketimerc /opt/clock {CLOCK}")
