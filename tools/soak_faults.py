# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the soak: each is really made on a deployed host, then a run, or time alone, has to put it right."""

from __future__ import annotations

import contextlib
import datetime
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import mishaps
from playbook import lab_facts
from probing import OLD, run_vault_module
from soak_kills import releases
from soak_lane import TOKENS, Lane, failure
from soundness import answers, wait_until
from testinfra.host import Host
from vault import Session, Vault

SITE_PORTS = (8080, 8081)


def waits(mishap: Callable[..., None], lane: Lane) -> str:
    """Time alone heals it."""
    with lane.writing():
        mishap(lane.host)
    vault = lane.known().vault
    wait_until(lambda: answers(vault), "the vault answers again")
    lane.sound()
    return "healed by itself"


def runs(mishap: Callable[..., None], lane: Lane) -> str:
    """The next run of site.yml heals it."""
    with lane.writing():
        mishap(lane.host)
    lane.settle()
    return "healed by site.yml"


def on_host(command: str, lane: Lane) -> str:
    """A command does the harm."""
    return runs(lambda host: host.check_output(command), lane)


def halved(path: str, lane: Lane) -> str:
    """A file is half there."""
    return runs(lambda host: mishaps.cut_in_half(host, path.format(domain=lane.domain)), lane)


def halved_and_dead(path: str, lane: Lane) -> str:
    """A file that the proxy reads is half there, and the proxy has to start with it."""

    def both(host: Host) -> None:
        mishaps.cut_in_half(host, path.format(domain=lane.domain))
        mishaps.kill_proxy(host)

    return runs(both, lane)


def power_lost_in_a_run(change: str, values: tuple[object, object], lane: Lane) -> str:
    """The host goes down while site.yml changes it, and the controller's run is lost as well."""
    draw = random.Random(f"{lane.seed}/{change}")
    lane.change(**{change: values[lane.settings.get(change) != values[1]]})
    with lane.writing():
        lane.kill("site", draw, changing=True)
        mishaps.boot(lane.host, power=True)
    lane.settle()
    return f"killed at {lane.killed_at}, healed by site.yml"


def data_disk_full(lane: Lane) -> str:
    """The server cannot write for a while; a change is due in that time, too."""
    host = lane.host
    host.check_output("docker stop vaultwarden")
    with mishaps.small_disk(host, mishaps.DATA, 40):
        host.check_output("docker start vaultwarden")
        wait_until(lambda: answers(lane.known().vault), "the vault answers")
        with lane.writing():
            mishaps.fill(host, mishaps.DATA)
            lane.change(vaultwarden_http_port=SITE_PORTS[lane.settings.get("vaultwarden_http_port") != SITE_PORTS[1]])
            full = lane.play("site")
            assert "Traceback" not in full.output, failure(full.output)
        mishaps.free(host, mishaps.DATA)
        lane.settle()
        host.check_output("docker stop vaultwarden")
    host.check_output("docker start vaultwarden")
    lane.sound()
    said = "did" if full.ok else f"failed ({' '.join(failure(full.output).split())[:300]})"
    return f"site.yml {said} while it was full, and did afterwards"


def settings_disk_full(folder: str, change: str, values: tuple[object, object], lane: Lane) -> str:
    """A file of settings cannot be written: the run says so, the old server goes on, the next run does."""
    host, vault = lane.host, lane.known().vault
    old = lane.settings.get(change)
    with mishaps.small_disk(host, folder, 1):
        mishaps.fill(host, folder)
        lane.change(**{change: values[old != values[1]]})
        lane.fail("site", "No space left on device")
        assert answers(vault), "the vault is down"
        mishaps.free(host, folder)
        lane.settle()
        if folder.startswith("/etc/vaultwarden"):
            host.check_output("docker stop vaultwarden")
    host.check_output("docker start vaultwarden")
    lane.sound()
    return "site.yml failed and said why; healed by the next"


def registry_gone(lane: Lane) -> str:
    """A run that needs nothing of it does not notice; an upgrade fails before it touches anything, then does."""
    return upgrade_around(lane, lambda: mishaps.cut_off(lane.host, str(lab_facts()["registry"])))


def names_gone(lane: Lane) -> str:
    """As with the registry, since nobody knows where it is."""
    return upgrade_around(lane, lambda: mishaps.no_names(lane.host))


def upgrade_around(lane: Lane, trouble: Callable[[], AbstractContextManager[None]]) -> str:
    """No change without trouble, an upgrade that fails in it, and one that does after it."""
    old = str(lane.settings["vaultwarden_version"])
    known = releases()
    new = known[known.index(old) + 1]
    # The next release may have one layout only.
    lane.change(vaultwarden_layout="auto")
    lane.settle()
    with trouble():
        lane.sound()
        lane.fail("upgrade", "not stopped", vaultwarden_version=new)
        lane.sound()
    lane.change(vaultwarden_version=new)
    lane.settle("upgrade", "upgrade")
    return f"site.yml did; the upgrade {old} to {new} failed untouched, and did afterwards"


