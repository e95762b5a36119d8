"""Latency of one image on a log axis: total, client and server; and every stage as a grid."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from he_compare.common.run.spelling import duration, milliseconds
from he_compare.common.run.timing import Latency, Spread, latency_of
from he_compare.common.run.view import RunView
from he_compare.common.types import Side, Stage
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import (
    BLUE,
    GREY,
    INK,
    LABEL_WIDTH,
    ORANGE,
    RULE,
    band_rows,
    halo,
    new_figure,
)
from he_compare.reports.naming import short_title

ROW_HEIGHT = 0.5
LANES = (
    (None, "total", INK, "D", -0.26),
    (Side.CLIENT, "client", BLUE, "o", 0.0),
    (Side.SERVER, "server", ORANGE, "s", 0.26),
)


def latency_plot(view: RunView) -> Figure | None:
    """Draw p50 to p99 of one image by side; None where no latency was measured."""
    found = [latency_of(pipeline) for pipeline in view.pipelines]
    if not any(found):
        return None
    figure = new_figure(0.85 + ROW_HEIGHT * len(found))
    axes = figure.subplots()
    band_rows(axes, len(found))
    axes.set_xscale("log")
    for row, latency in enumerate(found):
        if latency is not None:
            _row(axes, row, latency)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * (high / low) ** 0.16 * 1.6)
    for row, latency in enumerate(found):
        if latency is None:
            text = _absence(view.pipelines[row].state)
            axes.text(
                0.5, row, text, transform=axes.get_yaxis_transform(), color=GREY, style="italic"
            )
    labels = [wrapped(short_title(view, pipeline), LABEL_WIDTH) for pipeline in view.pipelines]
    axes.set_yticks(range(len(labels)), labels)
    _axis(axes)
    return figure


def _absence(state: str) -> str:
    return "no latency measured" if state == "ok" else f"no latency: {state}"


def _row(axes: Axes, row: int, latency: Latency) -> None:
    for side, name, colour, marker, offset in LANES:
        spread = latency.total if side is None else latency.sides.get(side)
        if spread is None or spread.p50 <= 0:
            continue
        _lane(axes, row + offset, spread, name, colour, marker)


def _lane(axes: Axes, height: float, spread: Spread, name: str, colour: str, marker: str) -> None:
    """Draw p50 as a mark, p50 to p99 as a line, and name and value at the line's end."""
    axes.plot([spread.p50, spread.p99], [height, height], color=colour, lw=1.4)
    axes.plot([spread.p50], [height], marker=marker, color=colour, markersize=4, linestyle="none")
    axes.annotate(
        f"{name} {duration(spread.p50)}",
        (spread.p99, height),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=6.5,
        color=colour,
        path_effects=halo(),
    )


def _axis(axes: Axes) -> None:
    """Label decades, and 2 and 5 between them where the axis spans fewer than two."""
    low, high = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: round_duration(value)))
    axes.minorticks_off()
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.set_xlabel("Time for one image, log axis: mark at p50, line to p99")


def round_duration(seconds: float) -> str:
    """Spell a tick, which is a round number, without trailing zeros."""
    for unit, divisor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.999 * divisor:
            return f"{seconds / divisor:g} {unit}"
    return f"{seconds:g} s"


def stage_grid(view: RunView) -> Figure | None:
    """Draw p50 of every stage as a numbered grid; None where no stage was measured."""
    found = [latency_of(pipeline) for pipeline in view.pipelines]
    cells = {
        (row, (timing.side, timing.stage)): timing.spread.p50
        for row, latency in enumerate(found)
        if latency is not None
        for timing in latency.stages
    }
    positive = [seconds for seconds in cells.values() if seconds > 0]
    if not positive:
        return None
    columns = _columns({key for _, key in cells})
    values = np.full((len(found), len(columns)), np.nan)
    for (row, key), seconds in cells.items():
        values[row, columns.index(key)] = max(seconds, min(positive))
    figure = new_figure(1.15 + 0.42 * len(found))
    axes = figure.subplots()
    _grid(axes, values, cells, columns)
    for row, latency in enumerate(found):
        if latency is None:
            text = _absence(view.pipelines[row].state)
            middle = (len(columns) - 1) / 2
            axes.text(middle, row, text, ha="center", va="center", color=GREY, style="italic")
    labels = [wrapped(short_title(view, pipeline), LABEL_WIDTH) for pipeline in view.pipelines]
    axes.set_yticks(range(len(labels)), labels)
    return figure


def _columns(keys: set[tuple[Side, Stage]]) -> list[tuple[Side, Stage]]:
    """Order stages as one image meets them: client, network, server."""
    sides, stages = [Side.CLIENT, Side.NETWORK, Side.SERVER], list(Stage)
    return sorted(keys, key=lambda key: (sides.index(key[0]), stages.index(key[1])))


def _grid(
    axes: Axes,
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    cells: dict[tuple[int, tuple[Side, Stage]], float],
    columns: list[tuple[Side, Stage]],
) -> None:
    shades = np.log10(values)
    low, high = math.floor(np.nanmin(shades)), math.ceil(np.nanmax(shades) + 1e-9)
    axes.imshow(shades, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
    palette = mpl.colormaps["cividis_r"]
    for (row, key), seconds in cells.items():
        column = columns.index(key)
        red, green, blue, _ = palette((shades[row, column] - low) / max(high - low, 1e-9))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        colour = "#fefefe" if dark else "#010101"  # never swapped by a dark page
        text = milliseconds(seconds)
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_xticks(
        range(len(columns)),
        [f"{stage.value.partition(' (')[0]}\n{side.value}" for side, stage in columns],
        rotation=40,
        ha="left",
        rotation_mode="anchor",
        fontsize=7,
    )
    axes.xaxis.tick_top()
    axes.set_xticks([i - 0.5 for i in range(1, len(columns))], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, len(values))], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("p50 in milliseconds per image; darker is longer, steps of ten")
