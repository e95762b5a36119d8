"""Small smooth pictures, and their scrambling under one key, written apart from the ciphers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import IntArray, UInt8Array


def smooth_images(count: int, side: int, seed: int = 0) -> UInt8Array:
    """Random pictures of a few grey blobs and some grain: uint8 (count, side, side, 1)."""
    random = np.random.default_rng([seed, side])
    rough = random.normal(size=(count, side, side))
    coarse = ndimage.gaussian_filter(rough, (0, side / 10, side / 10))
    fine = ndimage.gaussian_filter(random.normal(size=rough.shape), (0, 2, 2))
    pictures = _unit(coarse) + 0.3 * _unit(fine)
    low = pictures.min(axis=(1, 2), keepdims=True)
    span = np.ptp(pictures, axis=(1, 2), keepdims=True)
    return np.rint((pictures - low) / span * 255).astype(np.uint8)[..., None]


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.std(axis=(1, 2), keepdims=True)


@dataclass(frozen=True)
class Scrambled:
    """Images, and the key: block order (k,), value order (v,) and negation mask (v,)."""

    images: UInt8Array
    block_order: IntArray
    value_order: IntArray
    negated: IntArray


def scrambled(images: UInt8Array, patch: int, seed: int, *, negate: bool) -> Scrambled:
    """Permute blocks, and values inside all blocks alike; negate some of those."""
    random = np.random.default_rng(seed)
    blocks = cut(images, patch)
    block_order = random.permutation(blocks.shape[1])
    value_order = random.permutation(blocks.shape[2])
    negated = random.integers(0, 2, blocks.shape[2]) * int(negate)
    moved = blocks[:, block_order][:, :, value_order]
    moved = np.where(negated == 1, 255 - moved, moved).astype(np.uint8)
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    return Scrambled(join(moved, rows, columns, images.shape[3]), block_order, value_order, negated)
