# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that Ansible can read the documentation of every module and role of this collection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "vaultwire.stack"


def documented(kind: str, names: list[str]) -> set[str]:
    """Those of the names that ansible-doc knows, without the collection's own name."""
    shown = subprocess.run(
        ["ansible-doc", "--json", "--type", kind, *(f"{COLLECTION}.{name}" for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode != 0:
        print(shown.stderr)
        return set()
    return {name.removeprefix(f"{COLLECTION}.") for name in json.loads(shown.stdout)}


def main() -> int:
    """Name everything that has no documentation."""
    wanted = {
        "module": sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")),
        "role": sorted(path.name for path in (ROOT / "roles").iterdir()),
    }
    missing = [f"{kind} {name}" for kind, names in wanted.items() for name in set(names) - documented(kind, names)]
    for entry in missing:
        print(f"ansible-doc cannot show {entry}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
