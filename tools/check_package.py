# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection, install the package elsewhere, and load a playbook from there by its full name."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNWANTED = (".venv", ".git/", "build/", "collections/", "extensions/", ".ci/")


def main() -> int:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", folder], cwd=ROOT, check=True)
        package = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(package) as archive:
            strange = [name for name in archive.getnames() if name.startswith(UNWANTED)]
        if strange:
            print(f"The package holds what it should not: {strange[:5]}")
            return 1
        # Offline and without dependencies: nothing is to be fetched for a check.
        subprocess.run(
            ["ansible-galaxy", "collection", "install", str(package), "--collections-path", folder, "--no-deps",
             "--offline"],
            cwd=folder, check=True,
        )  # fmt: skip
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": folder}
        environment.pop("ANSIBLE_CONFIG", None)
        subprocess.run(
            ["ansible-playbook", "--syntax-check", "-i", "localhost,", "vaultwire.stack.site"],
            cwd=folder, env=environment, check=True,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
