# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test sanity`` on the built and installed collection.

Usage: sanity.py [--ansible-test PATH] [ARGUMENT...]

PATH is the ansible-test of the core to test with, by default the one beside the running Python. Further arguments go to
ansible-test, for example ``--test validate-modules``. ansible-test keeps a virtual environment with pinned packages for
each of its tests. Here they are kept in build/sanity, so the network is needed for the first run with a core only.

Ends with ansible-test's own code. Runs with the standard library of Python 3.11, so that any controller can start it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "sanity"
#: Tests that would find nothing to do: the collection has no PowerShell.
LEFT_OUT = ("pslint",)
#: ansible-test fetches the installer of pip from a server of its own. This does the same with the pip that Python
#: carries, so that a package index is all that is needed.
INSTALLER = """\
import subprocess
import sys

# In a process of its own, since it switches pip's configuration off for the one it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
packages = [argument for argument in sys.argv[1:] if "==" in argument]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *packages]))
"""


def install(bin_directory: Path, directory: Path) -> Path:
    """Build the collection, install the package below the directory, and give the path of the installed copy."""
    galaxy = [str(bin_directory / "ansible-galaxy"), "collection"]
    # Offline, without dependencies, and away from the repository's ansible.cfg.
    subprocess.run([*galaxy, "build", "--output-path", str(directory), str(ROOT)], cwd=directory, check=True)
    package = next(directory.glob("*.tar.gz"))
    subprocess.run(
        [*galaxy, "install", str(package), "--collections-path", str(directory), "--no-deps", "--offline"],
        cwd=directory,
        check=True,
    )
    return directory / "ansible_collections" / "vaultwire" / "stack"


def installer_name(bin_directory: Path) -> str:
    """The name under which this ansible-test looks for the installer of pip. The file names the release of pip."""
    found = subprocess.run(
        [str(bin_directory / "python"), "-c", "import ansible_test; print(ansible_test.__path__[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    source = Path(found.stdout.strip()) / "_internal" / "python_requirements.py"
    release = re.search(r"\bpip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if release is None:
        raise SystemExit(f"{source} does not say which pip it wants. Adapt installer_name() in {__file__}.")
    return f"get_pip_{release.group(1).replace('.', '_')}.py"


def prepare_home(bin_directory: Path) -> None:
    """Make the home of ansible-test: the installer of pip, and the user's own settings of pip."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / installer_name(bin_directory)).write_text(INSTALLER, encoding="utf-8")
    settings = Path.home() / ".config" / "pip"
    if settings.is_dir():
        (HOME / ".config").mkdir(exist_ok=True)
        shutil.copytree(settings, HOME / ".config" / "pip", dirs_exist_ok=True)


def search_path(bin_directory: Path) -> str:
    """Where ansible-test finds Pythons: each that is there has its import and compile tests.

    pyenv puts a starter for every version on the path, of which most refuse to start. Its versions themselves do.
    """
    usual = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry).name != "shims"]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")
    return os.pathsep.join([str(bin_directory), *usual, *map(str, sorted(versions))])


def environment(bin_directory: Path) -> dict[str, str]:
    """The caller's environment without Ansible's settings, with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "HOME": str(HOME), "PATH": search_path(bin_directory), "LC_ALL": "C.UTF-8"}


def main() -> int:
    """Install the collection in a temporary directory and test it there."""
    parser = ArgumentParser(description="Run ansible-test sanity on the built and installed collection.")
    parser.add_argument("--ansible-test", type=Path, default=Path(sys.executable).parent / "ansible-test")
    options, further = parser.parse_known_args()
    # Not resolved: the links of a virtual environment are what makes it one.
    bin_directory = options.ansible_test.absolute().parent
    prepare_home(bin_directory)
    with tempfile.TemporaryDirectory(prefix="sanity-") as directory:
        collection = install(bin_directory, Path(directory))
        left_out = [argument for name in LEFT_OUT for argument in ("--skip-test", name)]
        return subprocess.run(
            [str(options.ansible_test), "sanity", "--python", "default", "--requirements", "--color", "no"]
            + (further if "--test" in further else [*left_out, *further]),
            cwd=collection,
            env=environment(bin_directory),
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
