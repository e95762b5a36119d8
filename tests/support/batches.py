"""Invented image batches in memory, whose classes can be learnt at once."""

from __future__ import annotations

import numpy as np

from he_compare.common.contracts import TrainingData
from he_compare.common.types import ImageBatch, IntArray, UInt8Array


def bright_and_dark(count: int, seed: int, size: int = 32) -> ImageBatch:
    """Bright and dark noise: two classes that survive every permutation."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 2
    noise = random.integers(0, 90, (count, size, size, 3))
    return _batch((noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels, seed)


def bright_corner(
    classes: int, count: int, seed: int, *, corner: int, step: int, size: int = 16
) -> ImageBatch:
    """Noise whose first ``corner`` rows and columns are brighter by ``step`` per class number."""
    labels, images = _noise(classes, count, seed, size)
    images[:, :corner, :corner] += (labels * step).astype(np.uint8)[:, None, None, None]
    return _batch(images, labels, seed)


def bright_band(classes: int, count: int, seed: int, size: int = 16) -> ImageBatch:
    """Noise with four brighter rows, whose place depends on the class."""
    labels, images = _noise(classes, count, seed, size)
    for label in range(classes):
        images[labels == label, label * 4 : label * 4 + 4, :8] += 60
    return _batch(images, labels, seed)


def training_data(train: ImageBatch, val: ImageBatch) -> TrainingData:
    """Name the classes by number and add a fingerprint."""
    names = tuple(f"class {label}" for label in range(int(train.labels.max()) + 1))
    return TrainingData(train, val, names, "fingerprint")


def _noise(classes: int, count: int, seed: int, size: int) -> tuple[IntArray, UInt8Array]:
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % classes
    return labels, generator.integers(60, 180, (count, size, size, 3)).astype(np.uint8)


def _batch(images: UInt8Array, labels: IntArray, seed: int) -> ImageBatch:
    ids = tuple(f"{seed}-{number}" for number in range(len(images)))
    return ImageBatch(ids, images, labels, ids)
