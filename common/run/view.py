"""A finished run, read once: each planned pipeline with its cells, scores, attacks and pictures.

Everything that looks at a run asks here: ``compare show``, ``diff``, ``verify``, ``export``, the
report and ``load_run``. A planned pipeline without any record is there, as not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError
from he_compare.common.run.latency_cells import standing_latency
from he_compare.common.run.positive import positive_scored
from he_compare.common.run.records import (
    AttackOutcome,
    CellScores,
    EnvironmentFingerprint,
    Manifest,
    MeanScores,
    MetricValue,
    PairedDifference,
    PlannedPipeline,
    RobustnessCurve,
    RunRecord,
    ScoreSheet,
    SecurityClaims,
)
from he_compare.common.run.store import PICTURES, SCORES, RunFolder, inside
from he_compare.common.types import Phase, Status

# Of a picture that an attack left: they are at most a few MiB.
MOST_FILE_BYTES = 1 << 28
# Cells that were begun and are under way, or were stopped with their process.
UNENDED = (Status.STARTED, Status.INTERRUPTED)


@dataclass(frozen=True)
class SamplePictures:
    """Sample images: ``original`` uint8 (m, h, w, 3); ``views`` by pipeline label, same m."""

    original: npt.NDArray[np.uint8]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    views: dict[str, npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class RepeatedTraining:
    """A pipeline fitted and measured once more, under another seed: its accuracy cell, scored."""

    record: RunRecord
    scores: CellScores | None

    def value(self, name: str) -> float | None:
        """Return the value of a metric; None where it was not scored or is not defined."""
        metrics = self.scores.metrics if self.scores else []
        return next((metric.value for metric in metrics if metric.name == name), None)


@dataclass(frozen=True)
class PipelineView:
    """One pipeline of the plan with everything that is known of it.

    ``number``: its place in the plan, from 1. ``accuracy``: of the run's first seed;
    ``repeats``: those of other seeds that ended ok. ``scores``: of the first seed; ``means``: over
    the first and all others, where there are others. ``differences``: of means where there are any.
    """

    number: int
    planned: PlannedPipeline
    accuracy: RunRecord | None
    latency: tuple[RunRecord, ...]
    scores: CellScores | None
    differences: tuple[PairedDifference, ...]
    robustness: RunRecord | None = None
    repeats: tuple[RepeatedTraining, ...] = ()
    means: MeanScores | None = None

    @property
    def label(self) -> str:
        """Unique label within the run."""
        return self.planned.label

    @property
    def cells(self) -> tuple[RunRecord, ...]:
        """All cells, the accuracy cell first."""
        first = (self.accuracy,) if self.accuracy else ()
        last = (self.robustness,) if self.robustness else ()
        return first + self.latency + last

    @property
    def robustness_curves(self) -> tuple[RobustnessCurve, ...]:
        """Curves of disturbed messages; empty where none were sent or the cell did not end ok."""
        return tuple(self.robustness.robustness) if self.robustness else ()

    @property
    def timed(self) -> tuple[RunRecord, ...]:
        """Latency cells that ended ok."""
        return tuple(record for record in self.latency if record.status is Status.OK)

    @property
    def measured(self) -> RunRecord | None:
        """The accuracy cell, if it ended ok."""
        good = self.accuracy is not None and self.accuracy.status is Status.OK
        return self.accuracy if good else None

    @property
    def claims(self) -> SecurityClaims | None:
        """Claims from the first cell that recorded them."""
        return next((record.claims for record in self.cells if record.claims), None)

    @property
    def no_server(self) -> bool:
        """True where the hospital does everything itself: nothing is sent, nothing to attack."""
        return self.planned.no_server or any(record.no_server for record in self.cells)

    @property
    def protected(self) -> bool:
        """True where the pipeline claims to hide something from the server."""
        return self.claims is not None and self.claims.claim_type != "none"

    @property
    def trouble(self) -> str:
        """Status and reason of the first cell that did not end ok; empty where all did."""
        if not self.cells:
            return "not run: the run folder holds no record of it"
        for record in self.cells:
            if record.status is not Status.OK:
                error = record.error.message if record.error else ""
                reason = record.reason or error or "no reason recorded"
                return f"{record.status.value} ({record.cell.phase.value}): {reason}"
        return ""

    @property
    def bytes_per_image(self) -> tuple[float, float] | None:
        """Bytes up and down per image of the ok accuracy cell, HTTP headers included."""
        traffic = self.measured.traffic if self.measured else None
        if traffic is None or traffic.n_images <= 0:
            return None
        n = traffic.n_images
        return traffic.upload_bytes / n, traffic.download_bytes / n

    @property
    def state(self) -> str:
        """One word for how its accuracy cell ended."""
        return self.accuracy.status.value if self.accuracy else "not run"

    @property
    def metrics(self) -> tuple[MetricValue, ...]:
        """All metrics: means over the trainings, of one training where there is one."""
        means = {one.name: one for one in self.means.metrics} if self.means else {}
        first = self.scores.metrics if self.scores else []
        return tuple(means.get(one.name, one) for one in first)

    def metric(self, name: str) -> MetricValue | None:
        """Return a metric by name, if the accuracy cell was scored: as ``metrics`` has it."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def first_metric(self, name: str) -> MetricValue | None:
        """Return a metric of the first training: what its confusion and curves belong to."""
        metrics = self.scores.metrics if self.scores else []
        return next((metric for metric in metrics if metric.name == name), None)

    def value(self, name: str) -> float | None:
        """Return the value of a metric; None where it was not scored or is not defined."""
        metric = self.metric(name)
        return metric.value if metric else None

    def difference(self, metric: str) -> PairedDifference | None:
        """Return the paired difference of a metric against the twin, if there is one.

        The twin is the same model without the protection: the difference is what that costs.
        """
        return self.difference_to(self.planned.twin, metric)

    def difference_to(self, label: str, metric: str) -> PairedDifference | None:
        """Return the paired difference of a metric against another pipeline, if there is one."""
        found = (one for one in self.differences if one.metric == metric)
        return next((one for one in found if label and one.reference == label), None)