def registry_slow(lane: Lane) -> str:
    """Of what comes from it a tenth is lost."""
    lane.host.check_output("docker rm --force vaultwarden && docker image prune --all --force")
    with mishaps.bad_network(lane.host, str(lab_facts()["registry"])):
        lane.succeed("site")
    lane.sound()
    return "site.yml did, the image fetched anew over it"


def clock_jumps(lane: Lane) -> str:
    """Server, and what runs start on the host, go wrong by an hour and by a day; the probes have to name it."""
    host, vault, settings = lane.host, lane.known().vault, dict(lane.settings["vaultwarden_environment"])
    with clock_library() as library:
        mishaps.lend_clock(host, library)
    lane.change(vaultwarden_environment={**settings, **mishaps.CLOCK_SETTINGS})
    lane.settle()
    account = lane.known().account
    for offset, ahead in (("+1h", 3600), ("-1d", -86400)):
        before = Session(vault, account).token
        with lane.writing():
            move_clock(lane, offset, ahead)
        # What a token says of a time to come the server does not believe.
        require_codes(vault, before, {"VW-C06"} if ahead > 0 else {"VW-C06", "VW-C04"})
        meanwhile = Session(vault, account).token
        assert "VW-C06" in lane.succeed("site").output, "site.yml says nothing of the clock"
        lane.sound()
        move_clock(lane, "+0", 0)
        require_codes(vault, meanwhile, {"VW-C04"})
        lane.settle()
    lane.change(vaultwarden_environment=settings)
    lane.settle()
    mishaps.take_clock_back(host)
    lane.sound()
    return "an hour ahead, a day behind: named, site.yml did meanwhile and afterwards"


def move_clock(lane: Lane, offset: str, ahead: float) -> None:
    """The server has the new time before this returns."""
    mishaps.set_clock(lane.host, offset)

    def skew() -> float:
        named = datetime.datetime.fromisoformat(lane.known().vault.request("GET", "/alive").json())
        return (named - datetime.datetime.now(datetime.UTC)).total_seconds()

    wait_until(lambda: abs(skew() - ahead) < 60, f"the clock is {offset}")


def require_codes(vault: Vault, token: str, wanted: set[str]) -> None:
    """What the probe names, opening the hub with a token as well."""
    found = run_vault_module(vault, "hub_probe", access_token=token, fail_on_fault=False)["diagnosis"]
    codes = {finding["code"] for finding in found} - {OLD}
    assert codes == wanted, f"{sorted(codes)} named in place of {sorted(wanted)}"


@contextlib.contextmanager
def clock_library() -> Iterator[Path]:
    """Debian's libfaketime, unpacked and not installed."""
    with tempfile.TemporaryDirectory() as folder:
        for command in (["apt-get", "download", "libfaketime"], ["sh", "-c", "dpkg-deb --extract libfaketime_*.deb ."]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        (library,) = Path(folder).rglob("libfaketimeMT.so.1")
        yield library


FAULTS: dict[str, Callable[[Lane], str]] = {
    "engine restarted": partial(waits, mishaps.restart_engine),
    # The engine takes its container for one that was stopped by hand then, and leaves it.
    "engine killed": partial(runs, mishaps.kill_engine),
    "host restarted": partial(waits, partial(mishaps.boot, power=False)),
    "host without power": partial(waits, partial(mishaps.boot, power=True)),
    "server killed": partial(waits, mishaps.kill_server),
    "server out of memory": partial(waits, mishaps.starve_server),
    "proxy killed": partial(runs, mishaps.kill_proxy),
    "container stopped": partial(on_host, "docker stop vaultwarden"),
    "container removed": partial(on_host, "docker rm --force vaultwarden"),
    "half a secret": partial(halved, mishaps.TOKEN),
    "half a site": partial(halved, mishaps.SITE),
    "half a site, proxy dead": partial(halved_and_dead, mishaps.SITE),
    "half a key, proxy dead": partial(halved_and_dead, "/etc/vaultwire/tls/{domain}.key"),
    "half a certificate": partial(halved, "/etc/vaultwire/tls/{domain}.pem"),
    "power lost in a run, port": partial(power_lost_in_a_run, "vaultwarden_http_port", SITE_PORTS),
    "power lost in a run, secret": partial(power_lost_in_a_run, "vaultwarden_admin_token", TOKENS),
    "power lost in a run, layout": partial(
        power_lost_in_a_run, "vaultwarden_layout", ("single_port", "legacy")),
    "data disk full": data_disk_full,
    "secrets disk full": partial(
        settings_disk_full, "/etc/vaultwarden", "vaultwarden_admin_token", TOKENS),
    "proxy disk full": partial(
        settings_disk_full, "/etc/nginx/conf.d", "reverse_proxy_max_body", ("525M", "600M")),
    "registry gone": registry_gone,
    "names gone": names_gone,
    "registry over a bad line": registry_slow,
    "clock jumps": clock_jumps,
}  # fmt: skip
