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
import sys
import time
import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _files, _hub
from ansible_collections.vaultwire.stack.plugins.module_utils._http import AddressError, parse_target, tls_context
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutError
from ansible_collections.vaultwire.stack.plugins.module_utils._session import LiveUpdateError

if t.TYPE_CHECKING:
    from ansible_collections.vaultwire.stack.plugins.module_utils import _live

#: A live update that failed although the hubs answer; the probe's own codes are in docs/diagnosis.md.
NOT_ARRIVED = "live_update"

# Exit codes: a fault marks the unit as failed, so that OnFailure= works where nothing reads the metrics.
UP, DOWN, UNUSABLE = 0, 1, 2

_HELP = {
    "up": "Whether the live channel works, as far as it was tried.",
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
    """One run. ``live`` is None where no account was given."""

    settings: Settings
    report: _hub.Report
    live: t.Optional[_live.Outcome]
    seconds: float
    ended: float

    @property
    def live_ok(self) -> t.Optional[bool]:
        """None where a live update was not tried, or could not be for want of the server's patience."""
        if self.live is None or self.live.rate_limited:
            return None
        return not self.live.problems

    @property
    def probe_ok(self) -> bool:
        return _diagnosis.verdict(self.report.findings) == "ok"

    @property
    def up(self) -> bool:
        return self.probe_ok and self.live_ok is not False


def run(settings: Settings, password: str) -> Result:
    """Probe, and prove a live update where the hubs answer and there is an account."""
    begin = time.monotonic()
    target = parse_target(settings.url, settings.connect_to)
    context = tls_context(target, settings.ca_file)
    report = _hub.probe(target, context, settings.version, settings.layout, timeout=settings.timeout)
    live = None
    if settings.email and _diagnosis.verdict(report.findings) == "ok":
        # Here, since it needs packages that a watch without an account does without.
        from ansible_collections.vaultwire.stack.plugins.module_utils import _live

        options = _live.Options(
            timeout=settings.timeout + 4 * settings.step_timeout,
            step_seconds=settings.step_timeout,
            email=settings.email,
            password=password,
        )
        live = _live.LiveUpdate(target, context, options).run()
    return Result(settings, report, live, time.monotonic() - begin, time.time())


def metrics(result: Result) -> str:
    """A run in the text format of Prometheus."""
    seen = result.report.observation
    url = {"url": result.settings.url}
    codes = [(finding.code, finding.severity) for finding in result.report.findings]
    if result.live_ok is False:
        codes.append((NOT_ARRIVED, "error"))
    samples: t.List[t.Tuple[str, t.Dict[str, str], float]] = [
        ("up", url, result.up),
        ("probe_success", url, result.probe_ok),
    ]
    if result.live_ok is not None:
        samples.append(("live_update_success", url, result.live_ok))
    if result.live is not None:
        samples.append(("rate_limited", url, result.live.rate_limited))
        samples += [
            ("latency_seconds", {**url, "step": step}, latency.total_ms / 1000)
            for step, latency in result.live.latencies.items()
        ]
    samples += [("finding", {**url, "code": code, "severity": severity}, 1) for code, severity in dict.fromkeys(codes)]
    samples += [
        ("answer_seconds", {**url, "request": name}, ms / 1000)
        for name, ms in result.report.timings_ms.items()
        if name != "total"
    ]
    layout = seen.layout_seen or (seen.plan.layout if seen.plan else "")
    samples += [
        ("info", {**url, "version": seen.version_served, "era": seen.era, "layout": layout}, 1),
        ("duration_seconds", url, round(result.seconds, 3)),
        ("last_run_timestamp_seconds", url, round(result.ended)),
    ]
    return _text(samples)


def _text(samples: t.Iterable[t.Tuple[str, t.Dict[str, str], float]]) -> str:
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
    sentences = [finding.sentence() for finding in result.report.findings]
    if result.live is not None:
        sentences += result.live.problems
        steps = ", ".join(f"{step} {latency.total_ms} ms" for step, latency in result.live.latencies.items())
        sentences += [f"Live update: {steps}."] if steps else []
    state = "up" if result.up else "DOWN"
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
        result = run(settings, read_password(settings))
        content = metrics(result).encode()
        _files.write_file(_files.Wanted(settings.textfile, content, 0o644, os.getuid(), os.getgid()))
    except (AddressError, LayoutError, LiveUpdateError, ImportError, OSError, TypeError, ValueError) as exc:
        sys.stderr.write(f"The check could not be made: {exc}\n")
        return UNUSABLE
    sys.stdout.write(f"{line(result)}\n")
    return UP if result.up else DOWN
