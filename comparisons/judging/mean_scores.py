"""Means over the trainings of a run, from stored predictions alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError
from he_compare.common.run.records import (
    DatasetCard,
    MeanDifference,
    MeanScores,
    PairedDifference,
    RunRecord,
)
from he_compare.common.statistics.paired import RUN_COMPARED
from he_compare.common.statistics.repeated import Repeated

THRESHOLD = 0.5
SAME_IMAGES = ("ids", "labels", "groups")

StoredPredictions = dict[str, npt.NDArray[Any]]


def trainings_by_seed(
    first: Mapping[str, StoredPredictions],
    again: Iterable[tuple[RunRecord, StoredPredictions]],
    seed: int,
) -> dict[str, dict[int, StoredPredictions]]:
    """Return by label and seed the predictions of pipelines with several trainings.

    ``first``: by label, of the run's first ``seed``; ``again``: of further seeds. Raises
    IntegrityError where trainings of one pipeline answered different images.
    """
    found: dict[str, dict[int, StoredPredictions]] = {}
    for record, arrays in again:
        label = record.cell.label
        if label not in first:
            continue
        base = first[label]
        if not all(np.array_equal(arrays[name], base[name]) for name in SAME_IMAGES):
            raise IntegrityError(
                f"{label} answered other images under seed {record.cell.seed} than under {seed}",
                fix="delete the record's line, then run the same `compare run` again",
            )
        found.setdefault(label, {seed: base})[record.cell.seed] = arrays
    return found


class MeansOfRun:
    """Means of the pipelines that were trained under several seeds; draws are made once."""

    def __init__(
        self, trained: Mapping[str, Mapping[int, StoredPredictions]], card: DatasetCard, seed: int
    ) -> None:
        """``trained``: predictions by label and seed. ``seed``: of the bootstrap."""
        self._trained = trained
        self._card = card
        self._seed = seed
        self._made: dict[tuple[str, tuple[int, ...]], Repeated] = {}

    def _repeated(self, label: str, seeds: Sequence[int]) -> Repeated:
        key = label, tuple(seeds)
        if key not in self._made:
            by_seed = {seed: self._trained[label][seed] for seed in seeds}
            self._made[key] = Repeated(
                label, by_seed, self._card, seed=self._seed, threshold=THRESHOLD
            )
        return self._made[key]

    def scores(self) -> list[MeanScores]:
        """Return the metrics of every pipeline with several trainings."""
        return [self._repeated(label, tuple(of)).scores() for label, of in self._trained.items()]

    def differences(self, known: Sequence[PairedDifference]) -> list[MeanDifference]:
        """Return the means of differences that are known of the first training.

        Of the seeds that both pipelines have; with fewer than two there is none.
        """
        pairs = dict.fromkeys((one.pipeline, one.reference) for one in known)
        return [found for pair in pairs for found in self.minus(*pair)]

    def minus(
        self, label: str, other: str, metrics: Sequence[str] = RUN_COMPARED
    ) -> list[MeanDifference]:
        """Return the mean differences of two pipelines; [] with fewer than two seeds in common."""
        theirs = self._trained.get(other, {})
        common = [seed for seed in self._trained.get(label, {}) if seed in theirs]
        if len(common) < 2:
            return []
        return self._repeated(label, common).minus(self._repeated(other, common), metrics)
