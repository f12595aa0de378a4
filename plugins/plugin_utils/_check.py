# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the role notifications_check, what cannot work among them, and what is said of a proof.

Pure. It is Python and no Jinja because each template is compiled anew for each host: what the role asked for in forty
templates took as long as both proofs.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils import _internal, _packages
from ansible_collections.vaultwire.stack.plugins.module_utils._diagnosis import audience

Data = t.Dict[str, t.Any]

PREFIX = "notifications_check_"
_TEXT = {"type": "str", "default": ""}

#: The role's argument specs, without its name in front. A test compares them.
SETTINGS: t.Dict[str, t.Dict[str, t.Any]] = {
    "url": {"type": "str", "required": True},
    "from": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
    "coming_packages": {"type": "list", "elements": "str", "default": []},
    "connect_to": _TEXT,
    "ca_content": _TEXT,
    "ca_file": _TEXT,
    "version": _TEXT,
    "layout": {"type": "str", "choices": ["auto", "legacy", "single_port"], "default": "auto"},
    "live_update": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
    "email": _TEXT,
    "password": _TEXT,
    "signup": {"type": "bool", "default": False},
    "admin_token": _TEXT,
    "token_unfit": {"type": "str", "choices": ["", "mail", "hash"], "default": ""},
    "timeout": {"type": "int", "default": 10},
    "step_timeout": {"type": "int", "default": 5},
    "idle_seconds": {"type": "int", "default": 0},
    "host_findings": {"type": "list", "elements": "dict", "default": []},
    "push": {"type": "str", "choices": ["unknown", "configured", "none"], "default": "unknown"},
    "failed_look": {"type": "dict", "default": {}},
    "undone": _TEXT,
    "wait": {"type": "int", "default": 10},
    "report_file": _TEXT,
    "report_dir": _TEXT,
    "no_log": {"type": "bool", "default": True},
}
SECRETS = ("admin_token", "password")
_MASK = "********"

_ARRIVED = (
    "an item created, renamed and deleted in one session reached another after {create_ms}, {rename_ms} and "
    "{delete_ms} ms"
)


def problems(settings: Data) -> t.List[str]:
    """What cannot work, as sentences. Secrets are judged here and never quoted."""
    settings = {name: "" if value is None else value for name, value in settings.items()}
    account = has_account(settings)
    rules = (
        (
            settings["ca_file"] and settings["ca_content"],
            "notifications_check_ca_file and notifications_check_ca_content are both set. Keep one of them.",
        ),
        (
            bool(settings["email"]) != bool(settings["password"]),
            "Only one of notifications_check_email and notifications_check_password is set. A test account needs both.",
        ),
        (
            settings["live_update"] == "always" and not account,
            "notifications_check_live_update is always, but there is no account for it. Set notifications_check_email "
            "and notifications_check_password, or notifications_check_admin_token, or notifications_check_signup.",
        ),
        (
            settings["live_update"] != "never" and settings["admin_token"].startswith("$argon2"),
            "notifications_check_admin_token is a hash. Set the token that is typed into the admin page, or leave it "
            "empty.",
        ),
    )
    return [*(text for broken, text in rules if broken), *_needs(settings)]


def _needs(settings: Data) -> t.Iterator[str]:
    """What Ansible's own Python lacks for the live update. A host is asked by the module itself."""
    if settings["from"] == "controller" and live_wanted(settings):
        lacking = _packages.problem("The proof of a live update", _packages.missing(_packages.LIVE_UPDATE))
        if lacking:
            yield f"{lacking} To do without this proof, set notifications_check_live_update to never."


def has_account(settings: Data) -> bool:
    """Whether there is an account that the live update can use."""
    return bool(settings["email"] or settings["signup"] or settings["admin_token"])


def live_wanted(settings: Data) -> bool:
    """Whether a live update is to be tried."""
    return settings["live_update"] == "always" or (settings["live_update"] == "auto" and has_account(settings))


def probe_options(settings: Data, check_mode: bool) -> Data:
    """The options of the module hub_probe."""
    return {
        **_address(settings),
        **_given(settings, "version", "layout", "timeout", "idle_seconds"),
        "more_findings": settings["host_findings"],
        # In check mode there may be nothing to ask yet: the report then says what was found.
        "wait": 0 if check_mode else settings["wait"],
        "fail_on_fault": not check_mode,
    }


def live_options(settings: Data) -> Data:
    """The options of the module live_update, secrets among them."""
    return {
        **_address(settings),
        **_given(settings, "signup", "email", *SECRETS),
        "timeout": settings["timeout"] + 4 * settings["step_timeout"],
        "timeout_per_step": settings["step_timeout"],
    }


def _address(settings: Data) -> Data:
    return _given(settings, "url", "connect_to", "ca_content", "ca_file")


