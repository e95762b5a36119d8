"""Answers to messages with flipped bits: a panel per pipeline, right, refused and wrong stacked."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from he_compare.common.run.disturbed import FLIPPED_BITS, curve_of, shares_of
from he_compare.common.run.records import RobustnessCurve
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.multiples import Panel, Scale, multiples
from he_compare.reports.figures.style import GREY
from he_compare.reports.naming import short_title

COLUMNS = 4
PANEL_LABEL = 26
HEAD_INCHES = 0.24
BAR = 0.42
OUTCOMES = (
    ("right", "#1f4e79", ""),
    ("refused: no usable answer", "#dcdcdc", ""),
    ("wrong, unnoticed", "#f2b27a", "////"),
)


def shown_disturbed(view: RunView) -> list[PipelineView]:
    """Return the pipelines with a panel: those that protect, and the twins they are held against;
    all that were disturbed where that is none."""
    found = [
        one
        for one in view.pipelines
        if (curve := curve_of(one, FLIPPED_BITS)) is not None and curve.points
    ]
    twins = [view.twin_of(one) for one in found]
    told = [one for one in found if one.protected or any(one is twin for twin in twins)]
    return told or found


def robustness_plot(view: RunView) -> Figure | None:
    """Draw what became of messages with flipped bits; None where none were disturbed."""
    found = [
        (pipeline, curve)
        for pipeline in shown_disturbed(view)
        if (curve := curve_of(pipeline, FLIPPED_BITS)) is not None
    ]
    if not found:
        return None
    levels = sorted({point.level for _, curve in found for point in curve.points})
    spots = {level: spot for spot, level in enumerate(levels)}
    marks = tuple((float(spot), spell_level(level)) for level, spot in spots.items())
    across = Scale(-0.6, len(levels) - 0.4, marks, found[0][1].unit)
    up = Scale(0.0, 1.0, ((0, "0"), (0.5, "0.5"), (1, "1")), "share of messages")
    titles = [wrapped(short_title(view, pipeline), PANEL_LABEL, 2) for pipeline, _ in found]
    columns = min(COLUMNS, max(len(found), 2))
    figure, panels = multiples(
        titles, columns, across, up, ratio=0.5, slanted=True, head=HEAD_INCHES
    )
    for panel, (_, curve) in zip(panels, found, strict=True):
        _stack(panel, curve, spots)
    figure.legend(
        handles=[
            Patch(facecolor=colour, edgecolor=GREY, hatch=hatch, lw=0.5, label=name)
            for name, colour, hatch in OUTCOMES
        ],
        loc="upper center",
        ncols=len(OUTCOMES),
        frameon=False,
        fontsize=7.5,
        borderpad=0.0,
    )
    return figure


def _stack(panel: Panel, curve: RobustnessCurve, spots: dict[float, int]) -> None:
    for point in curve.points:
        low, spot = 0.0, spots[point.level]
        for (_, colour, hatch), share in zip(OUTCOMES, shares_of(point), strict=True):
            if share > 0:
                panel.block(
                    spot - BAR, spot + BAR, low, low + share,
                    facecolor=colour, edgecolor=GREY, linewidth=0.4, hatch=hatch,
                )  # fmt: skip
            low += share


def spell_level(level: float) -> str:
    """Spell a level so that small shares stay short."""
    if level == 0 or level >= 0.01:
        return f"{level:g}"
    return f"1e{round(math.log10(level))}" if level > 0 else f"{level:g}"
