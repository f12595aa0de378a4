#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module hub_probe: is the live channel of a vault reachable, and if not, why not?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_probe
short_description: Prove that the live channel of a vault works through its proxy, or say what is wrong
version_added: "0.1.0"
description:
  - Asks C(/alive), the hub C(/notifications/hub) with and without an upgrade, and the hub for login with device
    C(/notifications/anonymous-hub), with real WebSocket upgrades, and names the fault that explains the answers.
  - Needs no credentials. A hub that refuses a stranger in the server's own words proves that the upgrade reached
    it; the hub for login with device is opened for real, and the server's handshake has to arrive, since a bare
    101 proves nothing.
  - Redirects are reported and never followed; proxies of the environment are not used.
  - Uses only Python's standard library, so it runs on the controller and on any managed host.
author:
  - vaultwire contributors (@vaultwire)
extends_documentation_fragment:
  - vaultwire.stack.vault_url
attributes:
  check_mode:
    description: Can run in check mode, and asks the same, since it only reads.
    support: full
  diff_mode:
    description: Returns what would change as a diff. There is nothing to change.
    support: none
options:
  version:
    description:
      - The version of the server that is expected to answer, for example V(1.37.2). A server that names another
        one is a fault (C(VW-V02)).
      - Without it the server is asked at C(/api/version).
    type: str
  layout:
    description:
      - Whether the hub is served by the HTTP port (V(single_port)) or by a second port (V(legacy)).
      - V(auto) accepts whatever the server's version can do, and warns when a second port that is no longer needed
        answers.
    type: str
    choices: [auto, legacy, single_port]
    default: auto
  access_token:
    description:
      - Access token of a login. With it the hub is opened for real as well.
      - It travels in the query of the request, as every client sends it, and is never returned.
    type: str
  timeout:
    description:
      - Seconds for one whole probe, however many answers are missing.
    type: float
    default: 10
  wait:
    description:
      - Seconds during which a probe that failed is repeated, for a server or proxy that is just starting.
      - V(0) probes once. The last probe may end up to O(timeout) seconds later.
    type: float
    default: 0
  idle_seconds:
    description:
      - Seconds for which the sockets that opened are kept open without a word, to see whether a hop on the way cuts
        them (C(VW-C07)) or holds the server's pings back (C(VW-C08)). The server sends one each 15 seconds, so V(65)
        tells. Without O(access_token) only the hub for login with device can be held.
      - V(0) does not wait. The time comes on top of O(timeout).
    type: float
    default: 0
  more_findings:
    description:
      - Findings from elsewhere, such as RV(vaultwire.stack.deployment_info#module:diagnosis), to be named and judged
        with those of the probe.
    type: list
    elements: dict
    default: []
    suboptions:
      code:
        description: Stable identifier.
        type: str
        required: true
      severity:
        description: Warnings do not fail the probe.
        type: str
        choices: [error, warning]
        required: true
      symptom:
        description: What was seen.
        type: str
        required: true
      cause:
        description: Why it happens.
        type: str
        required: true
      fix:
        description: What to do.
        type: str
        required: true
  fail_on_fault:
    description:
      - Whether a fault fails the task. Set it to V(false) to look at RV(verdict) and RV(diagnosis) instead.
    type: bool
    default: true
seealso:
  - module: vaultwire.stack.live_update
"""

EXAMPLES = r"""
- name: Prove that the live channel works for the world
  vaultwire.stack.hub_probe:
    url: https://vault.example.com
  delegate_to: localhost

- name: Wait up to a minute for a vault of a private authority behind a proxy that has no DNS record yet
  vaultwire.stack.hub_probe:
    url: https://vault.example.com/vault
    ca_file: /etc/ssl/private-ca.pem
    connect_to: 192.0.2.10:443
    version: 1.37.2
    wait: 60

- name: Look without failing
  vaultwire.stack.hub_probe:
    url: https://vault.example.com
    fail_on_fault: false
  register: probe

- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ probe.diagnosis | map(attribute='symptom') }}"
"""

RETURN = r"""
verdict:
  description: Whether the live channel works. Warnings in RV(diagnosis) do not make it V(failed).
  returned: when the options were usable
  type: str
  choices: [ok, failed]
