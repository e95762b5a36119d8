"""How metrics are headed in tables, and tables of metrics with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.records import MetricValue
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Inline, Table, inline
from he_compare.reports.numbers import metric_cell
from he_compare.reports.tables import absent, pipeline_tables

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
TWO = 2


def is_recall(name: str) -> bool:
    """Say whether a metric is the recall of one class."""
    return name.startswith(RECALL) and name != RECALL


def title_of(name: str) -> str:
    """Return the heading of a metric; a per-class recall is headed by its class."""
    if is_recall(name):
        return name[len(RECALL) :].strip(" :_-/[]()") or name
    return TITLES.get(name, name.replace("_", " "))


def title_in(view: RunView, name: str) -> str:
    """Return the heading of a metric in a run: F1 and AUC are means over more than two classes."""
    if name == "f1" and not view.positive:
        return "F1, mean over classes"
    if name == "auc" and len(view.manifest.dataset.card.classes) > TWO:
        return "Macro AUC"
    return title_of(name)


def body_metrics(view: RunView) -> list[str]:
    """Return the leading metrics, and plain accuracy where it does not lead."""
    return list(dict.fromkeys((*leading_metrics(view), "accuracy")))


def metric_names(view: RunView) -> list[str]:
    """Return the names of all metrics of a run in the order they first occur."""
    cells = [pipeline.scores for pipeline in view.pipelines if pipeline.scores]
    return list(dict.fromkeys(metric.name for cell in cells for metric in cell.metrics))


def metric_tables(
    view: RunView,
    caption: str,
    names: list[str],
    pipelines: Sequence[PipelineView] | None = None,
) -> list[Table]:
    """Return a table of pipelines (all, unless some are named) by metrics, cut where it is wide."""

    def fill(pipeline: PipelineView, name: str) -> Inline:
        metric = pipeline.metric(name)
        return metric_cell(metric) if metric else absent(pipeline)

    columns = [(name, title_in(view, name), _unit(view, name)) for name in names]
    note = intervals_note(view, names)
    return pipeline_tables(view, caption, columns, fill, note, pipelines)


def intervals_note(view: RunView, names: list[str]) -> Inline:
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
    remarks = sorted({metric.note for metric in metrics if metric.note and metric.interval})
    return inline(" ".join([*parts, *(f"{one[:1].upper()}{one[1:]}." for one in remarks)]))


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
