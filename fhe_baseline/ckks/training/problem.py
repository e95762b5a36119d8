"""The training task in the clear, at the client: matrix, targets, sample weights, step size.

The loss of a classifier is scikit-learn's, divided by C and the number of rows: the mean of sample
weight times logistic loss, plus half the penalty 1 / (C rows) times the squared weights; the
constant is not penalised. The step is 1 / L, L being the largest curvature of the loss with the
polynomial's steepest slope in place of the logistic function's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import CLIP
from he_compare.common.errors import DataError
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.sigmoid import SigmoidPolynomial


@dataclass(frozen=True)
class Problem:
    """``matrix``: (rows, columns), the constant 1 last. ``targets``: 0 or 1, (classifiers, rows).

    ``sample_weights``: (classifiers, rows), mean 1 each. ``inverse_l2``: scikit-learn's C.
    """

    matrix: Float64Array
    targets: Float64Array
    sample_weights: Float64Array
    inverse_l2: float

    @property
    def penalty(self) -> float:
        """L2 strength beside the mean loss."""
        return 1 / (self.inverse_l2 * len(self.matrix))

    def rate(self, sigmoid: SigmoidPolynomial, batches: int = 1) -> float:
        """Return 1 / L, to three digits, for the classifier and batch of the largest curvature."""
        largest, size = 0.0, -(-len(self.matrix) // batches)
        for weights in self.sample_weights:
            for start in range(0, len(self.matrix), size):
                rows = self.matrix[start : start + size]
                gram = (rows * weights[start : start + size, None]).T @ rows / size
                largest = max(largest, float(np.linalg.eigvalsh(gram)[-1]))
        return float(f"{1 / (sigmoid.steepest() * largest + self.penalty):.3g}")

    def shuffled(self, seed: int) -> Problem:
        """Return the same task with its rows in random order, for batches that are alike."""
        order = np.random.default_rng(seed).permutation(len(self.matrix))
        return Problem(
            self.matrix[order],
            self.targets[:, order],
            self.sample_weights[:, order],
            self.inverse_l2,
        )

    def circuit(
        self,
        parameters: CkksParameters,
        sigmoid: SigmoidPolynomial,
        allow_insecure: bool,
        batches: int = 1,
    ) -> Circuit:
        """Return the public side of this task. Raises UsageError where it does not fit."""
        rate = self.rate(sigmoid, max(1, batches))
        rows, columns = self.matrix.shape
        return Circuit(
            parameters=parameters,
            rows=rows,
            columns=columns,
            classifiers=len(self.targets),
            sigmoid=sigmoid,
            rate=rate,
            shrink=1 - rate * self.penalty,
            batches=batches,
            allow_insecure=allow_insecure,
        )


def make_problem(
    features: Float64Array, labels: IntArray, classes: int, inverse_l2: float, balanced: bool
) -> Problem:
    """Return the task of prepared features (n, width) and labels 0 .. classes - 1.

    ``balanced``: weigh both sides of each classifier equally. Raises DataError on features that are
    not finite or beyond ``CLIP``, on labels that are not such numbers, and on a class without rows.
    """
    matrix = np.asarray(features, dtype=np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise DataError("features hold NaN or infinite values", fix="check the backbone's weights")
    if np.abs(matrix).max(initial=0) > CLIP:
        raise DataError(
            f"a feature of {np.abs(matrix).max():.3g} exceeds the largest allowed, {CLIP:g}",
            fix="standardise or whiten, and clip",
        )
    _check_labels(labels, len(matrix), classes)
    positive = [1] if classes == 2 else range(classes)
    targets = np.array([labels == number for number in positive], dtype=np.float64)
    weights = np.ones_like(targets)
    if balanced:
        share = targets.mean(axis=1, keepdims=True)
        weights = np.where(targets == 1, 0.5 / share, 0.5 / (1 - share))
    constant = np.ones((len(matrix), 1))
    return Problem(np.hstack([matrix, constant]), targets, weights, inverse_l2)


def _check_labels(labels: IntArray, rows: int, classes: int) -> None:
    values = np.asarray(labels)
    if not np.issubdtype(values.dtype, np.integer) or values.shape != (rows,):
        raise DataError(
            f"labels of type {values.dtype} and shape {values.shape} are not encoded",
            fix=f"give one whole number from 0 to {classes - 1} per row",
        )
    found = set(np.unique(values).tolist())
    if found - set(range(classes)):
        raise DataError(
            f"label {min(found - set(range(classes)))} is not encoded as 0 to {classes - 1}"
        )
    if set(range(classes)) - found:
        raise DataError(
            f"no training image of class number {min(set(range(classes)) - found)}",
            fix="train on images of every class",
        )
