# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the proofs of one run to its report: the data of report.json, and the page that shows it.

``shape`` is pure. Hosts are never left out: one without a proof is shown as one without a result.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import typing as t

import jinja2
from markupsafe import Markup

from ansible_collections.vaultwire.stack.plugins.module_utils import _internal
from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import audience

Data = t.Dict[str, t.Any]

SCHEMA = 1
STEPS = ("create", "rename", "delete")

STATUSES = ("proved", "hubs_only", "faulty", "no_result", "check_failed", "not_tried")
_RANK = {"error": 0, "warning": 1, "ok": 2}
_FIELDS = ("code", "severity", "symptom", "cause", "fix")
_NO_RESULT = "The host was unreachable, or the run failed on it before anything was asked."
_NO_RESULT_FIX = "Look for the host in the output of ansible-playbook, put that right, and run again."
_CHECK_FAILED_FIX = (
    "The check itself failed, so nothing is known of the host. Report the line of its entry to the collection's "
    "maintainers."
)
_NOT_TRIED = "Not yet tried: the run works on batches of hosts, and the turn of this one had not come."
_ACCOUNT_FIX = "Give the check an account, best notifications_check_email and notifications_check_password."
_LIMITED = "The server took no further login just now (429)."


def shape(proofs: t.Mapping[str, t.Optional[Data]], generated: str) -> Data:
    """The report of all hosts, worst first. A proof is what the role kept for a host, None without any.

    Beside what the role keeps, a proof may have ``url``; ``waiting``, where the host's turn has not come; and
    ``failure``, why the run failed on the host.
    """
    hosts = [_host(name, proof or {}) for name, proof in proofs.items()]
    hosts.sort(key=lambda host: (_RANK[host["severity"]], _natural(host["host"])))
    return {
        "schema": SCHEMA,
        "generated": generated,
        "summary": {
            "hosts": len(hosts),
            **{status: sum(host["status"] == status for host in hosts) for status in STATUSES},
            **{
                f"{severity}s": sum(found["severity"] == severity for host in hosts for found in host["findings"])
                for severity in ("error", "warning")
            },
        },
        "hosts": hosts,
        "next": _next(hosts),
    }


