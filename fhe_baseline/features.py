"""The hospital's half of encrypted inference: features in the clear, encrypted before they leave.

``FeatureClient`` is the client of every pipeline here that evaluates a linear head; what differs is
how features are prepared and how they are encrypted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from he_compare.common.backbones.head import CLIP
from he_compare.common.clock import Clock
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, Float64Array, Message, Stage, UInt8Array

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
        raise DataError(f"features of shape {values.shape} are no table")
    if not np.isfinite(values).all():
        raise DataError("features hold NaN or infinite values", fix="check the backbone's weights")
    return values


Extractor = Callable[[UInt8Array], Float32Array]
Prepare = Callable[[Float32Array], Float64Array]


class FeatureEncryption(Protocol):
    """Encrypts prepared features and decrypts scores; holds the secret key."""

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt prepared features (n, width) into n messages."""
        ...

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt n replies into scores (n, classes). Raises MessageError."""
        ...


class FeatureClient:
    """Holds backbone, preparation and secret key; features never leave it unencrypted."""

    def __init__(
        self, extractor: Extractor, prepare: Prepare, encryption: FeatureEncryption, classes: int
    ) -> None:
        self._extractor = extractor
        self._prepare = prepare
        self.encryption = encryption
        self._classes = classes

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Run the DeiT on uint8 (n, size, size, 3), prepare and encrypt: n messages."""
        if not len(images):
            return []
        with clock.stage(Stage.FEATURES, items=len(images)):
            features = self._prepare(self._extractor(images))
        return self.encryption.protect(features, clock)

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt scores (logits), float64 (n, classes). Raises MessageError."""
        if not replies:
            return np.zeros((0, self._classes))
        return self.encryption.reveal(replies, clock)
