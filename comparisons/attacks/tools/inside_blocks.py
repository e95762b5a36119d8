"""Which position of a ciphertext block holds which pixel, each block under a key of its own.

Blocks are in their places (``block_places``). Public pictures say what to expect at every pixel,
first from the means of the blocks around it, then from the principal components of the picture,
then from the pixels beside it; histories of the block are assigned to the pixels that expect them.
Low halves come last: what a pixel lacks to fit its neighbours says which low half belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.block_places import Places
from he_compare.comparisons.attacks.tools.expectations import (
    NOWHERE,
    Expected,
    Factors,
    NeighbourRegression,
    window,
)
from he_compare.comparisons.attacks.tools.histories import BYTE_STEP, CENTRE, Histories, centred

_FEW_BLOCKS = 64
_COMPONENTS = (30, 60)
_ROUNDS, _SETTLED = 4, 0.99
_RIDGE, _DOUBT = 0.1, 0.05
# Gain in log-likelihood over the next best low half from which one is believed.
_SURE = 3.0


@dataclass(frozen=True)
class Geometry:
    """Blocks of ``patch`` pixels, ``rows`` by ``columns`` of them, ``channels`` that differ.

    A site is a value; sites are counted block by block, then as ``tiles.cut`` does.
    """

    rows: int
    columns: int
    patch: int
    channels: int

    @property
    def inside(self) -> int:
        """Sites of a block."""
        return self.patch * self.patch * self.channels

    def blocks_around(self) -> IntArray:
        """Return the blocks whose means tell of each site; all of them where they are few."""
        blocks = self.rows * self.columns
        if blocks <= _FEW_BLOCKS:
            around = np.tile(np.arange(blocks), (blocks, 1))
        else:
            around = window(self.rows, self.columns, 1, itself=True)
        return np.repeat(around, self.inside, axis=0)

    def pixels_around(self, *, itself: bool = False) -> IntArray:
        """Return the sites beside each: around it in its channel, and its other channels."""
        height, width = self.rows * self.patch, self.columns * self.patch
        raster = np.arange(height * width * self.channels, dtype=np.int64)
        shape = (1, height, width, self.channels)
        order = _cut(raster.reshape(shape), self.patch).ravel()
        number = np.append(np.argsort(order), NOWHERE)
        pixel, channel = np.divmod(order, self.channels)
        near = window(height, width, 2 if self.channels == 1 else 1, itself=itself)[pixel]
        sites = [np.where(near == NOWHERE, NOWHERE, near * self.channels + channel[:, None])]
        for step in range(1, self.channels):
            other = pixel * self.channels + (channel + step) % self.channels
            sites.append(other[:, None])
        return cast(IntArray, number[np.concatenate(sites, axis=1)])


def public_sites(
    images: UInt8Array, geometry: Geometry, *, nibbles: bool
) -> tuple[Float32Array, Float32Array]:
    """Return values or high halves of public images at each site, (N, sites), and low halves."""
    if geometry.channels < images.shape[3]:
        images = np.rint(images.mean(axis=3, keepdims=True)).astype(np.uint8)
    sites = cut(images, geometry.patch).reshape(len(images), -1)
    if not nibbles:
        return centred(sites, nibbles=False), np.zeros((len(sites), 0), np.float32)
    high, low = cast(UInt8Array, sites >> 4), cast(UInt8Array, sites & 15)
    return centred(high, nibbles=True), centred(low, nibbles=True)


def block_means(sites: Float32Array, geometry: Geometry) -> Float64Array:
    """Means of the blocks of pictures (n, sites): float64 (n, blocks)."""
    inside = sites.reshape(len(sites), -1, geometry.inside)
    return cast(Float64Array, inside.mean(axis=2, dtype=np.float64))


def order_inside(
    histories: Histories, places: Places, public: Float32Array, geometry: Geometry
) -> Float32Array:
    """Return pictures of values or high halves, float32 (n, sites), histories at their sites."""
    clear = histories.clear[places.block] * places.sign[:, None, None]
    means = clear.mean(axis=2).T
    around = NeighbourRegression(
        block_means(public, geometry).astype(np.float32), public, geometry.blocks_around(), _RIDGE
    )
    shown = _assigned(clear, around.expect(means, _DOUBT))
    factors = Factors(public, _COMPONENTS[-1])
    for components in _COMPONENTS:
        shown = _assigned(clear, factors.expect(shown, components, _DOUBT))
    beside = NeighbourRegression(public, public, geometry.pixels_around(), _RIDGE)
    seen = shown
    for _ in range(_ROUNDS):
        before, shown = shown, _assigned(clear, beside.expect(seen, _DOUBT))
        if (before == shown).all(axis=0).mean() > _SETTLED:
            break
        seen = (seen + shown) / 2
    return shown


def _assigned(clear: Float32Array, expected: Expected) -> Float32Array:
    """Assign histories (blocks, n, k) to the sites of their block: (n, sites)."""
    blocks, images, inside = clear.shape
    costs = _costs(clear, expected)
    order = np.stack([linear_sum_assignment(cost)[1] for cost in costs])
    laid = np.take_along_axis(clear, order[:, None], axis=2)
    return laid.transpose(1, 0, 2).reshape(images, blocks * inside)


def _costs(histories: Float32Array, expected: Expected) -> Float32Array:
    """Minus log-likelihood of each history at each site of its block, (blocks, sites, k)."""
    blocks, images, inside = histories.shape
    values = expected.values.reshape(images, blocks, inside).transpose(1, 2, 0)
    lengths = (values**2).sum(axis=2)[:, :, None] + (histories**2).sum(axis=1)[:, None]
    squares = lengths - 2 * values @ histories
    return cast(Float32Array, squares / (2 * expected.variance.reshape(blocks, inside, 1)))


def low_halves(
    histories: Histories,
    places: Places,
    high: Float32Array,
    public: tuple[Float32Array, Float32Array],
    geometry: Geometry,
) -> Float32Array:
    """Return low halves at their sites, (n, sites), 0 (the middle) where none is sure."""
    around = geometry.pixels_around(itself=True)
    expected = NeighbourRegression(public[0], public[1], around, _RIDGE).expect(high, _DOUBT)
    low = histories.low[places.block]
    direct, negated = _costs(low, expected), _costs(-low, expected)
    costs = np.minimum(direct, negated)
    order = np.stack([linear_sum_assignment(cost)[1] for cost in costs])[..., None]
    best = np.take_along_axis(costs, order, axis=2)[..., 0]
    others = costs.copy()
    np.put_along_axis(others, order, np.inf, axis=2)
    sure = others.min(axis=2) - best > _SURE
    turned = np.take_along_axis(direct > negated, order, axis=2)[..., 0]
    sign = np.where(turned, -1, 1) * sure
    laid = np.take_along_axis(low, order.transpose(0, 2, 1), axis=2) * sign[:, None]
    return laid.transpose(1, 0, 2).reshape(high.shape).astype(np.float32)


def pictures_of(
    high: Float32Array, low: Float32Array | None, geometry: Geometry, copies: int
) -> UInt8Array:
    """Turn sites (n, sites) into uint8 (n, h, w, c); ``low``: low halves, None for whole values."""
    if low is None:
        values = np.rint((high + np.float32(CENTRE)) * np.float32(BYTE_STEP))
    else:
        values = 16 * np.rint(high + np.float32(CENTRE)) + np.rint(low + np.float32(CENTRE))
    blocks = np.clip(values, 0, 255).astype(np.uint8)
    blocks = blocks.reshape(len(high), geometry.rows * geometry.columns, geometry.inside)
    pictures = join(blocks, geometry.rows, geometry.columns, geometry.channels)
    return np.repeat(pictures, copies, axis=3)


def _cut(numbers: IntArray, patch: int) -> IntArray:
    """Cut (1, h, w, c) as ``tiles.cut`` does."""
    _, height, width, channels = numbers.shape
    grid = numbers.reshape(height // patch, patch, width // patch, patch, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, patch * patch * channels)
