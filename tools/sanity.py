# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test sanity`` on the built and installed collection.

Usage: sanity.py [--ansible-test PATH] [ARGUMENT...]

PATH is the ansible-test of the core to test with. By default it is the core that requirements.txt brings to the newest
Python of this machine. Further arguments go to ansible-test, for example ``--test validate-modules``. ansible-test
keeps a virtual environment with pinned packages for each of its tests. Here all of them are kept in build/sanity, so
the network is needed for the first run with a core only.

Ends with ansible-test's own code. Runs with the standard library of Python 3.11, so that any controller can start it.
"""

from __future__ import annotations

import fcntl
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
#: Tests that are left out, and why.
LEFT_OUT = {
    "pslint": "the collection has no PowerShell",
    "shellcheck": "the only scripts of this kind belong to the images of the lab, and the program is not installed",
}
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


def python_directories() -> list[str]:
    """Where Pythons may be. pyenv's starters refuse to run most versions that it has; its versions themselves do."""
    usual = [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry).name != "shims"]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin")
    return [*usual, *map(str, sorted(versions))]


def newest_python() -> tuple[int, Path]:
    """The newest Python 3 of this machine that is at least the running one, and its minor version."""
    found = [(sys.version_info.minor, Path(sys.executable))]
    for directory in python_directories():
        for path in Path(directory).glob("python3.*"):
            minor = re.fullmatch(r"python3\.(\d+)", path.name)
            if minor and os.access(path, os.X_OK):
                found.append((int(minor.group(1)), path))
    # The first of equals is the running one, whose environment has everything already.
    return max(found, key=lambda item: item[0])


def newest_ansible_test() -> Path:
    """The ansible-test of the newest core that runs here; installed if it is not the one beside this Python."""
    minor, python = newest_python()
    if minor == sys.version_info.minor:
        return Path(sys.executable).parent / "ansible-test"
    # The collections of the package "ansible" are not needed.
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    wanted = re.sub(r"^ansible==.*(?:\n .*)*\n", "", locked, flags=re.MULTILINE)
    place = HOME / f"python3.{minor}"
    stamp = place / "requirements.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        subprocess.run([str(python), "-m", "venv", "--clear", str(place)], check=True)
        fresh = place / "requirements.new"
        fresh.write_text(wanted, encoding="utf-8")
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        subprocess.run([*pip, "-r", str(fresh)], check=True)
        fresh.rename(stamp)
    return place / "bin" / "ansible-test"


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


def environment(bin_directory: Path) -> dict[str, str]:
    """The caller's environment without Ansible's settings, with a home of its own and all Pythons of the machine.

    ansible-test imports and compiles what runs on hosts with each Python that it finds.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    path = os.pathsep.join([str(bin_directory), *python_directories()])
    return {**kept, "HOME": str(HOME), "PATH": path, "LC_ALL": "C.UTF-8"}


def run(program: Path, further: list[str]) -> int:
    """Install the collection in a temporary directory and test it there."""
    prepare_home(program.parent)
    subprocess.run([str(program), "--version"], check=True)
    for name, reason in LEFT_OUT.items():
        print(f"left out: {name}, since {reason}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sanity-") as directory:
        collection = install(program.parent, Path(directory))
        skipped = [] if "--test" in further else [f"--skip-test={name}" for name in LEFT_OUT]
        return subprocess.run(
            [str(program), "sanity", "--python=default", "--requirements", "--color=no", *skipped, *further],
            cwd=collection,
            env=environment(program.parent),
            check=False,
        ).returncode


def main() -> int:
    """Take the core to test with, and test."""
    parser = ArgumentParser(description="Run ansible-test sanity on the built and installed collection.")
    parser.add_argument("--ansible-test", type=Path)
    options, further = parser.parse_known_args()
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w", encoding="utf-8") as lock:
        # Two runs at once would make the same virtual environments.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Not resolved: the links of a virtual environment are what makes it one.
        return run((options.ansible_test or newest_ansible_test()).absolute(), further)


if __name__ == "__main__":
    sys.exit(main())
