"""Images cut into square blocks and put together again, and the symmetries that stay open.

A ciphertext-only attack finds a picture up to the eight symmetries of the square and, where values
may have been negated, up to 255 - v everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from he_compare.common.types import Float64Array, IntArray, PixelArray, UInt8Array

SYMMETRIES = 8
# Pixels, or what belongs to them.
Tiled = TypeVar("Tiled", bound=npt.NDArray[Any])


def as_bytes(ciphertexts: PixelArray) -> UInt8Array:
    """Return ciphertexts as bytes; other values are rounded and cut to 0 ... 255."""
    if ciphertexts.dtype == np.uint8:
        return cast(UInt8Array, ciphertexts)
    return np.clip(np.rint(ciphertexts), 0, 255).astype(np.uint8)


def matched_blocks(statistics: Sequence[tuple[Float64Array, Float64Array]]) -> IntArray:
    """Return the ciphertext block of each plain block, (k,), from statistics that ciphers may keep.

    ``statistics``: of plain and of ciphertext blocks, each (n, k) over n pairs.
    """
    unlike = np.zeros((statistics[0][0].shape[1], statistics[0][1].shape[1]))
    for ours, theirs in statistics:
        gap = (ours**2).sum(axis=0)[:, None] + (theirs**2).sum(axis=0)[None]
        squares = np.maximum(gap - 2 * ours.T @ theirs, 0)
        # A statistic that the cipher keeps has an exact counterpart for every block; one that it
        # does not keep has none, and its say shrinks with its best gap.
        unlike += squares / (np.median(squares.min(axis=1)) + 1.0)
    # Equal statistics mean blocks in place.
    unlike[np.diag_indices_from(unlike)] -= 1e-6
    return cast(IntArray, np.asarray(linear_sum_assignment(unlike)[1], dtype=np.int64))


COUNT = 8
_QUARTER = np.array([[0, -1], [1, 0]], dtype=np.int64)
_EXCHANGE = np.array([[0, 1], [1, 0]], dtype=np.int64)


def _moves() -> IntArray:
    turns = [np.linalg.matrix_power(_QUARTER, k) for k in range(4)]
    return np.stack([*turns, *(turn @ _EXCHANGE for turn in turns)])


MOVES: IntArray = _moves()


def _index_of(matrix: IntArray) -> int:
    return int(np.flatnonzero((matrix == MOVES).all(axis=(1, 2)))[0])


AFTER: IntArray = np.array([[_index_of(a @ b) for b in MOVES] for a in MOVES])
INVERSE: IntArray = np.array([_index_of(a.T) for a in MOVES])


def cut(images: Tiled, patch: int) -> Tiled:
    """Cut (n, h, w, c) into blocks: (n, blocks, patch * patch * c), row by row."""
    count, height, width, channels = images.shape
    rows, columns = height // patch, width // patch
    grid = images.reshape(count, rows, patch, columns, patch, channels)
    flat = grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * columns, -1)
    return cast(Tiled, np.ascontiguousarray(flat))


def join(blocks: Tiled, rows: int, columns: int, channels: int) -> Tiled:
    """Undo ``cut``: (n, rows * columns, m * m * channels) to (n, rows * m, columns * m, channels).

    Blocks need not be as wide as high in number, but their pixels form a square.
    """
    count = len(blocks)
    patch = round((blocks.shape[2] // channels) ** 0.5)
    grid = blocks.reshape(count, rows, columns, patch, patch, channels)
    whole = grid.transpose(0, 1, 3, 2, 4, 5)
    picture = whole.reshape(count, rows * patch, columns * patch, channels)
    return cast(Tiled, np.ascontiguousarray(picture))


def symmetric(images: Tiled, symmetry: int) -> Tiled:
    """Apply symmetry 0 to 7 to images (n, h, w, ...): ``symmetry % 4`` quarter turns, and for 4 to
    7 rows and columns exchanged first."""
    turned = images.swapaxes(1, 2) if symmetry >= 4 else images
    return cast(Tiled, np.rot90(turned, symmetry % 4, axes=(1, 2)))
