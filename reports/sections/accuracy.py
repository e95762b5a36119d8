"""How right each pipeline is: every metric with its interval, recalls, calibration, differences."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure as Drawing

from he_compare.common.run.positive import note_none_named
from he_compare.common.run.records import MetricValue, PairedDifference
from he_compare.common.run.spelling import (
    MISSING,
    bracket,
    fixed,
    probability,
    scientific,
    significant,
)
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.confusion import MOST_CLASSES_SHOWN, confusion_tables, lowest_recalls
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Figure,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.figures.accuracy import accuracy_plot
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.panels import reliability_plot, roc_plot
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.numbers import metric_cell, with_interval
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import absent, pipeline_tables

OF_OLD_RECORDS = "McNemar's exact test, which takes images as independent"

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "ece": "ECE",
    "brier": "Brier score",
}
CALIBRATION = ("ece", "brier")
RECALL = "recall"
ROC = (
    "Dashed: the reference; grey: chance. AUC with interval: table above; all points: scores.json."
)
RELIABILITY = (
    "Share of correct predictions against mean confidence, by bin of confidence; empty bins are "
    "left out. Grey: perfect calibration; dashed: the reference."
)


class Accuracy(ReportSection):
    """How right each pipeline is; without scores the section says so and how to make them."""

    order = 400
    title = "Accuracy"

    def sections(self, view: RunView) -> list[Section]:
        """Return accuracy with its parts: classes, calibration, differences, confusion."""
        if view.scores is None:
            words = (
                "The run has no scores.json: `compare score` computes it from stored predictions."
            )
            return [Section(self.title, 1, "accuracy", (Paragraph(inline(words)),))]
        names = _names(view)
        recalls = [name for name in names if is_recall(name)]
        overall = [name for name in names if name not in recalls and name not in CALIBRATION]
        blocks: tuple[Block, ...] = (
            *_no_positive(view),
            *_figure(view),
            *_metric_tables(view, "Metrics of the whole test set", overall),
            *_panels(view, roc_plot, "roc", _roc_caption(view)),
        )
        return [
            Section(self.title, 1, "accuracy", blocks),
            *_per_class(view, recalls),
            *_calibration(view, [name for name in names if name in CALIBRATION]),
            *_differences(view),
            Section("Confusion", 2, "confusion", tuple(confusion_tables(view))),
            *_agreement(view),
        ]


def _no_positive(view: RunView) -> list[Paragraph]:
    """Say that no class was named positive, and by what option; or that one was taken unasked."""
    note = note_none_named(view.manifest.dataset.card)
    if note and view.positive:
        taken = f"{view.positive!r} was taken as the positive class unasked, for it comes second"
        note = f"{taken}: {note}"
    return [Paragraph(inline(f"{note[:1].upper()}{note[1:]}."))] if note else []


def _roc_caption(view: RunView) -> str:
    of_one = "" if view.positive else " AUC is the same for both classes."
    return f"ROC curves. {ROC}{of_one}"


def _per_class(view: RunView, recalls: list[str]) -> list[Section]:
    if not recalls:
        return []
    caption = "Recall of each class"
    if len(recalls) > MOST_CLASSES_SHOWN:
        every = len(recalls)
        recalls = lowest_recalls(view, recalls)
        caption = (
            f"Recall of the {len(recalls)} of {every} classes where it is lowest, by its mean over "
            "the pipelines; scores.json has all"
        )
    tables = _metric_tables(view, caption, recalls)
    return [Section("Per class", 2, "per-class", tuple(tables))]


def _calibration(view: RunView, names: list[str]) -> list[Section]:
    if not names:
        return []
    tables = _metric_tables(view, "Calibration: 0 is best", names)
    panels = _panels(view, reliability_plot, "reliability", RELIABILITY)
    return [Section("Calibration", 2, "calibration", (*panels, *tables))]


def is_recall(name: str) -> bool:
    """Say whether a metric is the recall of one class."""
    return name.startswith(RECALL) and name != RECALL


def title_of(name: str) -> str:
    """Return the heading of a metric; a per-class recall is headed by its class."""
    if is_recall(name):
        return name[len(RECALL) :].strip(" :_-/[]()") or name
    return TITLES.get(name, name.replace("_", " "))


def _names(view: RunView) -> list[str]:
    """Names of all metrics in the order they first occur."""
    cells = [pipeline.scores for pipeline in view.pipelines if pipeline.scores]
    return list(dict.fromkeys(metric.name for cell in cells for metric in cell.metrics))


def _figure(view: RunView) -> list[Figure]:
    return drawn(
        lambda: accuracy_plot(view),
        name="accuracy",
        caption="Accuracy and AUC with 95% intervals. Square: claims protection; circle: "
        "claims none; dashed line: the reference. Values: next table.",
        alt="Dot plot of accuracy and AUC with intervals for "
        + "; ".join(_spoken(pipeline) for pipeline in view.pipelines if pipeline.scores),
    )


def _panels(
    view: RunView, draw: Callable[[RunView], Drawing | None], name: str, caption: str
) -> list[Figure]:
    shown = "; ".join(pipeline.label for pipeline in view.pipelines if pipeline.scores)
    alt = f"{caption.partition('.')[0]}, one panel per pipeline: {shown}"
    return drawn(lambda: draw(view), name, caption, alt)


def _spoken(pipeline: PipelineView) -> str:
    parts = [
        f"{title_of(name)} {fixed(metric.value)} {bracket(metric.interval)}".strip()
        for name in ("accuracy", "auc")
        if (metric := pipeline.metric(name)) is not None and metric.value is not None
    ]
    return f"{pipeline.label}: {', '.join(parts)}"


def _metric_tables(view: RunView, caption: str, names: list[str]) -> list[Table]:
    def fill(pipeline: PipelineView, name: str) -> Inline:
        metric = pipeline.metric(name)
        return metric_cell(metric) if metric else absent(pipeline)

    columns = [(name, _title(view, name), _unit(view, name)) for name in names]
    return pipeline_tables(view, caption, columns, fill, _note(view, names))


def _title(view: RunView, name: str) -> str:
    """Return the heading of a metric; F1 is of the positive class, or the mean over classes."""
    return "F1, mean over classes" if name == "f1" and not view.positive else title_of(name)


def _metrics(view: RunView, names: list[str]) -> list[MetricValue]:
    found = [pipeline.metric(name) for pipeline in view.pipelines for name in names]
    return [metric for metric in found if metric is not None]


def _unit(view: RunView, name: str) -> str:
    """Unit of a metric, and n where it is not that of the whole test set."""
    metrics = _metrics(view, [name])
    unit = next((metric.unit for metric in metrics if metric.unit), "")
    counts = sorted({metric.n for metric in metrics})
    shown = f"n = {', '.join(str(count) for count in counts)}"
    return ", ".join(part for part in (unit, shown) if part)


def _note(view: RunView, names: list[str]) -> Inline:
    """Say how the intervals were made and at which threshold the positive class is called."""
    metrics = _metrics(view, names)
    methods = sorted({metric.interval.method for metric in metrics if metric.interval})
    levels = sorted({metric.interval.level for metric in metrics if metric.interval})
    parts = []
    if methods:
        percent = ", ".join(f"{100 * level:g}%" for level in levels)
        parts.append(f"Brackets: {percent} intervals, {'; '.join(methods)}.")
    if view.scores and "sensitivity" in names:
        parts.append(
            f"Positive: {view.positive or 'not named'}, predicted at a probability of "
            f"{view.scores.threshold:g} or more."
        )
    remarks = sorted(
        {metric.note for metric in metrics if metric.note and metric.value is not None}
    )
    return inline(" ".join([*parts, *remarks]))


def _differences(view: RunView) -> list[Section]:
    rows = []
    for pipeline in view.pipelines:
        for one in pipeline.differences:
            discordant = "{} / {}".format(*one.discordant) if one.discordant else MISSING
            cells = (
                row_name(view, pipeline, pipeline.cells[:1]),
                inline(title_of(one.metric)),
                with_interval(one.difference, one.interval, signed=True),
                inline(probability(one.p_value)),
                inline(discordant),
                inline(f"{one.n:,}"),
            )
            rows.append(Row(cells))
    if not rows or view.reference is None:
        return []
    columns = (
        Column("Pipeline", weight=2.0),
        Column("Metric", weight=1.0),
        Column("Difference", "right", "95% interval", 1.4),
        Column("p", "right", "exact paired test", 1.0),
        Column("Correct only here / only in the reference", "right", "images", 1.6),
        Column("Images in both", "right", "n", 0.9),
    )
    note = (
        f"Pipeline minus {short_title(view, view.reference)} on the same images, so each image is "
        "its own control. An interval that holds 0 shows no difference; it does not show equality."
    )
    if tests := sorted({one.p_method or OF_OLD_RECORDS for one in _of_accuracy(view)}):
        note += f" p: {'; '.join(tests)}."
    table = Table("Paired differences against the reference", columns, tuple(rows), inline(note))
    return [Section("Paired differences", 2, "differences", (table,))]


def _of_accuracy(view: RunView) -> list[PairedDifference]:
    return [
        one
        for pipeline in view.pipelines
        for one in pipeline.differences
        if one.p_value is not None
    ]


def _agreement(view: RunView) -> list[Section]:
    rows = []
    for pipeline in view.pipelines:
        found = pipeline.measured.agreement if pipeline.measured else None
        if found is not None:
            cells = (
                row_name(view, pipeline, pipeline.cells[:1]),
                inline(found.reference),
                inline(f"{found.executed:,}"),
                inline(f"{found.agree:,} / {found.compared:,}"),
                inline(scientific(found.max_abs_score_difference)),
                inline(significant(found.max_abs_score)),
            )
            rows.append(Row(cells))
    if not rows:
        return []
    columns = (
        Column("Pipeline", weight=2.0),
        Column("Compared with", weight=1.2),
        Column("Executed", "right", "images", 0.9),
        Column("Same class", "right", "images", 1.0),
        Column("Largest score difference", "right", "score units", 1.2),
        Column("Largest score", "right", "score units", 1.0),
    )
    note = inline("Executed: images that went through the protected path, not a simulation of it.")
    table = Table("Executed predictions against the clear model", columns, tuple(rows), note)
    return [Section("Executed against clear", 2, "agreement", (table,))]


SECTION = Accuracy()
