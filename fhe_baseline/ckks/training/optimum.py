"""Where training should end: scikit-learn's optimum of the same loss, with the logistic function.

How far the encrypted weights are from it has three causes, none of which is CKKS noise: the
polynomial in place of the logistic function, the few iterations, and rounding. The noise is what
``twin`` shows.
"""

from __future__ import annotations

import numpy as np

from common.types import Float64Array
from fhe_baseline.ckks.training.problem import Problem

MAX_ITERATIONS = 2000


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