@dataclass(frozen=True)
class RunView:
    """A whole run."""

    manifest: Manifest
    pipelines: tuple[PipelineView, ...]
    scores: ScoreSheet | None
    pictures: SamplePictures | None
    records: tuple[RunRecord, ...] = field(default=())
    outcomes: tuple[AttackOutcome, ...] = field(default=())
    path: Path = field(default=Path(), compare=False)

    @property
    def reference(self) -> PipelineView | None:
        """The pipeline that paired differences are against."""
        return self.by_label.get(self.scores.reference) if self.scores else None

    @property
    def by_label(self) -> dict[str, PipelineView]:
        """Planned pipelines by label, in the order of the plan."""
        return {pipeline.label: pipeline for pipeline in self.pipelines}

    def twin_of(self, pipeline: PipelineView) -> PipelineView | None:
        """Return the same model without the protection, where the run has it."""
        return self.by_label.get(pipeline.planned.twin) if pipeline.planned.twin else None

    def difference_to_reference(
        self, pipeline: PipelineView, metric: str
    ) -> PairedDifference | None:
        """Return the paired difference of a metric against the run's reference."""
        return pipeline.difference_to(self.scores.reference if self.scores else "", metric)

    @property
    def positive(self) -> str:
        """The class that sensitivity, specificity and F1 are of; '' where none was named."""
        return positive_scored(self.manifest.dataset.card, self.scores)

    @property
    def n_test(self) -> int:
        """Images of the test split as used."""
        split = self.manifest.dataset.splits.get("test")
        return split.n if split else 0

    def file(self, name: str) -> bytes | None:
        """Return the bytes of a file of the run folder, None where it is missing or too large.

        Raises IntegrityError on a name that leads out of the folder.
        """
        place = inside(self.path, name)
        fits = place.is_file() and place.stat().st_size <= MOST_FILE_BYTES
        return place.read_bytes() if fits else None

    @property
    def environments(self) -> tuple[EnvironmentFingerprint, ...]:
        """Distinct machines and software stacks, load average and number of threads aside.

        One machine has other threads while latency is measured, by plan: ``threads_on`` tells them.
        """
        seen: dict[str, EnvironmentFingerprint] = {}
        for record in self.records:
            if record.environment:
                seen.setdefault(_machine_key(record.environment), record.environment)
        return tuple(seen.values())

    def threads_on(self, machine: EnvironmentFingerprint) -> str:
        """Say how many threads a process had on a machine, and how many for latency if others."""
        found: dict[bool, list[int]] = {True: [], False: []}
        for one in self.records:
            if one.environment and _machine_key(one.environment) == _machine_key(machine):
                found[one.cell.phase is Phase.LATENCY].append(one.environment.threads)
        usual, timed = (" or ".join(map(str, sorted(set(found[key])))) for key in (False, True))
        if not usual or not timed or usual == timed:
            return usual or timed
        return f"{usual}; {timed} while latency was measured"


def _machine_key(one: EnvironmentFingerprint) -> str:
    return one.model_copy(update={"load_average": None, "threads": 0}).model_dump_json()


def read_run(folder: RunFolder) -> RunView:
    """Read manifest, records, scores and pictures of a run folder.

    Raises UsageError where there is no run and IntegrityError where a file does not hold. A run
    without scores or pictures is read without them.
    """
    manifest = folder.manifest()
    records = folder.records()
    latency = standing_latency(records)
    sheet = folder.scores() if (folder.path / SCORES).is_file() else None
    return RunView(
        manifest=manifest,
        pipelines=tuple(
            _pipeline(number, planned, records, latency, sheet, manifest)
            for number, planned in enumerate(manifest.pipelines, start=1)
        ),
        scores=sheet,
        pictures=_pictures(folder.pictures()),
        records=tuple(records),
        outcomes=tuple(folder.outcomes()),
        path=folder.path,
    )


