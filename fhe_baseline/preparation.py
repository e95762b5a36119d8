"""How features are prepared at the client before encryption: standardised, or whitened by PCA."""

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

    ``mean``: (width,). ``directions``: (width, kept). ``name``: for the record.
    """

    name: str
    mean: Float64Array
    directions: Float64Array

    @property
    def width(self) -> int:
        """Number of prepared features."""
        return self.directions.shape[1]

    def apply(self, features: Float32Array | Float64Array) -> Float64Array:
        """Return prepared features, float64 (n, kept). Raises DataError."""
        values = _checked(features)
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
    values = _checked(features)
    mean = values.mean(axis=0)
    centred = values - mean
    variances, components = np.linalg.eigh(centred.T @ centred / len(values))
    order = np.argsort(variances)[::-1][:kept]
    order = order[variances[order] > SMALLEST_VARIANCE * max(variances.max(), 1e-12)]
    if not len(order):
        raise DataError("the training features do not vary", fix="check images and backbone")
    directions = components[:, order] / np.sqrt(variances[order])
    return Preparation(f"PCA-whitened to {len(order)}", mean, directions)


def _checked(features: Float32Array | Float64Array) -> Float64Array:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise DataError(f"features of shape {values.shape} are not a table")
    if not np.isfinite(values).all():
        raise DataError("features hold NaN or infinite values", fix="check the backbone's weights")
    return values
