"""Values that a keyed table replaced at some positions of all blocks: the positions and the table.

Neighbours under one table are equal as often as in the picture, those under two hardly ever: these
signs, from position to position, separate the positions of blocks into two classes (the leading
vector of a signed graph). The class that is smooth is in the clear. The table of the other follows
from what lies beside its values: how likely each plain value is to have such neighbours, as the
clear class shows, and one assignment of all values at once. Where no class is smooth, values that
lie beside each other are ordered by the second vector of their neighbourhood (spectral seriation:
Atkins, Boman, Hendrickson 1998), which leaves the negative open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from he_compare.common.types import BoolArray, Float64Array, IntArray, UInt8Array

VALUES = 256
STEPS = np.abs(np.subtract.outer(np.arange(VALUES), np.arange(VALUES)))
# Of the kinds of neighbours, those in one channel come first. Steps beyond FAR are all alike.
SIDES, FAR = 4, 64
# Neighbours of a kind that are not equal this much more often than by chance separate nothing.
TELLING = 3.0
# Mean step between neighbours over that of values drawn alike: 0.05 to 0.4 in pictures, else 1.
SMOOTH_TABLE = 0.6
SPREADS = (1.0, 4.0, 16.0)
WEIGHTS = (0.6, 0.2, 0.1, 0.08)
ROUNDS = 8
DENSE = 200
# Relative error of how often a value is expected under the table.
EXPECTED_ERROR = 0.3


@dataclass(frozen=True)
class Tables:
    """What was found: the class of each position of a block, and the table of each class.

    ``second``: (values,), whether a position belongs to the second class; all False where there is
    one class. ``tables``: uint8 (2, 256), the plain value of each value of either class.
    ``clear``: whether the first class is in the clear; else values are known up to the negative.
    ``rough``: mean step of neighbours over that of values drawn alike, 1 where nothing was found.
    """

    second: BoolArray
    tables: UInt8Array
    clear: bool
    rough: float

    def undo(self, images: UInt8Array, patch: int) -> UInt8Array:
        """Return the plain values of images (n, h, w, c)."""
        mask = painted(self.second, images.shape, patch)
        return cast(UInt8Array, np.where(mask, self.tables[1][images], self.tables[0][images]))


def find_tables(images: UInt8Array, patch: int) -> Tables:
    """Find the classes of positions in blocks of images (n, h, w, c), and their tables."""
    second = _oriented(images, _two_classes(images, patch), patch)
    mask = painted(second, images.shape, patch)
    steps = [roughness(images, mask == one) for one in (False, True)]
    if mask.any() and steps[1] < steps[0]:
        second, mask, steps = ~second, ~mask, steps[::-1]
    clear = steps[0] < SMOOTH_TABLE
    if clear:
        second = _settled(images, second, patch)
        mask = painted(second, images.shape, patch)
    identity = np.arange(VALUES, dtype=np.uint8)
    first = identity if clear else seriated(images, ~mask)
    known = np.where(mask, images, first[images]).astype(np.uint8)
    other = matched_table(known, mask) if mask.any() else first
    tables = np.stack([first, other])
    found = np.where(mask, other[images], known).astype(np.uint8)
    return Tables(second, tables, clear, roughness(found, np.ones_like(mask)))


def painted(positions: BoolArray, shape: tuple[int, ...], patch: int) -> BoolArray:
    """Spread a mask of the positions of a block, (values,), over images: (h, w, c)."""
    _, height, width, channels = shape
    block = positions.reshape(patch, patch, channels)
    return np.tile(block, (height // patch, width // patch, 1))


def neighbours_in(mask: BoolArray, other: BoolArray) -> Iterator[tuple[int, IntArray, IntArray]]:
    """Yield kinds of neighbours: a number, and the flat places of pairs, ``mask`` before ``other``.

    Masks (h, w, c). The kinds are: beside each other in one channel, and two channels of one pixel.
    """
    channels = mask.shape[2]
    flat = np.arange(mask.size).reshape(mask.shape)
    for kind, (down, right, over) in enumerate(_offsets(channels)):
        here = _moved(flat, -down, -right, -over)
        there = _moved(flat, down, right, over)
        chosen = mask.ravel()[here] & other.ravel()[there]
        yield kind, here[chosen], there[chosen]


def _offsets(channels: int) -> list[tuple[int, int, int]]:
    sides = [(0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0)]
    return sides + [(0, 0, over) for over in range(1 - channels, channels) if over]


def _moved(flat: IntArray, *steps: int) -> IntArray:
    """Cut off what has no partner by ``steps`` along each axis."""
    parts = tuple(
        slice(max(0, step), size + min(0, step))
        for step, size in zip(steps, flat.shape, strict=True)
    )
    return flat[parts].ravel()


def roughness(images: UInt8Array, mask: BoolArray) -> float:
    """Mean step between unequal masked neighbours over that of values drawn alike.

    Equal ones stay equal under any table: they say nothing. 1 where there are no pairs.
    """
    flat = images.reshape(len(images), -1)
    counts = np.zeros((VALUES, VALUES))
    for _, here, there in _in_one_channel(mask, mask):
        counts += together(flat[:, here], flat[:, there])
    np.fill_diagonal(counts, 0)
    drawn = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    np.fill_diagonal(drawn, 0)
    if not drawn.any():
        return 1.0
    return float((counts * STEPS).sum() / counts.sum() / ((drawn * STEPS).sum() / drawn.sum()))


def _in_one_channel(mask: BoolArray, other: BoolArray) -> Iterator[tuple[int, IntArray, IntArray]]:
    return (pair for pair in neighbours_in(mask, other) if pair[0] < SIDES)


def _settled(images: UInt8Array, second: BoolArray, patch: int) -> BoolArray:
    """Decide anew for each position whether it is in the clear: whether it is near clear ones."""
    flat = images.reshape(len(images), -1).astype(np.int16)
    position, count = _positions(images.shape, patch), len(second)
    everything = np.ones(images.shape[1:], bool)
    for _ in range(ROUNDS):
        clear = ~painted(second, images.shape, patch)
        steps, pairs = np.zeros(count), np.zeros(count)
        for _, here, there in _in_one_channel(everything, clear):
            step = np.minimum(np.abs(flat[:, here] - flat[:, there]), FAR).mean(axis=0)
            steps += np.bincount(position[here], weights=step, minlength=count)
            pairs += np.bincount(position[here], minlength=count)
        mean = steps / np.maximum(pairs, 1)
        near, far = mean[~second & (pairs > 0)], mean[second & (pairs > 0)]
        if not near.size or not far.size:
            return second
        middle = (np.median(near) + np.median(far)) / 2
        changed = np.where(pairs > 0, mean > middle, second)
        if np.array_equal(changed, second):
            break
        second = changed
    return second


def _two_classes(images: UInt8Array, patch: int) -> BoolArray:
    """Separate positions of blocks by which neighbours are equal: (values,); all False for one."""
    channels = images.shape[3]
    position = _positions(images.shape, patch)
    count = patch * patch * channels
    flat = images.reshape(len(images), -1)
    shares = np.bincount(flat.ravel(), minlength=VALUES) / flat.size
    signs = csr_matrix((count, count))
    everything = np.ones(images.shape[1:], bool)
    for _, here, there in neighbours_in(everything, everything):
        pair = position[here].astype(np.int64) * count + position[there]
        pairs, each, number = np.unique(pair, return_inverse=True, return_counts=True)
        equal = (flat[:, here] == flat[:, there]).mean(axis=0)
        rate = np.bincount(each.ravel(), weights=equal) / number
        usual = float(rate[rate >= np.median(rate)].mean())
        if usual < TELLING * float(shares @ shares):
            continue
        sign = np.clip(2 * rate / usual - 1, -1, 1)
        signs = signs + csr_matrix((sign, np.divmod(pairs, count)), shape=signs.shape)
    return _balanced(signs)


def _positions(shape: tuple[int, ...], patch: int) -> IntArray:
    """Number the values of an image, flat, by their position in a block."""
    _, height, width, channels = shape
    row, column, channel = np.indices((height, width, channels))
    return cast(IntArray, ((row % patch * patch + column % patch) * channels + channel).ravel())


def _balanced(signs: csr_matrix) -> BoolArray:
    """Say which side each node of a signed graph is on, so that few signs are violated.

    What hangs together is judged together; the second side is the smaller one.
    """
    second = np.zeros(signs.shape[0], bool)
    parts, part = connected_components(signs, directed=False)
    for one in range(parts):
        nodes = np.flatnonzero(part == one)
        if len(nodes) > 2:
            side = _sides(signs[nodes][:, nodes])
            second[nodes] = side if 2 * side.sum() <= len(nodes) else ~side
    return second


def _sides(signs: csr_matrix) -> BoolArray:
    count = signs.shape[0]
    weight = np.asarray(abs(signs).sum(axis=1)).ravel()
    scale = diags(1 / np.sqrt(np.maximum(weight, 1e-9)))
    scaled = scale @ ((signs + signs.T) / 2) @ scale
    if count <= DENSE:
        leading = np.linalg.eigh(scaled.toarray())[1][:, -1]
    else:
        start = np.random.default_rng(count).normal(size=count)
        leading = eigsh(scaled, k=1, which="LA", v0=start)[1][:, 0]
    side = np.where(leading < 0, -1.0, 1.0)
    for _ in range(ROUNDS):
        pull = signs @ side
        side = np.where(pull == 0, side, np.sign(pull))
    return side < 0


def _oriented(images: UInt8Array, second: BoolArray, patch: int) -> BoolArray:
    """Call the smoother class of each channel the first: channels may not be comparable."""
    mask = painted(second, images.shape, patch)
    turned = second.reshape(-1, images.shape[3]).copy()
    for channel in range(images.shape[3]):
        mine = np.zeros_like(mask)
        mine[..., channel] = True
        steps = [roughness(images, mine & (mask == one)) for one in (False, True)]
        if min(steps) < SMOOTH_TABLE and steps[1] < steps[0]:
            turned[:, channel] = ~turned[:, channel]
    return turned.ravel()


def matched_table(known: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Find the table of the masked values: uint8 (256,), from their neighbours outside the mask.

    ``known``: images (n, h, w, c) with plain values outside the mask (h, w, c).
    """
    flat = known.reshape(len(known), -1)
    score = np.zeros((VALUES, VALUES))
    for (_, here, there), (_, mine, beside_) in zip(
        neighbours_in(mask, ~mask), neighbours_in(~mask, ~mask), strict=True
    ):
        seen = together(flat[:, here], flat[:, there])
        score += seen @ np.log(likely(together(flat[:, mine], flat[:, beside_]))).T
    held = np.bincount(flat[:, mask.ravel()].ravel(), minlength=VALUES).astype(np.float64)
    expected = np.bincount(flat[:, ~mask.ravel()].ravel(), minlength=VALUES) * (
        mask.sum() / max((~mask).sum(), 1)
    )
    spread = expected + 1 + (EXPECTED_ERROR * expected) ** 2
    score -= (held[:, None] - expected) ** 2 / (2 * spread) + 0.5 * np.log(spread)
    return np.asarray(linear_sum_assignment(-score)[1]).astype(np.uint8)


