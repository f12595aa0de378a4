# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every controller against every host, and write docs/support.md from what came of it.

Usage: matrix.py [--write]   with --write, only write the page from the results that are there.

The environment's CONTROLLER and HOST name some, with commas between them; the other cells keep what they have, as long
as the collection's code is still the one that was tested.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import yaml
from run_tests import LOGS, ROOT, at_once, controller, junit, run

sys.path.insert(0, str(ROOT))
from lab import controllers
from lab.controllers import CONTROLLERS, Controller
from lab.paths import SUITES
from lab.recipes import digest, folder_digest
from tests.matrix.cell import FROM_RELEASE, INVENTORY

PAGE = ROOT / "docs" / "support.md"
RESULTS = ROOT / "build" / "matrix" / "results.json"
#: What a result is of; another content makes it void.
CODE = ("meta", "playbooks", "plugins", "roles")
DEBIAN = {"bookworm": "Debian 12", "trixie": "Debian 13", "forky": "Debian forky"}
#: A year after the end of Debian 12's own support; its users have until then to move to another controller.
UNTIL = "2027-06-30"
NOT_RUN = "not run"
#: What needs a browser or the clients' Node.js, which no controller has.
ELSEWHERE = ("tests/unit/test_clients.py", "tests/unit/test_report_page.py")
HEAD = """<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
# Support

Written by `make matrix`, which runs everything that is said here; do not edit it.

## Controllers and hosts

Each controller is a container of a Debian release with that Python. On each host it deploys a vault of release
{old}, in check mode first, and proves it with a live update. It runs again and changes nothing, upgrades in place to
{new}, makes a backup, and proves the vault by its address alone, without an inventory. No run may print a warning of
Ansible. Then the tests of the scenario `molecule/single_port` check the host from inside and from outside. A cell has
the number of tests that passed, and the versions on the host.

"""
TAIL = """
The unit tests are those of `tests/unit` and `tests/contract`, on the controller; two files of them need a browser and
run elsewhere.

core 2.19 is supported until {until}, with fixes only: it is the last core for Python 3.11, and Debian 12 has no
newer Python. The others are supported as long as Ansible does so. core 2.22 is a release candidate, with the
collections of the package ansible 14.

community.docker has to be {docker}. The releases before, from 4.8.3
on excepted, do not know Docker 29, so a second run would not end with `changed=0`; 4.8.5 is the first of them that is
tested. With Docker 29.2 the fetch of an image is always reported as a change before 4.8.7 and 5.0.6.
"""


def main(arguments: Sequence[str]) -> int:
    """Run what is wanted, and write the page."""
    results = known_results()
    if "--write" not in arguments:
        LOGS.mkdir(parents=True, exist_ok=True)
        wanted = [each for each in CONTROLLERS if each.name in chosen("CONTROLLER", [one.name for one in CONTROLLERS])]
        run_all(wanted, [suite for suite in SUITES if suite in chosen("HOST", SUITES)], results)
    PAGE.write_text(page(results), encoding="utf-8")
    bad = [name for name, result in results.items() if result["failed"]]
    print(f"{sum(result['passed'] for result in results.values())} passed, {len(bad)} cells failed: {', '.join(bad)}")
    return int(bool(bad))


def chosen(variable: str, known: Sequence[str]) -> list[str]:
    """The names in a variable of the environment; all where it is empty."""
    names = [name for name in os.environ.get(variable, "").split(",") if name]
    strange = sorted(set(names) - set(known))
    if strange:
        raise SystemExit(f"{variable} names {', '.join(strange)}. Choose from {', '.join(known)}.")
    return names or list(known)


def run_all(wanted: Sequence[Controller], suites: Sequence[str], results: dict[str, Any]) -> None:
    """Run each controller with each host, some side by side; what is done is kept at once."""
    jobs: dict[str, Callable[[], dict[str, Any]]] = {}
    for each in wanted:
        jobs.update({f"{each.name}:{suite}": partial(cell, each, suite) for suite in suites})
        jobs[f"{each.name}:unit"] = partial(unit, each)
    with ThreadPoolExecutor(max_workers=at_once()) as pool:
        running = {name: pool.submit(job) for name, job in jobs.items()}
        for name, job in running.items():
            results[name] = job.result()
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps({"code": code(), "results": results}, indent=2), encoding="utf-8")


