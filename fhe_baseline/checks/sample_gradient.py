"""Gradient of one sample: its update reveals its features; and who sees decrypted updates."""

from __future__ import annotations

import numpy as np

from he_compare.common.attack import Check, CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Aim, BoolArray, Float64Array, Knowledge
from he_compare.fhe_baseline.checks.tools.recorded_training import record_training
from he_compare.fhe_baseline.checks.tools.victim import (
    NOT_TRAINED,
    few_columns,
    population_of,
    training_of,
)
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.problem import Problem


def features_from_update(update: Float64Array) -> Float64Array:
    """Return what one sample's features would be, (width,), from an update of the head.

    ``update``: (classifiers, width + 1). The constant comes last; the classifier with the
    largest change of it is taken.
    """
    strongest = update[int(np.argmax(np.abs(update[:, -1])))]
    if strongest[-1] == 0:
        return np.array(strongest[:-1])
    return np.array(strongest[:-1] / strongest[-1])


def similarity_to_nearest(found: Float64Array, features: Float64Array) -> float:
    """Return the cosine of what was found, (width,), with the nearest of features (n, width)."""
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(found)
    cosines = np.abs(features @ found) / np.where(norms > 0, norms, 1)
    return float(cosines.max())


BATCHES = (1, 4, 64)
COLUMNS = 9
EXACT = 0.999


class SampleGradient(Check):
    """Trains on ciphertexts and reads the first decrypted weights, by size of the batch.

    Where the client refreshes, those of the first stretch of steps; from one upload, those after
    all steps, since nothing else is ever decrypted.
    """

    name = "sample_gradient"
    title = "Features from a decrypted update of the head"
    rung = Knowledge.DECRYPTED_RESULTS
    aim = Aim.DECRYPTIONS
    metric = AttackMetric("cosine of the recovered features with the nearest sample's", best=1.0)
    source = "Phong et al., IEEE TIFS 2018"

    def applies(self, inspected: Inspected) -> str:
        """Pipelines that train under encryption."""
        return "" if training_of(inspected) is not None else NOT_TRAINED

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Train once per batch size; the largest batch is the protocol's own way."""
        training = training_of(inspected)
        assert training is not None
        population = population_of(inspected)
        prepared = few_columns(population, COLUMNS).apply(population.features)
        order = random.permutation(len(prepared))
        prepared, labels = prepared[order], population.labels[order] == population.classes - 1
        sizes = sorted({min(size, len(prepared)) for size in BATCHES})
        cosines = {
            size: self._cosine(prepared[:size], labels[:size], training.circuit) for size in sizes
        }
        single, whole = cosines[sizes[0]], cosines[sizes[-1]]
        return CheckFinding(
            verdict="broken" if whole > EXACT else "partial" if single > EXACT else "unreliable",
            headline=f"the update of one sample reveals its features (cosine {single:.4f}); "
            f"with {sizes[-1]} samples at once the cosine with the nearest is {whole:.2f}; "
            f"{_who_sees(training.circuit)}",
            value=whole,
            details=[Detail(f"batch of {size}", cosine) for size, cosine in cosines.items()],
            reason="" if single > EXACT else "the features of one sample were not recovered",
            promised=False,
            claim="privacy of samples from anyone who decrypts the weights; here that is the "
            "client, which owns the samples",
            limits=[
                "full batches are trained here; a mini-batch is as one of its size; where several "
                "owners train one head, the one who decrypts sees every owner's update: that is "
                "not done here",
                "a mixture is no proof of privacy: see differential privacy, which is not claimed",
            ],
            spent={"encrypted trainings": len(sizes)},
        )

    def _cosine(self, rows: Float64Array, positive: BoolArray, protocol: Circuit) -> float:
        problem = Problem(
            np.hstack([rows, np.ones((len(rows), 1))]),
            positive[None].astype(np.float64),
            np.ones((1, len(rows))),
            np.append(np.full(rows.shape[1], 1 / len(rows)), 0.0),
            1.0,
        )
        first = record_training(problem, protocol).weights[0]
        return similarity_to_nearest(features_from_update(first), rows)


def _who_sees(protocol: Circuit) -> str:
    if protocol.refreshes:
        return "the server sees neither, the client every refresh"
    return "the server sees neither, the client only the weights after the last step"


CHECK = SampleGradient()
