"""The look of all figures and the way they become bytes: fixed, dateless, colour-blind-safe.

No pyplot and no global state survive a call: figures are made and saved in ``house_style``, which
starts from matplotlib's own defaults, whatever a matplotlibrc says. Colours are from Okabe and Ito
(2008), darkened to a contrast of 4.5 on the shade of a row, because they also colour small text;
position, shape and text carry everything that colour does.
"""

from __future__ import annotations

import io
import re
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
PAGE = "#ffffff"

HALO = "halo-"
HALO_POINTS = 2.0

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
}


@contextmanager
def house_style() -> Iterator[None]:
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


def svg_of(figure: Figure) -> bytes:
    """Return the figure as SVG without date, with stable ids."""
    buffer = io.BytesIO()
    with house_style(), _halos_named(figure):
        place_once(figure)
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return _haloed(buffer.getvalue().decode()).encode()


def place_once(figure: Figure) -> None:
    """Place everything once; what is drawn afterwards stays where it is.

    ``savefig`` would draw all of it once for the layout and once more for the file.
    """
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.execute(figure)
        figure.set_layout_engine("none")


@contextmanager
def _halos_named(figure: Figure) -> Iterator[None]:
    """Draw text with a halo as plain letters in a group that ``_haloed`` can find.

    As path effects they would make every letter a drawing of its own.
    """
    texts = [text for text in figure.findobj(Text) if text.get_path_effects()]
    kept = [(text, text.get_path_effects(), text.get_gid()) for text in texts]
    for number, text in enumerate(texts):
        text.set_path_effects([])
        text.set_gid(f"{HALO}{number}")
    try:
        yield
    finally:
        for text, effects, name in kept:
            text.set_path_effects(effects)
            text.set_gid(name)


def _haloed(svg: str) -> str:
    """Put under each named text a copy of itself in white, with wide lines."""
    return re.sub(
        rf'(<g id="{HALO}\d+">\s*)(?:<!--.*?-->\s*)?(<g .*?</g>)', _halo_below, svg, flags=re.DOTALL
    )


def _halo_below(found: re.Match[str]) -> str:
    opening, letters = found.groups()
    scale = re.search(r"scale\(([\d.]+)", letters)
    place = re.search(r'transform="[^"]*"', letters)
    if scale is None or place is None:
        return found.group()
    width = HALO_POINTS / float(scale.group(1))
    uses = "".join(re.findall(r"<use [^>]*/>", letters))
    white = f"fill: {PAGE}; stroke: {PAGE}; stroke-width: {width:.1f}; stroke-linejoin: round"
    return f'{opening}<g style="{white}" {place.group()}>{uses}</g>{letters}'


def halo() -> list[withStroke]:
    """Return the effect that keeps small text readable where it crosses a line."""
    return [withStroke(linewidth=HALO_POINTS, foreground=PAGE)]


def band_rows(axes: Axes, count: int) -> None:
    """Shade every second of ``count`` rows, so that the eye stays in its row."""
    for row in range(0, count, 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f5f5f5", linewidth=0, zorder=0)
    axes.set_ylim(count - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
