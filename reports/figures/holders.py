"""Who holds and computes what: hospital, wire and server beside each other, a row a kind of set-up.

A drawing of words in boxes: text is folded to its box, and a box is as high as its words need.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import BLUE, GREY, INK, ORANGE, PAGE_WIDTH

WORDS_SIZE, NAMES_SIZE = 7.4, 7.8
LINE = 0.128
PAD = 0.055
BOX, WIRE = 2.5, PAGE_WIDTH - 2 * 2.5
LETTERS_OF_BOX, LETTERS_OF_WIRE, LETTERS_OF_NAMES = 46, 22, 100
HEAD = 0.24
MOST_LINES = 7


@dataclass(frozen=True)
class HeldWhere:
    """One kind of set-up. ``server`` is empty where there is none; ``secret``: a key is held."""

    names: str
    hospital: tuple[str, ...]
    up: str
    down: str
    server: tuple[str, ...]
    head: str
    secret: bool


@dataclass(frozen=True)
class _Row:
    """A row with its words folded: names, hospital, wire, server."""

    holding: HeldWhere
    names: str
    hospital: str
    up: str
    server: str

    @property
    def box(self) -> float:
        """Height of its boxes in inches."""
        lines = max(self.hospital.count("\n"), self.server.count("\n"), self.up.count("\n") + 2)
        return (lines + 1) * LINE + 2 * PAD

    @property
    def height(self) -> float:
        """Height with the names above, in inches."""
        return self.box + (self.names.count("\n") + 1) * LINE + 0.17


def draw_holders(holdings: list[HeldWhere]) -> Figure | None:
    """Draw who holds what; None without any set-up."""
    if not holdings:
        return None
    rows = [_folded(one) for one in holdings]
    height = HEAD + sum(row.height for row in rows)
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE_WIDTH)
    axes.set_ylim(0, height)
    places = ((BOX / 2, "Hospital"), (PAGE_WIDTH / 2, "Wire"), (PAGE_WIDTH - BOX / 2, "Server"))
    for middle, title in places:
        axes.text(
            middle, height - 0.06, title, fontsize=9, fontweight="bold", ha="center", va="top"
        )
    top = height - HEAD
    for row in rows:
        _draw_row(axes, row, top)
        top -= row.height
    _fit(axes)
    return figure


def _fit(axes: Axes) -> None:
    """Make words smaller that are wider than their place: letters of a name may all be wide."""
    for text in axes.texts:
        box = text.get_window_extent().width / axes.figure.dpi
        room = {"left": BOX - 2 * PAD, "center": WIRE - 0.1}[str(text.get_horizontalalignment())]
        if text.get_fontweight() == "bold":
            room = PAGE_WIDTH - 0.1
        if box > room:
            # Letters are hinted: they shrink a little less than asked.
            text.set_fontsize(float(text.get_fontsize()) * 0.93 * room / box)


def _folded(one: HeldWhere) -> _Row:
    return _Row(
        one,
        wrapped(one.names, LETTERS_OF_NAMES),
        _listed(one.hospital),
        wrapped(one.up, LETTERS_OF_WIRE),
        _listed((*one.server, one.head)) if one.server else "no server",
    )


def _listed(lines: tuple[str, ...]) -> str:
    return "\n".join(wrapped(line, LETTERS_OF_BOX, MOST_LINES) for line in lines if line)


def _draw_row(axes: Axes, row: _Row, top: float) -> None:
    axes.text(0.02, top, row.names, fontsize=NAMES_SIZE, fontweight="bold", va="top", color=INK)
    upper = top - (row.names.count("\n") + 1) * LINE - 0.04
    edge = ORANGE if row.holding.secret else GREY
    _box(axes, 0.02, upper, row.box, row.hospital, edge)
    if not row.holding.server:
        _box(axes, PAGE_WIDTH - BOX - 0.02, upper, row.box, row.server, GREY, dashed=True)
        middle = upper - row.box / 2
        axes.text(PAGE_WIDTH / 2, middle, row.up, fontsize=WORDS_SIZE, ha="center", va="center")
        return
    _box(axes, PAGE_WIDTH - BOX - 0.02, upper, row.box, row.server, BLUE)
    _arrow(axes, upper - row.box * 0.42, row.up, forward=True)
    _arrow(axes, upper - row.box * 0.62, row.holding.down, forward=False)


def _box(
    axes: Axes, left: float, upper: float, height: float, words: str, edge: str, *,
    dashed: bool = False,
) -> None:  # fmt: skip
    axes.add_patch(
        FancyBboxPatch(
            (left + 0.03, upper - height + 0.03),
            BOX - 0.06,
            height - 0.06,
            boxstyle="round,pad=0.03,rounding_size=0.05",
            facecolor="none",
            edgecolor=edge,
            linewidth=1.1,
            linestyle="--" if dashed else "-",
        )
    )
    place = left + PAD, upper - height / 2
    axes.text(*place, words, fontsize=WORDS_SIZE, va="center", color=INK, linespacing=1.25)


def _arrow(axes: Axes, height: float, words: str, *, forward: bool) -> None:
    left, right = BOX + 0.05, PAGE_WIDTH - BOX - 0.05
    ends = ((left, height), (right, height)) if forward else ((right, height), (left, height))
    axes.add_patch(
        FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=8, color=GREY, linewidth=1.0)
    )
    place = (PAGE_WIDTH / 2, height + (0.05 if forward else -0.05))
    axes.text(*place, words, fontsize=WORDS_SIZE, ha="center", va="bottom" if forward else "top")
