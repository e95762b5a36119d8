"""Counts of folded values and halves, against counting each of them."""

from __future__ import annotations

import numpy as np

from he_compare.comparisons.attacks.tools.descriptors import folded_histogram, nibble_histogram

SHAPE = (6, 5, 3)


def test_folded_counts_are_those_of_folded_values() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    images[0] = 0
    images[1] = 255
    flat = images.reshape(4, -1).astype(int)
    folded = np.minimum(flat, 255 - flat)
    halves = np.concatenate([flat & 15, flat >> 4], axis=1)
    halves = np.minimum(halves, 15 - halves)
    np.testing.assert_array_equal(
        folded_histogram(images, SHAPE, 1), [np.bincount(row, minlength=128) for row in folded]
    )
    np.testing.assert_array_equal(
        nibble_histogram(images, SHAPE, 1), [np.bincount(row, minlength=8) for row in halves]
    )