def _given(settings: Data, *names: str) -> Data:
    return {name: settings[name] for name in names if settings[name] != ""}


def why_not(settings: Data) -> Data:
    """Why nothing is asked, in the form of a probe without a verdict; empty where the proofs can begin."""
    look = settings["failed_look"]
    if look:
        said = str(look.get("msg") or "A look at the host ended without a result.").rstrip()
        kept = {_internal.KEY: look[_internal.KEY]} if look.get(_internal.KEY) else {}
        text = f"{said} The vault was not asked."
        return {"failed": True, "unreachable": bool(look.get("unreachable")), "msg": text, **kept}
    found = problems(settings)
    return {"failed": True, "msg": " ".join([*found, "The vault was not asked."])} if found else {}


def verdict(proof: Data, settings: Data, check_mode: bool = False) -> Data:
    """The message about a proof, and whether it ends the run on this host, as ``failed`` or as ``unreachable``."""
    live_update = settings["live_update"]
    probe, live = proof["probe"], proof.get("live_update") or {}
    if probe.get("unreachable"):
        return {"unreachable": True, "msg": probe["msg"]}
    if probe.get("failed") or "verdict" not in probe:
        return {**probe, "failed": True, "msg": probe.get("msg") or "The probe ended without a result."}
    if live.get(_internal.KEY):
        said = f"Both hubs of {proof['url']} answer, and a live update was not proved. {live['msg']}"
        return {"failed": True, "msg": said, _internal.KEY: live[_internal.KEY]}
    # Without an account of its own the check depends on the server's patience, which is no fault of the channel.
    limited = bool(live.get("rate_limited")) and live_update != "always"
    proved = "delete_ms" in (live.get("latencies") or {}) and not live.get("failed")
    if not (proved or limited or live.get("skipped")):
        why = live.get("msg") or "The module ended without a result."
        return {"failed": True, "msg": f"The live update of {proof['url']} failed, although the hubs answer. {why}"}
    if proved:
        change = _ARRIVED.format(**live["latencies"])
    else:
        change = f"a live update was not proved, since {_reason(settings, limited, check_mode)}"
    version, layout = probe.get("version") or "an unknown version", probe.get("layout") or "unknown layout"
    if probe["verdict"] != "ok" and "alive" in probe and probe["alive"]["status"] is None:
        # Only check mode comes here: the version would be what is wanted, and nothing was seen to run it.
        return {"msg": f"{proof['url']} does not answer yet. {_channel(probe)}; {change}."}
    said = f"{proof['url']} runs {version} ({layout}): {_channel(probe)}; {change}."
    return {"msg": f"{said} {audience(settings['push'], proved)}" if probe["verdict"] == "ok" else said}


def masked(answer: t.Any, secrets: t.Sequence[str]) -> t.Any:
    """An answer as JSON has it, in which every secret that a string quotes is replaced by stars.

    Ansible does so for a module, by a function that goes with core 2.25. Names of fields stay as they are.
    """
    if isinstance(answer, dict):
        return {name: masked(value, secrets) for name, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [masked(value, secrets) for value in answer]
    if isinstance(answer, str):
        # The longest first: a secret that is a part of another would leave the rest of it.
        for secret in sorted(secrets, key=len, reverse=True):
            answer = answer.replace(secret, _MASK)
    return answer


def with_problem(said: Data, problem: str) -> Data:
    """A verdict that also fails for a problem of this run itself, if there is one."""
    return {**said, "failed": True, "msg": f"{said['msg']}\n{problem}"} if problem else said


def _channel(probe: Data) -> str:
    """What is to be said of the hubs; in check mode faults come here, too."""
    if probe["verdict"] != "ok":
        return " ".join(finding["symptom"] for finding in probe["diagnosis"]).rstrip(".")
    return "both hubs answer" if probe["anonymous_hub"]["handshake"] else "the hub answers"


_TEST_ACCOUNT = "set notifications_check_email and notifications_check_password to those of a test account"
#: What to set for a live update, by why the server's admin token makes no account for it.
_NO_ACCOUNT = {
    "": f"there is no account for it: {_TEST_ACCOUNT}, or set vaultwarden_admin_token, which can make one "
    "(notifications_check_admin_token for a vault that the inventory does not deploy)",
    "mail": f"there is no account for it, and on a server that sends mail the admin token makes none: {_TEST_ACCOUNT}",
    "hash": f"there is no account for it, and vaultwarden_admin_token is a hash, which opens no page: {_TEST_ACCOUNT}, "
    "or set notifications_check_admin_token to the token in plain text",
}


def _reason(settings: Data, limited: bool, check_mode: bool) -> str:
    if check_mode:
        return "this is check mode"
    if settings["live_update"] == "never":
        return "notifications_check_live_update is never"
    return "the server takes no further login just now (429)" if limited else _NO_ACCOUNT[settings["token_unfit"]]
