"""A map for each block, as pictures that were recovered show it, to be used on other ciphertexts.

What a site of the pictures held in image after image is what one unit of the ciphertext block held,
or its negative. So the map can be read off and used on images that it was not learnt from, which is
what evidence is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import BoolArray, IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.move_keys import BYTE_TOP, NIBBLE_TOP, units_of

NO_UNIT = -1
MIDDLE = 8


@dataclass(frozen=True)
class BlockMaps:
    """``unit``: unit of the block that each unit of a place holds, int64 (places, units), or -1.

    ``negated``: the same shape. ``block``: ciphertext block at each place. ``channels`` of the
    pictures; ``nibbles``: units are 4-bit halves, low ones first.
    """

    block: IntArray
    unit: IntArray
    negated: BoolArray
    patch: int
    channels: int
    nibbles: bool

    def undo(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Return the pictures of ciphertexts (n, h, w, c): uint8 (n, h, w, ``channels``)."""
        units = _units(ciphertexts, self.patch, self.nibbles)[:, self.block]
        taken = np.take_along_axis(units, np.maximum(self.unit, 0)[None], axis=2)
        top = NIBBLE_TOP if self.nibbles else BYTE_TOP
        upright = np.where(self.negated, top - taken, taken)
        upright = np.where(self.unit == NO_UNIT, MIDDLE, upright).astype(np.uint8)
        if self.nibbles:
            low, high = np.split(upright, 2, axis=2)
            upright = low | high << 4
        rows, columns = (side // self.patch for side in ciphertexts.shape[1:3])
        return join(upright, rows, columns, self.channels)


def maps_shown(
    ciphertexts: UInt8Array, pictures: UInt8Array, block: IntArray, patch: int, *, nibbles: bool
) -> BlockMaps:
    """Read the maps off pictures of ciphertexts, both (n, h, w, c); ``block``: at each place.

    A unit of a place that no unit of the block holds, such as a low half that was not found, is
    nowhere.
    """
    grey = bool((pictures == pictures[..., :1]).all())
    wanted = _units(pictures[..., :1] if grey else pictures, patch, nibbles)
    held = _units(ciphertexts, patch, nibbles)[:, block]
    top = NIBBLE_TOP if nibbles else BYTE_TOP
    count = held.shape[2]
    weights = np.random.default_rng(0).integers(1, 1 << 62, len(held), dtype=np.uint64)
    marks = _marks(wanted, weights)
    known = np.concatenate(
        [_marks(held, weights), _marks(cast(UInt8Array, top - held), weights)], axis=1
    )
    found = np.stack([_found_in(one, mark) for one, mark in zip(known, marks, strict=True)])
    negated = found >= count
    unit = np.where(found == NO_UNIT, NO_UNIT, found % count)
    channels = 1 if grey else pictures.shape[3]
    return BlockMaps(block, unit, negated, patch, channels, nibbles)


def _units(images: UInt8Array, patch: int, nibbles: bool) -> UInt8Array:
    """Units of each block: uint8 (n, blocks, units), low halves before high ones."""
    blocks = cut(images, patch)
    if not nibbles:
        return blocks
    units = units_of(blocks.reshape(-1, blocks.shape[2]), True)
    return units.reshape(*blocks.shape[:2], -1)


def _marks(units: UInt8Array, weights: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One number for the history of each unit, (blocks, units)."""
    total = np.zeros(units.shape[1:], np.uint64)
    for image, weight in zip(units, weights, strict=True):
        total += image.astype(np.uint64) * weight
    return total


def _found_in(known: npt.NDArray[np.uint64], marks: npt.NDArray[np.uint64]) -> IntArray:
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known[order], marks), len(known) - 1)
    return cast(IntArray, np.where(known[order[place]] == marks, order[place], NO_UNIT))
