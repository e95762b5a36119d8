"""Could a clinic use this classifier? Errors in counts, predictive values, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from he_compare.common.run.clinical import (
    AS_EXECUTED,
    PREVALENCES,
    ClinicalReading,
    clinical_reading,
)
from he_compare.common.run.fitness import fitness_of
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.records import MetricValue
from he_compare.common.run.spelling import MISSING, fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
    plain,
)
from he_compare.reports.metric_tables import CALIBRATION, intervals_note
from he_compare.reports.naming import short_title
from he_compare.reports.numbers import metric_cell
from he_compare.reports.section import ReportSection

Read = list[tuple[PipelineView, ClinicalReading]]
Cells = tuple[Inline, ...]
# More classes than this are too many columns: then only the worst class is named.
MOST_RECALLS = 5


class Clinical(ReportSection):
    """A clinical reading of every set-up that is no control; nothing without scores."""

    order = 450
    title = "Could a clinic use this classifier?"
    anchor = "clinical-reading"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer, the errors in counts and shares, and calibration."""
        read = readings(view)
        if not read:
            return []
        fit = fitness_of(view)
        answer = inline(Bold(f"{fit.verdict}."), f" {'. '.join(fit.reasons)}. {fit.needed}.")
        tables = _of_two(view, read) if view.positive else _by_class(view, read)
        return [Paragraph(answer), *tables, *_calibration(view, read)]


def readings(view: RunView) -> Read:
    """Return the set-ups that were scored and are no controls, each with its reading."""
    found = [
        (one, clinical_reading(view, one)) for one in view.pipelines if not is_control_pipeline(one)
    ]
    return [(one, reading) for one, reading in found if reading is not None]


def _of_two(view: RunView, read: Read) -> list[Table]:
    rows = _alike_once(view, [(one, _cells_of_two(view, reading)) for one, reading in read])
    positive, negative = read[0][1].positive, read[0][1].negative
    columns = (
        Column("Set-up", weight=2.0),
        Column("Threshold", "right", "", 0.9),
        Column(f"{negative} called {positive}", "right", "images", 1.4),
        Column(f"{positive} missed", "right", "images", 1.3),
        Column("Sensitivity", "right", "95% interval", 1.2),
        Column("Specificity", "right", "95% interval", 1.2),
    )
    errors = Table("Errors on the test images", columns, rows, inline(_error_note(read)))
    return [errors, *_predictive_table(view, read)]


def _cells_of_two(view: RunView, one: ClinicalReading) -> Cells:
    classes = view.manifest.dataset.card.classes
    sick, healthy = (one.confusion[classes.index(name)] for name in (one.positive, one.negative))
    called, missed = classes.index(one.positive), classes.index(one.negative)
    threshold = MISSING if one.threshold is None else fixed(one.threshold)
    return (
        inline(threshold, *(() if one.validated else (Break(), "not fixed"))),
        inline(f"{healthy[called]:,} of {sum(healthy):,}"),
        inline(f"{sick[missed]:,} of {sum(sick):,}"),
        metric_cell(one.sensitivity),
        metric_cell(one.specificity),
    )


def _error_note(read: Read) -> str:
    """Say how thresholds were fixed and how intervals were made."""
    ways = " ".join(sorted({f"Threshold {one.threshold_words}." for _, one in read}))
    metrics = [share for _, one in read for share in (one.sensitivity, one.specificity)]
    return f"{ways}{_stand_ins(read)} {_methods(metrics)}"


def _predictive_table(view: RunView, read: Read) -> list[Table]:
    found = [(pipeline, _predictive(one)) for pipeline, one in read if one.predictive]
    if not found:
        return []
    positive = read[0][1].positive
    when = "; ".join(f"{100 * share:g}%, where {why}" for share, why in PREVALENCES)
    note = (
        f"PPV: of those called {positive}, the share who are. NPV: of the others, the share who "
        f"are not. Both depend on how common {positive} is among those examined: {when}. These two "
        "are assumed; the share in the test set says nothing of a clinic. Their limits combine "
        "both lower and both upper limits of sensitivity and specificity."
    )
    columns = [Column("Set-up", weight=2.0)]
    for share, _ in PREVALENCES:
        columns += [Column(f"{value} at {100 * share:g}%", "right") for value in ("PPV", "NPV")]
    caption = "What a call is worth, by how common the disease is"
    return [Table(caption, tuple(columns), _alike_once(view, found), inline(note))]


def _predictive(one: ClinicalReading) -> Cells:
    """Spell both predictive values at each prevalence, with their limits on a second line.

    Negative ones lie near 1 and need another decimal.
    """
    return tuple(
        _limited(value, limits, decimals)
        for found in one.predictive
        for value, limits, decimals in (
            (found.positive, found.positive_interval, 2),
            (found.negative, found.negative_interval, 3),
        )
    )


