# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch: one probe and one live update, written as Prometheus metrics and as a line for the journal.

The timer of the role notifications_watch runs this on the host, beside copies of the modules that it imports. It needs
Python 3.8 and, where there is an account, the packages websocket-client and msgpack.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _files, _hub
from ansible_collections.vaultwire.stack.plugins.module_utils._http import (
    AddressError,
    Target,
    parse_target,
    tls_context,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import InternalError, named
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutError
from ansible_collections.vaultwire.stack.plugins.module_utils._session import LiveUpdateError

if t.TYPE_CHECKING:
    from ansible_collections.vaultwire.stack.plugins.module_utils import _live

#: A live update that failed although the hubs answer; the probe's own codes are in docs/diagnosis.md.
NOT_ARRIVED = "live_update"

# Exit codes: a fault marks the unit as failed, so that OnFailure= works where nothing reads the metrics.
# One of the check itself has a code of its own, since it says nothing about the vault.
UP, DOWN, UNUSABLE, CHECK_FAILED = 0, 1, 2, 3

# What a setting that cannot be used, or a package that is missing, ends in.
_UNUSABLE = (AddressError, LayoutError, LiveUpdateError, ImportError)

_HELP = {
    "check_failed": "Whether the check itself failed; then nothing is known of the vault.",
    "up": "Whether the live channel works, as far as it was tried; absent where the check itself failed.",
    "probe_success": "Whether both hubs answer as they should.",
    "live_update_success": "Whether a change in one session reached another; absent where that was not tried.",
    "rate_limited": "Whether the server took no further login, so that no live update could be tried.",
    "finding": "One for each finding of this run.",
    "latency_seconds": "From a change in one session to its arrival in another.",
    "answer_seconds": "Until each answer of the probe.",
    "info": "What serves: always one.",
    "duration_seconds": "How long this run took.",
    "last_run_timestamp_seconds": "When this run ended.",
}


#: Name of a metric, its labels, and its value.
Sample = t.Tuple[str, t.Dict[str, str], float]


class Settings(t.NamedTuple):
    """What to watch, and where to write. An empty ``email`` means the probe alone."""

    url: str
    textfile: str
    connect_to: str = ""
    ca_file: str = ""
    version: str = ""
    layout: str = "auto"
    email: str = ""
    password_file: str = ""
    timeout: float = 10.0
    step_timeout: float = 5.0


class Result(t.NamedTuple):
    """One run. ``live`` is None where no account was given. ``internal`` is an error of the check itself, which may
    have left no ``report``."""

    settings: Settings
    report: t.Optional[_hub.Report]
    live: t.Optional[_live.Outcome]
    seconds: float
    ended: float
    internal: t.Optional[InternalError] = None

    @property
    def live_ok(self) -> t.Optional[bool]:
        """None where a live update was not tried, or could not be for want of the server's patience."""
        if self.live is None or self.live.rate_limited or self.live.internal:
            return None
        return not self.live.problems

    @property
    def probe_ok(self) -> t.Optional[bool]:
        """None where the probe itself failed."""
        return _diagnosis.verdict(self.report.findings) == "ok" if self.report else None

    @property
    def up(self) -> t.Optional[bool]:
        """None where the check itself failed."""
        if self.internal is not None or self.probe_ok is None:
            return None
        return self.probe_ok and self.live_ok is not False


def run(settings: Settings, password: str) -> Result:
    """Probe, and prove a live update where the hubs answer and there is an account."""
    begin = time.monotonic()
    report: t.Optional[_hub.Report] = None
    live: t.Optional[_live.Outcome] = None
    internal: t.Optional[InternalError] = None
    try:
        with named("the watch", _UNUSABLE):
            report = _probe(settings)
            if settings.email and _diagnosis.verdict(report.findings) == "ok":
                live = _prove(settings, password)
                internal = live.internal
    except InternalError as exc:
        internal = exc
    return Result(settings, report, live, time.monotonic() - begin, time.time(), internal)


def _address(settings: Settings) -> t.Tuple[Target, t.Optional[ssl.SSLContext]]:
    target = parse_target(settings.url, settings.connect_to)
    return target, tls_context(target, settings.ca_file)


def _probe(settings: Settings) -> _hub.Report:
    return _hub.probe(*_address(settings), settings.version, settings.layout, timeout=settings.timeout)


def _prove(settings: Settings, password: str) -> _live.Outcome:
    # Here, since it needs packages that a watch without an account does without.
    from ansible_collections.vaultwire.stack.plugins.module_utils import _live

    options = _live.Options(
        timeout=settings.timeout + 4 * settings.step_timeout,
        step_seconds=settings.step_timeout,
        email=settings.email,
        password=password,
    )
    return _live.LiveUpdate(*_address(settings), options).run()


def metrics(result: Result) -> str:
    """A run in the text format of Prometheus."""
    url = {"url": result.settings.url}
    known = {"up": result.up, "probe_success": result.probe_ok, "live_update_success": result.live_ok}
    samples: t.List[Sample] = [("check_failed", url, result.internal is not None)]
    samples += [(name, url, value) for name, value in known.items() if value is not None]
    if result.live is not None:
        samples.append(("rate_limited", url, result.live.rate_limited))
        samples += [
            ("latency_seconds", {**url, "step": step}, latency.total_ms / 1000)
            for step, latency in result.live.latencies.items()
        ]
    if result.live_ok is False:
        samples.append(("finding", {**url, "code": NOT_ARRIVED, "severity": "error"}, 1))
    if result.report is not None:
        samples += _seen(result.report, url)
    samples += [
        ("duration_seconds", url, round(result.seconds, 3)),
        ("last_run_timestamp_seconds", url, round(result.ended)),
    ]
    return _text(samples)


def _seen(report: _hub.Report, url: t.Dict[str, str]) -> t.List[Sample]:
    """What the probe saw."""
    seen = report.observation
    codes = dict.fromkeys((finding.code, finding.severity) for finding in report.findings)
    layout = seen.layout_seen or (seen.plan.layout if seen.plan else "")
    return [
        *(("finding", {**url, "code": code, "severity": severity}, 1.0) for code, severity in codes),
        *(
            ("answer_seconds", {**url, "request": name}, ms / 1000)
            for name, ms in report.timings_ms.items()
            if name != "total"
        ),
        ("info", {**url, "version": seen.version_served, "era": seen.era, "layout": layout}, 1.0),
    ]


def _text(samples: t.Iterable[Sample]) -> str:
    lines: t.List[str] = []
    described = ""
    for name, labels, value in sorted(samples, key=lambda sample: list(_HELP).index(sample[0])):
        metric = f"vaultwire_watch_{name}"
        if name != described:
            lines += [f"# HELP {metric} {_HELP[name]}", f"# TYPE {metric} gauge"]
            described = name
        pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        number = float(value)
        lines.append(f"{metric}{{{pairs}}} {int(number) if number.is_integer() else repr(round(number, 6))}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def line(result: Result) -> str:
    """A run for the journal, in one line. Texts of the vault are in it, so it is made one."""
    sentences = [finding.sentence() for finding in result.report.findings] if result.report else []
    if result.internal is not None:
        sentences.insert(0, str(result.internal))
    if result.live is not None:
        sentences += result.live.problems
        steps = ", ".join(f"{step} {latency.total_ms} ms" for step, latency in result.live.latencies.items())
        sentences += [f"Live update: {steps}."] if steps else []
    state = {True: "up", False: "DOWN", None: "NOT CHECKED"}[result.up]
    return " ".join(f"{result.settings.url} is {state}. {' '.join(sentences)}".split())


def read_password(settings: Settings) -> str:
    """From a file that root alone can read. Not by systemd's LoadCredential, which gives nothing in some containers."""
    if not settings.password_file:
        return ""
    with open(settings.password_file, encoding="utf-8", newline="") as stream:
        return stream.read()


def main(arguments: t.Optional[t.Sequence[str]] = None) -> int:
    """``SETTINGS`` is a JSON file. The metrics of the last run stay when this one cannot be made."""
    parser = argparse.ArgumentParser(description="Check the live channel of a vault, and write metrics.")
    parser.add_argument("settings", help="JSON file with the settings")
    given = parser.parse_args(arguments)
    try:
        with open(given.settings, encoding="utf-8") as stream:
            settings = Settings(**json.load(stream))
        password = read_password(settings)
    except (OSError, TypeError, ValueError) as exc:
        return _unusable(exc)
    try:
        result = run(settings, password)
        with named("the metrics", (OSError,)):
            content = metrics(result).encode()
            _files.write_file(_files.Wanted(settings.textfile, content, 0o644, os.getuid(), os.getgid()))
    except (*_UNUSABLE, OSError) as exc:
        return _unusable(exc)
    except InternalError as exc:
        sys.stderr.write(f"{exc}\n")
        return CHECK_FAILED
    sys.stdout.write(f"{line(result)}\n")
    return {True: UP, False: DOWN, None: CHECK_FAILED}[result.up]


def _unusable(exc: Exception) -> int:
    sys.stderr.write(f"The check could not be made: {exc}\n")
    return UNUSABLE
