"""What encrypted weights are compared with, in the clear: the circuit's twin and the optimum.

The twin is the encrypted circuit in float64: same polynomials, same steps, same momentum; with the
logistic function in place of the polynomials it says what those cost. The optimum is
scikit-learn's. All need the data in the clear: they belong to the study, not to the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Float64Array
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.steps import Step

MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class TwinStep:
    """Weights (classifiers, columns) after a step, and the logits it met on the way.

    ``outside``: how many logits, of all rows of the batch and all classifiers, left the
    polynomial's interval.
    """

    weights: Float64Array
    outside: int
    largest_logit: float


def run_twin(
    problem: Problem, steps: Sequence[Step], batches: int = 1, *, exact: bool = False
) -> list[TwinStep]:
    """Return every step of the clear twin, from zero weights.

    ``exact``: with the logistic function in place of its polynomials.
    """
    size = -(-len(problem.matrix) // batches)
    ahead = weights = np.zeros((len(problem.targets), problem.matrix.shape[1]))
    found: list[TwinStep] = []
    for number, step in enumerate(steps):
        start = number % batches * size
        rows = slice(start, min(start + size, len(problem.matrix)))
        matrix, samples = problem.matrix[rows], problem.sample_weights[:, rows]
        logits = ahead @ matrix.T
        curve = np.tanh(logits / 2) / 2 if exact else step.sigmoid.centred(logits)
        residual = samples * (curve + 0.5 - problem.targets[:, rows])
        gradient = residual @ matrix / size + problem.penalties * ahead
        following = ahead - step.length * gradient
        ahead = following + step.momentum * (following - weights)
        weights = following
        outside = int(np.count_nonzero(np.abs(logits) > step.sigmoid.interval))
        found.append(TwinStep(weights, outside, float(np.abs(logits).max(initial=0))))
    return found


def fit_optimum(problem: Problem) -> Float64Array:
    """Return scikit-learn's weights (classifiers, columns), the constant's last.

    scikit-learn knows one penalty for all columns, so columns are scaled to have the same.
    """
    from sklearn.linear_model import LogisticRegression

    penalty = 1 / (problem.inverse_l2 * len(problem.matrix))
    scale = np.sqrt(penalty / problem.penalties[:-1])
    rows = []
    for target, sample_weights in zip(problem.targets, problem.sample_weights, strict=True):
        model = LogisticRegression(C=problem.inverse_l2, max_iter=MAX_ITERATIONS, tol=1e-8)
        model.fit(problem.matrix[:, :-1] * scale, target, sample_weight=sample_weights)
        rows.append(np.append(model.coef_[0] * scale, model.intercept_[0]))
    return np.array(rows)


def loss(problem: Problem, weights: Float64Array) -> float:
    """Return the mean over the classifiers of the penalised logistic loss."""
    logits = weights @ problem.matrix.T
    signed = np.where(problem.targets == 1, logits, -logits)
    losses = (problem.sample_weights * np.logaddexp(0, -signed)).mean(axis=1)
    penalties = (problem.penalties * weights**2).sum(axis=1) / 2
    return float((losses + penalties).mean())


def relative_difference(weights: Float64Array, reference: Float64Array) -> float:
    """Return the norm of the difference over the norm of the reference."""
    norm = float(np.linalg.norm(reference))
    return float(np.linalg.norm(weights - reference)) / max(norm, 1e-300)
