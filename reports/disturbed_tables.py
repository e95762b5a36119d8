"""Tables of disturbed messages: three outcomes with intervals, and how they were drawn."""

from __future__ import annotations

from he_compare.common.run.disturbed import curve_of, shares_of
from he_compare.common.run.records import RobustnessCurve, RobustnessPoint
from he_compare.common.run.spelling import MISSING, bracket, fixed, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Column, Inline, Row, SpanRow, Table, inline
from he_compare.reports.naming import full_title

COLUMNS = (
    Column("Strength", "right", weight=0.8),
    Column("Sent", "right", "messages", 0.8),
    Column("Changed bits", "right", "expected / drawn", 1.2),
    Column("Right", "right", "share, 95%", 1.4),
    Column("Refused", "right", "share", 0.7),
    Column("Wrong", "right", "share, 95%", 1.4),
    Column("Server / unreadable / implausible", "right", "messages", 1.3),
    Column("Restarts", "right", "of the server", 0.8),
)


def disturbed_tables(view: RunView) -> list[Table]:
    """Return a table per disturbance; none where no message was disturbed."""
    kinds = dict.fromkeys(
        curve.disturbance
        for one in view.pipelines
        for curve in one.robustness_curves
        if curve.points
    )
    return [_table(view, kind) for kind in kinds]


def _table(view: RunView, kind: str) -> Table:
    rows: list[Row | SpanRow] = []
    for pipeline in view.pipelines:
        curve = curve_of(pipeline, kind)
        if curve is not None and curve.points:
            rows.append(SpanRow(inline(full_title(view, pipeline))))
            rows += [Row(_cells(point)) for point in curve.points]
        elif pipeline.robustness is not None:
            why = _absence(pipeline, curve)
            rows.append(SpanRow(inline(f"{full_title(view, pipeline)}: {why}")))
    drawn = next(
        curve
        for one in view.pipelines
        if (curve := curve_of(one, kind)) is not None and curve.points
    )
    return Table(f"Messages under {kind}", COLUMNS, tuple(rows), _note(drawn))


def _absence(pipeline: PipelineView, curve: RobustnessCurve | None) -> str:
    if pipeline.no_server:
        return "nothing is sent"
    return (curve.reason if curve else pipeline.trouble) or "not defined"


def _note(curve: RobustnessCurve) -> Inline:
    draws, n = (
        max(point.draws for point in curve.points),
        curve.points[0].n // curve.points[0].draws,
    )
    times = (
        f"each disturbed anew in {draws} draws; the intervals count images and draws"
        if draws > 1
        else "each disturbed once: an interval over images holds one draw for each"
    )
    return inline(
        f"Strength: {curve.unit}. The messages of {n} images, {times}. Disturbed: "
        f"{curve.applied_to}. Refused: by the server, or noticed by the client as unreadable or "
        "implausible (more than 100 times the largest undisturbed score)."
    )


def _cells(point: RobustnessPoint) -> tuple[Inline, ...]:
    right, refused, wrong = shares_of(point)
    limits = bracket(point.wrong_interval, 2)
    cells = (
        f"{point.level:g}",
        f"{point.n:,}",
        _flips(point),
        f"{fixed(right, 2)} {bracket(point.interval, 2)}",
        fixed(refused, 2),
        f"{fixed(wrong, 2)} {limits}".strip(),
        f"{point.refused} / {point.unreadable} / {point.garbage}",
        f"{point.crashes}",
    )
    return tuple(inline(cell) for cell in cells)


def _flips(point: RobustnessPoint) -> str:
    if point.flips_expected is None or point.flips_drawn is None:
        return MISSING
    return f"{significant(point.flips_expected)} / {point.flips_drawn:,}"
