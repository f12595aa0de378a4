# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/diagnosis.md from the texts of the diagnosis, so that the table cannot fall behind the code.

Usage: make_diagnosis.py [--check]   with --check nothing is written, and an outdated file is a failure
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from diagnosis_cases import CASES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "diagnosis.md"

HEAD = """\
<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
<!-- Made by tools/make_diagnosis.py from _diagnosis.py, _host_findings.py and diagnosis_cases.py. Do not edit. -->

# Diagnosis

`playbooks/verify.yml` and the module `hub_probe` answer with findings. Each has a stable code, what was seen, why it
happens and what to do. How the probe asks, and how to read its result, is in [proving.md](proving.md).

An error fails the check, a warning does not. VW-L02 is a warning, and an error where the layout `single_port` was asked
for. A code with several rows has one for each situation in which the cause or the remedy differs.

The first letter says where to look: A, B and C at the proxy's routes, the upgrade and the token; D at what the proxy
tells of clients; E and F at settings and data, which only a look at the host shows; L at the second port of older
releases; T at the connection and TLS; V at the version; W at the WebSocket itself. X is a symptom that no rule knows,
shown as it was seen, or a configuration that the look cannot read.

Words in angle brackets stand for what the probe saw. Paths are given for a vault at the root of its host; where
the address has a path of its own, they begin with it.

## Seen from outside

"""

COLUMNS = "| Code | Severity | Symptom | Cause | Fix |\n|---|---|---|---|---|\n"

HOST_HEAD = """
## Seen on the host

With an inventory `playbooks/verify.yml` looks at the host as well, and names what it finds together with the rest. It
reads containers, sites of nginx and Caddy, the names in config.json, and the last 500 lines of a running server's log;
no secret is shown, and no client's name or address. Only vaults that run are judged.

That log shows VW-D01 where the newest 20 sign-ins and sockets in it all come from the gateway of the container's
network, or from a container that publishes ports. The second port of older releases is left out, since it knows nothing
but its peer. Nothing is said of a server in the host's own network, of a proxy on another host, whose address could be
a client's, or where the engine keeps no log that can be read back.

"""

CASES_HEAD = """
## Failures that people have met

Who notices each: the `probe` from outside, the `live update` with an account, the look at the `host`, or the `roles`,
which do it right or refuse. "Nobody" means that no check can see it. Several codes: it depends on how the fault was
made and on the release.

| Case | What happens | Noticed by | Codes | Remark |
|---|---|---|---|---|
"""

#: What a placeholder of the texts becomes on the page; any other is shown by its name.
WORDS = {
    "alive": "`/alive`",
    "anonymous_hub": "`/notifications/anonymous-hub`",
    "base_path": "",
    "body": "`<kind of body>`",
    "connect_host": "`<host>`",
    "connect_port": "`<port>`",
    "hub": "`/notifications/hub`",
    "raw": "`<path>` answered `<answer>`",
    "version_expected": "`<expected version>`",
    "what": "`<answer>`",
    "where": "`<path>`",
}
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def readable(text: str) -> str:
    """A text of the diagnosis for people: placeholders as words, nothing that would end a cell of the table."""
    named = PLACEHOLDER.sub(lambda found: WORDS.get(found.group(1), f"`<{found.group(1)}>`"), text)
    return named.replace("|", "\\|").replace("WEBSOCKET_*", "`WEBSOCKET_*`")


def page() -> str:
    """The whole page."""
    from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis, _host_findings

    return (
        HEAD
        + COLUMNS
        + table(_diagnosis._TEXTS)
        + HOST_HEAD
        + COLUMNS
        + table(_host_findings.TEXTS)
        + CASES_HEAD
        + "".join(
            f"| {' | '.join(cells)} |\n"
            for cells in (
                (case.number, case.title, ", ".join(case.seen), ", ".join(case.codes), remark(case.note))
                for case in CASES
            )
        )
    )


def remark(note: str) -> str:
    """Variables as code."""
    return re.sub(r"\b[a-z]+(_[a-z]+)+\b", lambda found: f"`{found.group()}`", note)


def table(texts: Mapping[str, Any]) -> str:
    """Texts of findings as rows, in the order of their codes."""
    rows = (
        (text.code, text.severity, readable(text.symptom), readable(text.cause), readable(text.fix))
        for __, text in sorted(texts.items(), key=lambda entry: (entry[1].code, entry[0]))
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    wanted = page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is outdated. Run tools/make_diagnosis.py and commit the result.")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "collections"))
    sys.exit(main(sys.argv[1:]))
