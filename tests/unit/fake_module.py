# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's main() in this process and read the JSON it prints."""

from __future__ import annotations

import contextlib
import io
import json
import typing as t

from ansible.module_utils.testing import patch_module_args


def within_limit(command: list[str]) -> list[str]:
    """The command behind its limit, for engines that tests play. Every command of a module has one."""
    assert command[0] == "timeout" and float(command[2]) > 0
    return command[3:]


def run_module(main: t.Callable[[], None], **arguments: t.Any) -> dict[str, t.Any]:
    """The result of a module; it is kept as text under ``printed``, to search it for secrets."""
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main()
    return read_result(output.getvalue())


def read_result(output: str) -> dict[str, t.Any]:
    """The result that a module printed; it is kept as text under ``printed``, to search it for secrets."""
    result: dict[str, t.Any] = json.loads(output)
    # core 2.22 tells the controller what to mask, which is no part of the result.
    result.pop("_ansible_new_secrets", None)
    return {**result, "printed": json.dumps(result)}
