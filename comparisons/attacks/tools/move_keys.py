"""Keys that move values and negate some, found from plain images and their ciphertexts.

Every unit (a value, or a 4-bit half) of a plain image has a signature: what it holds in each known
image. The ciphertext unit with the same signature, or with its negative, came from there. Blocks
are distinguished by the folded multiset of what they hold; one key for all blocks makes every block
another known image. Where units leave their block, they are looked for in the whole image.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from he_compare.common.attack_requirements import Requirement
from he_compare.common.scheme import KeyMoves, PictureShape
from he_compare.common.target_facts import Facts
from he_compare.common.types import BoolArray, IntArray, PixelArray, UInt8Array

# Of a cipher with fresh randomness that keeps nothing there is nothing to find: attacks show that.
MOVES_VALUES = Requirement(
    "values are not kept as bytes that are moved or negated: the key is no list of such moves (see "
    "learned inversion)",
    lambda facts: facts.keeps_nibbles or not (facts.deterministic and facts.one_key),
)
BYTE_TOP, NIBBLE_TOP = 255, 15


def uses_nibbles(facts: Facts) -> bool:
    """Say whether the units that move are 4-bit halves of values."""
    return facts.keeps_nibbles and not facts.keeps_folded


def units_of(images: PixelArray, nibbles: bool) -> UInt8Array:
    """Return the units of (n, h, w, c) as rows, uint8 (n, values) or (n, 2 * values)."""
    flat = _bytes_of(images).reshape(len(images), -1)
    return np.concatenate([flat & 15, flat >> 4], axis=1) if nibbles else flat


def images_of(units: UInt8Array, shape: PictureShape, nibbles: bool) -> UInt8Array:
    """Undo ``units_of``: uint8 (n, h, w, c)."""
    if nibbles:
        low, high = np.split(units, 2, axis=1)
        units = cast(UInt8Array, low | high << 4)
    return units.reshape(len(units), *shape)


def _bytes_of(images: PixelArray) -> UInt8Array:
    if images.dtype == np.uint8:
        return cast(UInt8Array, images)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def unit_positions(shape: PictureShape, patch: int, nibbles: bool) -> IntArray:
    """Return flat unit numbers by block, int64 (blocks, units), low halves before high ones."""
    height, width, channels = shape
    flat = np.arange(height * width * channels, dtype=np.int64)
    grid = flat.reshape(height // patch, patch, width // patch, patch, channels)
    blocks = grid.transpose(0, 2, 1, 3, 4).reshape(-1, patch * patch * channels)
    return np.concatenate([blocks, blocks + flat.size], axis=1) if nibbles else blocks


def find_moves(plain: UInt8Array, ciphertexts: PixelArray, facts: Facts) -> KeyMoves:
    """Find the key that turns each plain image (q, h, w, c) into its ciphertext.

    What the known images do not distinguish is assigned in order: always a permutation comes out.
    """
    nibbles = uses_nibbles(facts)
    top = NIBBLE_TOP if nibbles else BYTE_TOP
    before, after = units_of(plain, nibbles), units_of(ciphertexts, nibbles)
    if facts.patch is None or _leaves_blocks(facts):
        index, negated = match_rows(before.T, after.T, top)
        return KeyMoves(index, negated, nibbles)
    places = unit_positions(facts.shape, facts.patch, nibbles)
    blocks_before, blocks_after = before[:, places], after[:, places]
    order = np.arange(len(places))
    if facts.moves_blocks:
        order = match_blocks(blocks_before, blocks_after, top)
    sources = blocks_before[:, order]
    index = np.empty(places.size, np.intp)
    negated = np.zeros(places.size, np.bool_)
    if facts.shared_key:
        inside, flags = match_rows(_by_unit(sources), _by_unit(blocks_after), top)
        index[places] = places[order][:, inside]
        negated[places] = flags
        return KeyMoves(index, negated, nibbles)
    for block, place in enumerate(places):
        inside, flags = match_rows(sources[:, block].T, blocks_after[:, block].T, top)
        index[place] = places[order[block]][inside]
        negated[place] = flags
    return KeyMoves(index, negated, nibbles)


def _leaves_blocks(facts: Facts) -> bool:
    """Say whether a block of the ciphertext holds units of several blocks of the image."""
    return facts.one_key and facts.deterministic and not facts.keeps_blocks


def _by_unit(blocks: UInt8Array) -> UInt8Array:
    """Turn (q, blocks, units) into signatures over images and blocks, (units, q * blocks)."""
    return blocks.transpose(2, 0, 1).reshape(blocks.shape[2], -1)


def match_blocks(before: UInt8Array, after: UInt8Array, top: int) -> IntArray:
    """Return which plain block each ciphertext block is: (q, blocks, units) by folded multisets."""
    mine, theirs = (
        np.sort(np.minimum(blocks, top - blocks), axis=2)
        .transpose(1, 0, 2)
        .reshape(blocks.shape[1], -1)
        for blocks in (before, after)
    )
    order, _ = _assign(_hash(mine), _hash(theirs))
    return order


def match_rows(
    before: UInt8Array, after: UInt8Array, top: int
) -> tuple[npt.NDArray[np.intp], BoolArray]:
    """Match signatures (units, k): which plain row each ciphertext row is, and whether negated."""
    known = _hash(before)
    direct, negative = _hash(after), _hash(cast(UInt8Array, top - after))
    negated = ~np.isin(direct, known) & np.isin(negative, known)
    order, _ = _assign(known, np.where(negated, negative, direct))
    return order.astype(np.intp), negated


def _hash(rows: UInt8Array) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each row, (n,): a random odd combination modulo 2**64."""
    random = np.random.default_rng(rows.shape[1])
    weights = random.integers(0, 1 << 63, rows.shape[1], dtype=np.uint64) * np.uint64(2)
    values = rows.astype(np.uint64) + np.uint64(1)
    mixed = values * values * np.uint64(0x9E3779B97F4A7C15) + values
    return cast(npt.NDArray[np.uint64], (mixed * (weights + np.uint64(1))).sum(axis=1))


def _assign(
    known: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]
) -> tuple[IntArray, BoolArray]:
    """Give every wanted hash a known row of its own: equal ones in order, the rest by leftovers.

    Returns the rows, int64 (n,), and which of them matched.
    """
    groups = np.unique(np.concatenate([known, wanted]), return_inverse=True)[1]
    mine, theirs = groups[: len(known)], groups[len(known) :]
    slots = _with_rank(mine)
    asked = _with_rank(theirs)
    by_slot = np.argsort(slots)
    place = np.searchsorted(slots[by_slot], asked)
    place = np.minimum(place, len(slots) - 1)
    matched = slots[by_slot][place] == asked
    order = np.empty(len(wanted), np.int64)
    order[matched] = by_slot[place[matched]]
    order[~matched] = np.setdiff1d(np.arange(len(known)), order[matched])[: (~matched).sum()]
    return order, matched


def _with_rank(groups: IntArray) -> IntArray:
    """Number equal entries: a code of (group, how many of the group came before)."""
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    starts = np.searchsorted(ordered, ordered)
    rank = np.empty(len(groups), np.int64)
    rank[by_group] = np.arange(len(groups)) - starts
    return groups.astype(np.int64) * (len(groups) + 1) + rank
