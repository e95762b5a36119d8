"""Text from outside made legible before a renderer escapes it: where long words may break.

What cannot be seen is spelled out (``common/visible_text.py``). Where a line break is meant, the
document has a ``Break``.
"""

from __future__ import annotations

import re

from he_compare.common.visible_text import visible

WORD_JOINTS = "-_,=/.:;+)]}"
ZERO_WIDTH_SPACE = "\u200b"
LONGEST_UNBROKEN = 14


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
