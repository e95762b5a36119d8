"""Tables of true against predicted classes; of many classes, those that are worst told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Column, Inline, Row, Table, inline
from he_compare.reports.naming import row_name
from he_compare.reports.tables import absent, blanks, grouped, pipeline_tables

# More classes than this do not fit on a page; their worst are named, the rest counted.
MOST_CLASSES_SHOWN = 12
WORST = 10


def confusion_tables(view: RunView) -> list[Table]:
    """Return the confusion counts of all pipelines as one table; of many classes, the worst."""
    classes = view.manifest.dataset.card.classes
    if len(classes) > MOST_CLASSES_SHOWN:
        return _most_confused(view, classes)
    return [_binary(view, classes) if len(classes) == 2 else _several(view, classes)]


def lowest_recalls(view: RunView, names: Sequence[str]) -> list[str]:
    """Return the few of many recalls, by their names, that are lowest in the mean of pipelines."""

    def mean(name: str) -> float:
        values = [value for one in view.pipelines if (value := one.value(name)) is not None]
        return sum(values) / len(values) if values else 2.0

    return sorted(names, key=mean)[:WORST]


def _binary(view: RunView, classes: list[str]) -> Table:
    rows = []
    for pipeline in view.pipelines:
        name = row_name(view, pipeline, pipeline.cells[:1])
        counts = _counts(pipeline)
        if len(counts) == 2:
            cells = [inline(f"{count:,}") for line in counts for count in line]
        else:
            cells = list(blanks(pipeline, 4))
        rows.append(Row((name, *cells)))
    columns = [Column("Pipeline", weight=2.2)]
    columns += [
        Column(f"{truth}, predicted {called}", "right", "images")
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
        *[Column(f"predicted {name}", "right", "images") for name in classes],
    )
    return Table("Images by true class (rows) and predicted class", columns, grouped(view, rows_of))


def _most_confused(view: RunView, classes: list[str]) -> list[Table]:
    """Return the pairs of classes that are taken for each other most, over all pipelines."""
    k = len(classes)
    counted = {
        one.label: np.array(_counts(one)) for one in view.pipelines if len(_counts(one)) == k
    }
    total = np.sum([np.zeros((k, k)), *counted.values()], axis=0)
    np.fill_diagonal(total, 0)
    order = np.argsort(-total, axis=None, kind="stable")[:WORST]
    pairs = [divmod(int(place), k) for place in order if total.flat[place] > 0]
    names = [(f"{t} {c}", f"{classes[t]}, predicted {classes[c]}", "images") for t, c in pairs]

    def fill(pipeline: PipelineView, name: str) -> Inline:
        truth, called = map(int, name.split())
        found = counted.get(pipeline.label)
        return absent(pipeline) if found is None else inline(f"{found[truth, called]:,}")

    if not names:
        return []
    caption = (
        f"The {len(names)} pairs of {k} classes that are confused most, images of all pipelines "
        "taken together; scores.json has all"
    )
    return pipeline_tables(view, caption, names, fill, inline(""))


def _counts(pipeline: PipelineView) -> list[list[int]]:
    return pipeline.scores.confusion if pipeline.scores else []
