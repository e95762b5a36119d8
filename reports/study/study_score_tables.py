"""The appendices of a study: every score and every price."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.repeated_trainings import spread_beside, spread_of
from he_compare.common.run.spelling import (
    MISSING,
    bracket,
    duration,
    fixed,
    kilobytes,
    megabytes,
    milliseconds,
)
from he_compare.common.run.timing import cold_seconds, latency_of
from he_compare.common.run.view import RunView
from he_compare.common.study.study_rules import (
    DIFFERENCE_KINDS,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.document.nodes import (
    Break,
    Column,
    Content,
    Inline,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.study.study_layout import (
    labels_by_side,
    rows_under_titles,
)
from he_compare.reports.study.study_tables import difference_words, sent_once
from he_compare.reports.study.study_titles import (
    run_link,
)

ONE_TRAINING = "one training"


def score_tables(study: StudyView) -> list[Table]:
    """Return accuracy and AUC of everything on each data set, a table for each."""
    return [_scores(study, one, view) for one, view in study.read]


def _scores(study: StudyView, one: StudiedSet, view: RunView) -> Table:
    accuracy, auc = leading_titles(view)
    columns = (
        Column("Set-up", weight=2.2),
        Column(accuracy, "right", "95% interval", 1.4),
        Column("Minus twin", "right", "95% interval", 1.5),
        Column(auc, "right", "95% interval", 1.4),
        Column("Minus twin", "right", "95% interval", 1.5),
    )
    groups = [
        (title, [Row(_score_cells(one, view, label)) for label in mine])
        for title, mine in labels_by_side(study, one.row.pipelines)
    ]
    seeds = _seeds_of(view)
    words = (
        "In every cell: the mean, its interval, and the lowest and highest training. “The same in "
        "every training”: there the seed changes nothing, so that the trainings are one; how much "
        "another training would change is not shown."
    )
    return Table(
        f"{one.title}: {view.n_test:,} test images, {seeds}",
        columns,
        rows_under_titles(groups),
        inline(words) if seeds != ONE_TRAINING else (),
    )


def _seeds_of(view: RunView) -> str:
    trained = [spread_of(one.metric("auc")) for one in view.pipelines]
    most = max((len(spread.values) for spread in trained if spread), default=1)
    return f"{most} trainings" if most > 1 else ONE_TRAINING


def _score_cells(one: StudiedSet, view: RunView, label: str) -> tuple[Inline, ...]:
    pipeline = one.pipeline(label)
    if pipeline is None:
        return inline(label), *[inline(MISSING)] * 4
    cells: list[Inline] = [inline(run_link(one, label))]
    for kind, name in zip(DIFFERENCE_KINDS, leading_metrics(view), strict=True):
        metric, minus = pipeline.metric(name), pipeline.difference(name)
        if metric is None or metric.value is None:
            cells.append(inline(pipeline.state if pipeline.state != "ok" else MISSING))
        else:
            cells.append(
                _lines(fixed(metric.value), bracket(metric.interval), spread_beside(metric))
            )
        told = difference_words(view, pipeline, kind)
        if told:
            cells.append(_lines(*told, spread_beside(minus, signed=True)))
        else:
            cells.append(inline(MISSING))
    return tuple(cells)


def _lines(*words: str) -> Inline:
    parts: list[Content] = []
    for one in filter(None, words):
        parts += [Break()] if parts else []
        parts.append(one)
    return inline(*parts)


def price_table(study: StudyView) -> Table:
    """Return what each set-up takes: time of one image, bytes, and the work done once."""
    columns = (
        Column("Set-up", weight=2.2),
        Column("Data set", weight=1.2),
        Column("One image, p50", "right", "ms"),
        Column("Up", "right", "kB per image"),
        Column("Down", "right", "kB per image"),
        Column("Sent once", "right", "MB"),
        Column("Before the first image", "right", "once", 1.2),
    )
    rows: list[Row | SpanRow] = []
    for _, labels in labels_by_side(study, study.labels):
        for label in labels:
            rows += _price_rows(study, label)
    return Table(
        "Price of each set-up",
        columns,
        tuple(rows),
        inline(
            "Times compare only between data sets that ran on one machine. Sent once: keys, "
            "weights, and what the server gets to train on. What is done once holds "
            "keys, training and deploying; parts that were made before are counted as made."
        ),
    )


def _price_rows(study: StudyView, label: str) -> Iterator[Row]:
    for number, (one, _, pipeline) in enumerate(study.places(label)):
        latency, moved = latency_of(pipeline), pipeline.bytes_per_image
        once, sent = cold_seconds(pipeline), sent_once(pipeline)
        yield Row(
            (
                inline("" if number else label),
                inline(run_link(one, one.title)),
                inline(milliseconds(latency.total.p50) if latency else MISSING),
                inline(kilobytes(moved[0]) if moved else MISSING),
                inline(kilobytes(moved[1]) if moved else MISSING),
                inline(megabytes(sent) if sent is not None else MISSING),
                inline(duration(once) if once is not None else MISSING),
            )
        )
