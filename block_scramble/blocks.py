"""Block-and-pixel permutations with sign flips, done as one gather a batch.

The common engine of the ciphers that move whole blocks, move values inside blocks and replace v by
255 - v: key material becomes one flat index over all values of an image and one XOR mask, since
255 - v equals v XOR 255 for bytes.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from block_scramble.cipher import ImageShape, PatchAffine, check_images, check_shape
from common.errors import UsageError
from common.types import IntArray, UInt8Array

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]


def check_patch(shape: ImageShape, patch: int) -> None:
    """Raise UsageError unless square patches of ``patch`` pixels tile the image."""
    check_shape(shape)
    if shape.height % patch or shape.width % patch:
        fitting = [
            side
            for side in range(2, min(shape.height, shape.width) + 1)
            if shape.height % side == 0 and shape.width % side == 0
        ]
        size = f"{shape.height} x {shape.width}"
        known = "patches that do: " + ", ".join(map(str, fitting)) if fitting else "no patch does"
        raise UsageError(f"patch {patch} does not divide a {size} image", fix=known)


def block_count(shape: ImageShape, patch: int) -> int:
    """Return the number of blocks of an image."""
    return (shape.height // patch) * (shape.width // patch)


def block_values(shape: ImageShape, patch: int) -> int:
    """Return the number of values in a block, all channels."""
    return patch * patch * shape.channels


def value_order_of_pixels(pixel_order: IntArray, channels: int) -> IntArray:
    """Turn orders of whole pixels, (k, m*m), into orders of values, (k, m*m*channels)."""
    offsets = np.arange(channels)
    return (pixel_order[:, :, None] * channels + offsets).reshape(len(pixel_order), -1)


@lru_cache(maxsize=8)
def block_positions(shape: ImageShape, patch: int) -> IndexArray:
    """Return flat positions by block, (blocks, values), in the order row, column, channel."""
    rows, columns = shape.height // patch, shape.width // patch
    flat = np.arange(shape.height * shape.width * shape.channels, dtype=np.intp)
    grid = flat.reshape(rows, patch, columns, patch, shape.channels).transpose(0, 2, 1, 3, 4)
    positions = grid.reshape(rows * columns, -1)
    positions.flags.writeable = False
    return positions


def gather(images: UInt8Array, index: IndexArray, mask: UInt8Array | None) -> UInt8Array:
    """Return ``images`` with flat value k of each taken from ``index[k]``, XORed with ``mask[k]``.

    ``images``: uint8 (n, h, w, c). Where the batch is the fastest axis in memory (a transposed
    (h, w, c, n) array) whole rows are moved, several times as fast; the result has that layout too.
    ``index`` must be in range: it is not checked value by value.
    """
    n, height, width, channels = images.shape
    rows = images.transpose(1, 2, 3, 0)
    if n > 1 and rows.flags.c_contiguous:
        moved = np.take(rows.reshape(len(index), n), index, axis=0, mode="clip")
        if mask is not None:
            np.bitwise_xor(moved, mask[:, None], out=moved)
        return cast(UInt8Array, moved.reshape(height, width, channels, n).transpose(3, 0, 1, 2))
    flat = np.ascontiguousarray(images).reshape(n, len(index))
    moved = np.take(flat, index, axis=1, mode="clip")
    if mask is not None:
        np.bitwise_xor(moved, mask, out=moved)
    return cast(UInt8Array, moved.reshape(images.shape))


class KeyedBlocks:
    """Values are permuted and negated inside each block, then the blocks are permuted.

    ``block_order``: (blocks,), ciphertext block b is plain block ``block_order[b]``.
    ``value_order``, ``negated``: (1 or blocks, values), of the plain block they belong to; one row
    serves all blocks. ``negated`` None: nothing is negated.
    """

    def __init__(
        self,
        shape: ImageShape,
        patch: int,
        block_order: IntArray,
        value_order: IntArray,
        negated: BoolArray | None,
    ) -> None:
        check_patch(shape, patch)
        self.shape = shape
        self.patch = patch
        self._block_order = block_order
        self._value_order = value_order
        self._negated = negated
        positions = block_positions(shape, patch)
        index = np.empty(positions.size, np.intp)
        index[positions] = positions[block_order[:, None], self._by_block(value_order)]
        self._index = index
        self._mask: UInt8Array | None = None
        if negated is not None:
            mask = np.empty(positions.size, np.uint8)
            mask[positions] = np.where(self._by_block(negated), np.uint8(255), np.uint8(0))
            self._mask = mask

    def _by_block(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows in the order of ciphertext blocks; a single shared row is left to broadcasting."""
        return rows if len(rows) == 1 else rows[self._block_order]

    @cached_property
    def _inverse(self) -> tuple[IndexArray, UInt8Array | None]:
        inverse = np.empty_like(self._index)
        inverse[self._index] = np.arange(len(self._index))
        return inverse, None if self._mask is None else self._mask[inverse]

    def encrypt(self, images: UInt8Array) -> UInt8Array:
        """Encrypt uint8 (n, h, w, c) to the same shape. Raises UsageError on another shape."""
        check_images(images, self.shape)
        return gather(images, self._index, self._mask)

    def decrypt(self, ciphertexts: UInt8Array) -> UInt8Array:
        """Invert ``encrypt`` exactly. Raises UsageError on another shape."""
        check_images(ciphertexts, self.shape)
        return gather(ciphertexts, *self._inverse)

    def affine_embedding(self, patch: int) -> PatchAffine:
        """Describe the key to a model. Raises UsageError where one embedding cannot absorb it."""
        if patch != self.patch:
            raise UsageError(
                f"blocks of {self.patch} pixels do not fit a model with patches of {patch}",
                fix=f"pass patch={patch}",
            )
        if len(self._value_order) > 1:
            raise UsageError(
                "every block has a pixel key of its own, one shared patch embedding cannot "
                "absorb them",
                fix="pass shared_pixel_key=true or mode=trained",
            )
        values = block_values(self.shape, self.patch)
        negated = np.zeros(values, np.bool_) if self._negated is None else self._negated[0]
        return PatchAffine(patch, self._block_order, self._value_order[0], negated)
