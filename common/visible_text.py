"""Text from outside in which every character can be seen: for documents and for the terminal.

Control characters, direction overrides, private-use and lone surrogate code points are spelled out
as ``⟨U+202E⟩``: they can reorder or hide what a reader sees, command a terminal, and PDF/A forbids
some of them. Line breaks become spaces.
"""

from __future__ import annotations

import re
import unicodedata

SPELLED_OUT = {"Cc", "Cf", "Co", "Cs", "Cn"}


def visible(text: str) -> str:
    """Return one line of text in which every character can be seen."""
    if text.isprintable():
        return text
    one_line = re.sub(r"[\r\n\t\v\f\x85\u2028\u2029]+", " ", text)
    return "".join(
        f"⟨U+{ord(char):04X}⟩" if unicodedata.category(char) in SPELLED_OUT else char
        for char in one_line
    )


def visible_lines(text: str) -> str:
    """Return text in which every character can be seen and line breaks are kept."""
    return "\n".join(visible(line) for line in text.splitlines())
