"""What is measured in each phase of a run, with a pipeline that is ready: nothing is written here.

The test images at once (accuracy), one image at a time (latency), disturbed messages (robustness).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from he_compare.common.clock import Clock
from he_compare.common.contracts import ClearTwin, Progress
from he_compare.common.environment import PEAK_METHOD, PeakMemory
from he_compare.common.identity import array_digest
from he_compare.common.run.records import ClearTwinFacts, Measurement, RunRecord
from he_compare.common.run.stored_arrays import npz_bytes
from he_compare.common.run.tape import Tape, TapeRecorder, facts_of_tape, tape_files
from he_compare.common.types import Float64Array, IntArray, Per, Side, Status, UInt8Array
from he_compare.comparisons.measuring.clear_models import clear_models_of
from he_compare.comparisons.measuring.disturbances import BIT_FLIPS, GAUSSIAN_NOISE
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.robustness import NO_MESSAGE, no_curve, robustness_curve
from he_compare.comparisons.measuring.sample_pictures import mean_jpeg_bytes, sample_view
from he_compare.comparisons.measuring.session import ServedSession, Session
from he_compare.comparisons.measuring.validation_scores import (
    ValidationScores,
    validation_scores,
)

WARMUP_IMAGES = 4


@dataclass(frozen=True)
class MeasuredCell:
    """What a cell gave. ``files``: bytes by name in the run folder.

    ``view``: what the server sees of the sample pictures, None where there is none. ``trace``:
    where an error came from that is none of the project's.
    """

    record: RunRecord
    files: Mapping[str, bytes] = field(default_factory=dict)
    view: UInt8Array | None = None
    trace: str = ""


@dataclass(frozen=True)
class Occasion:
    """One cell that is to be measured. ``started``: its record so far.

    ``taped``: test images, sorted, whose messages are kept for the audit; None for none.
    """

    plan: RunPlan
    cell: PlannedCell
    started: RunRecord
    progress: Progress
    taped: IntArray | None = None

    def finished(self, session: Session, **measured: object) -> RunRecord:
        """Return the record of the cell as it ends well."""
        common: dict[str, object] = {
            "status": Status.OK,
            "reason": "",
            "fhe_mode": session.fitted.fhe_mode,
            "warnings": session.warnings,
        }
        facts = session.server_facts() | session.server_place()
        return self.started.model_copy(update=common | facts | measured)


def measure_accuracy(at: Occasion, session: Session) -> tuple[MeasuredCell, Tape | None]:
    """Classify the test images in batches; also return the messages that crossed."""
    test, size = at.plan.test, at.plan.settings.infer_batch
    session.run(test.images[:WARMUP_IMAGES], Clock(Side.CLIENT), per=Per.BATCH)
    memory = PeakMemory()
    before = session.byte_count()
    clock = Clock(Side.CLIENT)
    parts = []
    recorder = None
    if at.taped is not None and isinstance(session, ServedSession):
        recorder = TapeRecorder(at.taped)
    for start in range(0, len(test), size):
        images = test.images[start : start + size]
        parts.append(session.run(images, clock, per=Per.BATCH, record=recorder))
        at.progress("test images", min(start + size, len(test)), len(test))
    client = memory.taken()
    scores = np.concatenate(parts)
    clear = clear_models_of(session.fitted, test.images, session.classes)
    agreement, twins = clear.agreement(scores), clear.twins
    traffic, server_peak = session.traffic(before, len(test)), session.server_peak()
    validation = validation_scores(session, at.plan.data.val, size)
    predictions, digest = _predictions(at, scores, twins, validation)
    name = f"predictions/{at.cell.identity}.npz"
    tape = _tape(session, recorder)
    tape_facts, tape_content = None, dict[str, bytes]()
    if tape is not None:
        # Where it shows unprotected pictures, or no picture may leave the dataset, it is not kept.
        protected = session.fitted.claims().claim_type != "none"
        tape_facts = facts_of_tape(tape)
        if protected and at.plan.config.pictures:
            tape_facts, tape_content = tape_files(at.cell.identity, tape)
    record = at.finished(
        session,
        n_images=len(test),
        warmup_images=min(WARMUP_IMAGES, len(test)),
        predictions=name,
        predictions_sha256=digest,
        measurements=measurements(session.fit.once) + measurements(clock),
        traffic=traffic.model_copy(update={"jpeg_bytes": mean_jpeg_bytes(test.images)}),
        agreement=agreement,
        clear_twins=[ClearTwinFacts(name=one.name, cost=one.cost) for one in twins],
        validation=validation.facts if validation else None,
        claims=session.fitted.claims(),
        training=session.training,
        client_peak_bytes=client.peak if client else None,
        client_growth_bytes=client.growth if client else None,
        client_peak_method=PEAK_METHOD if client else "",
        server_peak_bytes=server_peak,
        reused=[one.name for one in session.fit.reused],
        reused_seconds={
            one.name: one.seconds for one in session.fit.reused if one.seconds is not None
        },
        library_seconds=session.fit.library_seconds,
        tape=tape_facts,
    )
    view = None if at.cell.again else sample_view(at.plan, session)
    return MeasuredCell(_checked(record), {name: predictions, **tape_content}, view), tape


def measure_latency(at: Occasion, session: Session) -> MeasuredCell:
    """Classify images one by one."""
    images = at.plan.test.take(slice(0, at.plan.config.latency_images)).images
    for image in images[:WARMUP_IMAGES]:
        session.run(image[None], Clock(Side.CLIENT), per=Per.SAMPLE)
    before = session.byte_count()
    clock = Clock(Side.CLIENT)
    for number in range(len(images)):
        session.run(images[number : number + 1], clock, per=Per.SAMPLE)
        at.progress("single images", number + 1, len(images))
    record = at.finished(
        session,
        n_images=len(images),
        warmup_images=min(WARMUP_IMAGES, len(images)),
        measurements=measurements(clock, per=Per.SAMPLE),
        traffic=session.traffic(before, len(images)),
    )
    return MeasuredCell(record)


def measure_robustness(at: Occasion, session: Session) -> MeasuredCell:
    """Classify images whose messages are disturbed on their way."""
    test, seed = at.plan.test, at.plan.config.seed
    chosen = evenly_spaced(len(test), at.plan.config.robustness_images)
    curves = [
        robustness_curve(
            session,
            test.images[chosen],
            test.labels[chosen],
            disturbance,
            seed=seed,
            batch=at.plan.settings.infer_batch,
            restart=session.restart,
            progress=at.progress,
        )
        if isinstance(session, ServedSession)
        else no_curve(disturbance, seed, NO_MESSAGE)
        for disturbance in (BIT_FLIPS, GAUSSIAN_NOISE)
    ]
    return MeasuredCell(at.finished(session, n_images=len(chosen), robustness=curves))


def _tape(session: Session, recorder: TapeRecorder | None) -> Tape | None:
    if recorder is None or not isinstance(session, ServedSession):
        return None
    return recorder.tape(session.public_material)


def _checked(record: RunRecord) -> RunRecord:
    """Let a cell fail whose executed predictions are not the clear reference's, but for noise."""
    agreement = record.agreement
    if agreement is None or agreement.holds:
        return record
    reason = (
        f"{agreement.differing} of {agreement.compared} executed "
        f"predictions differ from the {agreement.reference}'s (largest score difference "
        f"{agreement.max_abs_score_difference:.3g})"
    )
    return record.model_copy(update={"status": Status.FAILED, "reason": reason})


def _predictions(
    at: Occasion,
    scores: Float64Array,
    twins: tuple[ClearTwin, ...],
    validation: ValidationScores | None,
) -> tuple[bytes, str]:
    """Return the file of predictions, and the digest of its arrays."""
    from he_compare.common.backbones.deit import softmax

    test = at.plan.test
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
    return npz_bytes(arrays), array_digest(*(arrays[key] for key in sorted(arrays)))


def evenly_spaced(n: int, most: int) -> IntArray:
    """Return at most ``most`` positions of n, evenly spaced: datasets are ordered by class."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


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
