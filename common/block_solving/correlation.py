"""Finds the order and the negation of values inside blocks from ciphertext blocks of one key.

Where one key serves many blocks, positions of a block that are neighbours in the picture stay
correlated over the blocks, wherever the key put them. Copies (a grey picture with three equal
channels) are exactly equal, or exactly 255 minus each other. The sign of the leading eigenvector of
the correlations is the negation mask, up to one global inversion, since a block is mostly bright or
mostly dark. Channels of colour pictures that the key mixed are separated first. With it undone,
each block is brought to mean 0 and spread 1, so that all blocks tell equally much; the positions
are then laid out so that correlated ones are near.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.block_solving.layout import lay_out
from he_compare.common.block_solving.tiles import SYMMETRIES
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array

CHANNELS = 3
LEADING = 4
# Share of an eigenvector's spread that may be left inside its three levels.
MIXED = 0.15
# Share of positions that agree on which two others hold the same pixel of pictures almost grey.
NEAR_COPIES = 0.9


def separate_channels(upright: UInt8Array) -> IntArray | None:
    """Return the positions of each channel, (3, values / 3), or None where no three levels show.

    ``upright``: blocks (count, values) with negation undone.
    """
    values = upright.shape[1]
    if values % CHANNELS or len(upright) < 2:
        return None
    about = upright.astype(np.float32)
    about -= about.mean(axis=1, keepdims=True)
    leading = np.linalg.eigh((about.T @ about).astype(np.float64))[1][:, : -LEADING - 1 : -1]
    levels = np.argsort(leading, axis=0, kind="stable").reshape(CHANNELS, values // CHANNELS, -1)
    sorted_values = np.take_along_axis(leading, levels.reshape(values, -1), axis=0)
    inside = sorted_values.reshape(levels.shape).var(axis=1).mean(axis=0)
    left = inside / np.maximum(leading.var(axis=0), 1e-12)
    best = int(left.argmin())
    if left[best] > MIXED:
        return None
    return cast(IntArray, np.sort(levels[..., best], axis=1).astype(np.int64))


def lay_out_channels(
    values: Float32Array, unlike: Float64Array, channels: IntArray, side: int
) -> IntArray:
    """Return the position of each pixel in each channel, (side * side, 3).

    ``values``: standardised blocks (count, values). ``unlike``: (values, values).
    """
    laid: list[IntArray] = []
    for mine in channels:
        layout = mine[lay_out(unlike[np.ix_(mine, mine)], side, side)].reshape(side, side)
        laid.append(layout if not laid else _turned_like(values, layout, laid[0]))
    return np.stack([layout.ravel() for layout in laid], axis=1)


def _turned_like(values: Float32Array, layout: IntArray, first: IntArray) -> IntArray:
    """Turn or mirror a layout so that its pixels agree best with those of the first channel."""
    shapes = [np.rot90(layout.T if turn >= 4 else layout, turn % 4) for turn in range(SYMMETRIES)]
    wanted = values[:, first]
    return max(shapes, key=lambda shape: float((values[:, shape] * wanted).mean()))


# Added to a block's spread in grey levels: flat blocks hold rounding noise, not structure.
SPREAD_FLOOR = 2.0
MAX_SAMPLES = 20_000
MAX_POSITIONS = 1600
COMPARED = 1024
# Farthest that a neighbour may lie, in pixels: grain hides which of the nearest is the likest.
BESIDE = 2


@dataclass(frozen=True)
class BlockOrder:
    """What was found out about the inside of a block of m x m pixels.

    ``position``: (m * m, copies), the positions of a ciphertext block that show pixel p; copies are
    equal, or the channels of colour pictures.
    ``negated``: (values,), which positions hold 255 - v, up to all of them. ``neighbours``: mean
    correlation of neighbouring pixels on blocks that were not used to find them, 0 by chance.
    """

    position: IntArray
    negated: IntArray
    neighbours: float

    def undo(self, blocks: UInt8Array) -> UInt8Array:
        """Return the pixels of blocks (..., values) in order: (..., m * m), mean of the copies."""
        upright = np.where(self.negated.astype(bool), 255 - blocks, blocks)
        pixels = upright[..., self.position]
        if pixels.shape[-1] == 1:
            return np.ascontiguousarray(pixels[..., 0])
        return np.rint(pixels.mean(axis=-1)).astype(np.uint8)


def find_block_order(blocks: UInt8Array) -> BlockOrder | None:
    """Return the order of values in blocks (count, values), or None where they show none.

    Grey pictures: values are the m x m pixels, or three copies of each. Colour: m x m x 3 values.
    """
    samples = sampled_blocks(blocks)
    negated = negation_mask(samples)
    groups = copies(samples, negated)
    if groups is None:
        return _colour_order(samples, negated)
    upright = np.where(negated.astype(bool), 255 - samples, samples)[:, groups[:, 0]]
    return _grey_order(upright, groups, negated)


def _grey_order(upright: UInt8Array, groups: IntArray, negated: IntArray) -> BlockOrder:
    """Lay out pixels (count, pixels), held by the positions ``groups`` (pixels, copies)."""
    side = round(len(groups) ** 0.5)
    layout = lay_out(unlikeness(standardised(upright)), side, side)
    return BlockOrder(groups[layout], negated, held_out(upright, side))


def _colour_order(samples: UInt8Array, negated: IntArray) -> BlockOrder | None:
    upright = np.where(negated.astype(bool), 255 - samples, samples)
    pixels = upright.shape[1] // CHANNELS
    side = round(pixels**0.5)
    if side * side * CHANNELS != upright.shape[1] or not 4 <= pixels <= MAX_POSITIONS:
        return None
    values = standardised(upright)
    unlike = unlikeness(values)
    groups = near_copies(unlike)
    if groups is not None:
        grey = np.rint(upright[:, groups].mean(axis=2)).astype(np.uint8)
        return _grey_order(grey, groups, negated)
    channels = separate_channels(upright)
    if channels is None:
        return None
    position = lay_out_channels(values, unlike, channels, side)
    return BlockOrder(position, negated, held_out(upright[:, channels[0]], side))


def near_copies(unlike: Float64Array) -> IntArray | None:
    """Group positions into threes that are nearest to each other: (values / 3, 3).

    So it is where most pictures are grey and some have a tint. None where most positions are nearer
    to others than those to each other, as in colour pictures. ``unlike``: (values, values).
    """
    apart = unlike + np.diag(np.full(len(unlike), np.inf))
    two = np.argpartition(apart, 1, axis=1)[:, :2]
    three = np.sort(np.concatenate([np.arange(len(unlike))[:, None], two], axis=1), axis=1)
    agreed = (three[two] == three[:, None]).all(axis=(1, 2))
    if agreed.mean() < NEAR_COPIES:
        return None
    groups = [tuple(group) for group in np.unique(three[agreed], axis=0)]
    left = np.flatnonzero(~agreed)
    while len(left):
        nearest = left[np.argsort(unlike[left[0], left], kind="stable")[:CHANNELS]]
        groups.append(tuple(nearest))
        left = np.setdiff1d(left, nearest)
    return np.array(groups, dtype=np.int64)


def sampled_blocks(blocks: UInt8Array) -> UInt8Array:
    """Return at most ``MAX_SAMPLES`` blocks, spread evenly, blocks of one value left out."""
    varied = blocks[blocks.min(axis=1) < blocks.max(axis=1)]
    chosen = varied if len(varied) > 8 else blocks
    step = -(-len(chosen) // MAX_SAMPLES)
    return chosen[::step]


def negation_mask(blocks: UInt8Array) -> IntArray:
    """Return which positions of blocks (count, values) are negated, up to all: int64 (values,)."""
    correlation = correlations(blocks)
    negative = (np.linalg.eigh(correlation)[1][:, -1] < 0).astype(np.int64)
    # Where nothing is negated, nothing should be guessed so.
    return negative if 2 * negative.sum() <= len(negative) else 1 - negative


def correlations(blocks: UInt8Array) -> Float64Array:
    """Return the correlation matrix of positions; constant positions correlate with none."""
    values = blocks.astype(np.float32) - np.float32(127.5)
    values -= values.mean(axis=0)
    gram = (values.T @ values).astype(np.float64)
    spread = np.sqrt(np.maximum(np.diag(gram), 1e-9))
    return gram / np.outer(spread, spread)


def pixels_held(blocks: UInt8Array, negated: IntArray) -> IntArray:
    """Number the positions of blocks by the pixel they hold, (values,): copies have one number."""
    compared = blocks[:COMPARED]
    upright = np.where(negated.astype(bool), 255 - compared, compared).astype(np.int64)
    # Equal columns have equal sums under random weights; unequal ones hardly ever.
    weights = np.random.default_rng(0).integers(1, 1 << 40, len(upright))
    return np.unique(weights @ upright, return_inverse=True)[1].astype(np.int64)


def copies(blocks: UInt8Array, negated: IntArray) -> IntArray | None:
    """Group positions that hold copies of one pixel: (pixels, copies), or None where pixels are no
    square number, too few or too many."""
    pixel = pixels_held(blocks, negated)
    sizes = np.bincount(pixel)
    if sizes.min() != sizes.max():
        pixel, sizes = np.arange(len(pixel)), np.ones(len(pixel), dtype=np.int64)
    pixels = len(sizes)
    if round(pixels**0.5) ** 2 != pixels or not 4 <= pixels <= MAX_POSITIONS:
        return None
    return np.argsort(pixel, kind="stable").reshape(pixels, int(sizes[0]))


def standardised(upright: UInt8Array) -> Float32Array:
    """Bring each block to mean 0 and spread 1 (almost 0 where it is flat)."""
    values = upright.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= values.std(axis=1, keepdims=True) + SPREAD_FLOOR
    return values


def unlikeness(values: Float32Array) -> Float64Array:
    """Return the mean squared difference of positions (k, k), 1 on average."""
    gram = (values.T @ values).astype(np.float64)
    own = np.diag(gram)
    unlike = np.maximum(own[:, None] + own[None] - 2 * gram, 0)
    np.fill_diagonal(unlike, 0)
    return unlike / max(unlike.mean(), 1e-12)


def moved_share(blocks: UInt8Array, side: int) -> float:
    """Return the share of positions of blocks (count, values) whose likest one is not beside them.

    About 0 where values lie in order, also where blocks were turned or negated one by one.
    """
    unlike = unlikeness(standardised(sampled_blocks(blocks)))
    np.fill_diagonal(unlike, np.inf)
    pixel = np.arange(len(unlike)) * side * side // len(unlike)
    likest = pixel[unlike.argmin(axis=1)]
    down, across = np.divmod(pixel, side)
    other_down, other_across = np.divmod(likest, side)
    off = np.maximum(abs(down - other_down), abs(across - other_across))
    return float((off > BESIDE).mean())


def held_out(upright: UInt8Array, side: int) -> float:
    """Lay out from every other block; return the correlation of neighbours on the others."""
    values = standardised(upright)
    layout = lay_out(unlikeness(values[::2]), side, side, starts=2).reshape(side, side)
    return neighbour_correlation(values[1::2], layout)


def neighbour_correlation(values: Float32Array, layout: IntArray) -> float:
    """Correlation of values (count, k) between neighbouring places of a layout (rows, columns)."""
    if len(values) < 2:
        return 0.0
    pictures = values[:, layout]
    spread = float((pictures**2).mean())
    down = float((pictures[:, 1:] * pictures[:, :-1]).mean())
    right = float((pictures[:, :, 1:] * pictures[:, :, :-1]).mean())
    return (down + right) / 2 / max(spread, 1e-12)
