"""The training task in the clear, at the client: matrix, targets, sample weights, penalties.

The loss of a classifier is scikit-learn's, divided by C and the number of rows: the mean of sample
weight times logistic loss, plus half of each column's penalty times its squared weight. In
standardised or whitened coordinates the penalty of a column is 1 / (C rows), in preconditioned ones
it is what that becomes there; the constant is not penalised. A step of length 1 / L is safe, L
being a bound of the loss's curvature: the logistic function's is at most 1/4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from he_compare.common.backbones.head import CLIP
from he_compare.common.errors import DataError
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.steps import Step


@dataclass(frozen=True)
class Problem:
    """``matrix``: (rows, columns), the constant 1 last. ``targets``: 0 or 1, (classifiers, rows).

    ``sample_weights``: (classifiers, rows), mean 1 each. ``penalties``: (columns,), 0 for the
    constant. ``inverse_l2``: scikit-learn's C.
    """

    matrix: Float64Array
    targets: Float64Array
    sample_weights: Float64Array
    penalties: Float64Array
    inverse_l2: float

    def safe_length(self, batches: int = 1) -> float:
        """Return 1 / L, to three digits, for the classifier and batch of the largest curvature."""
        largest, size = 0.0, -(-len(self.matrix) // batches)
        for weights in self.sample_weights:
            for start in range(0, len(self.matrix), size):
                rows = self.matrix[start : start + size]
                gram = (rows * weights[start : start + size, None]).T @ rows / size
                curvature = gram / 4 + np.diag(self.penalties)
                largest = max(largest, float(np.linalg.eigvalsh(curvature)[-1]))
        return float(f"{1 / largest:.3g}")

    def shuffled(self, seed: int) -> Problem:
        """Return the same task with its rows in random order, for batches that are alike."""
        order = np.random.default_rng(seed).permutation(len(self.matrix))
        return replace(
            self,
            matrix=self.matrix[order],
            targets=self.targets[:, order],
            sample_weights=self.sample_weights[:, order],
        )

    def circuit(
        self,
        parameters: CkksParameters,
        steps: Sequence[Step],
        *,
        refreshes: int = 0,
        batches: int = 1,
        doublings: int = 2,
        allow_insecure: bool = False,
    ) -> Circuit:
        """Return the public side of this task. Raises UsageError where it does not fit."""
        rows, columns = self.matrix.shape
        return Circuit(
            parameters=parameters,
            rows=rows,
            columns=columns,
            classifiers=len(self.targets),
            steps=tuple(steps),
            refreshes=refreshes,
            batches=batches,
            doublings=doublings,
            allow_insecure=allow_insecure,
        )


def encode_labels(
    labels: IntArray, rows: int, classes: int, balanced: bool
) -> tuple[Float64Array, Float64Array]:
    """Return targets and sample weights, (classifiers, rows) each, of labels 0 .. classes - 1.

    ``balanced``: weigh both sides of each classifier equally. Raises DataError on labels that are
    not such numbers, and on a class without rows.
    """
    _check_labels(labels, rows, classes)
    positive = [1] if classes == 2 else range(classes)
    targets = np.array([labels == number for number in positive], dtype=np.float64)
    if not balanced:
        return targets, np.ones_like(targets)
    share = targets.mean(axis=1, keepdims=True)
    return targets, np.where(targets == 1, 0.5 / share, 0.5 / (1 - share))


def make_problem(
    features: Float64Array,
    labels: IntArray,
    classes: int,
    inverse_l2: float,
    balanced: bool,
    penalties: Float64Array | None = None,
) -> Problem:
    """Return the task of prepared features (n, width) and labels 0 .. classes - 1.

    ``penalties``: (width,); None: 1 / (C n) for every feature. Raises DataError on features that
    are not finite or beyond ``CLIP``, and as ``encode_labels``.
    """
    matrix = np.asarray(features, dtype=np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise DataError("features hold NaN or infinite values", fix="check the backbone's weights")
    if np.abs(matrix).max(initial=0) > CLIP:
        raise DataError(
            f"a feature of {np.abs(matrix).max():.3g} exceeds the largest allowed, {CLIP:g}",
            fix="standardise or whiten, and clip",
        )
    targets, weights = encode_labels(labels, len(matrix), classes, balanced)
    if penalties is None:
        penalties = np.full(matrix.shape[1], 1 / (inverse_l2 * len(matrix)))
    constant = np.ones((len(matrix), 1))
    return Problem(
        np.hstack([matrix, constant]), targets, weights, np.append(penalties, 0.0), inverse_l2
    )


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
