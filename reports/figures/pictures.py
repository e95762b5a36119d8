"""Grid of sample images: as the client has them, and as the server sees them, a row a pipeline.

Positions are in inches, so a cell is a square of the same size in every grid and no label can push
another aside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.figures.style import DPI, GREY, PAGE_WIDTH
from reports.legible import visible, wrapped
from reports.view import Pictures

MOST_IMAGES = 4
MOST_ROWS = 5
LABEL_INCHES = 1.5
GAP_INCHES = 0.08
HEAD_INCHES = 0.42
CELL_INCHES = (PAGE_WIDTH - LABEL_INCHES) / MOST_IMAGES - GAP_INCHES
LONGEST_ID = 28


def picture_grids(pictures: Pictures) -> list[tuple[tuple[str, ...], Figure]]:
    """Draw the grids, each with the labels it shows; the originals head every grid."""
    labels = list(pictures.views)
    parts = max(1, -(-len(labels) // MOST_ROWS))
    cuts = [len(labels) * part // parts for part in range(parts + 1)]
    chunks = [tuple(labels[cuts[part] : cuts[part + 1]]) for part in range(parts)]
    return [(chunk, _grid(pictures, chunk)) for chunk in chunks]


def _grid(pictures: Pictures, labels: tuple[str, ...]) -> Figure:
    rows = [("original (client only)", pictures.original)]
    rows += [(label, pictures.views[label]) for label in labels]
    height = HEAD_INCHES + (CELL_INCHES + GAP_INCHES) * len(rows)
    figure = Figure(figsize=(PAGE_WIDTH, height))
    FigureCanvasAgg(figure)
    count = min(MOST_IMAGES, len(pictures.ids))
    for row, (label, images) in enumerate(rows):
        middle = height - HEAD_INCHES - (CELL_INCHES + GAP_INCHES) * row - CELL_INCHES / 2
        figure.text(0.01, middle / height, wrapped(label, 22, 4), va="center")
        for column in range(count):
            _picture(figure, images[column], column, middle - CELL_INCHES / 2)
    for column in range(count):
        _heading(figure, pictures.classes[column], pictures.ids[column], column)
    return figure


def _left(column: int) -> float:
    """Left edge of a column in inches."""
    return LABEL_INCHES + column * (CELL_INCHES + GAP_INCHES)


def _picture(figure: Figure, image: npt.NDArray[np.uint8], column: int, bottom: float) -> None:
    width, height = figure.get_size_inches()
    box = (
        _left(column) / width,
        bottom / height,
        CELL_INCHES / width,
        CELL_INCHES / height,
    )
    axes = figure.add_axes(box)
    axes.set_axis_off()
    step = max(1, -(-max(image.shape[:2]) // int(CELL_INCHES * DPI)))
    axes.imshow(image[::step, ::step], interpolation="nearest")


def _heading(figure: Figure, name: str, identity: str, column: int) -> None:
    """Write class and identity above a column; of a long identity its end, which differs."""
    width, height = figure.get_size_inches()
    middle = (_left(column) + CELL_INCHES / 2) / width
    shown = visible(identity)
    if len(shown) > LONGEST_ID:
        shown = "…" + shown[1 - LONGEST_ID :]
    line: dict[str, Any] = {"ha": "center", "va": "center"}
    figure.text(middle, 1 - 0.13 / height, wrapped(name, 18, 1), fontsize=8, weight="bold", **line)
    figure.text(middle, 1 - 0.32 / height, shown, fontsize=5.5, color=GREY, **line)
