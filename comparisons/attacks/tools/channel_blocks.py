"""Pictures whose channels were laid below each other as one grey picture, blocks of it scrambled.

Each block of one channel moved by itself, also between channels, and was turned, mirrored and
negated by itself. Grey pictures have every block once in each channel: blocks whose histories over
all images are equal up to those changes belong together. In colour pictures the channels of one
place show the same texture: blocks that correlate best belong together. One grey picture of whole
blocks is left, for the solvers of blocks. Source: this project.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from scipy import ndimage

from he_compare.common.block_solving.correlation import SPREAD_FLOOR
from he_compare.common.block_solving.tiles import (
    AFTER,
    INVERSE,
    SYMMETRIES,
    cut,
    join,
    symmetric,
)
from he_compare.common.target_facts import Facts
from he_compare.common.types import Float32Array, IntArray, UInt8Array

# Blocks of channels up to which all pairs are compared, in each turn.
MAX_COMPARED = 3072
# Share of blocks that choose each other from which no other texture is tried.
SETTLED = 0.9


class Merged(NamedTuple):
    """Grey pictures of whole blocks, uint8 (n, h, w, 1), each still turned, negated and misplaced.

    Where blocks were whole from the start, the images as they are, (n, h, w, c). ``source``:
    (blocks,), which block of a channel stands for each, counted channel by channel.
    """

    images: UInt8Array
    source: IntArray


class _Groups(NamedTuple):
    """Blocks of channels that belong together, (k, channels), and how each has to be turned and
    negated to look like the first of its group, (k, channels) each."""

    member: IntArray
    turn: IntArray
    negated: IntArray


def whole_blocks(images: UInt8Array, facts: Facts) -> Merged:
    """Return images (n, h, w, c) whose blocks hold all channels, as the target's behaviour asks."""
    patch = facts.side
    if facts.keeps_channel_blocks and not facts.keeps_blocks:
        merged = merge_channels(images, patch)
        if merged is not None:
            return merged
    blocks = images.shape[1] // patch * (images.shape[2] // patch)
    return Merged(images, np.arange(blocks, dtype=np.int64))