url:
  description: The address that was asked.
  returned: when the options were usable
  type: str
version:
  description: The version that the server names, else the expected one; empty when neither is known.
  returned: when the options were usable
  type: str
  sample: 1.37.2
era:
  description: The era of RV(version), which decides where the hub lives.
  returned: when the options were usable
  type: str
  choices: [legacy, bridge, single_port, unknown]
layout:
  description: The layout that the hub's answer proves, else the one that is expected; empty when neither is known.
  returned: when the options were usable
  type: str
  choices: [legacy, single_port, ""]
alive:
  description: What C(/alive) answered.
  returned: when the options were usable
  type: dict
  contains: &answer
    status:
      description: The HTTP status, null when no answer came.
      type: int
    handshake:
      description: Whether the server's handshake arrived on the upgraded socket.
      type: bool
    closed_after_101:
      description: Whether the socket was closed after a 101 and before the handshake.
      type: bool
    body:
      description: The kind of the body.
      type: str
      choices: [json, empty, html, other]
    server:
      description: The Server header, empty without one.
      type: str
    location:
      description: The Location header without its query, empty without one.
      type: str
    error:
      description: Why there is no answer or no handshake, empty otherwise.
      type: str
    held_seconds:
      description: How long the socket stayed open, null without O(idle_seconds) or where it did not open.
      type: float
    pings:
      description: How many pings of the server came meanwhile.
      type: int
hub:
  description: What the hub answered to an upgrade without a token. A 401 in the server's own words is right.
  returned: when the options were usable
  type: dict
  contains: *answer
hub_plain:
  description: What the hub answered to a request without an upgrade. It only serves the diagnosis.
  returned: when the options were usable
  type: dict
  contains: *answer
hub_session:
  description: What the hub answered to an upgrade with O(access_token); null without one.
  returned: when the options were usable
  type: dict
  contains: *answer
anonymous_hub:
  description: What the hub for login with device answered to an upgrade.
  returned: when the options were usable
  type: dict
  contains: *answer
timings_ms:
  description: Milliseconds until each answer, and for the whole probe. The requests run side by side.
  returned: when the options were usable
  type: dict
  sample: {alive: 12.1, version: 12.4, hub: 13.0, hub_plain: 12.8, anonymous_hub: 15.2, total: 15.6}
internal_error:
  description: >-
    An error of the check itself, which says nothing about the vault. The text of the exception is left out, since it
    may quote a secret.
  returned: when the check itself failed
  type: dict
  contains:
    exception:
      description: Name of the exception.
      type: str
    step:
      description: The question, or the part of the probe.
      type: str
    where:
      description: File, line and function in which it was raised.
      type: str
  sample: {exception: KeyError, step: "the question alive", where: "_hub.py:282 _skew"}
attempts:
  description: How many times the probe was made.
  returned: when the options were usable
  type: int
diagnosis:
  description: The faults that explain the answers, errors first. Empty when nothing is wrong.
  returned: when the options were usable
  type: list
  elements: dict
  contains:
    code:
      description: Stable identifier, V(VW-X00) for a symptom that no rule knows.
      type: str
      sample: VW-A01
    severity:
      description: Warnings do not fail the probe.
      type: str
      choices: [error, warning]
    symptom:
      description: What was seen.
      type: str
    cause:
      description: Why it happens.
      type: str
    fix:
      description: What to do.
      type: str
