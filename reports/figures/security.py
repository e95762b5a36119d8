"""The security map: rows are attacks by property, a column per protection.

Every cell says in letters what its shade says; darker is worse for the owner. What was
never promised has a ring, what is not known is hatched, so that nothing hangs on colour or shade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from he_compare.common.run.security_map import MapMark, SecurityMap
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import PAGE_WIDTH

Outline: TypeAlias = Literal["", "ring", "dashed ring"]
# Written so that a dark page, which swaps the figures' own neutral colours, leaves cells as they
# are: a cell that is darker is worse on every page.
WHITE, DARK, FAINT, PALE = "#fefefe", "#1b1b1b", "#6a6a6a", "#c9c9c9"
MOST_NARROW = 6
NARROW, LABEL, WIDE_LABEL = 4.4, 1.66, 2.3
ROW, GROUP, LEGEND_ROW = 0.25, 0.21, 0.25
LONGEST_HEAD = 12
# What is left free at the right, so that no line is cut.
EDGE = 0.03


@dataclass(frozen=True)
class Look:
    """How a mark is drawn: its word, shade, letters, hatch, outline, and what it means."""

    word: str
    shade: str
    letters: str
    meaning: str
    hatch: str = ""
    outline: Outline = ""


LOOKS: dict[MapMark, Look] = {
    "broken": Look("broken", "#3b3b3b", WHITE, "promised, and taken"),
    "partly": Look("partly", "#9a9a9a", DARK, "promised, and taken in part"),
    "not promised": Look("taken", WHITE, DARK, "taken; never promised", outline="ring"),
    "not protected": Look(
        "altered", WHITE, DARK, "changed unnoticed; never promised", outline="ring"
    ),
    "held": Look("held", "#f0f0f0", DARK, "not taken within the budget"),
    "open by design": Look("open", WHITE, FAINT, "open by design", outline="dashed ring"),
    "control": Look("as noise", WHITE, FAINT, "control: as in noise"),
    "necessary": Look("holds", WHITE, FAINT, "must hold; shows nothing"),
    "inconclusive": Look("unclear", WHITE, DARK, "tested, inconclusive", hatch="////"),
    "unreadable": Look("unread", WHITE, DARK, "the attack cannot read it", hatch="...."),
    "not run": Look("not run", WHITE, DARK, "not run: no pass", hatch="...."),
    "not tested": Look("not run", WHITE, DARK, "not run: no pass", hatch="...."),
    "no server": Look("–", WHITE, FAINT, "no server"),
    "does not apply": Look("–", WHITE, FAINT, "does not apply"),
}


def is_narrow(found: SecurityMap) -> bool:
    """Say whether the map is drawn narrow, so that a phone shows it whole."""
    return len(found.columns) <= MOST_NARROW


def security_figure(found: SecurityMap) -> Figure | None:
    """Draw the map with the key to its marks; None where it has no rows."""
    if not found.groups:
        return None
    narrow = is_narrow(found)
    width, label = (NARROW, LABEL) if narrow else (PAGE_WIDTH, WIDE_LABEL)
    head = 0.42 if narrow else 0.25 + 0.055 * _longest(found)
    shown = _marks_shown(found)
    lines = sum(len(rows) for _, rows in found.groups)
    legend = LEGEND_ROW * -(-len(shown) // 2) + 0.12
    height = head + ROW * lines + GROUP * len(found.groups) + legend
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    size = (width - label - EDGE) / len(found.columns)
    _heads(axes, found, label, size, head, narrow)
    bottom = _rows(axes, found, label, size, head)
    _legend(axes, shown, bottom + 0.12, width)
    return figure


def _longest(found: SecurityMap) -> int:
    return min(26, max(len(column.title) for column in found.columns))


def _heads(
    axes: Axes, found: SecurityMap, label: float, size: float, head: float, narrow: bool
) -> None:
    for number, column in enumerate(found.columns):
        middle = label + (number + 0.5) * size
        words = wrapped(column.title, LONGEST_HEAD if narrow else 26, 2)
        turn = 0 if narrow else 90
        size_of_type = 5.6 if narrow and len(column.title) > 9 else 7
        axes.text(
            middle, head - 0.07, words, rotation=turn, ha="center", va="bottom",
            fontsize=size_of_type, fontweight="bold",
        )  # fmt: skip


def _rows(axes: Axes, found: SecurityMap, label: float, size: float, top: float) -> float:
    for name, rows in found.groups:
        axes.text(0.02, top + GROUP / 2, name, va="center", fontsize=7, fontweight="bold")
        top += GROUP
        for row in rows:
            words = wrapped(row.title, 31 if label < WIDE_LABEL else 44, 2)
            small = 5.7 if "\n" in words else 6.4
            axes.text(0.1, top + ROW / 2, words, va="center", fontsize=small, linespacing=0.95)
            for number, column in enumerate(found.columns):
                mark = found.cell(row, column).mark
                _box(axes, label + number * size, top, size, LOOKS[mark])
            top += ROW
    return top


def _box(axes: Axes, left: float, top: float, width: float, look: Look) -> None:
    axes.add_patch(
        Rectangle(
            (left, top), width, ROW, facecolor=look.shade, edgecolor=PALE if look.hatch else FAINT,
            linewidth=0.4, hatch=look.hatch or None,
        )
    )  # fmt: skip
    if look.outline:
        inset = 0.045
        axes.add_patch(
            FancyBboxPatch(
                (left + inset + 0.04, top + inset), width - 2 * inset - 0.08, ROW - 2 * inset,
                boxstyle="round,pad=0.0,rounding_size=0.07", facecolor="none",
                edgecolor=DARK if look.outline == "ring" else FAINT,
                linewidth=1.3 if look.outline == "ring" else 0.7,
                linestyle="-" if look.outline == "ring" else (0, (3, 2)),
            )
        )  # fmt: skip
    ground = {"boxstyle": "square,pad=0.12", "facecolor": WHITE, "edgecolor": "none"}
    axes.text(
        left + width / 2, top + ROW / 2, look.word, ha="center", va="center",
        fontsize=min(6.0, width * 72 / (0.62 * max(len(look.word), 6))),
        color=look.letters, bbox=ground if look.hatch else None, zorder=3,
        fontweight="bold" if look.word == "broken" else "normal",
    )  # fmt: skip


def _marks_shown(found: SecurityMap) -> list[MapMark]:
    used = {
        found.cell(row, column).mark
        for _, rows in found.groups
        for row in rows
        for column in found.columns
    }
    used = {"not run" if mark == "not tested" else mark for mark in used}
    return [mark for mark in LOOKS if mark in used]


def _legend(axes: Axes, marks: Sequence[MapMark], top: float, width: float) -> None:
    for number, mark in enumerate(marks):
        left = 0.02 + (number % 2) * width / 2
        place = top + (number // 2) * LEGEND_ROW
        look = LOOKS[mark]
        axes.text(left + 0.62, place + ROW / 2 - 0.02, look.meaning, va="center", fontsize=6.2)
        _box(axes, left, place - 0.02, 0.56, look)