def merge_channels(images: UInt8Array, patch: int) -> Merged | None:
    """Merge the channels of scrambled images (n, h, w, c) with blocks of ``patch`` pixels.

    None where blocks of channels belong together in no way that shows, or are too many to compare.
    """
    count, height, width, channels = images.shape
    planes = images.transpose(3, 0, 1, 2)[..., None]
    blocks = np.concatenate([cut(plane, patch) for plane in planes], axis=1)
    blocks = blocks.reshape(count, -1, patch, patch)
    groups = _equal_groups(blocks, channels)
    if groups is None:
        if blocks.shape[1] > MAX_COMPARED:
            return None
        groups = _alike_groups(blocks, channels)
    total: Float32Array = np.zeros((count, len(groups.member), patch, patch), dtype=np.float32)
    for member, turn, negated in zip(*(part.T for part in groups), strict=True):
        total += _changed(blocks[:, member], turn, negated)
    merged = np.rint(total / channels).astype(np.uint8).reshape(count, -1, patch * patch)
    whole = join(merged, height // patch, width // patch, 1)
    return Merged(whole, groups.member[:, 0])


def _changed(blocks: UInt8Array, turn: IntArray, negated: IntArray) -> UInt8Array:
    """Turn and negate each of the blocks (n, k, m, m)."""
    changed = np.where(negated[None, :, None, None] == 1, 255 - blocks, blocks)
    for one in range(1, SYMMETRIES):
        chosen = turn == one
        changed[:, chosen] = _turned(changed[:, chosen], one)
    return changed


def _turned(blocks: UInt8Array, turn: int) -> UInt8Array:
    """Turn all blocks (n, k, m, m) alike."""
    return symmetric(blocks.reshape(-1, *blocks.shape[2:]), turn).reshape(blocks.shape)


def _equal_groups(blocks: UInt8Array, channels: int) -> _Groups | None:
    """Group blocks that are equal up to turns and negation; None where groups are not whole."""
    count, pieces, side, _ = blocks.shape
    random = np.random.default_rng(0)
    # Equal blocks have equal sums under random weights, modulo 2^64; unequal ones hardly ever.
    weights = random.integers(1, 1 << 62, (count, 1, side, side), dtype=np.uint64)
    marks = np.empty((2, SYMMETRIES, pieces), dtype=np.uint64)
    for turn in range(SYMMETRIES):
        turned = _turned(blocks, turn).astype(np.uint64)
        marks[0, turn] = (turned * weights).sum(axis=(0, 2, 3))
    marks[1] = (np.uint64(255) * weights).sum() - marks[0]
    flat = marks.reshape(2 * SYMMETRIES, pieces)
    canonical, change = flat.min(axis=0), flat.argmin(axis=0)
    equal, counts = np.unique(canonical, return_inverse=True, return_counts=True)[1:]
    if (counts % channels).any():
        return None
    member = _in_order(_dealt(equal.ravel(), counts, channels))
    negated, turn = np.divmod(change[member].astype(np.int64), SYMMETRIES)
    return _Groups(member, AFTER[INVERSE[turn[:, :1]], turn], negated ^ negated[:, :1])


def _dealt(equal: IntArray, counts: IntArray, size: int) -> IntArray:
    """Split numbered things (k,) into groups of ``size`` of one number, of which all have some.

    The first of many equal blocks lead their groups, as the first channel does.
    """
    order = np.argsort(equal, kind="stable")
    start = np.repeat(np.cumsum(counts) - counts, counts)
    groups = np.repeat(counts // size, counts)
    turn, group = np.divmod(np.arange(len(order)) - start, groups)
    dealt = np.empty_like(order)
    dealt[start + group * size + turn] = order
    return dealt.reshape(-1, size)


def _alike_groups(blocks: UInt8Array, channels: int) -> _Groups:
    """Group blocks that correlate best, each pair in its best turn and sign.

    By their grain, or by all of their texture where that makes more blocks choose each other.
    """
    groups, agreed = _groups_by_texture(blocks, channels, fine=True)
    if agreed >= SETTLED:
        return groups
    coarse, agreed_coarse = _groups_by_texture(blocks, channels, fine=False)
    return coarse if agreed_coarse > agreed else groups


def _groups_by_texture(blocks: UInt8Array, channels: int, *, fine: bool) -> tuple[_Groups, float]:
    """Return groups, and the share of blocks in groups of each other's nearest."""
    alike, turn = _likeness(blocks, fine=fine)
    member, agreed = _nearest_groups(abs(alike), channels)
    first = member[:, :1]
    negated = (alike[member, first] < 0).astype(np.int64)
    return _Groups(member, turn[member, first], negated), agreed


def _likeness(blocks: UInt8Array, *, fine: bool) -> tuple[Float32Array, IntArray]:
    """Return the correlation (k, k) of block i, turned as it fits best, with block j; that turn."""
    pieces = blocks.shape[1]
    upright = _texture(blocks, fine=fine)
    best: Float32Array = np.zeros((pieces, pieces), dtype=np.float32)
    turn = np.zeros((pieces, pieces), dtype=np.int64)
    for one in range(SYMMETRIES):
        found = _texture(_turned(blocks, one), fine=fine) @ upright.T
        better = abs(found) > abs(best)
        best[better], turn[better] = found[better], one
    # The first of a group stays as it is, also where it is flat.
    np.fill_diagonal(best, 1)
    np.fill_diagonal(turn, 0)
    return best, turn


def _texture(blocks: UInt8Array, *, fine: bool) -> Float32Array:
    """Return blocks (n, k, m, m) without their means: rows (k, n * m * m) of length 1, 0 if flat.

    ``fine``: only what is finer than 3 x 3 pixels. Coarse shades are common to neighbours in the
    picture, grain to the channels only, unless it is noise of each channel.
    """
    values = blocks.astype(np.float32)
    if fine:
        values -= ndimage.uniform_filter(values, (0, 0, 3, 3))
    values -= values.mean(axis=(2, 3), keepdims=True)
    values /= values.std(axis=(2, 3), keepdims=True) + np.float32(SPREAD_FLOOR)
    rows = values.swapaxes(0, 1).reshape(values.shape[1], -1)
    return cast(Float32Array, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def _nearest_groups(alike: Float32Array, size: int) -> tuple[IntArray, float]:
    """Split things (k,) into groups of ``size``: first those that are each other's nearest.

    Returns the groups and the share of things that are in those.
    """
    near = np.sort(np.argsort(-alike, axis=1, kind="stable")[:, :size], axis=1)
    agreed = (near[near] == near[:, None]).all(axis=(1, 2))
    agreed &= (np.take_along_axis(alike, near, axis=1) > 0).all(axis=1)
    groups = [list(group) for group in np.unique(near[agreed], axis=0)]
    left = np.flatnonzero(~agreed)
    while len(left):
        among = alike[np.ix_(left, left)].copy()
        np.fill_diagonal(among, 0)
        if not among.any():
            # Flat blocks: one is as good as another.
            groups += left.reshape(size, -1).T.tolist()
            break
        start = int(among.max(axis=1).argmax())
        among[start, start] = 2
        taken = np.argsort(-among[start], kind="stable")[:size]
        groups.append(list(left[taken]))
        left = np.delete(left, taken)
    return _in_order(np.array(groups, dtype=np.int64)), float(agreed.mean())


def _in_order(member: IntArray) -> IntArray:
    """Sort groups by their first block, so that blocks that never moved stay where they are."""
    ordered = np.sort(member, axis=1)
    return ordered[np.argsort(ordered[:, 0], kind="stable")]
