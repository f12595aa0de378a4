# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of bad input: every row is refused, by a sentence that helps and shows no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_proxy import settings as proxy_settings
from test_settings import SECRET, settings

from ansible_collections.vaultwire.stack.plugins.module_utils import _proxy, _settings
from ansible_collections.vaultwire.stack.plugins.plugin_utils import _variables

ROWS = yaml.safe_load((Path(__file__).parent.parent / "bad_input.yml").read_text(encoding="utf-8"))
LONG = "a" * 10_240


def filled(value: Any) -> Any:
    """A value of the table with its placeholders replaced."""
    if isinstance(value, dict):
        return {name: filled(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [filled(entry) for entry in value]
    return value.replace("${LONG}", LONG).replace("${SECRET}", SECRET) if isinstance(value, str) else value


@pytest.mark.parametrize("row", [row for row in ROWS if "make" not in row], ids=lambda row: str(row["set"]))
def test_bad_input_is_refused(row: dict[str, Any]) -> None:
    """One sentence has the variable and the remedy; none has a secret, or fills the screen."""
    given = filled(row["set"])
    of_proxy = {name: value for name, value in given.items() if name.startswith("reverse_proxy_")}
    of_server = {name: value for name, value in given.items() if name not in of_proxy}
    names = [*of_proxy, *(f"vaultwarden_{name}" for name in of_server)]
    problems = [
        *_variables.unknown_variables(names),
        *_settings.find_problems(settings(**of_server)),
        *_proxy.find_problems(proxy_settings(**{name[len("reverse_proxy_") :]: of_proxy[name] for name in of_proxy})),
    ]
    assert any(all(text in problem for text in row["says"]) for problem in problems), problems
    assert SECRET not in " ".join(problems)
    assert max(len(problem) for problem in problems) < 1000


def test_the_table_is_not_cut_short() -> None:
    """Rows are data, and data gets lost without a word."""
    assert len(ROWS) >= 80
    assert len({repr(row["set"]) for row in ROWS}) == len(ROWS)
