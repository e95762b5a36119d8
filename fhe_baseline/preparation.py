"""How features are prepared at the client before encryption.

``fit_standardisation``: as the clear head takes them. ``fit_whitening``: principal components of
the features, each of variance 1, whatever that does to the head's penalty.
``fit_preconditioning``: the clear head's own objective in coordinates in which a gradient step of
fixed length is safe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import CLIP
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, Float64Array

# Components of less than this share of the largest variance are noise of the features' float32.
SMALLEST_VARIANCE = 1e-8


@dataclass(frozen=True)
class Preparation:
    """Prepared features are (features - mean) @ directions, clipped to +-CLIP.

    ``mean``: (width,). ``directions``: (width, kept). ``name``: for the record. ``after``: a
    preparation that comes first.
    """

    name: str
    mean: Float64Array
    directions: Float64Array
    after: Preparation | None = None

    @property
    def width(self) -> int:
        """Number of prepared features."""
        return self.directions.shape[1]

    def apply(self, features: Float32Array | Float64Array) -> Float64Array:
        """Return prepared features, float64 (n, kept). Raises DataError."""
        values = _checked(features if self.after is None else self.after.apply(features))
        if values.shape[1] != len(self.mean):
            raise DataError(f"features of width {values.shape[1]}, expected {len(self.mean)}")
        return np.clip((values - self.mean) @ self.directions, -CLIP, CLIP)


def fit_standardisation(features: Float32Array | Float64Array) -> Preparation:
    """Learn mean and deviation of features (n, width)."""
    values = _checked(features)
    deviation = values.std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    return Preparation("standardised", values.mean(axis=0), np.diag(1 / deviation))


def fit_whitening(features: Float32Array | Float64Array, kept: int) -> Preparation:
    """Learn the first ``kept`` principal components of features (n, width), or all there are.

    Raises DataError where the features do not vary.
    """
    mean, variances, components = principal_components(features, kept)
    directions = components / np.sqrt(variances)
    return Preparation(f"PCA-whitened to {len(variances)}", mean, directions)


@dataclass(frozen=True)
class Preconditioning:
    """A preparation, and the diagonal of the penalty in its coordinates.

    ``penalties``: (kept,), the L2 strength of each prepared column beside the mean loss.
    """

    preparation: Preparation
    penalties: Float64Array


def fit_preconditioning(
    features: Float32Array | Float64Array, row_weights: Float64Array, penalty: float, kept: int
) -> Preconditioning:
    """Learn coordinates in which the clear head's objective has a Hessian of at most 1/4.

    The clear head minimises the mean of row weight times logistic loss on standardised features
    plus penalty / 2 times the squared weights. Its Hessian is at most C / 4 + penalty, C being the
    features' weighted covariance (Boehning and Lindsay, Annals of the Institute of Statistical
    Mathematics 40, 1988). In the principal components of C, each divided by
    sqrt(variance + 4 penalty), that bound is the identity over 4, the penalty is diagonal, and the
    optimum is the clear head's own, restricted to the components kept. Labels enter through the row
    weights alone.

    ``row_weights``: (n,), mean 1. ``penalty``: 1 / (C n) for scikit-learn's C. Raises DataError.
    """
    standard = fit_standardisation(features)
    mean, variances, components = principal_components(standard.apply(features), kept, row_weights)
    lengths = np.sqrt(variances + 4 * penalty)
    name = f"preconditioned, {len(variances)} components"
    return Preconditioning(
        Preparation(name, mean, components / lengths, standard), penalty / lengths**2
    )


def principal_components(
    features: Float32Array | Float64Array, kept: int, row_weights: Float64Array | None = None
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return mean (width,), variances (kept,), largest first, and components (width, kept).

    ``row_weights``: (n,) of mean 1; None: all equal. Components that hardly vary are left out, so
    that there may be fewer than ``kept``. Raises DataError where the features do not vary.
    """
    values = _checked(features)
    weights = np.ones(len(values)) if row_weights is None else row_weights
    mean = (weights[:, None] * values).mean(axis=0)
    centred = values - mean
    covariance = (weights[:, None] * centred).T @ centred / len(values)
    variances, components = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1][:kept]
    order = order[variances[order] > SMALLEST_VARIANCE * max(variances.max(), 1e-12)]
    if not len(order):
        raise DataError("the training features do not vary", fix="check images and backbone")
    return mean, variances[order], components[:, order]


def _checked(features: Float32Array | Float64Array) -> Float64Array:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise DataError(f"features of shape {values.shape} are not a table")
    if not np.isfinite(values).all():
        raise DataError("features hold NaN or infinite values", fix="check the backbone's weights")
    return values
