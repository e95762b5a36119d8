"""Could a clinic use this classifier? Errors in counts, predictive values, calibration."""

from __future__ import annotations

from he_compare.common.run.clinical import (
    PREVALENCES,
    ClinicalReading,
    PredictiveValues,
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
)
from he_compare.reports.metric_tables import intervals_note
from he_compare.reports.naming import short_title
from he_compare.reports.numbers import metric_cell
from he_compare.reports.section import ReportSection

Read = list[tuple[PipelineView, ClinicalReading]]
CALIBRATION = ("ece", "brier")
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
    rows = tuple(Row(_cells_of_two(view, *one)) for one in read)
    positive, negative = read[0][1].positive, read[0][1].negative
    columns = (
        Column("Set-up", weight=1.9),
        Column("Threshold", "right", "", 0.9),
        Column(f"{negative} called {positive}", "right", "images", 1.1),
        Column(f"{positive} missed", "right", "images", 1.0),
        Column("Sensitivity", "right", "95% interval", 1.2),
        Column("Specificity", "right", "95% interval", 1.2),
        *(
            Column(f"PPV / NPV at {100 * prevalence:g}%", "right", "", 1.3)
            for prevalence, _ in PREVALENCES
        ),
    )
    return [Table("Errors on the test images", columns, rows, inline(_note(view, read)))]


def _cells_of_two(
    view: RunView, pipeline: PipelineView, one: ClinicalReading
) -> tuple[Inline, ...]:
    classes = view.manifest.dataset.card.classes
    sick, healthy = (one.confusion[classes.index(name)] for name in (one.positive, one.negative))
    called, missed = classes.index(one.positive), classes.index(one.negative)
    values = one.predictive or (None,) * len(PREVALENCES)
    threshold = MISSING if one.threshold is None else fixed(one.threshold)
    return (
        inline(short_title(view, pipeline)),
        inline(threshold, *(() if one.validated else (Break(), "not fixed"))),
        inline(f"{healthy[called]:,} of {sum(healthy):,}"),
        inline(f"{sick[missed]:,} of {sum(sick):,}"),
        metric_cell(one.sensitivity),
        metric_cell(one.specificity),
        *(_predictive(value) for value in values),
    )


def _predictive(value: PredictiveValues | None) -> Inline:
    """Spell both predictive values, each with its limits."""
    if value is None:
        return inline(MISSING)
    return inline(
        _limited(value.positive, value.positive_interval),
        Break(),
        _limited(value.negative, value.negative_interval),
    )


def _limited(value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None:
        return MISSING
    shown = fixed(value, 2)
    return f"{shown} [{fixed(limits[0], 2)}, {fixed(limits[1], 2)}]" if limits else shown


def _note(view: RunView, read: Read) -> str:
    """Say how thresholds were fixed, what the prevalences are, and how intervals were made."""
    first = read[0][1]
    ways = " ".join(sorted({f"Threshold {one.threshold_words}." for _, one in read}))
    when = "; ".join(f"{100 * share:g}%, where {why}" for share, why in PREVALENCES)
    metrics = [share for _, one in read for share in (one.sensitivity, one.specificity)]
    return (
        f"{ways} PPV: of those called {first.positive}, the share who are; NPV, on the second "
        f"line: of the others, the share who are not. Both depend on how common {first.positive} "
        f"is among those examined: {when}. These two are assumed; the share in the test set says "
        "nothing of a clinic. Their limits combine both lower and both upper limits of sensitivity "
        f"and specificity. {_methods(metrics)}"
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
        rows = [Row((inline(short_title(view, p)), *_recalls(one, classes))) for p, one in read]
        caption = "Recall of each class; bold: the class recognised least"
    else:
        columns += [Column("Class recognised least"), Column("Its recall", "right", "95% interval")]
        columns += [Column("Right", "right", "images")]
        rows = [Row((inline(short_title(view, p)), *_worst(view, one))) for p, one in read]
        caption = "The class that each set-up recognises least"
    return [Table(caption, tuple(columns), tuple(rows), note)]


def _recalls(one: ClinicalReading, classes: list[str]) -> list[Inline]:
    found = dict(one.recalls)
    worst = one.worst[0] if one.worst else ""
    cells = []
    for name in classes:
        cell = metric_cell(found.get(name))
        head = cell[0]
        stressed = (
            inline(Bold(head.text), *cell[1:]) if name == worst and hasattr(head, "text") else cell
        )
        cells.append(stressed)
    return cells


def _worst(view: RunView, one: ClinicalReading) -> tuple[Inline, ...]:
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
        rows.append(
            Row(
                (
                    inline(short_title(view, pipeline)),
                    inline(fixed(mean)),
                    inline(fixed(right)),
                    *(metric_cell(metric) for metric in metrics),
                )
            )
        )
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
    return [Table("Do the probabilities mean what they say?", columns, tuple(rows), inline(note))]


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
