"""Opens what an audit attacks: deployments of a run, or a pipeline deployed only for the audit.

In a run the very messages that crossed are attacked, under the run's own key, and the same fitted
pipeline under fresh keys. Without a run a pipeline is fitted on the auxiliary images first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from he_compare.common.contracts import Pipeline, RunSettings, TrainingData
from he_compare.common.environment import usable_cores
from he_compare.common.errors import CellError, UnavailableError, UsageError
from he_compare.common.references.reference import Public
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.tape import Tape, read_tape
from he_compare.common.scheme import KeyedScheme, encrypted
from he_compare.common.types import BoolArray, ImageBatch, IntArray, Phase, Status
from he_compare.comparisons.auditing.pool import DatasetPool
from he_compare.comparisons.auditing.targets import (
    CHANNELS,
    LostKey,
    Opened,
    Target,
    pipeline_target,
)
from he_compare.comparisons.measuring.fitting import Ground, fit_and_deploy
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.progress import ProgressReporter

# A pipeline that is fitted for the audit alone: the shortest training there is.
EPOCHS, BATCH, LEARNING_RATE, CALL_SECONDS = 1, 16, 1e-4, 900.0
VALIDATION_SHARE = 4


def deployed_cells(plan: RunPlan, folder: RunFolder) -> dict[str, RunRecord]:
    """Return the records of what a run deployed, by label: those of the first seed.

    By identity: a folder may hold another record of a label, of a key that was changed since.
    """
    known = {record.identity: record for record in folder.records()}
    return {
        cell.planned.label: known[cell.identity]
        for cell in plan.cells()
        if cell.phase is Phase.ACCURACY and not cell.again and cell.identity in known
    }


class RunDeployments:
    """The deployments of a run. A run that was resumed fits again what is not in memory.

    ``records``: of the cells that deployed, by label. ``folder``: where their tapes lie.
    """

    def __init__(
        self,
        plan: RunPlan,
        records: Mapping[str, RunRecord],
        folder: Path,
        measurer: CellMeasurer,
    ) -> None:
        self._plan = plan
        self._records = records
        self._folder = folder
        self._measurer = measurer

    def tape_digest(self, label: str) -> str:
        """Return the digest of the messages of a pipeline that crossed; '' where none were kept."""
        record = self._records.get(label)
        return record.tape.sha256 if record is not None and record.tape else ""

    def target(self, planned: Planned) -> Target:
        """Make a target of a pipeline of the run; nothing is opened yet."""
        return pipeline_target(
            planned.spec,
            planned.pipeline,
            planned.parameters,
            self._plan.config.image_size,
            partial(self.open, planned),
            self.tape_digest(planned.label),
            self._family(planned),
        )

    def _family(self, planned: Planned) -> str:
        """Return what pipelines have in common that may send the same bytes from any process: the
        plug-ins they use, where their key and their tape are kept in files; else ''."""
        record = self._records.get(planned.label)
        on_disk = record is not None and record.tape is not None and bool(record.tape.file)
        pipeline, parameters = planned.pipeline, planned.parameters
        if not on_disk or not pipeline.identity_inputs(parameters, self._plan.key_file):
            return ""
        return " ".join(pipeline.plugins_used(parameters))

    def open(self, planned: Planned) -> Opened:
        """Open a pipeline. Raises CompareError where it was not deployed, or its tape was edited.

        The key of a run that ended is gone unless it is kept in a file: then only what is on the
        tape can be attacked under it.
        """
        record = self._deployed(planned)
        label = planned.label
        tape, live = self._tape(record), label in self._measurer.tapes
        fit = self._measurer.fits.get(label)
        if fit is None:
            fit = fit_and_deploy(planned.pipeline, planned.parameters, self._measurer.ground)
            self._measurer.fits[label] = fit
        size = self._plan.config.image_size
        scheme = fit.deployed.scheme((size, size, CHANNELS))
        if tape is None or scheme.in_batches:
            return Opened(scheme, "deployed again", fit.deployed)
        own = scheme.own_key()
        kept = own is not None and (live or self._same_key(own, tape))
        lost = None if kept else LostKey()
        return Opened(scheme, "crossed in the run", fit.deployed, tape, lost)

    def _deployed(self, planned: Planned) -> RunRecord:
        record = self._records.get(planned.label)
        if record is None or record.status is not Status.OK:
            reason = record.reason if record is not None else "it was not run"
            gone = record is None or record.status is Status.UNAVAILABLE
            kind = UnavailableError if gone else CellError
            raise kind(reason, fix="see the record of its first cell")
        return record

    def _tape(self, record: RunRecord) -> Tape | None:
        known = self._measurer.tapes.get(record.cell.label)
        if known is not None or record.tape is None or not record.tape.file:
            return known
        return read_tape(self._folder, record.tape)

    def _same_key(self, own: KeyedScheme, tape: Tape) -> bool:
        """Say whether the deployment that was opened again sends the very bytes of the tape.

        All of them: a cipher that moves values sends a plain grey image alike under many keys.
        """
        if not len(tape.positions):
            return False
        images = self._plan.test.images[tape.positions]
        first = encrypted(own, images[:1])[0] == tape.messages[0]
        return first and encrypted(own, images) == list(tape.messages)


class DeployedAlone:
    """Fits and deploys pipelines for the audit alone, when the first attack asks for one.

    ``size``: of images in pixels. ``ground``: makes what they are fitted on; it is asked once.
    """

    def __init__(self, size: int, ground: Callable[[], Ground]) -> None:
        self._size = size
        self._ground = cache(ground)

    def target(self, spec: PipelineSpec, pipeline: Pipeline, parameters: BaseModel) -> Target:
        """Make a target of a pipeline; opening it raises CompareError where it cannot be fitted."""

        def opened() -> Opened:
            ground = self._ground()
            fit = fit_and_deploy(pipeline, parameters, ground)
            scheme = fit.deployed.scheme((self._size, self._size, CHANNELS))
            return Opened(scheme, "deployed for the audit", fit.deployed)

        return pipeline_target(spec, pipeline, parameters, self._size, opened)


def ground_of_audit(
    pool: DatasetPool,
    size: int,
    seed: int,
    backbone: str,
    weights: str,
    artefacts: ArtefactFolder,
    private: Path,
    progress: ProgressReporter,
    public: Public | None = None,
    device: str = "cpu",
    threads: int = 0,
    of_same_kind: Public | None = None,
) -> Ground:
    """Return what pipelines are fitted on without a run: the auxiliary images, for one epoch.

    ``public``, ``of_same_kind``: what patch embeddings are matched to. ``device``: where networks
    are trained, with ``threads``; 0: all cores. ``private``: an empty folder that is removed after
    the audit; the client's key lies there.
    Raises UsageError where a class has too few images.
    """
    batch = pool.auxiliary(size)
    held_out = _every_fourth_of_a_class(batch.labels)
    train, val = batch.take(np.flatnonzero(~held_out)), batch.take(np.flatnonzero(held_out))
    _require_all_classes(train, val, pool.classes)
    return Ground(
        data=TrainingData(train, val, pool.classes, pool.fingerprint, public, of_same_kind),
        settings=RunSettings(
            image_size=size,
            backbone=backbone,
            weights=weights,
            epochs=EPOCHS,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            threads=threads or usable_cores(),
            infer_batch=BATCH,
            device=device,
        ),
        seed=seed,
        call_seconds=CALL_SECONDS,
        key_file=private / "client.key",
        artefacts=artefacts,
        cache_dir=private / "cache",
        progress=progress,
    )


def _every_fourth_of_a_class(labels: IntArray) -> BoolArray:
    """Mark the second of every four images of each class: classes of two images are in both."""
    marked = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        marked[np.flatnonzero(labels == label)[1::VALIDATION_SHARE]] = True
    return marked


def _require_all_classes(train: ImageBatch, val: ImageBatch, classes: tuple[str, ...]) -> None:
    for label, name in enumerate(classes):
        if not (train.labels == label).any() or not (val.labels == label).any():
            raise UsageError(
                f"{len(train) + len(val)} auxiliary images are too few to fit a pipeline on: "
                f"class {name!r} has fewer than two",
                fix="take a dataset with more images of it, or run `compare run`, which ends with "
                "an audit of what it deployed",
            )
