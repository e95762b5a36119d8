"""The capability matrix as a heat map.

Every cell says in letters what its shade says; darker is worse for the owner of the images, and
what is not known is hatched, so that nothing hangs on colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from he_compare.common.run.records import Verdict
from he_compare.common.run.severity import WORDS
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import PAGE_WIDTH

# Written so that a dark page, which swaps the figures' own neutral colours, leaves cells as they
# are: a cell that is darker is worse on every page.
WHITE, DARK, FAINT = "#fefefe", "#1b1b1b", "#6a6a6a"
# (shade, letter colour, hatch): lightness falls with gravity, hatching means "not known".
LOOKS: dict[Verdict, tuple[str, str, str]] = {
    "broken": ("#3b3b3b", WHITE, ""),
    "partial": ("#9a9a9a", DARK, ""),
    "resists within budget": ("#f4f4f4", DARK, ""),
    "unreliable": (WHITE, DARK, "////"),
    "unreadable": (WHITE, DARK, "...."),
    "not applicable": (WHITE, FAINT, ""),
    "not run": (WHITE, FAINT, ".."),
}
LABEL_INCHES, ROW_INCHES = 2.2, 0.24
LONGEST_NAME, LONGEST_TITLE = 22, 40


@dataclass(frozen=True)
class HeatCell:
    """One cell of the heat map; ``apart``: a word in place of "resists", '' for evidence."""

    verdict: Verdict
    advantage: float | None
    apart: str = ""


def heat_map(
    rows: Sequence[tuple[str, bool]], columns: Sequence[str], cells: dict[tuple[int, int], HeatCell]
) -> Figure:
    """Draw the matrix; ``rows``: (text, whether it heads a group), ``cells`` by (row, column)."""
    longest = max((len(name) for name in columns), default=0)
    head = 0.2 + 0.06 * min(longest, LONGEST_NAME)
    height = head + ROW_INCHES * len(rows) + 0.1
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, PAGE_WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    width = (PAGE_WIDTH - LABEL_INCHES) / max(1, len(columns))
    for number, name in enumerate(columns):
        middle = LABEL_INCHES + (number + 0.5) * width
        shown = wrapped(name, LONGEST_NAME, 2)
        axes.text(middle, head - 0.06, shown, rotation=90, ha="center", va="bottom", fontsize=7)
    for row, (text, heads) in enumerate(rows):
        top = head + ROW_INCHES * row
        weight = "bold" if heads else "normal"
        middle = top + ROW_INCHES / 2
        shown = wrapped(text, LONGEST_TITLE, 2)
        size = 5.4 if "\n" in shown else 7
        axes.text(0.02, middle, shown, va="center", fontsize=size, fontweight=weight)
    for verdict in LOOKS:
        places = {
            (LABEL_INCHES + column * width, head + ROW_INCHES * row): cell
            for (row, column), cell in cells.items()
            if cell.verdict == verdict
        }
        _boxes(axes, list(places), width, verdict)
        for (left, top), cell in places.items():
            _words(axes, left, top, width, cell)
    return figure


def _boxes(axes: Axes, corners: list[tuple[float, float]], width: float, verdict: Verdict) -> None:
    """Draw the cells of one verdict together: a patch each would take most of the time."""
    shade, _, hatch = LOOKS[verdict]
    boxes = [
        [(x, y), (x + width, y), (x + width, y + ROW_INCHES), (x, y + ROW_INCHES)]
        for x, y in corners
    ]
    if boxes:
        axes.add_collection(
            PolyCollection(
                boxes, facecolors=shade, edgecolors=FAINT, linewidths=0.4, hatch=hatch or None
            ),
            autolim=False,
        )


def _words(axes: Axes, left: float, top: float, width: float, cell: HeatCell) -> None:
    _, letters, hatch = LOOKS[cell.verdict]
    text = cell.apart or WORDS[cell.verdict].short
    if cell.advantage is not None and cell.verdict in ("broken", "partial"):
        text = f"{text} {cell.advantage:.2f}" if width > 0.6 else f"{text[0]} {cell.advantage:.2f}"
    ground = {"boxstyle": "square,pad=0.1", "facecolor": WHITE, "edgecolor": "none"}
    axes.text(
        left + width / 2,
        top + ROW_INCHES / 2,
        text,
        ha="center",
        va="center",
        fontsize=5.6 if len(text) * 0.055 < width else 4.6,
        color=letters,
        bbox=ground if hatch else None,
        zorder=3,
    )
