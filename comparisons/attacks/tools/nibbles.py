"""Blocks whose 4-bit halves were moved and inverted alike: halves found by their histories.

The history of a position is what it holds in each block. High halves follow the picture: they
correlate with each other over the blocks, low ones hardly do, and the sign of the leading
eigenvector says which are inverted. A low half belongs to the pixel whose high half is off from its
neighbours in the same direction: a pixel just above a step of 16 holds a small low half and looks
too bright by its high half alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from he_compare.common.block_solving.correlation import (
    CHANNELS,
    BlockOrder,
    correlations,
    find_block_order,
    held_out,
    negation_mask,
    sampled_blocks,
    standardised,
    unlikeness,
)
from he_compare.common.block_solving.layout import lay_out
from he_compare.common.block_solving.tiles import SYMMETRIES, cut, join, symmetric
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array

TOP = 15
# A high half read as a byte: 15 - v becomes 255 - v.
SCALE = 17
CLOSEST = 3
MAX_ROWS = 20_000
NEAR_ROWS = 4096
ROUNDS = 8


@dataclass(frozen=True)
class HalfHistories:
    """4-bit halves of blocks by position, uint8 (blocks, positions), and which position is which.

    ``first``: (groups,), one position of each group with equal histories, up to 15 - v.
    ``members``: (positions,), the group of each position.
    """

    halves: UInt8Array
    first: IntArray
    members: IntArray

    @property
    def distinct(self) -> UInt8Array:
        """One history of each group: uint8 (blocks, groups)."""
        return self.halves[:, self.first]


def half_histories(blocks: UInt8Array) -> HalfHistories:
    """Split blocks (count, values) into halves, low ones first, and group equal histories."""
    halves = into_halves(blocks)
    upright = np.where(halves[:1] > TOP // 2, TOP - halves, halves).astype(np.int64)
    # Equal columns have equal sums under random weights; unequal ones hardly ever.
    weights = np.random.default_rng(0).integers(1, 1 << 40, len(halves))
    _, first, members = np.unique(weights @ upright, return_index=True, return_inverse=True)
    return HalfHistories(halves, first.astype(np.int64), members.reshape(-1).astype(np.int64))


def high_halves(found: HalfHistories) -> IntArray:
    """Return the positions of the high halves, int64 (positions / 2,), in order.

    Half of all positions: those whose groups are most alike others over the blocks.
    """
    alike = _likeness(found)
    ranked = np.argsort(-alike[found.members], kind="stable")
    return np.sort(ranked[: found.halves.shape[1] // 2])


def _likeness(found: HalfHistories) -> Float64Array:
    """Say how much each group correlates with the groups it correlates with most: (groups,)."""
    rows = varied_rows(found.distinct)
    correlation = np.abs(correlations(rows))
    np.fill_diagonal(correlation, 0)
    kept = min(CLOSEST, len(correlation) - 1)
    closest = np.partition(correlation, len(correlation) - kept, axis=1)[:, -kept:]
    return cast(Float64Array, closest.mean(axis=1))


def varied_rows(halves: UInt8Array) -> UInt8Array:
    """Return unlike rows only, at most ``MAX_ROWS``: flat blocks tell nothing."""
    rows = np.unique(halves, axis=0) if len(halves) else halves
    rows = rows if len(rows) > CLOSEST else halves
    return rows[:: -(-len(rows) // MAX_ROWS)]


@dataclass(frozen=True)
class HalvesOrder:
    """Where the halves of each pixel are in a block: positions in ``HalfHistories.halves``.

    ``high``, ``low``: (pixels, copies), pixels row by row; copies are equal, or the channels of
    colour pictures. ``high_inverted``, ``low_inverted``: the same shape, 1 where 15 - v is held, up
    to all of them. ``sure``: mean correlation that placed the low halves, 0 where none was placed.
    ``neighbours``: held-out correlation of neighbouring high halves.
    """

    high: IntArray
    high_inverted: IntArray
    low: IntArray
    low_inverted: IntArray
    sure: float
    neighbours: float

    def undo(self, blocks: UInt8Array) -> UInt8Array:
        """Return the pixels of blocks (..., values) in order: (..., pixels, copies)."""
        halves = into_halves(blocks)
        high, low = halves[..., self.high], halves[..., self.low]
        high = np.where(self.high_inverted == 1, TOP - high, high)
        low = np.where(self.low_inverted == 1, TOP - low, low)
        return cast(UInt8Array, (high << 4 | low).astype(np.uint8))


def into_halves(blocks: UInt8Array) -> UInt8Array:
    """Split values (..., values) into 4-bit halves (..., 2 * values), low ones first."""
    return np.concatenate([blocks & TOP, blocks >> 4], axis=-1)


def find_halves_order(blocks: UInt8Array) -> HalvesOrder | None:
    """Find the halves of each pixel in blocks (count, values); None where they show no order."""
    found = half_histories(blocks)
    high = high_halves(found)
    low = np.setdiff1d(np.arange(found.halves.shape[1]), high)
    exact_copies = len(np.unique(found.members[high])) < len(high)
    inside = _order_of_high(found.halves[:, high], exact_copies=exact_copies)
    if inside is None:
        return None
    place, inverted = inside.position, inside.negated[inside.position]
    rows = found.halves[:: -(-len(blocks) // MAX_ROWS)]
    upright = np.where(inverted == 1, TOP - rows[:, high[place]], rows[:, high[place]])
    picked, sign, sure = low_half_of_pixels(rows[:, low], upright.astype(np.uint8))
    return HalvesOrder(high[place], inverted, low[picked], sign, sure, inside.neighbours)


def _order_of_high(halves: UInt8Array, *, exact_copies: bool) -> BlockOrder | None:
    """Lay the high halves (count, positions) out as pixels, copies or channels side by side."""
    values = (halves * np.uint8(SCALE)).astype(np.uint8)
    near = None if exact_copies else _order_of_near_copies(values)
    return near or find_block_order(values)


def _order_of_near_copies(values: UInt8Array) -> BlockOrder | None:
    samples = sampled_blocks(values)
    negated = negation_mask(samples)
    upright = np.where(negated.astype(bool), 255 - samples, samples).astype(np.uint8)
    groups = nearly_equal_threes(upright)
    side = 0 if groups is None else round(len(groups) ** 0.5)
    if groups is None or side * side != len(groups):
        return None
    shown = upright[:, groups[:, 0]]
    layout = lay_out(unlikeness(standardised(shown)), side, side)
    return BlockOrder(groups[layout], negated, held_out(shown, side))


def nearly_equal_threes(upright: UInt8Array) -> IntArray | None:
    """Group positions (count, 3 k) by threes that are nearly equal: (k, 3); None where not all are.

    A grey picture that was compressed in colours has three channels that differ by rounding.
    """
    rows = varied_rows(upright)[:NEAR_ROWS].astype(np.float32)
    if rows.shape[1] % CHANNELS or rows.shape[1] < 2 * CHANNELS:
        return None
    own = (rows**2).sum(axis=0)
    gaps = own[:, None] + own[None] - 2 * rows.T @ rows
    np.fill_diagonal(gaps, -1)
    three = np.sort(np.argpartition(gaps, CHANNELS - 1, axis=1)[:, :CHANNELS], axis=1)
    groups = np.unique(three, axis=0)
    complete = len(groups) * CHANNELS == len(three) and len(np.unique(groups)) == len(three)
    return groups.astype(np.int64) if complete else None


def low_half_of_pixels(low: UInt8Array, high: UInt8Array) -> tuple[IntArray, IntArray, float]:
    """Say which low half belongs to each pixel.

    ``low``: (blocks, positions); ``high``: upright ones, (blocks, pixels, copies), pixels row by
    row. Returns the column of ``low`` of each pixel and its sign, 1 for inverted, both (pixels,
    copies), and the mean correlation that chose them, about 0 where nothing is known.
    """
    shape = high.shape[1:]
    known = high.astype(np.float32) * 16
    picked = np.arange(low.shape[1])
    sign, sure = np.zeros(len(picked), np.int64), 0.0
    pixels = known + np.float32(TOP / 2)
    for _ in range(ROUNDS):
        # The value that the neighbours suggest, less what the high half says.
        wanted = np.clip(_around(pixels) - known, 0, TOP).reshape(len(low), -1)
        table = _columns_correlated(wanted, low)
        before = picked
        picked = np.asarray(linear_sum_assignment(-np.abs(table))[1], dtype=np.int64)
        chosen = table[np.arange(len(picked)), picked]
        sign, sure = (chosen < 0).astype(np.int64), float(np.abs(chosen).mean())
        held = np.where(sign == 1, TOP - low[:, picked], low[:, picked])
        pixels = known + held.reshape(known.shape)
        if np.array_equal(before, picked):
            break
    return picked.reshape(shape), sign.reshape(shape), sure


def _around(pixels: Float32Array) -> Float32Array:
    """Mean of the neighbours of each pixel of blocks (count, side * side, copies)."""
    side = round(pixels.shape[1] ** 0.5)
    grid = pixels.reshape(-1, side, side, pixels.shape[2])
    total, count = np.zeros_like(grid), np.zeros((side, side, 1), np.float32)
    for axis in (1, 2):
        ahead, behind = _but_first(axis), _but_last(axis)
        total[ahead] += grid[behind]
        total[behind] += grid[ahead]
        count[ahead[1:]] += 1
        count[behind[1:]] += 1
    return cast(Float32Array, (total / np.maximum(count, 1)).reshape(pixels.shape))


def _but_first(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(1, None),)


def _but_last(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(-1),)


def _columns_correlated(first: Float32Array, second: UInt8Array) -> Float64Array:
    a = first - first.mean(axis=0)
    b = second.astype(np.float32) - second.mean(axis=0, dtype=np.float32)
    product = (a.T @ b).astype(np.float64)
    spread = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    return cast(Float64Array, product / np.maximum(spread, 1e-9))


def turned_to_fit(pictures: UInt8Array, patch: int) -> UInt8Array:
    """Turn the inside of all blocks alike so that pictures (n, h, w) have the least seams.

    Blocks lie in place; what is inside them was found up to the eight symmetries of the square.
    """
    blocks = cut(pictures[..., None], patch)
    flat = blocks.reshape(-1, patch, patch)
    rows, columns = pictures.shape[1] // patch, pictures.shape[2] // patch
    shapes = [
        join(symmetric(flat, one).reshape(blocks.shape), rows, columns, 1)[..., 0]
        for one in range(SYMMETRIES)
    ]
    return min(shapes, key=lambda shape: _steps_at_borders(shape, patch))


def _steps_at_borders(pictures: UInt8Array, patch: int) -> float:
    values = pictures.astype(np.int16)
    down = values[:, patch::patch] - values[:, patch - 1 : -1 : patch]
    right = values[:, :, patch::patch] - values[:, :, patch - 1 : -1 : patch]
    steps = np.concatenate([np.abs(down).ravel(), np.abs(right).ravel()])
    return float(steps.mean()) if steps.size else 0.0
