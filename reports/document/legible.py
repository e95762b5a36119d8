"""Text from outside made legible before a renderer escapes it.

Control characters, direction overrides, private-use and lone surrogate code points are spelled out
as ``⟨U+202E⟩``: they can reorder or hide what a reader sees, and PDF/A forbids some of them. Line
breaks become spaces; where a line break is meant, the document has a ``Break``.
"""

from __future__ import annotations

import re
import unicodedata

WORD_JOINTS = "-_,=/.:;+)]}"
ZERO_WIDTH_SPACE = "\u200b"
SPELLED_OUT = {"Cc", "Cf", "Co", "Cs", "Cn"}
LONGEST_UNBROKEN = 14


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


def breakable(text: str) -> str:
    """Return text whose long words may break: after joints, else every few characters."""
    return "".join(
        _breakable_word(part) if len(part) > LONGEST_UNBROKEN else part
        for part in re.split(r"(\s+)", text)
    )


def _breakable_word(word: str) -> str:
    pieces = _pieces(word, LONGEST_UNBROKEN)
    return ZERO_WIDTH_SPACE.join(pieces)


def _pieces(word: str, longest: int) -> list[str]:
    """Cut a word after its joints; pieces longer than ``longest`` are cut anywhere."""
    joints = re.findall(f"[^{re.escape(WORD_JOINTS)}]*[{re.escape(WORD_JOINTS)}]+|.+", word)
    return [
        joint[start : start + longest]
        for joint in joints
        for start in range(0, max(len(joint), 1), longest)
    ]


def wrapped(text: str, width: int, most_lines: int = 3) -> str:
    """Fold a label into lines of at most ``width`` characters, cut off with an ellipsis."""
    lines: list[str] = []
    for word in visible(text).split(" "):
        joiner = " "
        for piece in _pieces(word, width):
            if lines and len(lines[-1]) + len(joiner) + len(piece) <= width:
                lines[-1] += joiner + piece
            else:
                lines.append(piece)
            joiner = ""
    if len(lines) > most_lines:
        lines = [*lines[:most_lines]]
        lines[-1] = lines[-1][: width - 1] + "…"
    return "\n".join(lines)
