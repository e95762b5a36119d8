"""Robustness: what becomes of the answers when messages are disturbed on their way."""

from __future__ import annotations

from he_compare.common.run.records import RobustnessCurve
from he_compare.common.run.spelling import MISSING, bracket, fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Break,
    Callout,
    Column,
    Figure,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.robustness import robustness_plot
from he_compare.reports.naming import full_title, row_name, short_title
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks

INTRODUCTION = (
    "Messages were disturbed after the client protected them and before the server computed; "
    "nothing was repaired or decrypted in between. A message without an answer counts as wrong. "
    "This measures tolerance to transmission errors, not secrecy: a cipher in which a change does "
    "not spread can be robust because it hides little."
)
TRANSPORT = (
    "An authenticated transport, such as TLS, refuses a message with one wrong bit before the "
    "server sees it. The curves show what would happen without one."
)


class Robustness(ReportSection):
    """What becomes of the answers when messages are disturbed."""

    order = 900
    title = "Robustness"

    def blocks(self, view: RunView) -> list[Block]:
        """Return a figure and tables per disturbance; nothing where no message was disturbed."""
        kinds = dict.fromkeys(
            curve.disturbance for one in view.pipelines for curve in one.robustness_curves
        )
        if not kinds:
            return []
        blocks: list[Block] = [
            Paragraph(inline(INTRODUCTION)),
            Callout("note", "Without an authenticated transport", inline(TRANSPORT)),
        ]
        for kind in kinds:
            blocks += [*_figure(view, kind), *_tables(view, kind)]
        return blocks


def _figure(view: RunView, kind: str) -> list[Figure]:
    return drawn(
        lambda: robustness_plot(view, kind),
        f"robustness-{kind.lower().replace(' ', '-')}",
        f"Accuracy under {kind}: dots with 95% band; dashed with crosses, the share of "
        "messages that were refused, could not be read or gave implausible scores",
        f"For each pipeline, accuracy against the strength of {kind}. "
        f"{_words(view, kind)} The numbers are in the table below.",
    )


def _words(view: RunView, kind: str) -> str:
    """Say in words where each curve begins and ends."""
    ends = [
        f"{short_title(view, pipeline)} goes from {fixed(curve.points[0].accuracy, 2)} "
        f"to {fixed(curve.points[-1].accuracy, 2)}"
        for pipeline in view.pipelines
        for curve in pipeline.robustness_curves
        if curve.disturbance == kind and curve.points
    ]
    return "; ".join(ends) + "."


def _tables(view: RunView, kind: str) -> list[Block]:
    curves = [c for p in view.pipelines for c in p.robustness_curves if c.disturbance == kind]
    drawn = next((curve for curve in curves if curve.points), None)
    if drawn is None:
        return []
    levels = [point.level for point in drawn.points]
    columns = (
        Column("Pipeline", weight=2.2),
        *[Column(f"{level:g}", "right") for level in levels],
    )
    rows = tuple(_accuracy_row(view, pipeline, kind, len(levels)) for pipeline in view.pipelines)
    note = inline(
        f"Columns: {drawn.unit}. Accuracy with its 95% interval, n = {drawn.points[0].n} images. "
        f"Disturbed: {drawn.applied_to}. The same messages at every level."
    )
    tables: list[Block] = [Table(f"Accuracy under {kind}", columns, rows, note)]
    lost = _lost(view, kind)
    return [*tables, lost] if lost else tables


def _accuracy_row(view: RunView, pipeline: PipelineView, kind: str, count: int) -> Row:
    record = (pipeline.robustness,) if pipeline.robustness else ()
    name = row_name(view, pipeline, record)
    curve = next((c for c in pipeline.robustness_curves if c.disturbance == kind), None)
    if curve is None:
        return Row((name, *blanks(pipeline, count)))
    if not curve.points:
        why = "nothing is sent" if pipeline.no_server else "not defined"
        return Row((name, inline(why), *[inline(MISSING)] * (count - 1)))
    cells = [
        inline(fixed(point.accuracy, 2), Break(), bracket(point.interval, 2))
        for point in curve.points
    ]
    return Row((name, *cells))


def _lost(view: RunView, kind: str) -> Table | None:
    """Return what became of messages that gave no answer; None where all did."""
    columns = (
        Column("Strength", "right"),
        Column("Sent", "right", "images"),
        Column("Refused", "right", "messages"),
        Column("Unreadable", "right", "replies"),
        Column("Implausible", "right", "replies"),
        Column("Restarts", "right", "of the server"),
    )
    rows: list[Row | SpanRow] = []
    for pipeline in view.pipelines:
        found = [
            row
            for curve in pipeline.robustness_curves
            if curve.disturbance == kind
            for row in _lost_rows(curve)
        ]
        if found:
            rows += [SpanRow(inline(full_title(view, pipeline))), *found]
    return Table(f"Messages without an answer under {kind}", columns, tuple(rows)) if rows else None


def _lost_rows(curve: RobustnessCurve) -> list[Row]:
    return [
        Row(
            (
                inline(f"{point.level:g}"),
                *[
                    inline(f"{count}")
                    for count in (
                        point.n,
                        point.refused,
                        point.unreadable,
                        point.garbage,
                        point.crashes,
                    )
                ],
            )
        )
        for point in curve.points
        if point.refused or point.unreadable or point.garbage or point.crashes
    ]


SECTION = Robustness()
