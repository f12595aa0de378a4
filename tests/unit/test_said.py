# SPDX-License-Identifier: GPL-3.0-or-later
"""What peers say is shown as one line that does nothing to a terminal, a comment of YAML or a reader's eyes."""

from __future__ import annotations

import pytest

from ansible_collections.vaultwire.stack.plugins.module_utils._said import shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Grüße, 世界", "Grüße, 世界"),
        ("a\nb\rc\x85d\u2028e\u2029f", "a\\nb\\rc\\x85d\\u2028e\\u2029f"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\u202egnp.exe\ufeff\u200b", "\\u202egnp.exe\\ufeff\\u200b"),
        ("\udcff", "\\udcff"),
        (None, "None"),
    ],
)
def test_nothing_but_printable_characters_is_shown(text: object, seen: str) -> None:
    assert shown(text) == seen


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 1000, 10) == "xxxxxxxxxx... (cut at 10 of 1000 characters)"
    assert shown("x" * 10, 10) == "xxxxxxxxxx"
