"""The few numbers of a run that policies and differences are about, pipeline by pipeline."""

from __future__ import annotations

import numpy as np

from he_compare.common.run.outcomes import concerns
from he_compare.common.run.records import (
    AttackOutcome,
    CellScores,
    MetricValue,
    PlannedPipeline,
    RunRecord,
)
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Stage, Status


class RunFacts:
    """A run read once: records, scores and outcomes by the label of a pipeline."""

    def __init__(self, folder: RunFolder) -> None:
        """Read a run. Raises UsageError or IntegrityError where it does not hold."""
        self.folder = folder
        self.manifest = folder.manifest()
        self.records = folder.records()
        self.outcomes = folder.outcomes()
        self.scores = {cell.label: cell for cell in folder.scores().cells}

    @property
    def pipelines(self) -> dict[str, PlannedPipeline]:
        """Planned pipelines by label."""
        return {planned.label: planned for planned in self.manifest.pipelines}

    def accuracy_record(self, label: str) -> RunRecord | None:
        """Return the accuracy cell of a pipeline if it ended ok."""
        found = [r for r in self._ok(label) if r.cell.phase is Phase.ACCURACY]
        return found[-1] if found else None

    def metric(self, label: str, name: str) -> MetricValue | None:
        """Return a metric of a pipeline; None where it was not scored or is not defined."""
        cell: CellScores | None = self.scores.get(label)
        metrics = cell.metrics if cell else []
        found = next((metric for metric in metrics if metric.name == name), None)
        return found if found is not None and found.value is not None else None

    def p50_seconds(self, label: str) -> float | None:
        """Return the nearest-rank median time of one image over all rounds, in seconds."""
        samples = [
            seconds
            for record in self._ok(label)
            if record.cell.phase is Phase.LATENCY
            for one in record.measurements
            if one.stage is Stage.TOTAL
            for seconds in one.seconds
        ]
        if not samples:
            return None
        return float(np.quantile(samples, 0.5, method="inverted_cdf"))

    def bytes_per_image(self, label: str) -> float | None:
        """Return bytes up and down per image, HTTP headers included."""
        record = self.accuracy_record(label)
        traffic = record.traffic if record else None
        if traffic is None or traffic.n_images <= 0:
            return None
        return (traffic.upload_bytes + traffic.download_bytes) / traffic.n_images

    def outcomes_of(self, label: str) -> list[AttackOutcome]:
        """Return the outcomes of attacks that concern a pipeline."""
        planned = self.pipelines[label]
        return [outcome for outcome in self.outcomes if concerns(outcome, planned)]

    def _ok(self, label: str) -> list[RunRecord]:
        mine = [record for record in self.records if record.cell.label == label]
        return [record for record in mine if record.status is Status.OK]
