# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of its host the server's container may use: disk for its log, memory, processes.

Pure: no Ansible imports, Python 3.8 and later. The settings arrive as one mapping whose keys are the role's variables
without their ``vaultwarden_`` prefix. An empty string or 0 lifts a limit.
"""

from __future__ import annotations

import re
import typing as t

Settings = t.Mapping[str, t.Any]
Engine = t.Mapping[str, t.Any]

#: Drivers that write files of their own and take the options for size and number. Others refuse these options.
FILE_DRIVERS = ("json-file", "local")

_SIZE = re.compile(r"([1-9][0-9]{0,9})([kmg])")
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_SHARE = re.compile(r"([1-9][0-9]?|100)%")
#: An idle server takes 40 MB, and each sign-in to the admin page 64 MiB more for Argon2.
_LEAST_MEMORY = "256m"
#: A share of the host's memory is rounded down to these many MiB, since another kernel leaves a little more or less of
#: it, and each other limit makes another container.
_STEP = 64
_LEAST_LOG = "100k"
#: The driver "local" does not start with one file, since it has none to compress.
_LOG_FILES = (2, 1000)
#: Two dozen threads of an idle server on a large machine, and the programs of the health check.
_PROCESSES = (64, 2**22)


class Caps(t.NamedTuple):
    """What follows for one container on one engine.

    ``options``: options of the module docker_container; one that is left out is not limited.
    ``label``: the same as a text. A limit that is lifted again leaves no trace among the options, and the engine's own
    configuration may add to them, so this text is what makes a container with other limits a different one.
    ``lost``: limits that were asked for and that this host cannot hold, as sentences.
    """

    options: t.Dict[str, t.Any]
    label: str
    lost: t.List[str]


def find_problems(settings: Settings) -> t.Iterator[str]:
    """Why the limits cannot work, as full sentences; none where they can."""
    problems = (problem_of(key, settings[key]) for key in _RULES)
    return (problem for problem in problems if problem)


def problem_of(key: str, value: object) -> str:
    """Why one limit cannot work; empty where it can."""
    return _RULES[key](value)


def _log_size_problem(value: object) -> str:
    return _size_problem("log_max_size", value, _LEAST_LOG, "10m")


def _memory_problem(value: object) -> str:
    return "" if _matches(_SHARE, value) else _size_problem("memory_limit", value, _LEAST_MEMORY, "2g or 75%")


def _log_files_problem(value: object) -> str:
    fewest, most = _LOG_FILES
    if _is_number(value, fewest, most):
        return ""
    return (
        f"vaultwarden_log_max_files is {value!r}. Give a number from {fewest} to {most}. To limit nothing, set "
        f"vaultwarden_log_max_size to an empty string."
    )


def _processes_problem(value: object) -> str:
    fewest, most = _PROCESSES
    if is_lifted(value) or _is_number(value, fewest, most):
        return ""
    return f"vaultwarden_pids_limit is {value!r}. Give a number from {fewest} to {most}, or 0 for no limit."


_RULES: t.Dict[str, t.Callable[[object], str]] = {
    "log_max_size": _log_size_problem,
    "log_max_files": _log_files_problem,
    "memory_limit": _memory_problem,
    "pids_limit": _processes_problem,
}


def caps_for(settings: Settings, engine: Engine) -> Caps:
    """The limits of a container on an engine, which is described as by _host.engine_info."""
    options: t.Dict[str, t.Any] = {}
    lost = []
    size, files = str(settings["log_max_size"]), str(settings["log_max_files"])
    # Where else the log goes was decided for the whole engine, and is limited there.
    limit_log = not is_lifted(settings["log_max_size"]) and engine["log_driver"] in FILE_DRIVERS
    if limit_log:
        options.update(log_driver=engine["log_driver"], log_options={"max-size": size, "max-file": files})
    for kind, option, key in (("memory", "memory", "memory_limit"), ("pids", "pids_limit", "pids_limit")):
        if is_lifted(settings[key]):
            continue
        if kind in engine["limits"]:
            options[option] = _memory(settings[key], engine["memory"]) if kind == "memory" else settings[key]
        else:
            lost.append(
                f"The engine of this host cannot limit {_WORDS[kind]}, since its kernel does not offer that, so "
                f"vaultwarden_{key} ({settings[key]}) has no effect, and the server has no such limit. Enable "
                f"the kernel's control group controller {kind}, or set vaultwarden_{key} to 0."
            )
    label = " ".join(
        (
            f"log={size}x{files}" if limit_log else "log=-",
            f"memory={options.get('memory', '-')}",
            f"pids={options.get('pids_limit', '-')}",
        )
    )
    return Caps(options, label, lost)


def _memory(value: str, total: int) -> str:
    """A limit of memory in the engine's notation; a share is one of ``total`` bytes, and never less than the least."""
    share = _SHARE.fullmatch(value)
    if not share:
        return value
    megabytes = total * int(share.group(1)) // 100 // 2**20
    return f"{max(megabytes // _STEP * _STEP, _STEP * 4)}m"


_WORDS = {"memory": "the memory of a container", "pids": "the number of processes of a container"}


def is_lifted(value: object) -> bool:
    """Whether a setting says that there is no limit."""
    return not isinstance(value, bool) and value in ("", "0", 0)


def parse_size(text: object) -> t.Optional[int]:
    """``10m`` -> bytes; None where it is no number with the unit k, m or g."""
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    return int(found.group(1)) * _UNITS[found.group(2)] if found else None


def _matches(pattern: t.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _size_problem(key: str, value: object, least: str, example: str) -> str:
    size = parse_size(value)
    if is_lifted(value) or (size is not None and size >= t.cast(int, parse_size(least))):
        return ""
    return (
        f"vaultwarden_{key} is {value!r}. Give a number with the unit k, m or g, at least {least}, for example "
        f"{example}; or an empty string for no limit."
    )


def _is_number(value: object, fewest: int, most: int) -> bool:
    return not isinstance(value, bool) and bool(
        re.fullmatch(r"[0-9]{1,9}", str(value)) and fewest <= int(str(value)) <= most
    )
