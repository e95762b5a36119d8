"""Text and tables fitted to the width of a terminal: the one place that knows how wide it is.

Widths are columns: an East Asian wide character takes two, a combining mark none (Unicode Standard
Annex 11, as in rich). Text from outside is made visible first. A table folds its cells; where even
that is too wide, each row becomes a card.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size

from he_compare.common.visible_text import visible

# Where the output is piped there is no terminal to ask.
PIPED_COLUMNS = 100
NARROWEST = 40
GAP = "  "
# Words that are longer may be cut anywhere, so that one name does not widen a whole table.
LONGEST_WORD = 24
NO_VALUE = "-"
UNBROKEN_SPACE = "\u00a0"


@dataclass(frozen=True)
class TextTable:
    """Headings and rows of cells; a row that is a text is a title over the rows below it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str] | str] = field(default_factory=tuple)


def terminal_columns(*, wide: bool = False) -> int | None:
    """Return the columns of $COLUMNS or of the terminal, 100 where piped; None: no limit."""
    if wide:
        return None
    found = shutil.get_terminal_size((PIPED_COLUMNS, 24)).columns
    return max(found, NARROWEST)


def unbroken(text: str) -> str:
    """Return text that is never folded at its spaces, for instance an interval."""
    return text.replace(" ", UNBROKEN_SPACE)


def fold_text(text: str, columns: int | None, indent: str = "") -> list[str]:
    """Fold text at its spaces into lines of at most ``columns``; lines after the first indented."""
    shown = visible(text)
    if columns is None or cell_len(shown) <= columns:
        return [shown.replace(UNBROKEN_SPACE, " ")]
    words = shown.lstrip(" ")
    lead = shown[: len(shown) - len(words)]
    indent = lead + indent
    lines = [lead]
    for word in words.split(" "):
        joiner = " "
        for piece in _pieces(word, columns - len(indent)):
            if not lines[-1].strip():
                lines[-1] += piece
            elif cell_len(lines[-1] + joiner + piece) <= columns:
                lines[-1] += joiner + piece
            else:
                lines.append(indent + piece)
            joiner = ""
    return [line.rstrip().replace(UNBROKEN_SPACE, " ") for line in lines]


def labelled(label: str, text: str, columns: int | None, indent: int) -> list[str]:
    """Return ``label`` and, from column ``indent`` on, the text folded beside it."""
    start = label.ljust(indent)
    return folded_after(start, text, columns, " " * indent)


def folded_after(start: str, text: str, columns: int | None, indent: str) -> list[str]:
    """Fold text that follows ``start``, which is kept as it is."""
    if columns is None:
        return [(start + visible(text)).rstrip().replace(UNBROKEN_SPACE, " ")]
    lines = fold_text(text, columns - len(indent))
    return [(start + lines[0]).rstrip(), *(indent + line for line in lines[1:])]


def continued(command: str, columns: int | None) -> list[str]:
    """Fold a shell command so that it can still be copied and run: lines end with a backslash.

    A word that is too long is cut as well: the shell joins what such lines begin without a space.
    """
    shown = visible(command)
    if columns is None or cell_len(shown) <= columns:
        return [shown]
    lines = [""]
    for word in _shell_words(shown):
        if lines[-1] and cell_len(lines[-1]) + cell_len(word) + 3 > columns:
            lines[-1] += " "
            lines.append("")
        pieces = [word] if cell_len(word) + 2 <= columns else _cut_word(word, columns - 8)
        lines[-1] += (" " if lines[-1] else "") + pieces[0]
        lines += pieces[1:]
    return [line + "\\" for line in lines[:-1]] + [lines[-1]]


def laid_out(table: TextTable, columns: int | None) -> list[str]:
    """Lay a table out in at most ``columns``; as cards where its columns do not fit."""
    lines = in_columns(table, columns)
    return in_cards(table, columns) if lines is None else lines


def in_cards(table: TextTable, columns: int | None) -> list[str]:
    """Lay each row out as its name and, below it, a line per column that has something to say."""
    return list(_cards(table, columns))


