"""Ciphers that move values and negate some, done as one gather and one XOR a batch.

The common engine of the permutation ciphers: key material becomes one flat index over the bytes or
the nibbles (4-bit halves) of an image and one XOR mask, since 255 - v equals v XOR 255 for a byte
and 15 - v equals v XOR 15 for a nibble. Where the batch is the fastest axis in memory whole rows
are moved, several times as fast.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from block_scramble.blocks import IndexArray, block_positions, check_patch
from block_scramble.cipher import ImageShape, check_images
from block_scramble.patch_key import BoolArray, PatchAffine, affine_from_moves
from common.adversary import KeyMoves
from common.types import IntArray, UInt8Array

# Rows are gathered and masked in pieces that stay in a core's own cache.
PIECE_BYTES = 1 << 19


class KeyedMoves:
    """Flat byte t of a ciphertext is plain byte ``index[t]``, as 255 - v where ``negated[t]``."""

    def __init__(self, shape: ImageShape, index: IndexArray, negated: BoolArray) -> None:
        self.shape = shape
        self._index = index
        self._negated = negated
        self._mask = byte_mask(negated)
        self._nothing_moves = bool((index == np.arange(len(index))).all())

    @cached_property
    def _inverse(self) -> tuple[IndexArray, UInt8Array | None]:
        inverse = inverse_order(self._index)
        return inverse, None if self._mask is None else self._mask[inverse]

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        if self._nothing_moves and self._mask is not None:
            return images ^ self._mask.reshape(self.shape)
        return gather(images, self._index, self._mask)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        if self._nothing_moves:
            return self.encrypt(ciphertexts)
        return gather(ciphertexts, *self._inverse)

    def affine_embedding(self, patch: int) -> PatchAffine:
        """Describe the key to a model. Raises UsageError where its patches do not hold it."""
        check_patch(self.shape, patch)
        positions = block_positions(self.shape, patch)
        return affine_from_moves(patch, positions, self._index, self._negated, nibbles=False)

    def moves(self) -> KeyMoves:
        """Return the key material: the sealed truth of an audit. Never log or store it."""
        return KeyMoves(self._index, self._negated)


class KeyedNibbles:
    """The same on nibbles: ids 0..size-1 are the low halves of an image's bytes, then the high.

    Nibble t of a ciphertext is plain nibble ``index[t]``, taken as 15 - v where ``negated[t]``.
    """

    def __init__(self, shape: ImageShape, index: IndexArray, negated: BoolArray) -> None:
        self.shape = shape
        self._index = index
        self._negated = negated

    @cached_property
    def _mask(self) -> UInt8Array:
        return nibble_mask(self._negated)

    @cached_property
    def _inverse(self) -> tuple[IndexArray, UInt8Array]:
        inverse = inverse_order(self._index)
        return inverse, nibble_mask(self._negated[inverse])

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        return gather_nibbles(images, self._index, self._mask)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        return gather_nibbles(ciphertexts, *self._inverse)

    def affine_embedding(self, patch: int) -> PatchAffine:
        """Describe the key to a model that splits bytes into nibbles. Raises UsageError."""
        check_patch(self.shape, patch)
        positions = nibble_positions(self.shape, patch)
        return affine_from_moves(patch, positions, self._index, self._negated, nibbles=True)

    def moves(self) -> KeyMoves:
        """Return the key material: the sealed truth of an audit. Never log or store it."""
        return KeyMoves(self._index, self._negated, nibbles=True)


def nibble_positions(shape: ImageShape, patch: int) -> IndexArray:
    """Return nibble ids by block, (blocks, 2 * values): the low halves, then the high ones."""
    low = block_positions(shape, patch)
    return np.concatenate([low, low + low.size], axis=1)


def keyed_blocks(
    shape: ImageShape,
    patch: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None = None,
) -> KeyedMoves:
    """Move and negate values inside each block, then move the blocks.

    ``block_order``: (blocks,), ciphertext block b is plain block ``block_order[b]``.
    ``value_order``, ``negated``: (1 or blocks, values), by plain block and place in the ciphertext;
    one row serves all blocks. ``negated`` None: nothing is negated.
    """
    check_patch(shape, patch)
    positions = block_positions(shape, patch)
    return KeyedMoves(shape, *_flat_moves(positions, block_order, value_order, negated))


def keyed_nibble_blocks(
    shape: ImageShape,
    patch: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None = None,
) -> KeyedNibbles:
    """Do the same to the nibbles of each block: (1 or blocks, 2 * values), low ones first."""
    check_patch(shape, patch)
    positions = nibble_positions(shape, patch)
    return KeyedNibbles(shape, *_flat_moves(positions, block_order, value_order, negated))


def _flat_moves(
    positions: IndexArray, block_order: IntArray, value_order: IntArray, negated: BoolArray | None
) -> tuple[IndexArray, BoolArray]:
    def by_block(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return rows if len(rows) == 1 else rows[block_order]

    index = np.empty(positions.size, np.intp)
    index[positions] = positions[block_order[:, None], by_block(value_order)]
    flags = np.zeros(positions.size, np.bool_)
    if negated is not None:
        flags[positions] = by_block(negated)
    return index, flags


def inverse_order(index: IndexArray) -> IndexArray:
    """Return the permutation that undoes ``index``."""
    inverse = np.empty_like(index)
    inverse[index] = np.arange(len(index))
    return inverse


def byte_mask(negated: BoolArray) -> UInt8Array | None:
    """Return 255 where a byte is negated; None where none is."""
    return negated * np.uint8(255) if negated.any() else None


def nibble_mask(negated: BoolArray) -> UInt8Array:
    """Return the XOR mask of bytes whose low, then high halves are negated as told."""
    low, high = np.split(negated, 2)
    return cast(UInt8Array, low * np.uint8(15) | high * np.uint8(240))


def batch_is_last(images: UInt8Array) -> bool:
    """Say whether uint8 (n, h, w, c) is a transposed (h, w, c, n) array, batch fastest."""
    return len(images) > 1 and images.transpose(1, 2, 3, 0).flags.c_contiguous


def gather(images: UInt8Array, index: IndexArray, mask: UInt8Array | None) -> UInt8Array:
    """Return ``images`` with flat value k of each taken from ``index[k]``, XORed with ``mask[k]``.

    The result has the memory layout of ``images``, uint8 (n, h, w, c). ``index`` must be in range:
    it is not checked value by value.
    """
    n, height, width, channels = images.shape
    if not batch_is_last(images):
        flat = np.ascontiguousarray(images).reshape(n, len(index))
        moved = np.take(flat, index, axis=1, mode="clip")
        if mask is not None:
            np.bitwise_xor(moved, mask, out=moved)
        return cast(UInt8Array, moved.reshape(images.shape))
    rows = images.transpose(1, 2, 3, 0).reshape(len(index), n)
    moved = np.empty_like(rows)
    step = max(1, PIECE_BYTES // n)
    for piece in (slice(start, start + step) for start in range(0, len(index), step)):
        np.take(rows, index[piece], axis=0, mode="clip", out=moved[piece])
        if mask is not None:
            np.bitwise_xor(moved[piece], mask[piece, None], out=moved[piece])
    return cast(UInt8Array, moved.reshape(height, width, channels, n).transpose(3, 0, 1, 2))


def gather_nibbles(images: UInt8Array, index: IndexArray, mask: UInt8Array) -> UInt8Array:
    """Split uint8 (n, h, w, c) into nibbles, take nibble k from ``index[k]``, merge and XOR.

    The result has the memory layout of ``images``.
    """
    n, size = len(images), len(mask)
    if batch_is_last(images):
        ordered = images.transpose(1, 2, 3, 0)
        merged = _nibbles_of_rows(ordered.reshape(size, n), index, mask)
        return merged.reshape(ordered.shape).transpose(3, 0, 1, 2)
    flat = np.ascontiguousarray(images).reshape(n, size)
    merged = np.empty_like(flat)
    halves, moved = np.empty(2 * size, np.uint8), np.empty(2 * size, np.uint8)
    for image, result in zip(flat, merged, strict=True):
        np.bitwise_and(image, 15, out=halves[:size])
        np.right_shift(image, 4, out=halves[size:])
        np.take(halves, index, mode="clip", out=moved)
        np.left_shift(moved[size:], 4, out=result)
        result |= moved[:size]
        result ^= mask
    return merged.reshape(images.shape)


def _nibbles_of_rows(rows: UInt8Array, index: IndexArray, mask: UInt8Array) -> UInt8Array:
    """The same on (size, n), in pieces that stay in a core's own cache."""
    size, n = rows.shape
    halves = np.empty((2 * size, n), np.uint8)
    np.bitwise_and(rows, 15, out=halves[:size])
    np.right_shift(rows, 4, out=halves[size:])
    merged = np.empty_like(rows)
    step = max(1, PIECE_BYTES // n)
    for piece in (slice(start, start + step) for start in range(0, size, step)):
        high = np.take(halves, index[size:][piece], axis=0, mode="clip")
        np.take(halves, index[:size][piece], axis=0, mode="clip", out=merged[piece])
        merged[piece] |= np.left_shift(high, 4, out=high)
        merged[piece] ^= mask[piece, None]
    return merged
