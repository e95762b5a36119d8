"""One run as the sections read it: each planned pipeline with its cells, scores and pictures.

Nothing is left out: a planned pipeline without any record is shown as not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError
from he_compare.common.run.records import (
    AttackOutcome,
    CellScores,
    EnvironmentFingerprint,
    Manifest,
    MetricValue,
    PairedDifference,
    PlannedPipeline,
    RobustnessCurve,
    RunRecord,
    ScoreSheet,
    SecurityClaims,
)
from he_compare.common.run.store import PICTURES, SCORES, RunFolder
from he_compare.common.types import Phase, Status
from he_compare.reports.document.nodes import Break, Inline, Link, Target, inline

if TYPE_CHECKING:
    import pandas as pd

SHORT_ID = 8
LONG_LABEL = 36
LONG_TITLE = 36


@dataclass(frozen=True)
class Pictures:
    """Sample images: ``original`` uint8 (m, h, w, 3); ``views`` by pipeline label, same m."""

    original: npt.NDArray[np.uint8]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    views: dict[str, npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class PipelineView:
    """One pipeline of the plan with everything that is known of it."""

    number: int
    planned: PlannedPipeline
    accuracy: RunRecord | None
    latency: tuple[RunRecord, ...]
    scores: CellScores | None
    differences: tuple[PairedDifference, ...]
    robustness: RunRecord | None = None

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

    def metric(self, name: str) -> MetricValue | None:
        """Return a metric by name, if the accuracy cell was scored."""
        metrics = self.scores.metrics if self.scores else []
        return next((metric for metric in metrics if metric.name == name), None)

    def difference(self, metric: str) -> PairedDifference | None:
        """Return the paired difference of a metric against the reference, if there is one."""
        return next((one for one in self.differences if one.metric == metric), None)


@dataclass(frozen=True)
class RunView:
    """A whole run."""

    manifest: Manifest
    pipelines: tuple[PipelineView, ...]
    scores: ScoreSheet | None
    pictures: Pictures | None
    records: tuple[RunRecord, ...] = field(default=())
    outcomes: tuple[AttackOutcome, ...] = field(default=())
    path: Path = field(default=Path(), compare=False)

    @property
    def reference(self) -> PipelineView | None:
        """The pipeline that paired differences are against."""
        name = self.scores.reference if self.scores else None
        return next((one for one in self.pipelines if one.label == name), None)

    @property
    def numbered(self) -> bool:
        """True where a label is so long that figures cut it: then numbers tell pipelines apart."""
        return any(len(pipeline.label) > LONG_LABEL for pipeline in self.pipelines)

    def full_title(self, pipeline: PipelineView) -> str:
        """Return a pipeline's whole label, with its number where labels are long."""
        return f"P{pipeline.number} {pipeline.label}" if self.numbered else pipeline.label

    def title(self, pipeline: PipelineView) -> str:
        """Return the name a pipeline goes by in prose, rows and figures: cut where it is long."""
        whole = self.full_title(pipeline)
        return whole if len(whole) <= LONG_TITLE else whole[: LONG_TITLE - 1] + "…"

    def row_name(self, pipeline: PipelineView, records: Sequence[RunRecord]) -> Inline:
        """Return a pipeline's name with the identities of the records its numbers come from."""
        return inline(self.title(pipeline), Break(), record_ids(records))

    @property
    def n_test(self) -> int:
        """Images of the test split as used."""
        split = self.manifest.dataset.splits.get("test")
        return split.n if split else 0

    def file(self, name: str) -> bytes | None:
        """Return the bytes of a file of the run folder, None where it is missing.

        Raises IntegrityError on a name that leads out of the folder.
        """
        place = (self.path / name).resolve()
        if not place.is_relative_to(self.path.resolve()):
            raise IntegrityError(f"a record names {name!r}, which lies outside the run folder")
        return place.read_bytes() if place.is_file() else None

    def to_frame(self) -> pd.DataFrame:
        """Return the run as a pandas table, one row a pipeline; see ``common.run.table``."""
        from he_compare.common.run.table import frame_of

        return frame_of(self)

    @property
    def environments(self) -> tuple[EnvironmentFingerprint, ...]:
        """Distinct machines and software stacks, the load average aside."""
        seen: dict[str, EnvironmentFingerprint] = {}
        for record in self.records:
            if record.environment:
                key = record.environment.model_copy(update={"load_average": None})
                seen.setdefault(key.model_dump_json(), record.environment)
        return tuple(seen.values())


def short_id(identity: str) -> Link:
    """Return the first characters of a record's identity, as printed beside numbers: a link to
    its row in the table of records."""
    return Link(identity[:SHORT_ID], f"#{record_anchor(identity)}")


def record_target(identity: str) -> Target:
    """Return what ``short_id`` leads to; stands once in a document, in the table of records."""
    return Target(identity[:SHORT_ID], record_anchor(identity))


def record_anchor(identity: str) -> str:
    """Return the anchor of a record or an attack's outcome."""
    return "record-" + "".join(char for char in identity[:SHORT_ID] if char.isalnum())


def record_ids(records: Sequence[RunRecord]) -> Inline:
    """Return the short identity of the first of some records and a count of the rest."""
    if not records:
        return inline("no record")
    rest = f" + {len(records) - 1}" if len(records) > 1 else ""
    return inline(short_id(records[0].identity), rest)


def read_run(folder: RunFolder) -> RunView:
    """Read manifest, records, scores and pictures of a run folder.

    Raises UsageError where there is no run and IntegrityError where a file does not hold. A run
    without scores or pictures is read without them.
    """
    manifest = folder.manifest()
    records = folder.records()
    sheet = folder.scores() if (folder.path / SCORES).is_file() else None
    return RunView(
        manifest=manifest,
        pipelines=tuple(
            _pipeline(number, planned, records, sheet)
            for number, planned in enumerate(manifest.pipelines, start=1)
        ),
        scores=sheet,
        pictures=_pictures(folder.pictures()),
        records=tuple(records),
        outcomes=tuple(folder.outcomes()),
        path=folder.path,
    )


def _pipeline(
    number: int, planned: PlannedPipeline, records: list[RunRecord], sheet: ScoreSheet | None
) -> PipelineView:
    mine = [record for record in records if record.cell.label == planned.label]
    accuracy = [record for record in mine if record.cell.phase is Phase.ACCURACY]
    latency = [record for record in mine if record.cell.phase is Phase.LATENCY]
    disturbed = [record for record in mine if record.cell.phase is Phase.ROBUSTNESS]
    scored = sheet.cells if sheet else []
    differences = sheet.differences if sheet else []
    return PipelineView(
        number=number,
        planned=planned,
        accuracy=accuracy[-1] if accuracy else None,
        latency=tuple(sorted(latency, key=lambda record: record.cell.round)),
        scores=next((cell for cell in scored if cell.label == planned.label), None),
        differences=tuple(one for one in differences if one.pipeline == planned.label),
        robustness=disturbed[-1] if disturbed else None,
    )


def _pictures(arrays: dict[str, npt.NDArray[Any]]) -> Pictures | None:
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
    return Pictures(original, ids, classes, views)


def _images(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise ValueError(f"pictures are {array.dtype} {array.shape}")
    return array
