"""A drawing as a block of the document: drawn in the house style, kept as SVG."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure as Drawing

from he_compare.reports.document.nodes import Figure
from he_compare.reports.figures.style import house_style, svg_of


def drawn(
    draw: Callable[[], Drawing | None], name: str, caption: str, alt: str, width: float = 1.0
) -> list[Figure]:
    """Draw and return the figure as a list of one; [] where there is nothing to draw.

    ``width``: its share of the width of the text.
    """
    with house_style():
        figure = draw()
    return [] if figure is None else [Figure(name, caption, alt, svg_of(figure), width)]
