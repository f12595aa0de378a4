# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant, run, and search what is left: the pieces of the search for secrets."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SAMPLER = Path(__file__).with_name("sampler.py")


def planted(settings: Mapping[str, Any]) -> dict[str, str]:
    """Variable -> secret, for all texts of an inventory that are marked as planted."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found.update(planted(value))
        elif str(value).startswith("planted-"):
            found[name] = str(value)
    return found


def forms(secret: str) -> list[str]:
    """The secret, and what is sure to be in any Base64 text that holds it, wherever it begins there."""
    raw = secret.encode()
    inner = [base64.b64encode(raw[skip : skip + (len(raw) - skip) // 3 * 3]).decode() for skip in range(3)]
    return [secret, *inner]


def needles(secrets: Mapping[str, str]) -> dict[str, str]:
    """``variable (form)`` -> what to look for."""
    return {
        f"{name} ({'plain' if number == 0 else 'Base64'} {number})": form
        for name, secret in secrets.items()
        for number, form in enumerate(forms(secret))
    }


def hits_in_text(text: str, secrets: Mapping[str, str]) -> set[str]:
    """Names of the needles that a text holds."""
    return {name for name, needle in needles(secrets).items() if needle in text}


def hits_in_tree(folder: Path, secrets: Mapping[str, str]) -> set[str]:
    """``file: needle`` for all files below a folder of the controller."""
    return {
        f"{path.relative_to(folder)}: {name}"
        for path in folder.rglob("*")
        if path.is_file()
        for name in hits_in_text(path.read_text(encoding="utf-8", errors="replace"), secrets)
    }


def on_host(host: str, script: str, text: str = "") -> str:
    """Run a shell script on a lab host with a text as its input; what it prints."""
    command = ["docker", "exec", "-i", host, "sh", "-c", script]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, errors="replace").stdout


def files_on_host(host: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """Path -> mode and owner of every file of a host that holds a needle, images, temporary folders and logs too."""
    script = (
        "grep -rlFIa --devices=skip --exclude-dir=proc --exclude-dir=sys -f - / 2>/dev/null"
        " | while read -r path; do stat -c '%a %u %n' \"$path\"; done"
    )
    found = on_host(host, script, "\n".join(needles(secrets).values()) + "\n")
    rows = [line.split(" ", 2) for line in found.splitlines()]
    return {path: f"{mode} {owner}" for mode, owner, path in rows}


@contextlib.contextmanager
def sampled(host: str, secrets: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Watch the processes of the controller and of a host; the list is filled when the block ends."""
    plain = json.dumps(dict(secrets)) + "\n"
    program = SAMPLER.read_text(encoding="utf-8")
    commands = [[sys.executable, "-c", program], ["docker", "exec", "-i", host, "python3", "-c", program]]
    pipe = subprocess.PIPE
    samplers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for command in commands]
    results: list[dict[str, Any]] = []
    try:
        for sampler in samplers:
            assert sampler.stdin is not None
            sampler.stdin.write(plain)
            sampler.stdin.flush()
        yield results
    finally:
        outputs = [sampler.communicate(timeout=60)[0] for sampler in samplers]
    results.extend(json.loads(output) for output in outputs)