def together(first: UInt8Array, second: UInt8Array) -> Float64Array:
    """Count pairs of values: float64 (256, 256)."""
    pairs = first.ravel().astype(np.int64) * VALUES + second.ravel()
    return np.bincount(pairs, minlength=VALUES**2).reshape(VALUES, VALUES).astype(np.float64)


def likely(counts: Float64Array) -> Float64Array:
    """Return the chance of each neighbour (column) of each value (row), from counts of pairs.

    As counted, mixed with counts spread over like values and with a little of everything, so that
    what was never seen is possible.
    """
    ways = [counts, *(ndimage.gaussian_filter(counts, spread) for spread in SPREADS)]
    mixed = np.full_like(counts, (1 - sum(WEIGHTS)) / VALUES)
    for weight, way in zip(WEIGHTS, ways, strict=True):
        total = way.sum(axis=1, keepdims=True)
        mixed += weight * np.divide(way, total, out=np.full_like(way, 1 / VALUES), where=total > 0)
    return mixed


def seriated(images: UInt8Array, mask: BoolArray) -> UInt8Array:
    """Order the masked values by what lies beside what: each value's level, uint8 (256,).

    Levels of the values that occur are spread evenly over 0 to 255; the direction is arbitrary.
    """
    flat = images.reshape(len(images), -1)
    counts = np.zeros((VALUES, VALUES))
    for _, here, there in _in_one_channel(mask, mask):
        counts += together(flat[:, here], flat[:, there])
    np.fill_diagonal(counts, 0)
    used = np.flatnonzero(counts.sum(axis=1) > 0)
    levels = np.arange(VALUES, dtype=np.uint8)
    if len(used) < 3:
        return levels
    links = counts[np.ix_(used, used)] + 1e-3
    scale = 1 / np.sqrt(links.sum(axis=1))
    second = np.linalg.eigh(links * np.outer(scale, scale))[1][:, -2] * scale
    rank = np.argsort(np.argsort(second, kind="stable"), kind="stable")
    levels[used] = np.rint(rank * (VALUES - 1) / (len(used) - 1))
    return levels
