"""Invented pictures for tests of attacks: smooth, grey in three equal channels, two classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from he_compare.common.types import ImageBatch


def pictures(count: int, size: int, seed: int) -> ImageBatch:
    """Return smooth pictures; those of class 1 are brighter in the middle."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    fields = ndimage.gaussian_filter(random.normal(size=(count, size, size)), (0, 3, 3))
    fields /= np.abs(fields).max(axis=(1, 2), keepdims=True)
    row, column = np.mgrid[:size, :size] / (size - 1) - 0.5
    bump = np.exp(-12 * (row**2 + column**2))
    shades = 90 + 70 * fields + 60 * labels[:, None, None] * bump + 20 * row
    grey = np.clip(np.rint(shades), 0, 255).astype(np.uint8)
    images = np.repeat(grey[..., None], 3, axis=3)
    ids = tuple(f"picture-{seed}-{i}" for i in range(count))
    return ImageBatch(ids, images, labels.astype(np.int64), ids)


@dataclass(frozen=True)
class InventedPool:
    """A pool of invented pictures at any size."""

    count: int = 120
    fingerprint: str = "invented"
    classes: tuple[str, ...] = ("DARK", "BRIGHT")

    def attacked(self, size: int) -> ImageBatch:
        """Return the pictures that are attacked."""
        return pictures(self.count, size, 1)

    def auxiliary(self, size: int) -> ImageBatch:
        """Return other pictures."""
        return pictures(60, size, 2)
