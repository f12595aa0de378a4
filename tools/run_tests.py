# SPDX-License-Identifier: GPL-3.0-or-later
"""Run parts of the test suite and end with one line that sums them all.

Usage: run_tests.py PART...   where a part is lint, unit, clients, controller (what users get on a current Debian),
controller:<controller>:<Debian>, molecule (all scenarios) or molecule:<scenario>

Parts mostly wait for hosts, so a few run side by side: as many as the environment's JOBS says, else one for each
processor. They share nothing but the lab: every scenario has hosts of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test"

TESTS = ("unit", "contract", "browser", "matrix")
LINTERS = {
    "sanity": ["python3", "tools/sanity.py"],
    "yamllint": ["yamllint", "--strict", "."],
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy plugins": ["mypy", "collections/ansible_collections/vaultwire/stack/plugins"],
    "mypy lab": ["mypy", "-p", "lab"],
    "mypy tests": ["mypy", "tools", *(f"tests/{name}" for name in TESTS), "molecule/testinfra"],
    "ansible-lint": ["ansible-lint", "--offline"],
    "module documentation": ["python3", "tools/check_docs.py"],
    "collection package": ["python3", "tools/check_package.py"],
}


#: Of the support table, what is tested each time; the whole is made by tools/matrix.py.
REPRESENTATIVE = "core-2.21:trixie"
# What takes minutes, by the time it takes.
LONGEST = ("proxies", "rollback", "backup_restore", "faults", "upgrade", "split")


class Outcome(NamedTuple):
    """What came of one part."""

    name: str
    passed: int
    failed: int


def say(text: str) -> None:
    """Progress, at once."""
    print(f"[test] {text}", flush=True)


def run(name: str, command: list[str], **environment: str) -> bool:
    """Run a command with its output in a file; show the end of it only on failure."""
    log = LOGS / f"{name.replace(' ', '-').replace(':', '-')}.log"
    begin = time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            check=False,
        ).returncode
    verdict = f"{name}: {'ok' if code == 0 else 'FAILED'} ({time.monotonic() - begin:.0f} s)"
    # In one piece, so that what runs beside it does not come in between.
    end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-80:] if code else []
    say("\n".join([verdict, *end]))
    return code == 0


def junit(path: Path) -> tuple[int, int]:
    """(passed, failed) of a pytest report; a report that is missing or empty is a failure."""
    if not path.exists():
        return 0, 1
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    total, bad, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    return (total - bad - skipped, bad) if total else (0, 1)


def linter(name: str) -> Outcome:
    """Each linter counts as one test."""
    good = run(name, LINTERS[name])
    return Outcome(name, int(good), int(not good))


def tests(name: str, command: list[str], **environment: str) -> Outcome:
    """A run of pytest, which also leaves a report."""
    report = LOGS / f"{name.replace(':', '-')}.xml"
    report.unlink(missing_ok=True)
    good = run(name, [*command, f"--junitxml={report}"], **environment)
    passed, failed = junit(report)
    return Outcome(name, passed, max(failed, int(not good)))


def unit() -> Outcome:
    """Unit and contract tests."""
    return tests("unit", ["python3", "-m", "pytest", "-q"])


def clients() -> Outcome:
    """Real clients, in a network namespace of their own."""
    outcome = tests("clients", ["python3", "-m", "tests.browser.run"])
    for line in (LOGS / "clients.log").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("server: "):
            say(f"clients: {line}")
    return outcome


def controller(name: str, suite: str) -> Outcome:
    """Playbooks run by one controller on one host, and then the tests of what they have deployed there."""
    part = f"controller:{name}:{suite}"
    options = [f"--controller={name}", f"--suite={suite}"]
    life = tests(part, ["python3", "-m", "pytest", "-x", "-q", "tests/matrix", *options])
    if life.failed:
        return life  # its host stays for a look
    host = tests(
        f"{part}:host",
        ["python3", "-m", "pytest", "-q", "molecule/testinfra/deployment"],
        MOLECULE_SCENARIO_DIRECTORY=str(ROOT / "build" / "matrix" / f"{name}-{suite}"),
        MOLECULE_PROJECT_DIRECTORY=str(ROOT),
    )
    if not host.failed:
        run(f"{part}:down", ["python3", "-m", "tests.matrix.cell", name, suite])
    return Outcome(part, life.passed + host.passed, host.failed)


def scenarios() -> list[str]:
    """All scenarios, the longest first, so that none of them is left to run alone at the end."""
    names = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
    return sorted(names, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def molecule(scenario: str) -> Outcome:
    """A scenario's own steps count as one test, beside those of its verifier."""
    report = LOGS / f"molecule-{scenario}.xml"
    report.unlink(missing_ok=True)
    good = run(
        f"molecule:{scenario}",
        ["molecule", "test", "--scenario-name", scenario],
        PYTEST_ADDOPTS=f"--junitxml={report} -o junit_suite_name={scenario}",
    )
    passed, failed = junit(report)
    return Outcome(f"molecule:{scenario}", passed + int(good), max(failed, int(not good)))


def jobs(parts: list[str]) -> Iterator[Callable[[], Outcome]]:
    """What is to be run for the parts, in order."""
    for part in parts:
        kind, __, scenario = part.partition(":")
        if kind == "lint":
            yield from (partial(linter, name) for name in LINTERS)
        elif kind == "unit":
            yield unit
        elif kind == "clients":
            yield clients
        elif kind == "controller":
            name, __, suite = (scenario or REPRESENTATIVE).partition(":")
            yield partial(controller, name, suite)
        elif kind == "molecule":
            yield from (partial(molecule, name) for name in ([scenario] if scenario else scenarios()))
        else:
            raise SystemExit(
                f"{part} is not a part of the tests. Use lint, unit, clients, controller, molecule, molecule:<scenario>"
                " or controller:<controller>:<Debian>."
            )


def at_once() -> int:
    """How many parts run side by side."""
    wanted = os.environ.get("JOBS", "")
    if wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted)):
        raise SystemExit(f"JOBS={wanted} is not a number of parts to run side by side. Use 1 or more, or leave it out.")
    return int(wanted or os.cpu_count() or 1)


def server_kind() -> str:
    """Which server the lab's registry serves."""
    shown = subprocess.run(
        ["python3", "-m", "lab", "server-kind"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def main() -> int:
    """Run the parts named on the command line."""
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = list(jobs(sys.argv[1:]))
    with ThreadPoolExecutor(max_workers=at_once()) as pool:
        running = [pool.submit(part) for part in wanted]
        try:
            done = [job.result() for job in running]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    if any(outcome.name.startswith(("molecule:", "controller:")) for outcome in done):
        real = server_kind() == "real"
        say("server: the real vaultwarden" if real else "server: the project's stand-in, not the real vaultwarden")
    for outcome in done:
        say(f"{outcome.name}: {outcome.passed} passed, {outcome.failed} failed")
    passed, failed = sum(outcome.passed for outcome in done), sum(outcome.failed for outcome in done)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
