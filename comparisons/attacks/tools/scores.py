"""How much of a key was found: positions exact and near, blocks in place, right neighbours.

Layouts count up to the eight symmetries of the square, negation masks up to a global inversion.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from he_compare.common.adversary import Truth
from he_compare.common.types import BoolArray, IntArray

# Layouts drawn for the chance level.
LAYOUTS = 400


def source_blocks(truth: Truth) -> IntArray | None:
    """Return the plain block that each ciphertext block shows, (blocks,); None without a key."""
    found = source_channel_blocks(truth)
    return None if found is None else found[: len(found) // truth.facts.shape[2]]


def source_channel_blocks(truth: Truth) -> IntArray | None:
    """Return the plain block that each block of one channel shows; None without a key.

    Counted channel by channel: (channels * blocks,).
    """
    patch, key = truth.facts.patch, truth.key
    if key is None or patch is None:
        return None
    height, width, channels = truth.facts.shape
    values = height * width * channels
    flat = np.arange(values).reshape(height, width, channels)
    first = flat[::patch, ::patch].transpose(2, 0, 1).ravel()
    row, column = np.divmod(key.index[first] % values // channels, width)
    return (row // patch * (width // patch) + column // patch).astype(np.int64)


class Found(NamedTuple):
    """Shares in [0, 1]: ``exact`` in place, ``near`` at most one row and column off."""

    exact: float
    near: float


class JigsawShares(NamedTuple):
    """Shares in [0, 1]: Dc blocks in place, Nc right neighbours, Lc largest right part.

    Source of the measures: Gallagher, CVPR 2012; Paikin and Tal, CVPR 2015.
    """

    direct: float
    neighbours: float
    largest: float


def positions_found(true_place: IntArray) -> Found:
    """``true_place`` (m, m): where what was laid at each place belongs, counted row by row."""
    side = len(true_place)
    rows, columns = np.indices((side, side))
    best = Found(0.0, 0.0)
    for symmetry in range(8):
        turned = np.rot90(true_place.T if symmetry >= 4 else true_place, symmetry % 4)
        off = np.maximum(abs(turned // side - rows), abs(turned % side - columns))
        best = max(best, Found(float((off == 0).mean()), float((off <= 1).mean())))
    return best


@cache
def chance_of_positions(side: int) -> float:
    """Return the mean of ``positions_found`` over random layouts: 1 / side**2, a little more since
    the best of eight ways up counts."""
    random = np.random.default_rng(side)
    layouts = (random.permutation(side * side).reshape(side, side) for _ in range(LAYOUTS))
    return float(np.mean([positions_found(layout).exact for layout in layouts]))


def mask_found(guess: IntArray, truth: IntArray) -> float:
    """Share of a negation mask that is right, up to a global inversion."""
    same = float((guess == truth).mean())
    return max(same, 1 - same)


def jigsaw_found(true_place: IntArray) -> JigsawShares:
    """``true_place`` (rows, columns): where the block at each place belongs in a grid of this size,
    counted row by row; the symmetry with the most blocks in place counts."""
    shapes = [np.rot90(true_place.T if s >= 4 else true_place, s % 4) for s in range(8)]
    rows, columns = true_place.shape
    return max(_upright(turned, (rows, columns)) for turned in shapes)


def _upright(place: IntArray, grid: tuple[int, int]) -> JigsawShares:
    rows, columns = grid
    right = (np.diff(place, axis=1) == 1) & (place[:, 1:] % columns != 0)
    below = np.diff(place, axis=0) == columns
    joints = right.size + below.size
    direct = 0.0
    if place.shape == grid:
        direct = float((place == np.arange(rows * columns).reshape(grid)).mean())
    neighbours = float((right.sum() + below.sum()) / max(joints, 1))
    return JigsawShares(direct, neighbours, _largest(right, below))


def _largest(right: BoolArray, below: BoolArray) -> float:
    """Draw blocks and their right joints on a doubled grid; the largest connected part counts."""
    rows, columns = len(right), below.shape[1]
    drawn = np.zeros((2 * rows - 1, 2 * columns - 1), dtype=bool)
    drawn[::2, ::2] = True
    drawn[::2, 1::2] = right
    drawn[1::2, ::2] = below
    labels, _ = ndimage.label(drawn)
    blocks = np.bincount(labels[::2, ::2].ravel())
    return float(blocks.max() / (rows * columns))
