"""What `compare show` prints of a run: a table, one record, or all of it as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from he_compare.common.errors import UnknownNameError
from he_compare.common.run.records import CellScores, MetricValue, RunRecord
from he_compare.common.run.store import SCORES, RunFolder
from he_compare.common.types import Phase, Stage, Status

HEADINGS = ("pipeline", "status", "accuracy [95 %]", "AUC [95 %]", "p50 ms", "KB up", "KB down")


def as_json(folder: RunFolder, wanted: str | None) -> dict[str, Any]:
    """Return manifest, records and scores as JSON values; one record where ``wanted`` names it."""
    if wanted is not None:
        return find_record(folder, wanted).model_dump(mode="json")
    scored = (folder.path / SCORES).is_file()
    return {
        "manifest": folder.manifest().model_dump(mode="json"),
        "records": [record.model_dump(mode="json") for record in folder.records()],
        "scores": folder.scores().model_dump(mode="json") if scored else None,
    }


def find_record(folder: RunFolder, wanted: str) -> RunRecord:
    """Return the record whose identity starts with ``wanted``, or whose label it is."""
    records = folder.records()
    matches = [r for r in records if r.identity.startswith(wanted)]
    if len(matches) != 1:
        matches = [r for r in records if r.cell.label == wanted and r.cell.phase is Phase.ACCURACY]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(f"{r.identity[:8]} ({r.cell.label})" for r in records[:12])
    raise UnknownNameError(f"no single record {wanted!r} in this run", fix=f"known: {known}")


def table(folder: RunFolder) -> str:
    """Lay out one row per pipeline: status, accuracy, AUC, latency, bytes."""
    manifest = folder.manifest()
    records = folder.records()
    scores: dict[str, CellScores] = {}
    if (folder.path / SCORES).is_file():
        scores = {cell.label: cell for cell in folder.scores().cells}
    rows: list[tuple[str, ...]] = [HEADINGS]
    for planned in manifest.pipelines:
        rows.append(_row(planned.label, records, scores.get(planned.label)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    card = manifest.dataset.card
    test = manifest.dataset.splits["test"].n
    size = manifest.dataset.image_size
    head = f"{card.title}; {test} test images at {size} px; seed {manifest.seed}"
    if manifest.backbone.untrained:
        head += "\nBackbone untrained: accuracy says nothing about DeiT."
    problems = [
        f"{r.cell.label}: {r.status.value}: {r.reason}"
        for r in records
        if r.status is not Status.OK
    ]
    return "\n".join([head, "", *lines, *([""] + problems if problems else [])])


def _row(label: str, records: list[RunRecord], scores: CellScores | None) -> tuple[str, ...]:
    own = [record for record in records if record.cell.label == label]
    accuracy = next((r for r in own if r.cell.phase is Phase.ACCURACY), None)
    status = accuracy.status.value if accuracy else "not run"
    values = {metric.name: metric for metric in scores.metrics} if scores else {}
    latencies = [
        seconds
        for record in own
        if record.cell.phase is Phase.LATENCY and record.status is Status.OK
        for measurement in record.measurements
        if measurement.stage is Stage.TOTAL
        for seconds in measurement.seconds
    ]
    traffic = accuracy.traffic if accuracy else None
    return (
        label,
        status,
        _metric(values.get("accuracy")),
        _metric(values.get("auc")),
        f"{1000 * float(np.median(latencies)):.1f}" if latencies else "-",
        f"{traffic.upload_bytes / traffic.n_images / 1000:.1f}" if traffic else "-",
        f"{traffic.download_bytes / traffic.n_images / 1000:.1f}" if traffic else "-",
    )


def _metric(metric: MetricValue | None) -> str:
    if metric is None or metric.value is None:
        return "-"
    if metric.interval is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} [{metric.interval.low:.3f}, {metric.interval.high:.3f}]"
