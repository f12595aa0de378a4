# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common part of the modules that change a proxy's files as one: show, keep copies, write, check, remember."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from . import _files
from ._commands import CommandTimeout, limited

Changes = t.Sequence[t.Tuple[_files.Wanted, _files.Found]]


def run(
    module: AnsibleModule,
    changes: Changes,
    hidden: t.Collection[str],
    check: t.Sequence[str],
) -> t.Dict[str, t.Any]:
    """Make the changes and return the module's result, or put everything back and fail.

    ``hidden`` names files whose content is not shown. Parameters of the module: ``marker``, and ``keep`` for copies of
    what was there. Without a ``check`` nobody is asked.
    """
    marker, keep = module.params["marker"], module.params["keep"]
    pending = os.path.exists(marker)
    result = {
        "changed": bool(changes) or pending,
        "written": [wanted.path for wanted, __ in changes],
        "pending": pending,
        "diff": _show(changes, hidden),
    }
    if module.check_mode or not result["changed"]:
        return result

    def ask() -> t.Optional[str]:
        code, out, err = limited(module.run_command)(list(check)) if check else (0, "", "")
        return None if code == 0 else (err + out).strip()

    kept = bool(keep) and not os.path.exists(keep)
    try:
        if keep:
            _files.keep_copies(keep, {wanted.path: found for wanted, found in changes})
        os.makedirs(os.path.dirname(marker), exist_ok=True)
        with open(marker, "w", encoding="ascii"):
            pass
        _files.apply_checked(changes, ask)
    except (_files.CheckFailed, OSError) as exc:
        if not pending and os.path.exists(marker):
            os.unlink(marker)
        if kept:
            _files.drop_copies(keep)
        cause = f"Writing failed: {exc}."
        if isinstance(exc, _files.CheckFailed):
            cause = f"{' '.join(check)} says: {exc}"
        elif isinstance(exc, CommandTimeout):
            cause = str(exc)
        module.fail_json(
            msg=f"The new configuration was not taken, and the files are as they were. {cause}",
            written=[],
            pending=pending,
        )
    return result


def _show(changes: Changes, hidden: t.Collection[str]) -> t.List[t.Dict[str, str]]:
    def text(path: str, content: t.Optional[bytes]) -> str:
        if path in hidden and content is not None:
            return "(not shown)\n"
        return (content or b"").decode(errors="replace")

    return [
        {
            "before_header": wanted.path,
            "after_header": wanted.path,
            "before": text(wanted.path, found.content),
            "after": text(wanted.path, wanted.content),
        }
        for wanted, found in changes
    ]
