# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/diagnosis.md from the texts of the diagnosis, so that the table cannot fall behind the code.

Usage: make_diagnosis.py [--check]   with --check nothing is written, and an outdated file is a failure
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "diagnosis.md"

HEAD = """\
<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
<!-- Made by tools/make_diagnosis.py from plugins/module_utils/_diagnosis.py. Changes made here are overwritten. -->

# Diagnosis

The module `hub_probe` answers with findings. Each has a stable code, what was seen, why it happens and what to do.
How the probe asks, and how to read its result, is in [proving.md](proving.md).

An error fails the check, a warning does not. VW-L02 is a warning, and an error where the layout `single_port` was asked
for. A code with several rows has one for each situation in which the cause or the remedy differs.

The first letter says where to look: A, B and C at the proxy's routes, the upgrade and the token; D at what the proxy
tells of clients; L at the second port of older releases; T at the connection and TLS; V at the version; W at the
WebSocket itself. X is a symptom that no rule knows; it is shown as it was seen.

Words in angle brackets stand for what the probe saw. Paths are given for a vault at the root of its host; where
the address has a path of its own, they begin with it.

| Code | Severity | Symptom | Cause | Fix |
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
    from ansible_collections.vaultwire.stack.plugins.module_utils import _diagnosis

    texts = sorted(_diagnosis._TEXTS.items(), key=lambda entry: (entry[1].code, entry[0]))
    rows = (
        (text.code, text.severity, readable(text.symptom), readable(text.cause), readable(text.fix))
        for _, text in texts
    )
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


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
