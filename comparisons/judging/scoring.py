"""Scores a run from its stored predictions alone: neither torch nor the dataset is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from he_compare.common.errors import IntegrityError
from he_compare.common.identity import array_digest
from he_compare.common.run.records import (
    CellScores,
    DatasetCard,
    Manifest,
    OperatingPoint,
    PairedDifference,
    RunRecord,
    ScoreSheet,
)
from he_compare.common.run.store import SCORES, RunFolder, inside
from he_compare.common.run.stored_arrays import load_arrays
from he_compare.common.run.view import answered, answered_again
from he_compare.common.statistics.evaluation import PROPORTIONS
from he_compare.common.statistics.paired import RUN_COMPARED, paired_differences
from he_compare.common.statistics.repeated import OVER_TRAININGS
from he_compare.common.statistics.rungs import cost_rungs
from he_compare.comparisons.judging.mean_scores import (
    THRESHOLD,
    MeansOfRun,
    StoredPredictions,
    trainings_by_seed,
)

EXPECTED = {"ids", "groups", "labels", "scores", "probabilities"}
TWINS = "twin_probabilities"
VALIDATION = {"validation_labels", "validation_probabilities"}


def scored(path: Path) -> RunFolder:
    """Return the run folder, scored first where that was not done. Raises UsageError."""
    folder = RunFolder(path)
    folder.manifest()
    if not (folder.path / SCORES).is_file():
        scored_again(path)
    return folder


def scored_again(path: Path) -> RunFolder:
    """Score a run and return its folder; of its sums, that of the scores is written again.

    Raises UsageError where there is no run, or another process writes it, IntegrityError where
    stored predictions or the sums are not what was written.
    """
    folder = RunFolder(path)
    folder.manifest()
    with folder.claimed():
        score_run(folder)
        folder.add_to_sums()
    return folder


def score_run(folder: RunFolder) -> ScoreSheet:
    """Compute metrics, intervals and paired differences, and store them in the run folder.

    Raises IntegrityError where stored predictions are missing or not what the record says.
    """
    sheet = compute_scores(folder)
    folder.write_model(SCORES, sheet)
    return sheet


def compute_scores(folder: RunFolder, positive: str = "") -> ScoreSheet:
    """Compute metrics, intervals and paired differences from stored predictions.

    ``positive``: the class to take as positive where the dataset names none. Raises IntegrityError
    where stored predictions are missing or not what the record says.
    """
    manifest = folder.manifest()
    card = manifest.dataset.card
    if positive and not card.positive_class:
        card = card.model_copy(update={"positive_class": positive})
    all_records = folder.records()
    records = answered(all_records, manifest)
    predictions = {record.cell.label: read_predictions(folder, record) for record in records}
    again = [(one, read_predictions(folder, one)) for one in answered_again(all_records, manifest)]
    reference = reference_label(manifest, [record.cell.label for record in records])
    differences = _differences(predictions, manifest, card, reference)
    repeated = trainings_by_seed(predictions, again, manifest.seed)
    means = MeansOfRun(repeated, card, manifest.seed)
    return ScoreSheet(
        reference=reference,
        threshold=THRESHOLD,
        proportions=PROPORTIONS,
        cells=[_score_cell(r, predictions[r.cell.label], card, manifest.seed) for r in records],
        differences=differences,
        against_twins=True,
        repeats=[_score_cell(one, arrays, card, manifest.seed) for one, arrays in again],
        means=means.scores(),
        mean_differences=means.differences(differences),
        over_trainings=OVER_TRAININGS if repeated else "",
    )


def read_predictions(folder: RunFolder, record: RunRecord) -> StoredPredictions:
    """Read and check the stored predictions of a record. Raises IntegrityError naming the file."""
    path = inside(folder.path, record.predictions)
    if not path.is_file():
        raise IntegrityError(
            f"{record.predictions} is missing",
            fix="restore the file, or run the same `compare run` again to redo its cell",
        )
    return checked_predictions(record, load_arrays(path))


def checked_predictions(record: RunRecord, arrays: StoredPredictions) -> StoredPredictions:
    """Return the arrays of predictions if they are those of a record. Raises IntegrityError."""
    expected = EXPECTED | ({TWINS} if record.clear_twins else set())
    expected |= VALIDATION if record.validation else set()
    if set(arrays) != expected:
        raise IntegrityError(f"{record.predictions} holds {sorted(arrays)}, not {sorted(expected)}")
    if array_digest(*(arrays[name] for name in sorted(arrays))) != record.predictions_sha256:
        raise IntegrityError(
            f"{record.predictions} does not match the record {record.identity}",
            fix="restore the file, or run the same `compare run` again to redo its cell",
        )
    if record.clear_twins:
        _check_twins(record, arrays)
    if record.validation:
        _check_validation(record, arrays)
    return arrays


def _check_validation(record: RunRecord, arrays: StoredPredictions) -> None:
    """Raise IntegrityError unless every validation image has a label and probabilities."""
    labels, chances = arrays["validation_labels"], arrays["validation_probabilities"]
    n, k = record.validation.images if record.validation else 0, arrays["probabilities"].shape[1]
    fits = labels.shape == (n,) and chances.shape == (n, k) and labels.dtype == np.int64
    if not fits or chances.dtype != np.float64 or (n and not 0 <= labels.min() <= labels.max() < k):
        raise IntegrityError(
            f"validation_labels in {record.predictions} are {labels.dtype} {labels.shape} and "
            f"validation_probabilities {chances.dtype} {chances.shape}, expected int64 {(n,)} of "
            f"{k} classes and float64 {(n, k)}",
            fix="run the same `compare run` again to redo its cell",
        )


def _check_twins(record: RunRecord, arrays: StoredPredictions) -> None:
    """Raise IntegrityError unless every clear model has probabilities for every image."""
    found, wanted = arrays[TWINS], (len(record.clear_twins), *arrays["probabilities"].shape)
    if found.dtype != np.float64 or found.shape != wanted:
        raise IntegrityError(
            f"{TWINS} in {record.predictions} are {found.dtype} {found.shape}, "
            f"expected float64 {wanted}",
            fix="run the same `compare run` again to redo its cell",
        )


def reference_label(manifest: Manifest, answered: Sequence[str]) -> str:
    """Return the pipeline of the smallest rank among those that answered, the first of equals.

    '' where none of them is a reference.
    """
    ranks = {one.label: one.reference_rank for one in manifest.pipelines}
    fit = [(rank, label) for label in answered if (rank := ranks.get(label)) is not None]
    return min(fit, key=lambda one: one[0])[1] if fit else ""


def _score_cell(
    record: RunRecord, arrays: StoredPredictions, card: DatasetCard, seed: int
) -> CellScores:
    from he_compare.common.statistics.evaluation import score

    metrics, confusion, roc, reliability = score(
        arrays["labels"],
        arrays["probabilities"],
        [str(group) for group in arrays["groups"]],
        card.classes,
        card.positive_class,
        seed=seed,
        threshold=THRESHOLD,
    )
    return CellScores(
        identity=record.identity,
        label=record.cell.label,
        metrics=metrics,
        confusion=confusion,
        roc=roc,
        reliability=reliability,
        rungs=cost_rungs(record.clear_twins, arrays, card, seed=seed, threshold=THRESHOLD),
        at_validated_threshold=_validated(record, arrays, card, seed),
    )


def _validated(
    record: RunRecord, arrays: StoredPredictions, card: DatasetCard, seed: int
) -> OperatingPoint | None:
    """Return the test images at a threshold of the validation split; None without one."""
    from he_compare.common.statistics.operating import operating_point

    if record.validation is None or not card.positive_class:
        return None
    return operating_point(
        (arrays["validation_labels"], arrays["validation_probabilities"]),
        (arrays["labels"], arrays["probabilities"]),
        [str(group) for group in arrays["groups"]],
        card.classes,
        card.positive_class,
        scored_by=record.validation.scored_by,
        seed=seed,
    )


def _differences(
    predictions: dict[str, StoredPredictions],
    manifest: Manifest,
    card: DatasetCard,
    reference: str,
) -> list[PairedDifference]:
    """Compare every pipeline with its twin, and with the run's reference."""
    twins = {one.label: one.twin for one in manifest.pipelines}
    result = []
    for label, arrays in predictions.items():
        for other in dict.fromkeys((twins.get(label, ""), reference)):
            if other == label or other not in predictions:
                continue
            base = predictions[other]
            if not np.array_equal(arrays["ids"], base["ids"]):
                raise IntegrityError(f"{label} and {other} answered different images")
            result += paired_differences(
                label,
                other,
                arrays,
                base,
                card,
                seed=manifest.seed,
                threshold=THRESHOLD,
                metrics=RUN_COMPARED,
            )
    return result