"""

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import Answer, Finding, headline, verdict
from ansible_collections.vaultwire.stack.plugins.module_utils._http import (
    VAULT_ARGUMENTS,
    AddressError,
    parse_target,
    tls_context,
)
from ansible_collections.vaultwire.stack.plugins.module_utils._hub import Report, probe
from ansible_collections.vaultwire.stack.plugins.module_utils._internal import InternalError, named
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import LayoutError

ARGUMENTS: t.Dict[str, t.Dict[str, t.Any]] = {
    **VAULT_ARGUMENTS,
    "version": {"type": "str"},
    "layout": {"type": "str", "choices": ["auto", "legacy", "single_port"], "default": "auto"},
    "access_token": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 10},
    "wait": {"type": "float", "default": 0},
    "idle_seconds": {"type": "float", "default": 0},
    "more_findings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **{name: {"type": "str", "required": True} for name in ("code", "symptom", "cause", "fix")},
            "severity": {"type": "str", "choices": ["error", "warning"], "required": True},
        },
    },
    "fail_on_fault": {"type": "bool", "default": True},
}

_PAUSE_SECONDS = 0.5


def probe_until_ok(params: t.Mapping[str, t.Any]) -> t.Tuple[Report, int]:
    """Probe, again and again within ``wait`` seconds, and return the last report and the number of attempts."""
    target = parse_target(params["url"], params["connect_to"])
    context = tls_context(target, params["ca_file"], params["ca_content"], params["validate_certs"])
    last_start = time.monotonic() + params["wait"]
    attempts = 0
    while True:
        attempts += 1
        report = probe(
            target,
            context,
            version=params["version"] or "",
            layout=params["layout"],
            token=params["access_token"] or "",
            timeout=params["timeout"],
            idle=params["idle_seconds"],
        )
        if verdict(report.findings) == "ok" or time.monotonic() + _PAUSE_SECONDS > last_start:
            return report, attempts
        time.sleep(_PAUSE_SECONDS)


def shape(report: Report, attempts: int) -> t.Dict[str, t.Any]:
    """A report as the module returns it."""
    seen = report.observation
    return {
        "changed": False,
        "verdict": verdict(report.findings),
        "url": seen.url,
        "version": seen.version_served or seen.version_expected,
        "era": seen.era,
        "layout": seen.layout_seen or (seen.plan.layout if seen.plan else ""),
        "alive": _shape_answer(seen.alive),
        "hub": _shape_answer(seen.hub),
        "hub_plain": _shape_answer(seen.hub_plain),
        "hub_session": _shape_answer(seen.hub_session) if seen.hub_session else None,
        "anonymous_hub": _shape_answer(seen.anonymous_hub),
        "timings_ms": report.timings_ms,
        "attempts": attempts,
        "diagnosis": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "symptom": finding.symptom,
                "cause": finding.cause,
                "fix": finding.fix,
            }
            for finding in report.findings
        ],
    }


def _shape_answer(answer: Answer) -> t.Dict[str, t.Any]:
    return {
        "status": answer.status,
        "handshake": answer.handshake,
        "closed_after_101": answer.closed_after_101,
        "body": answer.body,
        "server": answer.server,
        "location": answer.location,
        "error": answer.error,
        "held_seconds": None if answer.held is None else round(answer.held, 1),
        "pings": answer.pings,
    }


def judge(params: t.Mapping[str, t.Any], reveal: bool = False) -> t.Dict[str, t.Any]:
    """The result of the module, with what it warns of. Raises AddressError and LayoutError before anything is asked.

    An error of the probe itself is a result without a verdict, with its traceback where ``reveal`` says so.
    """
    try:
        with named("the probe", (AddressError, LayoutError)):
            return _judge(params)
    except InternalError as exc:
        return {"changed": False, **exc.result(reveal), "warnings": []}


def _judge(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    report, attempts = probe_until_ok(params)
    more = [Finding(**entry) for entry in params["more_findings"]]
    # Who has seen on the host that the proxy is stopped need not guess why its port refuses.
    known = {found.code for found in more} & {"VW-T02"}
    findings = list(dict.fromkeys([*(found for found in report.findings if found.code not in known), *more]))
    report = dataclasses.replace(report, findings=sorted(findings, key=lambda found: found.severity))
    result = shape(report, attempts)
    said = {
        severity: [found.sentence() for found in report.findings if found.severity == severity]
        for severity in ("error", "warning")
    }
    if said["error"] and params["fail_on_fault"]:
        head = headline(result["url"], report.findings)
        result.update(failed=True, msg="\n".join([head, *said["error"]]))
    return {**result, "warnings": said["warning"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("ca_file", "ca_content")],
        supports_check_mode=True,
    )
    try:
        result = judge(module.params)
    except (AddressError, LayoutError) as exc:
        module.fail_json(msg=f"{exc} Nothing was asked.")
    for warning in result.pop("warnings"):
        module.warn(warning)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
