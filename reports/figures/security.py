"""The capability matrix as a heat map, and grids of what attacks made of the pictures.

Every cell says in letters what its shade says; darker is worse for the owner of the images, and
what is not known is hatched, so that nothing hangs on colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from common.records import AttackOutcome, AttackPicture
from reports.figures.style import GREY, INK, PAGE_WIDTH
from reports.legible import wrapped

# (shade, letter colour, hatch): lightness falls with gravity, hatching means "not known".
LOOKS: dict[str, tuple[str, str, str]] = {
    "broken": ("#3b3b3b", "white", ""),
    "partial": ("#9a9a9a", INK, ""),
    "resists within budget": ("#f4f4f4", INK, ""),
    "unreliable": ("white", INK, "////"),
    "not applicable": ("white", GREY, ""),
    "not run": ("white", GREY, "...."),
}
LETTERS = {
    "broken": "broken",
    "partial": "partial",
    "resists within budget": "resists",
    "unreliable": "unreliable",
    "not applicable": "n/a",
    "not run": "not run",
}
LABEL_INCHES, ROW_INCHES = 2.2, 0.24
LONGEST_NAME, LONGEST_TITLE = 22, 40
PICTURE_ROWS = ("original", "server's view", "after attack")


@dataclass(frozen=True)
class Cell:
    """One cell of the heat map; ``verdict`` '' where there is no outcome."""

    verdict: str
    advantage: float | None


def heat_map(
    rows: Sequence[tuple[str, bool]], columns: Sequence[str], cells: dict[tuple[int, int], Cell]
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
        for column in range(len(columns)):
            cell = cells.get((row, column))
            if cell is not None and cell.verdict:
                _cell(figure, LABEL_INCHES + column * width, top, width, cell)
    return figure


def _cell(figure: Figure, left: float, top: float, width: float, cell: Cell) -> None:
    axes = figure.axes[0]
    shade, letters, hatch = LOOKS[cell.verdict]
    box = Rectangle(
        (left, top), width, ROW_INCHES, facecolor=shade, edgecolor=GREY, linewidth=0.4, hatch=hatch
    )
    axes.add_patch(box)
    text = LETTERS[cell.verdict]
    if cell.advantage is not None and cell.verdict in ("broken", "partial"):
        text = f"{text} {cell.advantage:.2f}" if width > 0.6 else f"{text[0]} {cell.advantage:.2f}"
    ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    axes.text(
        left + width / 2,
        top + ROW_INCHES / 2,
        text,
        ha="center",
        va="center",
        fontsize=5.6 if len(text) * 0.055 < width else 4.6,
        color=letters,
        bbox=ground if hatch else None,
    )


@dataclass(frozen=True)
class Strip:
    """One column of a grid: PNG and caption of original, server's view and reconstruction."""

    title: str
    pictures: tuple[tuple[bytes, str], ...]


def strip_of(title: str, outcome: AttackOutcome, read: dict[str, bytes]) -> Strip | None:
    """Return the pictures of the first image of an outcome; None where some are missing."""
    first = next(iter(outcome.pictures), None)
    if first is None:
        return None
    mine: dict[str, AttackPicture] = {
        one.role: one for one in outcome.pictures if one.image == first.image
    }
    if any(role not in mine or mine[role].file not in read for role in PICTURE_ROWS):
        return None
    return Strip(title, tuple((read[mine[r].file], mine[r].caption) for r in PICTURE_ROWS))


def reconstruction_grid(strips: Sequence[Strip]) -> Figure:
    """Draw strips side by side: rows original, server's view, after the attack; numbers beneath."""
    label, gap, head, foot = 0.85, 0.08, 0.42, 0.2
    side = min(1.0, (PAGE_WIDTH - label) / max(1, len(strips)) - gap)
    height = head + (side + foot + gap) * len(PICTURE_ROWS)
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    for row, role in enumerate(PICTURE_ROWS):
        top = head + row * (side + foot + gap)
        middle = 1 - (top + side / 2) / height
        figure.text(0.005, middle, wrapped(role, 12, 3), va="center", fontsize=7.5)
        for column, strip in enumerate(strips):
            left = label + column * (side + gap)
            data, caption = strip.pictures[row]
            box = (
                left / PAGE_WIDTH,
                1 - (top + side) / height,
                side / PAGE_WIDTH,
                side / height,
            )
            axes = figure.add_axes(box)
            axes.set_axis_off()
            axes.imshow(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            centre = (left + side / 2) / PAGE_WIDTH
            figure.text(
                centre,
                1 - (top + side + 0.03) / height,
                _number(caption),
                ha="center",
                va="top",
                fontsize=6.2,
            )
            if row == 0:
                title = wrapped(strip.title, 18, 3)
                figure.text(
                    centre,
                    1 - (head - 0.05) / height,
                    title,
                    ha="center",
                    va="bottom",
                    fontsize=6.5,
                )
    return figure


def _number(caption: str) -> str:
    """Keep what fits under a picture: the caption up to its remark in brackets."""
    return caption.partition(" (")[0]
