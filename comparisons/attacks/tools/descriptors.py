"""What a ciphertext keeps of its image, as vectors: the same numbers before and after encryption.

Each descriptor is invariant under some family of ciphers; which of them fits a scheme is found by
running the scheme under a key of the adversary's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from he_compare.common.scheme import PictureShape
from he_compare.common.types import Float64Array, PixelArray

AnyArray: TypeAlias = npt.NDArray[Any]

THUMBNAIL = 14
BINS, HALVES = 256, 8
Descriptor: TypeAlias = Callable[[PixelArray, PictureShape, int], Float64Array]


def value_histogram(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Counts of byte values: kept by whatever only moves values."""
    return _histograms(_bytes(images), BINS)


def folded_histogram(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Counts of min(v, 255 - v): kept under negation as well."""
    counts = value_histogram(images, shape, side)
    return cast(Float64Array, counts[:, : BINS // 2] + counts[:, : BINS // 2 - 1 : -1])


def nibble_histogram(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Counts of folded 4-bit halves: kept by ciphers that move halves."""
    return cast(Float64Array, value_histogram(images, shape, side) @ _folded_halves())


@cache
def _folded_halves() -> Float64Array:
    """Say how often each byte value has each folded half: float64 (256, 8)."""
    found = np.zeros((BINS, HALVES))
    for value in range(BINS):
        for half in (value & 15, value >> 4):
            found[value, min(half, 15 - half)] += 1
    return found


def block_nibbles(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Sorted means of folded halves of each block: kept where halves stay in their block."""
    blocks = blocks_of(_bytes(images), shape, side)
    low, high = blocks & 15, blocks >> 4
    folded = np.minimum(low, 15 - low) + np.minimum(high, 15 - high)
    return cast(Float64Array, np.sort(folded.mean(axis=2), axis=1))


def block_norms(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Sorted norms of blocks: kept by rotations of blocks, and by moves inside them."""
    blocks = blocks_of(images.reshape(len(images), -1).astype(np.float64), shape, side)
    return cast(Float64Array, np.sort(np.sqrt((blocks**2).sum(axis=2)), axis=1))


def thumbnail(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Block means in place, centred: kept where blocks stay and their values mostly do."""
    blocks = blocks_of(images.reshape(len(images), -1).astype(np.float64), shape, side)
    means = blocks.mean(axis=2)
    means = means - means.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(means, axis=1, keepdims=True)
    return cast(Float64Array, means / np.maximum(scale, 1e-9))


def folded_thumbnail(images: PixelArray, shape: PictureShape, side: int) -> Float64Array:
    """Block means of folded values in place: kept under negation where blocks stay."""
    values = _bytes(images)
    blocks = blocks_of(np.minimum(values, 255 - values).astype(np.float64), shape, side)
    return cast(Float64Array, blocks.mean(axis=2))


DESCRIPTORS: dict[str, Descriptor] = {
    "values": value_histogram,
    "folded values": folded_histogram,
    "folded halves": nibble_histogram,
    "folded halves of blocks": block_nibbles,
    "norms of blocks": block_norms,
    "thumbnail": thumbnail,
    "folded thumbnail": folded_thumbnail,
}


def block_side(shape: PictureShape, patch: int | None) -> int:
    """Return the side of the blocks to look at: the cipher's, or that of a coarse grid."""
    return patch or max(1, shape[0] // THUMBNAIL)


def blocks_of(rows: AnyArray, shape: PictureShape, side: int) -> AnyArray:
    """Cut flat images (n, h * w * c) into blocks (n, blocks, values); a rest is left out."""
    height, width, channels = shape
    whole = rows.reshape(-1, height, width, channels)
    down, across = height // side, width // side
    cut = whole[:, : down * side, : across * side]
    grid = cut.reshape(-1, down, side, across, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(len(whole), down * across, -1)


def _bytes(images: PixelArray) -> AnyArray:
    flat = images.reshape(len(images), -1)
    if flat.dtype == np.uint8:
        return flat
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8)


def _histograms(rows: AnyArray, bins: int) -> Float64Array:
    """Count values below ``bins`` in each row: float64 (n, bins)."""
    n = len(rows)
    numbers = rows.astype(np.int64) + bins * np.arange(n)[:, None]
    return np.bincount(numbers.ravel(), minlength=n * bins).reshape(n, bins).astype(np.float64)