def answered(records: Sequence[RunRecord], manifest: Manifest) -> list[RunRecord]:
    """Return the accuracy cell of each label, where it ended ok and stored predictions.

    The latest of the run's first seed: cells of other seeds are ``answered_again``. In the order
    of the plan, whichever was done first: workers end in any order.
    """
    found = [cells.get(manifest.seed) for cells in _in_planned_order(records, manifest)]
    return [one for one in found if one is not None and _stored(one)]


def answered_again(records: Sequence[RunRecord], manifest: Manifest) -> list[RunRecord]:
    """Return the accuracy cells of further seeds that ended ok and stored predictions.

    By label in the order of the plan, and within it in that of the run's seeds, whichever was done
    first.
    """
    found = _in_planned_order(records, manifest)
    return [one for cells in found for one in _again(cells, manifest) if _stored(one)]


def _stored(record: RunRecord) -> bool:
    return record.status is Status.OK and bool(record.predictions)


def _in_planned_order(
    records: Sequence[RunRecord], manifest: Manifest
) -> list[dict[int, RunRecord]]:
    """Return the accuracy cells by seed of each label: of the planned ones first."""
    found = _accuracy_by_seed(records)
    order = dict.fromkeys((*(one.label for one in manifest.pipelines), *found))
    return [found[label] for label in order if label in found]


def _accuracy_by_seed(records: Sequence[RunRecord]) -> dict[str, dict[int, RunRecord]]:
    """Return by label the latest accuracy cell of each seed.

    One that was begun and did not end takes no result away from what ended before it.
    """
    found: dict[str, dict[int, RunRecord]] = {}
    for one in records:
        if one.cell.phase is Phase.ACCURACY:
            cells = found.setdefault(one.cell.label, {})
            known = cells.get(one.cell.seed)
            if one.status not in UNENDED or known is None or known.status in UNENDED:
                cells[one.cell.seed] = one
    return found


def _again(cells: dict[int, RunRecord], manifest: Manifest) -> list[RunRecord]:
    """Return the cells of all seeds but the first: in the plan's order, then those it lacks."""
    order = dict.fromkeys((*manifest.seeds, *sorted(cells)))
    return [cells[seed] for seed in order if seed != manifest.seed and seed in cells]


def _pipeline(
    number: int,
    planned: PlannedPipeline,
    records: list[RunRecord],
    latency: list[RunRecord],
    sheet: ScoreSheet | None,
    manifest: Manifest,
) -> PipelineView:
    mine = [record for record in records if record.cell.label == planned.label]
    accuracy = _accuracy_by_seed(mine).get(planned.label, {})
    again = {cell.identity: cell for cell in sheet.repeats} if sheet else {}
    disturbed = [record for record in mine if record.cell.phase is Phase.ROBUSTNESS]
    scored = sheet.cells if sheet else []
    differences = _differences(sheet) if sheet else []
    means = sheet.means if sheet else []
    return PipelineView(
        number=number,
        planned=planned,
        accuracy=accuracy.get(manifest.seed),
        latency=tuple(one for one in latency if one.cell.label == planned.label),
        scores=next((cell for cell in scored if cell.label == planned.label), None),
        differences=tuple(one for one in differences if one.pipeline == planned.label),
        robustness=disturbed[-1] if disturbed else None,
        repeats=tuple(
            RepeatedTraining(one, again.get(one.identity))
            for one in _again(accuracy, manifest)
            if one.status is Status.OK
        ),
        means=next((one for one in means if one.label == planned.label), None),
    )


def _differences(sheet: ScoreSheet) -> list[PairedDifference]:
    """Return the differences of a sheet, each as a mean over trainings where there is one."""
    means = {(one.pipeline, one.reference, one.metric): one for one in sheet.mean_differences}
    return [means.get((one.pipeline, one.reference, one.metric), one) for one in sheet.differences]


def _pictures(arrays: dict[str, npt.NDArray[Any]]) -> SamplePictures | None:
    """Turn the arrays of ``pictures.npz`` into pictures. Raises IntegrityError on other shapes."""
    if not arrays:
        return None
    try:
        original = _images(arrays["original"])
        labels = [str(label) for label in arrays["view_labels"]]
        views = {label: _images(arrays[f"view_{i}"]) for i, label in enumerate(labels)}
        ids = tuple(str(name) for name in arrays["ids"])
        classes = tuple(str(name) for name in arrays["classes"])
    except (KeyError, ValueError) as error:
        raise IntegrityError(
            f"{PICTURES} lacks what a report needs: {error}",
            fix=f"delete {PICTURES} to have the report without pictures",
        ) from None
    counts = {len(original), len(ids), len(classes), *(len(view) for view in views.values())}
    if len(counts) != 1:
        raise IntegrityError(
            f"{PICTURES} holds arrays of {sorted(counts)} images",
            fix=f"delete {PICTURES} to have the report without pictures",
        )
    return SamplePictures(original, ids, classes, views)


def _images(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise ValueError(f"pictures are {array.dtype} {array.shape}")
    return array
