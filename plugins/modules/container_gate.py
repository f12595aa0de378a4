#!/usr/bin/python
# Copyright: vaultwire contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until the server in a container answers, or say why it does not."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_gate
short_description: Waits until the server in a container is alive
version_added: "0.1.0"
description:
  - Succeeds once the container runs and the server inside answers on its published port with the version that is
    expected. A container that keeps exiting fails with the last lines of its log.
author:
  - vaultwire contributors (@vaultwire)
options:
  container:
    description: Name of the container.
    type: str
    required: true
  url:
    description: Address of the server below which C(/alive) and C(/api/version) are asked, with its sub-path.
    type: str
    required: true
  version:
    description: Version the server must report. A build that reports none is taken as it is.
    type: str
    default: ""
  timeout:
    description: Seconds to wait.
    type: float
    default: 60
  log_lines:
    description: Lines of the container's log to show on failure.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
    description: Reads only. A container that is not there yet is passed over in check mode.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Wait until the server answers
  vaultwire.stack.container_gate:
    container: vaultwarden
    url: http://127.0.0.1:8080
    version: "1.37.2"
"""

RETURN = r"""
version:
  description: Version that the server reported.
  returned: success
  type: str
  sample: "1.37.2"
waited_ms:
  description: Milliseconds until it answered.
  returned: success
  type: int
"""

import http.client
import json
import time
import typing as t
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vaultwire.stack.plugins.module_utils import _commands, _internal

ARGUMENTS: t.Dict[str, t.Any] = {
    "container": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "version": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 60},
    "log_lines": {"type": "int", "default": 20},
}
POLL_SECONDS = 0.1
#: Restarts after which waiting longer is pointless: the server comes up at once or not at all.
HOPELESS_RESTARTS = 3

EXIT_CODES = {
    12: "The server refused its configuration.",
    101: "The server gave up at its start, as it does for a setting it cannot read.",
    137: "The container was killed, for example since it wanted more memory than vaultwarden_memory_limit.",
    255: "The server could not read its environment file.",
}


class State(t.NamedTuple):
    """What the engine says of the container; ``started`` changes with every restart."""

    status: str
    restarts: int
    exit_code: int
    started: str


def read_state(module: AnsibleModule) -> t.Optional[State]:
    """The container's state, or None where there is no such container."""
    code, out, __ = _commands.limited(module.run_command)(
        ["docker", "container", "inspect", module.params["container"]]
    )
    if code != 0:
        return None
    data = json.loads(out)[0]
    state = data["State"]
    return State(state["Status"], int(data.get("RestartCount", 0)), int(state["ExitCode"]), state["StartedAt"])


def ask(url: str) -> str:
    """The text of an answer of 200. Raises OSError for anything else."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=3) as answer:
        return str(answer.read(10_000).decode(errors="replace"))


def try_once(url: str) -> t.Tuple[t.Optional[str], str]:
    """``(version, "")`` of a server that answers, else ``(None, what was seen)``."""
    try:
        ask(f"{url}/alive")
        version = json.loads(ask(f"{url}/api/version"))
        return (version, "") if isinstance(version, str) else (None, f"{url}/api/version names no version")
    except urllib.error.HTTPError as exc:
        return None, f"{exc.url} answers {exc.code}"
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return None, str(getattr(exc, "reason", exc)) or type(exc).__name__


def explain(module: AnsibleModule, state: t.Optional[State], seen: str) -> str:
    """The failure in full sentences, ending with the log."""
    name, lines = module.params["container"], module.params["log_lines"]
    if state is None:
        return f"There is no container {name}. It was removed while the play waited for it."
    __, out, err = _commands.limited(module.run_command)(["docker", "logs", "--tail", str(lines), name])
    log = "\n".join(line for line in (out + err).splitlines() if line.strip())
    # While the engine waits to start it again, the exit code is that of the last run.
    reason = EXIT_CODES.get(state.exit_code, "") if state.status != "running" else ""
    return (
        f"The container {name} does not serve: its state is {state.status}, it was restarted {state.restarts} times, "
        f"its last exit code is {state.exit_code}, and a request got: {seen or 'no answer'}. {reason} "
        f"The end of its log says:\n{log or '(nothing)'}"
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    with _internal.reported(module, "container_gate", "The module"):
        run(module)


def run(module: AnsibleModule) -> None:
    """The work of the module, which ends it."""
    params = module.params
    begin = time.monotonic()
    first = read_state(module)
    if first is None and module.check_mode:
        module.exit_json(changed=False, version="", waited_ms=0)
    state, seen = first, ""
    while True:
        version, seen = try_once(params["url"])
        state = read_state(module)
        waited = time.monotonic() - begin
        if version is not None and state is not None and state.status == "running":
            break
        hopeless = first is not None and state is not None and state.restarts - first.restarts >= HOPELESS_RESTARTS
        if state is None or state.status in ("exited", "dead") or hopeless or waited > params["timeout"]:
            module.fail_json(msg=explain(module, state, seen))
        time.sleep(POLL_SECONDS)
    if params["version"] and version and version.partition("-")[0] != params["version"]:
        module.fail_json(
            msg=f"{params['url']} is served by version {version}, not by {params['version']} as the container's image "
            f"says. Another server holds that port: look at vaultwarden_http_port and at what runs on the host."
        )
    module.exit_json(changed=False, version=version, waited_ms=int(waited * 1000))


if __name__ == "__main__":
    main()
