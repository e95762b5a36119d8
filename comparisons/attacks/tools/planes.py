"""What a network is shown of ciphertexts: planes of the picture's size, one number per pixel.

The first is the value itself; the others are what some family of ciphers keeps in its place:
folded values (a negation does not touch them), and statistics of a whole block (moving values
inside it does not touch them). Which of them tells something is left to whoever learns from them.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from he_compare.common.types import Float32Array, Float64Array, IntArray, PixelArray
from he_compare.comparisons.attacks.tools.descriptors import blocks_of

ImageShape: TypeAlias = tuple[int, int, int]
TOP = 255.0
QUANTILES = (0.1, 0.5, 0.9)


def bytes_of(images: PixelArray) -> npt.NDArray[np.uint8]:
    """Return images as bytes; other values are rounded and cut to 0 ... 255."""
    if images.dtype == np.uint8:
        return cast(npt.NDArray[np.uint8], images)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def planes_of(images: PixelArray, side: int) -> Float32Array:
    """Return planes of ciphertexts (n, h, w, c): float32 (n, planes, h, w), about -1 ... 1.

    ``side``: of the blocks that are described; a rest that no block tiles is described as 0.
    """
    values = images.astype(np.float32) / np.float32(TOP)
    whole = bytes_of(images)
    folded = np.sort(np.minimum(whole, 255 - whole), axis=3).astype(np.float32) / np.float32(128)
    inside = _spread(_statistics(images, side), images.shape[1:3], side)
    shown = [values.mean(axis=3)[:, None], folded.transpose(0, 3, 1, 2), inside]
    return cast(Float32Array, np.concatenate(shown, axis=1) - np.float32(0.5))


def constant_planes(plain: npt.NDArray[np.uint8], count: int) -> Float32Array:
    """Return what needs no ciphertext: the mean of plain pictures, rows and columns, ``count``
    times."""
    height, width = plain.shape[1:3]
    mean = plain.mean(axis=(0, 3), dtype=np.float32) / np.float32(TOP) - np.float32(0.5)
    row, column = np.mgrid[:height, :width].astype(np.float32)
    planes = np.stack([mean, row / height - np.float32(0.5), column / width - np.float32(0.5)])
    return np.repeat(planes[None], count, axis=0)


def rearranged(images: PixelArray, source: IntArray, side: int) -> PixelArray:
    """Lay block ``source[j]`` of images (n, h, w, c) at place j, row by row."""
    shape = cast(ImageShape, images.shape[1:])
    blocks = blocks_of(images.reshape(len(images), -1), shape, side)[:, source]
    height, width, channels = shape
    down, across = height // side, width // side
    grid = blocks.reshape(-1, down, across, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    laid = images.copy()
    laid[:, : down * side, : across * side] = grid.reshape(-1, down * side, across * side, channels)
    return laid


def halves_of(blocks: Float64Array, *, of_bytes: bool) -> Float32Array:
    """Return block values (..., v) split into 4-bit halves (..., 2 v), or as they are.

    Ciphers that move or negate halves are affine in them; so are those that do it to whole bytes.
    """
    if not of_bytes:
        return blocks.astype(np.float32) / np.float32(TOP)
    whole = blocks.astype(np.uint8)
    return np.concatenate([whole & 15, whole >> 4], axis=-1).astype(np.float32) / np.float32(15)


def _statistics(images: PixelArray, side: int) -> Float32Array:
    """Describe each block: float32 (n, blocks, statistics)."""
    shape = cast(ImageShape, images.shape[1:])
    real = blocks_of(images.reshape(len(images), -1).astype(np.float32), shape, side) / TOP
    whole = blocks_of(bytes_of(images).reshape(len(images), -1), shape, side)
    folded = np.minimum(whole, 255 - whole)
    low, high = whole & 15, whole >> 4
    halves = np.minimum(low, 15 - low) + np.minimum(high, 15 - high)
    rows = [
        real.mean(axis=2),
        np.sqrt((real**2).mean(axis=2)),
        folded.mean(axis=2) / 128,
        halves.mean(axis=2) / 14,
        *np.quantile(real, QUANTILES, axis=2),
        *(np.quantile(folded, QUANTILES, axis=2) / 128),
    ]
    return np.stack(rows, axis=2).astype(np.float32)


def _spread(statistics: Float32Array, size: tuple[int, ...], side: int) -> Float32Array:
    """Paint each block with its statistics: (n, statistics, h, w)."""
    down, across = size[0] // side, size[1] // side
    grid = statistics.reshape(len(statistics), down, across, -1).transpose(0, 3, 1, 2)
    painted = np.zeros((*grid.shape[:2], *size), np.float32)
    whole = grid.repeat(side, axis=2).repeat(side, axis=3)
    painted[:, :, : down * side, : across * side] = whole
    return painted
