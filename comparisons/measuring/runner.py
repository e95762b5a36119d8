"""Runs the cells of a plan: every cell ends in a record, whatever happens.

A record is appended as soon as its cell is done, so a killed run resumes where it stopped. A cell
that failed is recorded and the next one begins. Latency rounds interleave the pipelines, so that a
machine that slows down slows all of them.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ClearTwin, LocalPipeline
from he_compare.common.environment import PEAK_METHOD, PeakMemory, fingerprint_environment
from he_compare.common.errors import CellError, CompareError, ServiceTimeoutError, UnavailableError
from he_compare.common.identity import array_digest
from he_compare.common.run.records import (
    ClearTwinFacts,
    ErrorInfo,
    Measurement,
    RunRecord,
    TapeFacts,
)
from he_compare.common.run.store import RunFolder, save_arrays
from he_compare.common.run.tape import Tape, TapeRecorder, facts_of_tape, write_tape
from he_compare.common.types import Float64Array, IntArray, Per, Phase, Side, Status
from he_compare.comparisons.measuring.disturbances import BIT_FLIPS, GAUSSIAN_NOISE
from he_compare.comparisons.measuring.fitting import Fit, Ground
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.robustness import NO_MESSAGE, no_curve, robustness_curve
from he_compare.comparisons.measuring.sample_pictures import mean_jpeg_bytes, store_sample_pictures
from he_compare.comparisons.measuring.session import (
    ServedSession,
    Session,
    clear_twins_of,
    compare_with_clear,
    open_session,
)
from he_compare.comparisons.measuring.validation_scores import (
    ValidationScores,
    validation_scores,
)
from he_compare.comparisons.progress import ProgressReporter

WARMUP_IMAGES = 4


@dataclass
class CellCounts:
    """How the cells of a run ended, by kind."""

    executed: int = 0
    reused: int = 0
    failed: int = 0
    unavailable: int = 0


class Runner:
    """Executes the cells of one plan into one run folder."""

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        *,
        cache_dir: Path,
        progress: ProgressReporter,
        taped: IntArray | None = None,
    ) -> None:
        """``taped``: test images, sorted, whose messages are kept for the audit; None for none."""
        self.plan = plan
        self.folder = folder
        self.progress = progress
        self.taped = taped
        self.fits: dict[str, Fit] = {}
        self.tapes: dict[str, Tape] = {}
        self.ground = plan.ground(folder.artefacts, cache_dir, progress)
        self._cache_dir = cache_dir
        self._sessions: dict[tuple[str, int], Session] = {}
        self._broken: dict[tuple[str, int], Exception] = {}

    def execute(self) -> CellCounts:
        """Run every cell that has no finished record. Servers are stopped on every way out."""
        outcome = CellCounts()
        done = {r.identity: r for r in self.folder.records() if r.status is Status.OK}
        cells = self.plan.cells()
        try:
            for number, cell in enumerate(cells, start=1):
                title = f"[{number}/{len(cells)}] {describe_cell(cell)}"
                if cell.identity in done:
                    self.progress.line(f"{title}: already done, reused")
                    outcome.reused += 1
                    continue
                self.progress.line(title)
                record = self._run_cell(cell)
                self._tell(record)
                if cell.again:
                    self._close(cell)
                outcome.executed += record.status is Status.OK
                outcome.unavailable += record.status is Status.UNAVAILABLE
                outcome.failed += record.status in (Status.FAILED, Status.TIMEOUT, Status.SKIPPED)
        finally:
            for session in self._sessions.values():
                session.close()
        return outcome

    def _close(self, cell: PlannedCell) -> None:
        """Stop what runs for a cell; of a further seed nothing else is measured."""
        session = self._sessions.pop((cell.planned.label, cell.seed), None)
        if session is not None:
            session.close()

    def _tell(self, record: RunRecord) -> None:
        if record.status is Status.OK:
            self.progress.line(f"    ok in {record.seconds:.1f} s")
        else:
            self.progress.line(f"    {record.status.value}: {record.reason}")

    def _run_cell(self, cell: PlannedCell) -> RunRecord:
        started = RunRecord(
            identity=cell.identity,
            cell=self.plan.cell_record(cell),
            status=Status.STARTED,
            reason="the run ended before this cell was done",
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            environment=fingerprint_environment(self.plan.settings.threads),
        )
        self.folder.append(started)
        begin = time.perf_counter()
        try:
            record = self._measure(cell, started)
        except KeyboardInterrupt:
            self.folder.append(_ended(started, Status.INTERRUPTED, "stopped by Ctrl-C", begin))
            raise
        except UnavailableError as error:
            record = self._broken_cell(cell, started, Status.UNAVAILABLE, error, begin)
        except ServiceTimeoutError as error:
            record = self._broken_cell(cell, started, Status.TIMEOUT, error, begin)
        except Exception as error:  # one cell's failure must not take the others with it
            record = self._broken_cell(cell, started, Status.FAILED, error, begin)
        else:
            record = record.model_copy(update={"seconds": time.perf_counter() - begin})
        self.folder.append(record)
        return record

    def _broken_cell(
        self,
        cell: PlannedCell,
        started: RunRecord,
        status: Status,
        error: Exception,
        begin: float,
    ) -> RunRecord:
        name = cell.planned.label, cell.seed
        self._close(cell)
        if not isinstance(error, CompareError):
            import traceback

            traceback.print_exc()
        skipped = name in self._broken and not isinstance(error, UnavailableError)
        message = describe_error(error)
        self._broken.setdefault(name, error)
        record = _ended(started, Status.SKIPPED if skipped else status, message, begin)
        return record.model_copy(
            update={"error": ErrorInfo(kind=type(error).__name__, message=message)}
        )

    def _session(self, cell: PlannedCell) -> Session:
        planned, name = cell.planned, (cell.planned.label, cell.seed)
        if reason := self.plan.not_run.get(planned.label):
            raise UnavailableError(reason)
        before = self._broken.get(name)
        if isinstance(before, UnavailableError):
            raise before
        if before is not None:
            raise CellError(f"its pipeline already failed: {describe_error(before)}")
        if name not in self._sessions:
            session = open_session(planned, self._ground_of(cell))
            self._sessions[name] = session
            if not cell.again:
                self.fits[planned.label] = session.fit
        return self._sessions[name]

    def _ground_of(self, cell: PlannedCell) -> Ground:
        if not cell.again:
            return self.ground
        return self.plan.ground(
            self.folder.artefacts, self._cache_dir, self.progress, seed=cell.seed
        )

    def _measure(self, cell: PlannedCell, started: RunRecord) -> RunRecord:
        session = self._session(cell)
        measure: dict[Phase, Callable[[PlannedCell, Session, RunRecord], RunRecord]] = {
            Phase.ACCURACY: self._measure_accuracy,
            Phase.LATENCY: self._measure_latency,
            Phase.ROBUSTNESS: self._measure_robustness,
        }
        return measure[cell.phase](cell, session, started)

    def _measure_accuracy(
        self, cell: PlannedCell, session: Session, started: RunRecord
    ) -> RunRecord:
        test = self.plan.test
        size = self.plan.settings.infer_batch
        session.run(test.images[:WARMUP_IMAGES], Clock(Side.CLIENT), per=Per.BATCH)
        memory = PeakMemory()
        before = session.byte_count()
        clock = Clock(Side.CLIENT)
        parts = []
        recorder = None
        taped = None if cell.again else self.taped
        if taped is not None and isinstance(session, ServedSession):
            recorder = TapeRecorder(taped)
        for start in range(0, len(test), size):
            images = test.images[start : start + size]
            parts.append(session.run(images, clock, per=Per.BATCH, record=recorder))
            self.progress("test images", min(start + size, len(test)), len(test))
        client = memory.taken()
        scores = np.concatenate(parts)
        agreement = compare_with_clear(session.fitted, test.images, scores)
        twins = clear_twins_of(session.fitted, test.images, session.classes)
        traffic, server_peak = session.traffic(before, len(test)), session.server_peak()
        validation = validation_scores(session, self.ground.data.val, size)
        name, digest = self._store_predictions(cell, scores, twins, validation)
        if not cell.again:
            self._store_pictures(session)
        record = started.model_copy(
            update={
                "status": Status.OK,
                "reason": "",
                "fhe_mode": session.fitted.fhe_mode,
                "n_images": len(test),
                "warmup_images": min(WARMUP_IMAGES, len(test)),
                "predictions": name,
                "predictions_sha256": digest,
                "measurements": measurements(session.fit.once) + measurements(clock),
                "traffic": traffic.model_copy(update={"jpeg_bytes": mean_jpeg_bytes(test.images)}),
                "agreement": agreement,
                "clear_twins": [ClearTwinFacts(name=one.name, cost=one.cost) for one in twins],
                "validation": validation.facts if validation else None,
                "claims": session.fitted.claims(),
                "training": session.training,
                "client_peak_bytes": client.peak if client else None,
                "client_growth_bytes": client.growth if client else None,
                "client_peak_method": PEAK_METHOD if client else "",
                "server_peak_bytes": server_peak,
                "reused": [one.name for one in session.fit.reused],
                "reused_seconds": {
                    one.name: one.seconds for one in session.fit.reused if one.seconds is not None
                },
                "library_seconds": session.fit.library_seconds,
                "warnings": session.warnings,
                "tape": self._keep_tape(cell, session, recorder),
                **session.server_facts,
            }
        )
        if agreement is not None and agreement.agree < agreement.compared:
            reason = (
                f"{agreement.compared - agreement.agree} of {agreement.compared} executed "
                f"predictions differ from the {agreement.reference}'s (largest score difference "
                f"{agreement.max_abs_score_difference:.3g})"
            )
            return record.model_copy(update={"status": Status.FAILED, "reason": reason})
        return record

    def _measure_latency(
        self, cell: PlannedCell, session: Session, started: RunRecord
    ) -> RunRecord:
        images = self.plan.test.images[: self.plan.config.latency_images]
        for image in images[:WARMUP_IMAGES]:
            session.run(image[None], Clock(Side.CLIENT), per=Per.SAMPLE)
        before = session.byte_count()
        clock = Clock(Side.CLIENT)
        for number, image in enumerate(images, start=1):
            session.run(image[None], clock, per=Per.SAMPLE)
            self.progress("single images", number, len(images))
        return started.model_copy(
            update={
                "status": Status.OK,
                "reason": "",
                "fhe_mode": session.fitted.fhe_mode,
                "n_images": len(images),
                "warmup_images": min(WARMUP_IMAGES, len(images)),
                "measurements": measurements(clock, per=Per.SAMPLE),
                "traffic": session.traffic(before, len(images)),
                "warnings": session.warnings,
                **session.server_facts,
            }
        )

    def _measure_robustness(
        self, cell: PlannedCell, session: Session, started: RunRecord
    ) -> RunRecord:
        test = self.plan.test
        chosen = evenly_spaced(len(test), self.plan.config.robustness_images)
        seed = self.plan.config.seed
        curves = [
            robustness_curve(
                session,
                test.images[chosen],
                test.labels[chosen],
                disturbance,
                seed=seed,
                batch=self.plan.settings.infer_batch,
                restart=session.restart,
                progress=self.progress,
            )
            if isinstance(session, ServedSession)
            else no_curve(disturbance, seed, NO_MESSAGE)
            for disturbance in (BIT_FLIPS, GAUSSIAN_NOISE)
        ]
        return started.model_copy(
            update={
                "status": Status.OK,
                "reason": "",
                "fhe_mode": session.fitted.fhe_mode,
                "n_images": len(chosen),
                "robustness": curves,
                "warnings": session.warnings,
                **session.server_facts,
            }
        )

    def _keep_tape(
        self, cell: PlannedCell, session: Session, recorder: TapeRecorder | None
    ) -> TapeFacts | None:
        """Keep what crossed: in the run folder, or in memory where it shows unprotected pictures
        or no picture may leave the dataset. None where nothing crossed."""
        if recorder is None or not isinstance(session, ServedSession):
            return None
        tape = recorder.tape(session.public_material)
        self.tapes[cell.planned.label] = tape
        protected = session.fitted.claims().claim_type != "none"
        if protected and self.plan.config.pictures:
            return write_tape(self.folder.path, cell.identity, tape)
        return facts_of_tape(tape)

    def _store_predictions(
        self,
        cell: PlannedCell,
        scores: Float64Array,
        twins: tuple[ClearTwin, ...],
        validation: ValidationScores | None,
    ) -> tuple[str, str]:
        from he_compare.common.backbones.deit import softmax

        test = self.plan.test
        arrays = {
            "ids": np.array(test.ids),
            "groups": np.array(test.groups),
            "labels": test.labels,
            "scores": scores,
            "probabilities": softmax(scores),
        }
        if twins:
            arrays["twin_probabilities"] = np.stack([softmax(twin.scores) for twin in twins])
        if validation:
            arrays["validation_labels"] = validation.labels
            arrays["validation_probabilities"] = softmax(validation.scores)
        name = f"predictions/{cell.identity}.npz"
        save_arrays(self.folder.path / name, arrays)
        return name, array_digest(*(arrays[key] for key in sorted(arrays)))

    def _store_pictures(self, session: Session) -> None:
        if self.plan.config.pictures:
            store_sample_pictures(self.folder, self.plan, session)


def describe_error(error: Exception) -> str:
    """Describe an error on one line, with its type where it is none of the project's."""
    words, kind = " ".join(str(error).split()), type(error).__name__
    if isinstance(error, CompareError):
        return words or kind
    return f"{kind}: {words}" if words else kind


