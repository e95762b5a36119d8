"""Confusion counts: four columns for two classes, a truth-by-prediction block for more."""

from __future__ import annotations

from reports.document import Column, Row, Table, inline
from reports.sections.tables import blanks, grouped
from reports.view import PipelineView, RunView


def confusion_tables(view: RunView) -> list[Table]:
    """Return the confusion counts of all pipelines as one table."""
    classes = view.manifest.dataset.card.classes
    return [_binary(view, classes) if len(classes) == 2 else _several(view, classes)]


def _binary(view: RunView, classes: list[str]) -> Table:
    rows = []
    for pipeline in view.pipelines:
        name = view.row_name(pipeline, pipeline.cells[:1])
        counts = _counts(pipeline)
        if len(counts) == 2:
            cells = [inline(f"{count:,}") for line in counts for count in line]
        else:
            cells = list(blanks(pipeline, 4))
        rows.append(Row((name, *cells)))
    columns = [Column("Pipeline", weight=2.2)]
    columns += [
        Column(f"{truth} called {called}", "right", "images")
        for truth in classes
        for called in classes
    ]
    return Table("Images by true and predicted class", tuple(columns), tuple(rows))


def _several(view: RunView, classes: list[str]) -> Table:
    def rows_of(pipeline: PipelineView) -> list[Row]:
        counts = _counts(pipeline)
        return [
            Row((inline(truth), *[inline(f"{count:,}") for count in line]))
            for truth, line in zip(classes, counts, strict=False)
            if len(line) == len(classes)
        ]

    columns = (
        Column("True class", weight=1.4),
        *[Column(f"called {name}", "right", "images") for name in classes],
    )
    return Table("Images by true class (rows) and predicted class", columns, grouped(view, rows_of))


def _counts(pipeline: PipelineView) -> list[list[int]]:
    return pipeline.scores.confusion if pipeline.scores else []
