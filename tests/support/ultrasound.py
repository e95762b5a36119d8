"""Invented pictures that look like ultrasound: a fan of speckle on black, three classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from he_compare.common.types import ImageBatch


@cache
def speckled(count: int, size: int, seed: int) -> ImageBatch:
    """Return grey pictures (count, size, size, 3): tissue seen through multiplicative speckle."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size] / size
    depth = np.hypot(column - 0.5, row + 0.15)
    angle = np.abs(np.arctan2(column - 0.5, row + 0.15))
    fan = (depth > 0.3) & (depth < 1.05) & (angle < 0.6)
    shape = (count, size, size)
    tissue = ndimage.gaussian_filter(random.normal(size=shape), (0, size / 12, size / 12))
    tissue = np.exp(1.5 * tissue / tissue.std(axis=(1, 2), keepdims=True))
    parts = [ndimage.gaussian_filter(random.normal(size=shape), (0, 0.8, 1.6)) for _ in range(2)]
    speckle = np.hypot(*parts)
    speckle /= speckle.mean(axis=(1, 2), keepdims=True)
    grey = np.clip(np.rint(40 * np.log1p(3 * tissue * speckle) * fan), 0, 255).astype(np.uint8)
    ids = tuple(f"speckle-{seed}-{i}" for i in range(count))
    return ImageBatch(
        ids, np.repeat(grey[..., None], 3, axis=3), np.arange(count, dtype=np.int64) % 3, ids
    )


@dataclass(frozen=True)
class SpeckledPool:
    """A pool of such pictures."""

    count: int = 120
    fingerprint: str = "speckled"
    classes: tuple[str, ...] = ("A", "B", "C")

    def attacked(self, size: int) -> ImageBatch:
        """Return the pictures that are attacked."""
        return speckled(self.count, size, 1)

    def auxiliary(self, size: int) -> ImageBatch:
        """Return other pictures."""
        return speckled(40, size, 2)
