"""Guesses the side of the blocks from scrambled images alone.

Two traces tell it. Where pixels inside blocks lie in order, only borders of blocks jump: the right
side is the one at whose multiples neighbouring columns and rows differ most against all others.
Where pixels were moved under one key for all blocks, positions correlate across blocks of the right
side and much less for any other: nearest neighbours are chosen on half of the blocks and judged on
the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Float32Array, Float64Array, UInt8Array
from he_compare.comparisons.attacks.tools.correlation import (
    negation_mask,
    pixels_held,
    sampled_blocks,
    standardised,
)
from he_compare.comparisons.attacks.tools.reconstruct import SMOOTH, TRACE, smoothness
from he_compare.comparisons.attacks.tools.tiles import cut

SMALLEST, LARGEST = 4, 32
FEWEST_BLOCKS = 24
MAX_VALUES = 1000
SLACK = 1.4
JUMP = 1.5
SAMPLED = 2500


@dataclass(frozen=True)
class Guess:
    """A guessed side; ``trace``: its evidence, 'borders', 'correlation' or '' (no trace)."""

    patch: int
    trace: str
    score: float


def candidates(height: int, width: int) -> list[int]:
    """Return the sides that tile an image and that are tried."""
    sides = range(SMALLEST, LARGEST + 1)
    return [side for side in sides if height % side == 0 and width % side == 0]


def guess_block_size(images: UInt8Array) -> Guess | None:
    """Guess the side of the blocks of images (n, h, w, c); None where no side can be tried."""
    sides = candidates(*images.shape[1:3])
    if not sides:
        return None
    grey = images.mean(axis=3, dtype=np.float32)
    whole = np.rint(grey).astype(np.uint8)[..., None]
    smallest = cut(whole, sides[0])
    if smoothness(smallest.reshape(-1, smallest.shape[2])) >= SMOOTH:
        return _by_borders(grey, sides)
    return _by_correlation(images, sides)


def _by_borders(grey: Float32Array, sides: list[int]) -> Guess:
    scores = {side: _jump(grey, side) for side in sides}
    # At multiples of the side all borders are borders as well.
    patch = min(side for side in sides if scores[side] >= max(scores.values()) / 2)
    return Guess(patch, "borders" if scores[patch] >= JUMP else "", scores[patch])


def _jump(grey: Float32Array, side: int) -> float:
    """How much more columns and rows differ at multiples of ``side`` than elsewhere."""
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=(0, 3 - axis))
        border = np.arange(1, len(steps) + 1) % side == 0
        if not border.any():
            return 0.0
        # The weakest border counts: at a divisor of the side, most borders are no borders.
        ratios.append(np.quantile(steps[border], 0.2) / max(float(np.median(steps[~border])), 0.1))
    return float(min(ratios))


def _by_correlation(images: UInt8Array, sides: list[int]) -> Guess:
    found = {side: neighbours_at(images, side) for side in sides}
    least = min(steps for _, steps in found.values())
    # Multiples of the side hold the same neighbours: the smallest that does as well is the side.
    patch = min(side for side in sides if found[side][1] <= SLACK * least)
    correlation = found[patch][0]
    return Guess(patch, "correlation" if correlation >= TRACE else "", correlation)


def neighbours_at(images: UInt8Array, side: int) -> tuple[float, float]:
    """Judge positions' nearest neighbours on other blocks, were blocks this large.

    Returns their correlation and the mean size of the step between them in grey levels.
    """
    flat = cut(images, side)
    flat = flat.reshape(-1, flat.shape[2])
    blocks = sampled_blocks(flat)
    blocks = blocks[:: -(-len(blocks) // SAMPLED)]
    if len(blocks) < FEWEST_BLOCKS:
        return 0.0, np.inf
    if blocks.shape[1] > MAX_VALUES:
        chosen = np.random.default_rng(0).permutation(blocks.shape[1])[:MAX_VALUES]
        blocks = np.ascontiguousarray(blocks[:, chosen])
    negated = negation_mask(blocks)
    upright = np.where(negated.astype(bool), 255 - blocks, blocks)
    one_of_each = np.unique(pixels_held(blocks, negated), return_index=True)[1]
    pixels = upright[:, one_of_each]
    values = standardised(pixels)
    learnt, judged = _correlations(values[::2]), _correlations(values[1::2])
    np.fill_diagonal(learnt, -1)
    nearest = learnt.argmax(axis=1)
    steps = pixels[1::2].astype(np.float32) - pixels[1::2][:, nearest]
    correlation = float(np.median(judged[np.arange(len(nearest)), nearest]))
    return correlation, float(np.abs(steps).mean())


def _correlations(values: Float32Array) -> Float64Array:
    gram = (values.T @ values).astype(np.float64)
    spread = np.sqrt(np.maximum(np.diag(gram), 1e-9))
    return gram / np.outer(spread, spread)
