"""Ciphers that move values and negate some, for bytes and for nibbles (4-bit halves).

Key material becomes one flat permutation of the bytes or the nibbles of an image and one mask of
what is negated; ``gather`` applies both to a batch.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.engine.blocks import block_positions, check_patch, unblocked
from he_compare.block_scramble.engine.gather import (
    Gather,
    byte_mask,
    nibble_addresses,
    nibble_mask,
)
from he_compare.block_scramble.engine.shapes import ImageShape, check_images
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.vit.patch_key import PatchAffine, affine_from_moves
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import BoolArray, IndexArray, IntArray, UInt8Array


class BytePermutation(KeyedCipher):
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


class NibblePermutation(KeyedCipher):
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


def permuted_blocks(
    shape: ImageShape,
    patch: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None = None,
) -> BytePermutation:
    """Move and negate values inside each block, then move the blocks.

    ``block_order``: (blocks,), ciphertext block b is plain block ``block_order[b]``.
    ``value_order``, ``negated``: (1 or blocks, values), by plain block and place in the ciphertext;
    one row serves all blocks. ``negated`` None: nothing is negated.
    """
    check_patch(shape, patch)
    moves = _flat_moves(shape, patch, 1, block_order, value_order, negated)
    return BytePermutation(shape, *moves)


def permuted_nibble_blocks(
    shape: ImageShape,
    patch: int,
    block_order: IntArray,
    value_order: IntArray,
    negated: BoolArray | None = None,
) -> NibblePermutation:
    """Do the same to the nibbles of each block: (1 or blocks, 2 * values), low ones first."""
    check_patch(shape, patch)
    return NibblePermutation(
        shape, *_flat_moves(shape, patch, 2, block_order, value_order, negated)
    )


def relaid(keyed: BytePermutation, shape: ImageShape, places: IndexArray) -> BytePermutation:
    """Do the moves of one picture to the values of another of the same size.

    ``places``: flat position in an image of ``shape`` of value t of the picture that ``keyed`` is
    for; a permutation.
    """
    moves = keyed.moves()
    index, negated = np.empty_like(moves.index), np.empty_like(moves.negated)
    index[places] = places[moves.index]
    negated[places] = moves.negated
    return BytePermutation(shape, index, negated)


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