def in_columns(table: TextTable, columns: int | None, first: int = 0) -> list[str] | None:
    """Lay a table out with a column per heading; None where folding does not make it fit.

    ``first``: columns that the names need, where the longest of them takes more.
    """
    cells = [[visible(one) for one in row] for row in _rows(table)]
    widths = _widths([[visible(one) for one in table.headings], *cells], columns, first)
    if widths is None:
        return None
    lines = _row_lines(table.headings, widths, columns) if any(table.headings) else []
    for row in table.rows:
        if isinstance(row, str):
            lines += fold_text(row, columns, GAP)
        else:
            lines += _row_lines(row, widths, columns)
    return lines


def _rows(table: TextTable) -> list[Sequence[str]]:
    return [row for row in table.rows if not isinstance(row, str)]


def _widths(rows: list[list[str]], columns: int | None, first: int) -> list[int] | None:
    """Return the columns of each column: those that want little get it, the others share alike."""
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if columns is None:
        return wanted
    least = [max(map(_longest_piece, column)) for column in zip(*rows, strict=True)]
    least[0] = min(max(least[0] + len(GAP), first), wanted[0])
    free = columns - len(GAP) * (len(wanted) - 1) - sum(least)
    if free < 0:
        return None
    widths = list(least)
    open_ = sorted(range(len(wanted)), key=lambda one: wanted[one] - least[one])
    while open_:
        share = free // len(open_)
        place = open_.pop(0)
        more = min(share, wanted[place] - least[place])
        widths[place] += more
        free -= more
    return widths


def _row_lines(row: Sequence[str], widths: list[int], columns: int | None) -> list[str]:
    """Fold every cell of a row into its column; lines after the first of its name are indented."""
    cells = [
        fold_text(cell, None if columns is None else width, GAP if number == 0 else "")
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    height = max(map(len, cells))
    return [
        GAP.join(
            set_cell_size(cell[line] if line < len(cell) else "", width)
            for cell, width in zip(cells, widths, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _cards(table: TextTable, columns: int | None) -> Iterator[str]:
    indent = len(GAP) + max((len(one) for one in table.headings[1:]), default=0) + len(GAP)
    for number, row in enumerate(table.rows):
        if number:
            yield ""
        if isinstance(row, str):
            yield from fold_text(row, columns, GAP)
            continue
        yield from fold_text(row[0], columns, GAP)
        for heading, cell in zip(table.headings[1:], row[1:], strict=True):
            if cell not in ("", NO_VALUE):
                yield from labelled(GAP + heading, cell, columns, indent)


def _pieces(word: str, columns: int) -> list[str]:
    """Cut a word that is too long before its brackets and after its commas, else anywhere."""
    if cell_len(word) <= columns:
        return [word]
    return [part for joint in _joints(word) for part in _anywhere(joint, columns)]


def _joints(word: str) -> list[str]:
    """Cut a word before its brackets and after its commas, unless it is to stay in one piece."""
    if UNBROKEN_SPACE in word:
        return [word]
    return [one for one in re.split(r"(?<=[,/@])|(?=\[)", word) if one]


def _anywhere(text: str, columns: int) -> list[str]:
    parts, room = [""], columns
    for char in text:
        taken = cell_len(char)
        if taken > room and parts[-1]:
            parts.append("")
            room = columns
        parts[-1] += char
        room -= taken
    return parts


def _longest_piece(text: str) -> int:
    """Return the fewest columns a cell can be folded into; long words count as long as allowed."""
    joints = (joint for word in text.split(" ") for joint in _joints(word))
    return min(max(map(cell_len, joints), default=0), LONGEST_WORD) or 1


def _shell_words(command: str) -> list[str]:
    """Split a command at spaces outside quotes; an option keeps its value."""
    joined: list[str] = []
    for word in re.findall(r"""(?:'[^']*'|"[^"]*"|\S)+""", command):
        option = joined[-1] if joined else ""
        if option.startswith("--") and " " not in option and not word.startswith("--"):
            joined[-1] += f" {word}"
        else:
            joined.append(word)
    return joined


def _cut_word(word: str, columns: int) -> list[str]:
    """Cut a word of the shell, quotes and all, into words that the shell joins again."""
    option, _, value = word.partition(" ") if word.startswith("--") else ("", "", word)
    parts = [shlex.quote(part) for part in _anywhere("".join(_unquoted(value)), columns)]
    return [option + " ", *parts] if option else parts


def _unquoted(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return [value]