def cell(wanted: Controller, suite: str) -> dict[str, Any]:
    """A life of a vault, and the tests of its host."""
    outcome = controller(wanted.name, suite)
    versions = ROOT / "build" / "matrix" / f"{wanted.name}-{suite}" / "versions.json"
    found = json.loads(versions.read_text(encoding="utf-8")) if versions.exists() else {}
    return {"passed": outcome.passed, "failed": outcome.failed, "versions": found}


def unit(wanted: Controller) -> dict[str, Any]:
    """The unit tests on the controller, whose report comes out by the one folder that it may write."""
    name = f"controller-{wanted.name}-unit"
    folder = ROOT / "build" / "matrix" / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "unit.xml"
    report.unlink(missing_ok=True)
    image = controllers.ensure(wanted, tests=True)
    # The lab's network has no DNS, and a name that nobody can look up is not one that does not exist.
    script = "sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf && exec \"$@\""
    ignored = [f"--ignore={name}" for name in ELSEWHERE]
    command = ["sh", "-c", script, "sh", "timeout", "1800", "python3", "-m", "pytest", "-q", *ignored]
    command.append(f"--junitxml={report}")
    good = run(name, controllers.command(image, command, writable=folder))
    passed, failed = junit(report)
    return {"passed": passed, "failed": max(failed, int(not good))}


def known_results() -> dict[str, Any]:
    """What earlier runs found of the code as it is."""
    if not RESULTS.exists():
        return {}
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    return dict(kept["results"]) if kept["code"] == code() else {}


def code() -> str:
    """A digest of what is tested."""
    return digest([folder_digest(ROOT / name) for name in CODE])


def page(results: dict[str, Any]) -> str:
    """The document; a cell that was not run, or did not pass, says so."""
    titles = ["Controller", "Python", "community.docker", "Unit tests", *(f"Host {DEBIAN[suite]}" for suite in SUITES)]
    rows = [titles, ["---"] * len(titles), *(row(each, results) for each in CONTROLLERS)]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    head = HEAD.format(old=FROM_RELEASE, new=release())
    return head + table + TAIL.format(until=UNTIL, docker=docker_window())


def row(wanted: Controller, results: dict[str, Any]) -> list[str]:
    """One controller: its versions as they were found, and what passed."""
    cells = [results.get(f"{wanted.name}:{suite}") for suite in SUITES]
    found: dict[str, str] = next((one["versions"] for one in cells if one and one["versions"]), {})
    return [
        f"ansible-core {wanted.packages()['ansible-core']}",
        found.get("python", wanted.python),
        found.get("community.docker", NOT_RUN),
        said(results.get(f"{wanted.name}:unit")),
        *(said(one) for one in cells),
    ]


def said(result: dict[str, Any] | None) -> str:
    """What a cell of the table says."""
    if result is None:
        return NOT_RUN
    if result["failed"]:
        return f"FAILED, {result['failed']} of {result['passed'] + result['failed']}"
    versions = result.get("versions", {})
    host = ", ".join(
        f"{title} {versions[name]}" for name, title in (("docker", "Docker"), ("nginx", "nginx")) if versions
    )
    return f"{result['passed']} passed" + (f" ({host})" if host else "")


def release() -> str:
    """The release that the vaults end with."""
    return re.findall(r'vaultwarden_version: "([^"]+)"', INVENTORY.read_text(encoding="utf-8"))[0]


def docker_window() -> str:
    """What galaxy.yml asks of community.docker, in words."""
    wanted = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]["community.docker"]
    return words(str(wanted))


def words(window: str) -> str:
    """A range of versions as a sentence has it: one floor, and perhaps releases that are left out."""
    floor, *others = window.split(",")
    left_out = [other.removeprefix("!=") for other in others]
    return f"{floor.removeprefix('>=')} or later" + (f", but not {' or '.join(left_out)}" if left_out else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
