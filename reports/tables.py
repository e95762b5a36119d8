"""How a metrics table is built: one row per pipeline, wide ones cut into parts that fit a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.spelling import MISSING
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Column, Inline, Row, SpanRow, Table, inline
from he_compare.reports.naming import full_title, row_name

MOST_COLUMNS = 6
Filler = Callable[[PipelineView, str], Inline]


def without_controls(view: RunView) -> list[PipelineView]:
    """Return the pipelines that tables of the body are about; all, where all are controls."""
    return [one for one in view.pipelines if not is_control_pipeline(one)] or [*view.pipelines]


def pipeline_tables(
    view: RunView,
    caption: str,
    names: Sequence[tuple[str, str, str]],
    fill: Filler,
    note: Inline,
    pipelines: Sequence[PipelineView] | None = None,
) -> list[Table]:
    """Return one or more tables of pipelines by ``names`` (key, title, unit).

    A pipeline without scores keeps its row: its cells say how its accuracy cell ended.
    """
    parts = list(_chunks(names))
    tables = []
    for number, part in enumerate(parts, start=1):
        columns = [Column("Pipeline", weight=2.2)]
        columns += [Column(title, "right", unit) for _, title, unit in part]
        rows = tuple(
            Row((row_name(view, one, one.cells[:1]), *[fill(one, key) for key, *_ in part]))
            for one in (view.pipelines if pipelines is None else pipelines)
        )
        suffix = f" (part {number} of {len(parts)})" if len(parts) > 1 else ""
        tables.append(Table(caption + suffix, tuple(columns), rows, note))
    return tables


def _chunks(names: Sequence[tuple[str, str, str]]) -> Iterator[Sequence[tuple[str, str, str]]]:
    """Cut into parts of nearly equal length, none above ``MOST_COLUMNS``."""
    parts = -(-len(names) // MOST_COLUMNS)
    for part in range(parts):
        yield names[part * len(names) // parts : (part + 1) * len(names) // parts]


def absent(pipeline: PipelineView) -> Inline:
    """Say in a cell why it holds no number."""
    return inline(MISSING if pipeline.state == "ok" else pipeline.state)


def blanks(pipeline: PipelineView, count: int) -> tuple[Inline, ...]:
    """Return the cells of a row without numbers: why, then nothing."""
    return (absent(pipeline), *[inline(MISSING)] * (count - 1))


def grouped(
    view: RunView, rows_of: Callable[[PipelineView], list[Row]]
) -> tuple[Row | SpanRow, ...]:
    """Return rows under a heading row per pipeline; without rows, the remark says why."""
    rows: list[Row | SpanRow] = []
    for pipeline in view.pipelines:
        found = rows_of(pipeline)
        head = inline(full_title(view, pipeline))
        rows.append(SpanRow(head if found else inline(*head, f": {_why(pipeline)}")))
        rows += found
    return tuple(rows)


def _why(pipeline: PipelineView) -> str:
    return pipeline.trouble or "nothing recorded"
