"""Moves the bytes or nibbles of a batch of images in one gather, and negates with one XOR.

255 - v equals v XOR 255 for a byte and 15 - v equals v XOR 15 for a nibble (a 4-bit half). A byte
is addressed by its place, a nibble by twice that, plus one if high. The loops themselves are
compiled: ``kernels``.
"""

from __future__ import annotations

from functools import cached_property
from typing import cast

import numpy as np

from he_compare.block_scramble.engine.words import LANES, UInt32Array
from he_compare.common.secrecy import KeptInProcess
from he_compare.common.types import BoolArray, IndexArray, UInt8Array


def byte_mask(negated: BoolArray) -> UInt8Array:
    """Return the XOR mask of bytes that are negated: 255 or 0."""
    return cast(UInt8Array, negated * np.uint8(255))


def nibble_mask(negated: BoolArray) -> UInt8Array:
    """Return the XOR mask of bytes whose low, then high halves are negated."""
    low, high = np.split(negated, 2)
    return cast(UInt8Array, low * np.uint8(15) | high * np.uint8(240))


def nibble_addresses(index: IndexArray) -> UInt32Array:
    """Return for low, then high halves, (2, size), twice the byte a nibble is in, plus one if high.

    ``index``: (2 * size,), nibble ids, the low halves of all bytes before the high ones.
    """
    ids, size = index.astype(np.uint32), len(index) // 2
    addresses: UInt32Array = np.where(ids < size, 2 * ids, 2 * (ids - np.uint32(size)) + 1)
    return addresses.reshape(2, size)


def batch_is_last(images: UInt8Array) -> bool:
    """Say whether uint8 (n, h, w, c) is a transposed (h, w, c, n) array, batch fastest."""
    return len(images) > 1 and images.transpose(1, 2, 3, 0).flags.c_contiguous


class Gather(KeptInProcess):
    """Takes the bytes or nibbles of every image from fixed places, then XORs a mask."""

    def __init__(self, addresses: UInt32Array, mask: UInt8Array) -> None:
        """``addresses``: (1, size) places of bytes or (2, size) of nibbles, in range; not checked.

        ``mask``: uint8 (size,).
        """
        self.addresses = addresses
        self.mask = mask

    @cached_property
    def _by_eight(self) -> UInt32Array:
        """Addresses in rows of 64-bit words that hold one byte each of eight images.

        (1 or 2, 8, size / 8): byte k of the result is byte k % 8 of word k // 8 of its image.
        """
        width = self.mask.size // LANES
        nibbles = len(self.addresses) - 1
        place, half = self.addresses >> nibbles, self.addresses & nibbles
        words = place % LANES * width + place // LANES
        by_word = (words << nibbles | half).reshape(len(words), width, LANES)
        rows: UInt32Array = np.ascontiguousarray(by_word.transpose(0, 2, 1))
        return rows

    def apply(self, images: UInt8Array) -> UInt8Array:
        """Return uint8 (n, h, w, c) in the memory layout of ``images``."""
        # Importing the compiled loops takes a second; listing ciphers does without.
        from he_compare.block_scramble.engine import kernels

        kernel = kernels.BYTES if len(self.addresses) == 1 else kernels.NIBBLES
        n, size = len(images), self.mask.size
        if batch_is_last(images):
            ordered = images.transpose(1, 2, 3, 0)
            rows = ordered.reshape(size, n)
            moved = np.empty_like(rows)
            kernel.rows(rows, self.addresses, self.mask, moved)
            return moved.reshape(ordered.shape).transpose(3, 0, 1, 2)
        flat = np.ascontiguousarray(images).reshape(n, size)
        result = np.empty((n, size), np.uint8)
        eights = 0 if size % LANES else n - n % LANES
        if eights:
            words = np.require(flat[:eights].view(np.uint64), requirements="A")
            masks, target = self.mask.view(np.uint64), result[:eights].view(np.uint64)
            kernel.eight(words, self._by_eight, masks, target)
        kernel.one(flat[eights:], self.addresses, self.mask, result[eights:])
        return result.reshape(images.shape)
