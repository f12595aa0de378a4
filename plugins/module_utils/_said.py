# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of a server, host, registry or image, made fit to be shown to the operator. Pure: no Ansible imports.

A peer may put anything into a text: escapes that rewrite the terminal, line separators that end a comment of YAML,
characters that turn the direction of writing, a megabyte. What is shown has one line, and says where it was cut.
"""

from __future__ import annotations

import unicodedata

#: Characters of a text that are shown.
LONGEST = 300


def shown(text: object, longest: int = LONGEST) -> str:
    """A text as one line of printable characters, no longer than ``longest``; others become escapes like ``\\x1b``."""
    whole = str(text)
    kept = "".join(_visible(character) for character in whole[:longest])
    return f"{kept}... (cut at {longest} of {len(whole)} characters)" if len(whole) > longest else kept


def _visible(character: str) -> str:
    # Control, format, surrogate, private and unassigned characters, and the separators of lines and paragraphs.
    hidden = unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp")
    return character.encode("unicode_escape").decode("ascii") if hidden else character
