"""The look of all figures and the way they become bytes: fixed, dateless, colour-blind-safe.

No pyplot and no global state survive a call: figures are made and saved inside ``drawing``, which
starts from matplotlib's own defaults, whatever a matplotlibrc says. Colours are from Okabe and Ito
(2008), darkened to a contrast of 4.5 on the shade of a row, because they also colour small text;
position, shape and text carry everything that colour does.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

BLUE = "#0072b2"
ORANGE = "#b84f00"
GREEN = "#007a59"
INK = "#1a1a1a"
GREY = "#6b6b6b"
RULE = "#d9d9d9"

PAGE_WIDTH = 6.7
DPI = 200
LABEL_WIDTH = 26

STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "he-compare",
    "svg.fonttype": "path",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with this style on matplotlib's defaults; missing glyphs are drawn as boxes quietly."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure as wide as the text of a page; ``height`` in inches."""
    figure = Figure(figsize=(PAGE_WIDTH, height))
    figure.set_layout_engine("constrained", w_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """Return the figure as PNG without date or software tag."""
    buffer = io.BytesIO()
    with drawing():
        _lay_out(figure)
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def svg_of(figure: Figure) -> bytes:
    """Return the figure as SVG without date, with stable ids.

    Halos are left out: they would make every letter a drawing of its own.
    """
    buffer = io.BytesIO()
    with drawing(), _without_halos(figure):
        _lay_out(figure)
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place everything once; the canvases then draw once, where ``savefig`` would draw twice."""
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


@contextmanager
def _without_halos(figure: Figure) -> Iterator[None]:
    texts = [text for text in figure.findobj(Text) if text.get_path_effects()]
    effects = [text.get_path_effects() for text in texts]
    for text in texts:
        text.set_path_effects([])
    try:
        yield
    finally:
        for text, kept in zip(texts, effects, strict=True):
            text.set_path_effects(kept)


def halo(colour: str = "white") -> list[withStroke]:
    """Return the effect that keeps small text readable where it crosses a line."""
    return [withStroke(linewidth=2.0, foreground=colour, alpha=0.85)]


def band_rows(axes: Axes, count: int) -> None:
    """Shade every second of ``count`` rows, so that the eye stays in its row."""
    for row in range(0, count, 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", linewidth=0, zorder=0)
    axes.set_ylim(count - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