def _limited(value: float | None, limits: tuple[float, float] | None, decimals: int) -> Inline:
    if value is None:
        return inline(MISSING)
    shown = fixed(value, decimals)
    if limits is None:
        return inline(shown)
    low, high = (fixed(end, decimals) for end in limits)
    return inline(shown, Break(), f"[{low}, {high}]")


def _alike_once(view: RunView, rows: Iterable[tuple[PipelineView, Cells]]) -> tuple[Row, ...]:
    """Return one row for all set-ups with the same cells, which their names share."""
    names: dict[Cells, list[str]] = {}
    for pipeline, cells in rows:
        names.setdefault(cells, []).append(short_title(view, pipeline))
    return tuple(Row((_lines(found), *cells)) for cells, found in names.items())


def _lines(names: Sequence[str]) -> Inline:
    """Return names one below the other."""
    rest = [part for name in names[1:] for part in (Break(), name)]
    return inline(names[0], *rest)


def _stand_ins(read: Read) -> str:
    """Say which set-ups had validation images scored by a clear model in their place."""
    named: dict[str, list[str]] = {}
    for pipeline, one in read:
        point = pipeline.scores.at_validated_threshold if pipeline.scores else None
        if one.validated and point is not None and point.scored_by != AS_EXECUTED:
            named.setdefault(point.scored_by, []).append(pipeline.label)
    return "".join(
        f" For {', '.join(labels)} the {name} scored them, whose answers it must reproduce."
        for name, labels in named.items()
    )


def _methods(metrics: list[MetricValue | None]) -> str:
    methods = sorted({one.interval.method for one in metrics if one and one.interval})
    return f"Intervals: {'; '.join(methods)}." if methods else ""


def _by_class(view: RunView, read: Read) -> list[Block]:
    """Return recalls by class, the lowest of each set-up in bold; of many classes the worst."""
    classes = view.manifest.dataset.card.classes
    names = [f"recall[{name}]" for name in classes]
    note = intervals_note(view, names)
    few = len(classes) <= MOST_RECALLS
    columns = [Column("Set-up", weight=2.0)]
    if few:
        columns += [Column(name, "right", "recall") for name in classes]
        rows = _alike_once(view, [(p, _recalls(one, classes)) for p, one in read])
        caption = "Recall of each class; bold: the class recognised least"
    else:
        columns += [Column("Class recognised least"), Column("Its recall", "right", "95% interval")]
        columns += [Column("Right", "right", "images")]
        rows = _alike_once(view, [(p, _worst(view, one)) for p, one in read])
        caption = "The class that each set-up recognises least"
    return [Table(caption, tuple(columns), rows, note)]


def _recalls(one: ClinicalReading, classes: list[str]) -> Cells:
    """Spell the recall of each class; the lowest is bold, for all classes that share it."""
    found = dict(one.recalls)
    lowest = one.worst[1].value if one.worst else None
    cells = []
    for name in classes:
        metric = found.get(name)
        head, *rest = metric_cell(metric)
        least = metric is not None and metric.value is not None and metric.value == lowest
        cells.append(inline(Bold(plain(inline(head))) if least else head, *rest))
    return tuple(cells)


def _worst(view: RunView, one: ClinicalReading) -> Cells:
    if one.worst is None:
        return (inline(MISSING),) * 3
    name, recall = one.worst
    row = one.confusion[view.manifest.dataset.card.classes.index(name)]
    right = row[view.manifest.dataset.card.classes.index(name)]
    return inline(name), metric_cell(recall), inline(f"{right:,} of {sum(row):,}")


def _calibration(view: RunView, read: Read) -> list[Table]:
    rows = []
    for pipeline, _ in read:
        confidence = _confidence(pipeline)
        metrics = [pipeline.metric(name) for name in CALIBRATION]
        if confidence is None or not any(metrics):
            continue
        mean, right = confidence
        cells = (inline(fixed(mean)), inline(fixed(right)), *map(metric_cell, metrics))
        rows.append((pipeline, cells))
    if not rows:
        return []
    columns = (
        Column("Set-up", weight=2.0),
        Column("Mean probability of the class called", "right", "", 1.2),
        Column("Right", "right", "share", 0.9),
        Column("ECE", "right", "0 is best", 1.2),
        Column("Brier score", "right", "0 is best", 1.2),
    )
    note = (
        "A set-up is too sure of itself where its mean probability is above its share of right "
        "answers. Here the likeliest class is called."
    )
    return [
        Table(
            "Do the probabilities mean what they say?",
            columns,
            _alike_once(view, rows),
            inline(note),
        )
    ]


def _confidence(pipeline: PipelineView) -> tuple[float, float] | None:
    """Return the mean probability of the likeliest class and how often it is right."""
    bins = pipeline.scores.reliability if pipeline.scores else []
    n = sum(count for *_, count in bins)
    if not n:
        return None
    return (
        sum(mean * count for mean, _, count in bins) / n,
        sum(share * count for _, share, count in bins) / n,
    )


SECTION = Clinical()
