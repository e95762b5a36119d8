"""Grid of sample images: as the client has them, and as the server sees them, a row a pipeline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.style import DPI, GREY, PAGE_WIDTH, new_figure
from reports.legible import wrapped
from reports.view import Pictures

MOST_IMAGES = 4
ROWS_PER_FIGURE = 5
LABEL_INCHES = 1.45
CELL_INCHES = 1.28


def picture_grids(pictures: Pictures) -> list[tuple[tuple[str, ...], Figure]]:
    """Draw the grids, each with the labels it shows; the originals head every grid."""
    labels = list(pictures.views)
    chunks = [labels[i : i + ROWS_PER_FIGURE] for i in range(0, len(labels), ROWS_PER_FIGURE)]
    return [(tuple(chunk), _grid(pictures, chunk)) for chunk in chunks or [[]]]


def _grid(pictures: Pictures, labels: list[str]) -> Figure:
    count = min(MOST_IMAGES, len(pictures.ids))
    rows = [("original (client only)", pictures.original)]
    rows += [(label, pictures.views[label]) for label in labels]
    figure = new_figure(0.4 + CELL_INCHES * len(rows))
    widths = [LABEL_INCHES, *[(PAGE_WIDTH - LABEL_INCHES) / MOST_IMAGES] * MOST_IMAGES]
    grid = figure.subplots(len(rows), 1 + MOST_IMAGES, squeeze=False, width_ratios=widths)
    for line, (label, images) in zip(grid, rows, strict=True):
        for axes in line:
            axes.set_axis_off()
        line[0].text(0, 0.5, wrapped(label, 21, 4), va="center", transform=line[0].transAxes)
        for column in range(count):
            _picture(line[1 + column], images[column])
    for column in range(count):
        _heading(grid[0][1 + column], pictures.classes[column], pictures.ids[column])
    return figure


def _picture(axes: Axes, image: npt.NDArray[np.uint8]) -> None:
    most = int(CELL_INCHES * DPI)
    step = max(1, -(-max(image.shape[:2]) // most))
    axes.imshow(image[::step, ::step], interpolation="nearest")


def _heading(axes: Axes, name: str, identity: str) -> None:
    axes.set_title(wrapped(name, 20, 1), loc="center", pad=12, fontsize=7.5)
    axes.text(
        0.5,
        1.02,
        wrapped(identity, 28, 1),
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        fontsize=5.5,
        color=GREY,
    )
