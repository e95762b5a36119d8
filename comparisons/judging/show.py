"""What `compare show` prints of a run: a table, one record, or all of it as JSON."""

from __future__ import annotations

from typing import Any

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest
from he_compare.common.run.positive import note_none_named
from he_compare.common.run.records import MetricValue, RunRecord
from he_compare.common.run.spelling import bracket, fixed, kilobytes, milliseconds
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Phase, Status

HEADINGS = ("pipeline", "status", "accuracy [95%]", "AUC [95%]", "p50 ms", "kB up", "kB down")


def as_json(view: RunView) -> dict[str, Any]:
    """Return manifest, records and scores as JSON values."""
    return {
        "manifest": view.manifest.model_dump(mode="json"),
        "records": [record.model_dump(mode="json") for record in view.records],
        "scores": view.scores.model_dump(mode="json") if view.scores else None,
    }


def find_record(view: RunView, wanted: str) -> RunRecord:
    """Return the record whose identity starts with ``wanted``, or the accuracy cell so labelled.

    Raises UnknownNameError where there is none, or more than one.
    """
    matches = [one for one in view.records if one.identity.startswith(wanted)]
    if len(matches) != 1:
        matches = [
            one
            for one in view.records
            if one.cell.label == wanted and one.cell.phase is Phase.ACCURACY
        ]
    if len(matches) == 1:
        return matches[0]
    labels = list(dict.fromkeys(one.cell.label for one in view.records))
    raise UnknownNameError(f"no single record {wanted!r} in this run", fix=nearest(wanted, labels))


def table(view: RunView) -> str:
    """Lay out one row per pipeline: status, accuracy, AUC, latency, bytes."""
    rows = [HEADINGS, *(_row(pipeline) for pipeline in view.pipelines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    dataset = view.manifest.dataset
    head = (
        f"{dataset.card.title}; {view.n_test} test images at {dataset.image_size} px; "
        f"seed {view.manifest.seed}"
    )
    if note := note_none_named(dataset.card):
        head += f"\n{note[:1].upper()}{note[1:]}."
    if view.manifest.backbone.untrained:
        head += "\nBackbone untrained: accuracy says nothing about DeiT."
    problems = [
        f"{record.cell.label}: {record.status.value}: {record.reason}"
        for record in view.records
        if record.status is not Status.OK
    ]
    return "\n".join([head, "", *lines, *([""] + problems if problems else [])])


def _row(pipeline: PipelineView) -> tuple[str, ...]:
    latency, moved = latency_of(pipeline), pipeline.bytes_per_image
    return (
        pipeline.label,
        pipeline.state,
        _metric(pipeline.metric("accuracy")),
        _metric(pipeline.metric("auc")),
        milliseconds(latency.total.p50) if latency else "-",
        *([kilobytes(way) for way in moved] if moved else ["-", "-"]),
    )


def _metric(metric: MetricValue | None) -> str:
    if metric is None or metric.value is None:
        return "-"
    return f"{fixed(metric.value)} {bracket(metric.interval)}".rstrip()