def _natural(name: str) -> t.List[t.Tuple[int, str]]:
    """Names in the order in which people count: vault-9 before vault-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", name)]


def _host(name: str, proof: Data) -> Data:
    probe = _dict(proof.get("probe"))
    live = _dict(proof.get("live_update"))
    latencies = _numbers(live.get("latencies"), [f"{step}_ms" for step in STEPS])
    live_state = _live_state(live, latencies, bool(proof.get("live_required")))
    findings = _findings(proof)
    if probe.get(_internal.KEY) or live.get(_internal.KEY):
        status = "check_failed"
    elif "verdict" not in probe:
        status = "not_tried" if proof.get("waiting") else "no_result"
    elif probe["verdict"] != "ok" or live_state == "fail" or any(f["severity"] == "error" for f in findings):
        status = "faulty"
    else:
        status = "proved" if live_state == "pass" else "hubs_only"
    severity = "warning" if findings else "ok"
    if status in ("no_result", "faulty", "check_failed") or proof.get("failure"):
        severity = "error"
    return {
        "host": name,
        "url": str(probe.get("url") or proof.get("url") or ""),
        "status": status,
        "severity": severity,
        "version": str(probe.get("version") or ""),
        "era": str(probe.get("era") or "unknown"),
        "layout": str(probe.get("layout") or ""),
        "checks": _checks(probe, live, live_state) if "verdict" in probe else [],
        "latencies_ms": {step: latencies[f"{step}_ms"] for step in STEPS if f"{step}_ms" in latencies},
        "timings_ms": _numbers(probe.get("timings_ms"), list(_dict(probe.get("timings_ms")))),
        "findings": findings,
        "push": _push(proof, status == "proved"),
        "note": _with_failure(str(proof.get("failure") or ""), status, _note(status, probe, live, live_state)),
    }


def _dict(value: t.Any) -> Data:
    return dict(value) if isinstance(value, dict) else {}


def _numbers(values: t.Any, names: t.Sequence[str]) -> t.Dict[str, float]:
    found = {name: _dict(values).get(name) for name in names}
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def _live_state(live: Data, latencies: t.Mapping[str, float], required: bool) -> str:
    """Whether a change was seen to arrive (pass), was not (fail), or was not asked for (skip)."""
    if "delete_ms" in latencies and not live.get("msg"):
        return "pass"
    # What an error of the check itself left untried is no fault of the channel.
    if not live or live.get("skipped") or live.get(_internal.KEY) or (live.get("rate_limited") and not required):
        return "skip"
    return "fail"


def _findings(proof: Data) -> t.List[Data]:
    """Those of the proof itself, and of each of its parts that has a diagnosis; none twice, errors first."""
    lists = [proof.get("findings"), *(_dict(part).get("diagnosis") for part in proof.values())]
    found: t.List[Data] = []
    for entry in (entry for entries in lists if isinstance(entries, list) for entry in entries):
        if not isinstance(entry, dict):
            continue
        finding = {field: str(entry.get(field) or "") for field in _FIELDS}
        finding["severity"] = "warning" if finding["severity"] == "warning" else "error"
        if finding not in found:
            found.append(finding)
    return sorted(found, key=lambda finding: _RANK[finding["severity"]])


def _checks(probe: Data, live: Data, live_state: str) -> t.List[Data]:
    """What was proved and what was not, in the order in which a client meets it."""
    hub, session, anonymous = (_dict(probe.get(name)) for name in ("hub", "hub_session", "anonymous_hub"))
    opened = bool(session.get("handshake") or live.get("handshake"))
    reached = opened or hub.get("status") == 401
    ran = "pass" if opened else "fail"
    if not session and live_state == "skip":
        ran = "skip"
    checks = [
        _check("alive", "The server answers", _verdict(_dict(probe.get("alive")).get("status") == 200), probe["alive"])
        if probe.get("alive")
        else None,
        _check("upgrade", "The upgrade reaches the hub", _verdict(reached and _clean(probe, "hub")), hub),
        _check("hub", "The hub opens for a session: 101", ran, {"status": 101} if opened else session),
        _check("handshake", "The hub's own handshake arrives", ran, {}),
        _check("anonymous_hub", "The hub for login with device opens", _anonymous(probe, anonymous), anonymous),
    ]
    if probe.get("negotiate"):
        negotiate = _dict(probe["negotiate"])
        checks.append(_check("negotiate", "Negotiation is answered", _verdict(_clean(probe, "negotiate")), negotiate))
    latencies = _dict(live.get("latencies"))
    tried = live_state != "skip"
    for step in STEPS:
        value = latencies.get(f"{step}_ms")
        result = _verdict(value is not None) if tried else "skip"
        # The first step that does not arrive ends the live update.
        tried = result == "pass"
        checks.append(_check(step, f"Another session sees a {step}", result, {"ms": value}))
    return [check for check in checks if check]


def _verdict(good: bool) -> str:
    return "pass" if good else "fail"


def _clean(probe: Data, name: str) -> bool:
    """Whether no fault speaks against an answer that looks right by its status alone."""
    answer = _dict(probe.get(name))
    return not answer.get("error") and not (name == "hub" and answer.get("body") == "html")


def _anonymous(probe: Data, answer: Data) -> str:
    if answer.get("handshake"):
        return "pass"
    # Releases without this hub answer something else, and the diagnosis has nothing against it.
    return "skip" if probe.get("verdict") == "ok" else "fail"


def _check(name: str, title: str, result: str, answer: Data) -> Data:
    detail = ""
    if answer.get("ms") is not None:
        detail = f"{answer['ms']} ms"
    elif answer.get("status") is not None:
        detail = f"status {answer['status']}"
    elif answer.get("error"):
        detail = str(answer["error"])
    return {"name": name, "title": title, "result": result, "detail": detail}


def _push(proof: Data, live: bool) -> Data:
    """The channel of mobile apps, in whatever state, says nothing for or against that of the hub."""
    state = proof["push"] if proof.get("push") in ("configured", "none") else "unknown"
    return {"state": state, "text": audience(state, live)}


def _with_failure(failure: str, status: str, note: str) -> str:
    """The note of a host on which the run failed: why, and then what was proved all the same."""
    if not failure:
        return note
    return failure if status == "no_result" else f"The run failed on this host: {failure} {note}".rstrip()


def _note(status: str, probe: Data, live: Data, live_state: str) -> str:
    """What no finding says."""
    if status == "check_failed":
        return str((probe if probe.get(_internal.KEY) else live).get("msg") or "The check itself failed.")
    if status == "not_tried":
        return _NOT_TRIED
    if status == "no_result":
        return str(probe.get("msg") or _NO_RESULT)
    if live_state == "fail":
        return str(live.get("msg") or "The live update ended without a result.")
    if live_state == "skip" and probe.get("verdict") == "ok":
        return f"A live update was not tried. {_LIMITED if live.get('rate_limited') else ''}".strip()
    return ""


def _next(hosts: t.Sequence[Data]) -> t.List[Data]:
    """What to do, each thing once with its hosts: faults first, those of most hosts first."""
    steps: t.Dict[t.Tuple[str, str, str], t.List[str]] = {}
    for host in hosts:
        for severity, code, text in _needs(host):
            names = steps.setdefault((severity, code, text), [])
            if host["host"] not in names:
                names.append(host["host"])
    order = sorted(steps.items(), key=lambda step: (_RANK[step[0][0]], -len(step[1])))
    return [{"severity": key[0], "code": key[1], "text": key[2], "hosts": names} for key, names in order]


def _needs(host: Data) -> t.Iterator[t.Tuple[str, str, str]]:
    for finding in host["findings"]:
        yield finding["severity"], finding["code"], finding["fix"]
    if host["status"] == "no_result" or (host["status"] in ("proved", "hubs_only") and host["severity"] == "error"):
        yield "error", "", _NO_RESULT_FIX
    elif host["status"] == "check_failed":
        yield "error", "", _CHECK_FAILED_FIX
    elif host["status"] == "hubs_only":
        yield "ok", "", f"{_ACCOUNT_FIX} A change that another session sees is the whole proof."
    elif host["status"] == "faulty" and not any(f["severity"] == "error" for f in host["findings"]):
        yield "error", "", "The hubs answer and the live update failed. The host's own entry says at which step."


def render(report: Data, folder: str) -> str:
    """The page, in one file. Its policy lets nothing run or load but its own script and style."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = {name: _read(os.path.join(folder, f"report.{name}")) for name in ("css", "js")}
    return environment.get_template("report.html.j2").render(
        report=report,
        slowest=max([1.0, *(ms for host in report["hosts"] for ms in host["latencies_ms"].values())]),
        style=Markup(parts["css"]),
        style_hash=_hash(parts["css"]),
        script=Markup(parts["js"]),
        script_hash=_hash(parts["js"]),
    )


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def _hash(text: str) -> str:
    """A source expression of the page's policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
