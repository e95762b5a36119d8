"""Small multiples: many equal panels in one drawing, axes named once at its edges.

All panels share one matplotlib axes whose unit is the inch. An axes a panel would bring its own
ticks, spines and transforms, and most of the time a report takes went into making them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from he_compare.reports.figures.style import GREY, INK, PAGE_WIDTH, RULE

LEFT_INCHES, RIGHT_INCHES, BOTTOM_INCHES = 0.58, 0.1, 0.46
GAP_INCHES = 0.16
LINE_INCHES = 0.125
TITLE_SIZE, TICK_SIZE, LABEL_SIZE = 7.0, 6.8, 8.0


@dataclass(frozen=True)
class Scale:
    """One axis of every panel: what it spans, which values are marked, and what it is called."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str


@dataclass(frozen=True)
class Panel:
    """One panel: draws values of its scales at their place in the figure."""

    axes: Axes
    left: float
    bottom: float
    width: float
    height: float
    across: Scale
    up: Scale

    def x(self, value: float) -> float:
        """Return the place of a value on the axis across, in inches of the figure."""
        return self.left + self.width * _share(self.across, value)

    def y(self, value: float) -> float:
        """Return the place of a value on the axis upwards, in inches of the figure."""
        return self.bottom + self.height * _share(self.up, value)

    def line(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        """Draw a line or marks through the values."""
        places = [self.x(x) for x in xs], [self.y(y) for y in ys]
        self.axes.add_line(Line2D(*places, **style))

    def band(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], **style: Any
    ) -> None:
        """Shade what lies between two lines over the same values."""
        upper = [(self.x(x), self.y(y)) for x, y in zip(xs, high, strict=True)]
        lower = [(self.x(x), self.y(y)) for x, y in zip(xs, low, strict=True)]
        self.axes.add_patch(Polygon([*upper, *reversed(lower)], linewidth=0, **style))

    def block(self, left: float, right: float, low: float, high: float, **style: Any) -> None:
        """Fill a rectangle between values of both axes."""
        corners = [(left, low), (right, low), (right, high), (left, high)]
        places = [(self.x(x), self.y(y)) for x, y in corners]
        self.axes.add_patch(Polygon(places, **style))

    def note(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write words at a value."""
        self.axes.text(self.x(x), self.y(y), words, **style)


def _share(scale: Scale, value: float) -> float:
    return (value - scale.low) / (scale.high - scale.low)


def multiples(
    titles: Sequence[str],
    columns: int,
    across: Scale,
    up: Scale,
    *,
    ratio: float = 1.0,
    slanted: bool = False,
    head: float = 0.0,
) -> tuple[Figure, list[Panel]]:
    """Return a figure of empty panels, a title over each, row by row.

    ``ratio``: height of a panel by its width; ``slanted``: long marks of the axis across;
    ``head``: inches left free above all panels.
    """
    rows = -(-len(titles) // columns)
    width = (PAGE_WIDTH - LEFT_INCHES - RIGHT_INCHES - GAP_INCHES * (columns - 1)) / columns
    inside = width * ratio
    above = 0.1 + LINE_INCHES * max(title.count("\n") + 1 for title in titles)
    foot = BOTTOM_INCHES + (0.14 if slanted else 0.0)
    height = foot + (inside + above) * rows + head
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE_WIDTH)
    axes.set_ylim(0, height)
    panels = []
    for number, title in enumerate(titles):
        row, column = divmod(number, columns)
        left = LEFT_INCHES + column * (width + GAP_INCHES)
        bottom = height - head - (row + 1) * (inside + above)
        panel = Panel(axes, left, bottom, width, inside, across, up)
        _frame(panel, first=column == 0, last=number + columns >= len(titles), slanted=slanted)
        axes.text(left, bottom + inside + 0.05, title, fontsize=TITLE_SIZE, va="bottom")
        panels.append(panel)
    middle = LEFT_INCHES + (PAGE_WIDTH - LEFT_INCHES - RIGHT_INCHES) / 2
    axes.text(middle, 0.03, across.label, fontsize=LABEL_SIZE, ha="center", va="bottom", color=INK)
    axes.text(
        0.04,
        (height - head + foot) / 2,
        up.label,
        fontsize=LABEL_SIZE,
        rotation=90,
        ha="left",
        va="center",
        color=INK,
    )
    return figure, panels


def _frame(panel: Panel, *, first: bool, last: bool, slanted: bool) -> None:
    """Draw rules and the two axes; write marks where no panel follows below or to the left."""
    right, top = panel.left + panel.width, panel.bottom + panel.height
    rules = [[(panel.left, panel.y(v)), (right, panel.y(v))] for v, _ in panel.up.ticks]
    panel.axes.add_collection(
        LineCollection(rules, colors=RULE, linewidths=0.6, zorder=0.5), autolim=False
    )
    sides = [panel.left, panel.left, right], [top, panel.bottom, panel.bottom]
    panel.axes.add_line(Line2D(*sides, color=GREY, linewidth=0.6, zorder=1))
    if last:
        turned = {"rotation": 45, "ha": "right"} if slanted else {"ha": "center"}
        for value, words in panel.across.ticks:
            place = panel.x(value), panel.bottom - 0.045
            panel.axes.text(*place, words, fontsize=TICK_SIZE, va="top", color=INK, **turned)
    if first:
        for value, words in panel.up.ticks:
            place = panel.left - 0.05, panel.y(value)
            panel.axes.text(*place, words, fontsize=TICK_SIZE, va="center", ha="right", color=INK)
