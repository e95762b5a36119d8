"""Ciphers that move values and negate some, done as one gather and one XOR a batch.

The common engine of the permutation ciphers: key material becomes one flat index over the bytes or
the nibbles (4-bit halves) of an image and one XOR mask, since 255 - v equals v XOR 255 for a byte
and 15 - v equals v XOR 15 for a nibble. The loops themselves are compiled: ``kernels``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.cipher import ImageShape, check_images
from he_compare.block_scramble.engine.blocks import (
    IndexArray,
    block_positions,
    check_patch,
    unblocked,
)
from he_compare.block_scramble.engine.lanes import LANES, UInt32Array
from he_compare.block_scramble.vit.patch_key import BoolArray, PatchAffine, affine_from_moves
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import IntArray, UInt8Array


class KeyedMoves:
    """Flat byte t of a ciphertext is plain byte ``index[t]``, as 255 - v where ``negated[t]``."""

    def __init__(self, shape: ImageShape, index: IndexArray, negated: BoolArray) -> None:
        """Raises ValueError unless ``index`` is a permutation of the bytes of an image."""
        check_permutation(index)
        self.shape = shape
        self._index = index
        self._negated = negated
        self._nothing_moves = bool((index == np.arange(len(index))).all())

    @cached_property
    def _forward(self) -> Gather:
        return Gather(self._index[None].astype(np.uint32), byte_mask(self._negated))

    @cached_property
    def _backward(self) -> Gather:
        inverse = inverse_order(self._index)
        return Gather(inverse[None].astype(np.uint32), byte_mask(self._negated[inverse]))

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        if self._nothing_moves:
            return images ^ self._forward.mask.reshape(self.shape)
        return self._forward.apply(images)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        if self._nothing_moves:
            return self.encrypt(ciphertexts)
        return self._backward.apply(ciphertexts)

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
        """Raises ValueError unless ``index`` is a permutation of the nibbles of an image."""
        check_permutation(index)
        self.shape = shape
        self._index = index
        self._negated = negated

    @cached_property
    def _forward(self) -> Gather:
        return Gather(nibble_addresses(self._index), nibble_mask(self._negated))

    @cached_property
    def _backward(self) -> Gather:
        inverse = inverse_order(self._index)
        return Gather(nibble_addresses(inverse), nibble_mask(self._negated[inverse]))

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        return self._forward.apply(images)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        return self._backward.apply(ciphertexts)

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
    return KeyedMoves(shape, *_flat_moves(shape, patch, 1, block_order, value_order, negated))


def keyed_nibble_blocks(
    shape: ImageShape,
    patch: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None = None,
) -> KeyedNibbles:
    """Do the same to the nibbles of each block: (1 or blocks, 2 * values), low ones first."""
    check_patch(shape, patch)
    return KeyedNibbles(shape, *_flat_moves(shape, patch, 2, block_order, value_order, negated))


def _flat_moves(
    shape: ImageShape,
    patch: int,
    halves: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None,
) -> tuple[IndexArray, BoolArray]:
    """Turn moves by block into moves of the image; ``halves`` is 2 where nibbles move, else 1."""

    def by_block(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return rows if len(rows) == 1 else rows[block_order]

    def flat(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([unblocked(r, shape, patch) for r in np.split(rows, halves, axis=1)])

    positions = block_positions(shape, patch) if halves == 1 else nibble_positions(shape, patch)
    index = flat(positions[block_order[:, None], by_block(value_order)])
    if negated is None:
        return index, np.zeros(positions.size, np.bool_)
    return index, flat(np.broadcast_to(by_block(negated), positions.shape))


def check_permutation(index: IndexArray) -> None:
    """Raise ValueError unless ``index`` is a permutation: what is compiled does not check it."""
    size = len(index)
    if size and not (index.min() >= 0 and index.max() < size):
        raise ValueError("an index of moves points outside the image")
    taken = np.zeros(size, np.bool_)
    taken[index] = True
    if not taken.all():
        raise ValueError("an index of moves takes a value twice and another never")


def inverse_order(index: IndexArray) -> IndexArray:
    """Return the permutation that undoes ``index``."""
    inverse = np.empty_like(index)
    inverse[index] = np.arange(len(index))
    return inverse


def byte_mask(negated: BoolArray) -> UInt8Array:
    """Return the XOR mask of bytes that are negated as told: 255 or 0."""
    return cast(UInt8Array, negated * np.uint8(255))


def nibble_mask(negated: BoolArray) -> UInt8Array:
    """Return the XOR mask of bytes whose low, then high halves are negated as told."""
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


class Gather:
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