def _ended(started: RunRecord, status: Status, reason: str, begin: float) -> RunRecord:
    return started.model_copy(
        update={"status": status, "reason": reason, "seconds": time.perf_counter() - begin}
    )


def evenly_spaced(n: int, most: int) -> IntArray:
    """Return at most ``most`` positions of n, evenly spaced: datasets are ordered by class."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def describe_cell(cell: PlannedCell) -> str:
    """Name a cell for a person."""
    if cell.phase is Phase.ACCURACY:
        seed = f", seed {cell.seed}" if cell.again else ""
        return f"{cell.planned.label}: fit and test{seed}"
    if cell.phase is Phase.ROBUSTNESS:
        local = isinstance(cell.planned.pipeline, LocalPipeline)
        none = " (none: it sends nothing)" if local else ""
        return f"{cell.planned.label}: disturbed messages{none}"
    return f"{cell.planned.label}: latency, round {cell.round}"


def measurements(clock: Clock, *, per: Per | None = None) -> list[Measurement]:
    """Turn a clock's samples into records; ``per`` replaces what batch samples stand for."""
    return [
        Measurement(
            stage=stage,
            side=side,
            per=per if per is not None and what is Per.BATCH else what,
            seconds=values,
            items=clock.items[stage, side, what],
        )
        for (stage, side, what), values in clock.samples.items()
    ]
