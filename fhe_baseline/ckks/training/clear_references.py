"""What encrypted weights are compared with, in the clear: the circuit's twin and the optimum.

The twin is the encrypted circuit in float64: same polynomial, same step, same momentum. The optimum
is scikit-learn's. Both need the data in the clear: they belong to the study, not to the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Float64Array
from he_compare.fhe_baseline.ckks.training.circuit import Circuit, momentum
from he_compare.fhe_baseline.ckks.training.problem import Problem

MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class TwinStep:
    """Weights (classifiers, columns) after an iteration, and the logits it met on the way.

    ``outside``: how many logits, of all rows of the batch and all classifiers, left the
    polynomial's interval.
    """

    weights: Float64Array
    outside: int
    largest_logit: float


def run_twin(circuit: Circuit, problem: Problem, iterations: int) -> list[TwinStep]:
    """Return every iteration of the clear twin, from zero weights."""
    keep = np.full(circuit.columns, circuit.shrink)
    keep[-1] = 1.0
    ahead = np.zeros((circuit.classifiers, circuit.columns))
    weights = ahead
    steps: list[TwinStep] = []
    for number, eta in enumerate(momentum(iterations), start=1):
        rows = circuit.layout.rows_of_batch(circuit.batch_of(number))
        matrix, samples = problem.matrix[rows], problem.sample_weights[:, rows]
        logits = ahead @ matrix.T
        residual = samples * (circuit.sigmoid.centred(logits) + 0.5 - problem.targets[:, rows])
        gradient = residual @ matrix / circuit.layout.batch_rows
        following = ahead * keep - circuit.rate * gradient
        ahead = (1 - eta) * following + eta * weights
        weights = following
        outside = int(np.count_nonzero(np.abs(logits) > circuit.sigmoid.interval))
        steps.append(TwinStep(weights, outside, float(np.abs(logits).max())))
    return steps


def fit_optimum(problem: Problem) -> Float64Array:
    """Return scikit-learn's weights (classifiers, columns), the constant's last."""
    from sklearn.linear_model import LogisticRegression

    rows = []
    for target, sample_weights in zip(problem.targets, problem.sample_weights, strict=True):
        model = LogisticRegression(C=problem.inverse_l2, max_iter=MAX_ITERATIONS, tol=1e-8)
        model.fit(problem.matrix[:, :-1], target, sample_weight=sample_weights)
        rows.append(np.append(model.coef_[0], model.intercept_[0]))
    return np.array(rows)


def loss(problem: Problem, weights: Float64Array) -> float:
    """Return the mean over the classifiers of the penalised logistic loss."""
    logits = weights @ problem.matrix.T
    signed = np.where(problem.targets == 1, logits, -logits)
    losses = (problem.sample_weights * np.logaddexp(0, -signed)).mean(axis=1)
    penalties = problem.penalty / 2 * (weights[:, :-1] ** 2).sum(axis=1)
    return float((losses + penalties).mean())


def relative_difference(weights: Float64Array, reference: Float64Array) -> float:
    """Return the norm of the difference over the norm of the reference."""
    norm = float(np.linalg.norm(reference))
    return float(np.linalg.norm(weights - reference)) / max(norm, 1e-300)
