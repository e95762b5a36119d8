"""Geometry of blocks: which patches fit an image, where their values lie, how to pad to whole ones.

Flat positions count the values of one image in the order row, column, channel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.block_scramble.engine.shapes import ImageShape, check_shape
from he_compare.common.errors import UsageError
from he_compare.common.types import IndexArray, IntArray, UInt8Array

# A square has eight rotations and mirrorings.
SYMMETRY_BITS = 3


def check_patch(shape: ImageShape, patch: int) -> None:
    """Raise UsageError unless square patches of ``patch`` pixels tile the image."""
    check_shape(shape)
    if not shape.height % patch and not shape.width % patch:
        return
    size = f"{shape.height} x {shape.width}"
    fitting = [
        side
        for side in range(2, min(shape.height, shape.width) + 1)
        if shape.height % side == 0 and shape.width % side == 0
    ]
    known = "patches that do: " + ", ".join(map(str, fitting)) if fitting else "no patch does"
    if patch > min(shape.height, shape.width):
        problem = f"a {size} image is smaller than a block of {patch} pixels"
        raise UsageError(problem, fix=known.replace("that do", "that fit"))
    raise UsageError(f"patch {patch} does not divide a {size} image", fix=known)


def block_grid(shape: ImageShape, patch: int) -> tuple[int, int]:
    """Return the number of blocks of an image and the number of values in each."""
    return block_count(shape, patch), block_values(shape, patch)


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


def symmetries(side: int) -> IntArray:
    """Return the eight rotations and mirrorings of a square as orders of its pixels, (8, m*m)."""
    places = np.arange(side * side).reshape(side, side)
    turned = [np.rot90(face, turns) for face in (places, places.T) for turns in range(4)]
    return np.stack([face.ravel() for face in turned])


@lru_cache(maxsize=8)
def block_positions(shape: ImageShape, patch: int) -> IndexArray:
    """Return flat positions by block, (blocks, values), in the order row, column, channel."""
    rows, columns = shape.height // patch, shape.width // patch
    flat = np.arange(shape.height * shape.width * shape.channels, dtype=np.intp)
    grid = flat.reshape(rows, patch, columns, patch, shape.channels).transpose(0, 2, 1, 3, 4)
    positions = grid.reshape(rows * columns, -1)
    positions.flags.writeable = False
    return positions


def planar_positions(shape: ImageShape) -> IndexArray:
    """Return flat positions in the order channel, row, column: where planes keep their values."""
    flat = np.arange(shape.height * shape.width * shape.channels, dtype=np.intp)
    return flat.reshape(shape).transpose(2, 0, 1).reshape(-1)


def unblocked(values: npt.NDArray[Any], shape: ImageShape, patch: int) -> npt.NDArray[Any]:
    """Lay values by block, (blocks, values of a block), out flat in the order of the image.

    The same as ``flat[block_positions(shape, patch)] = values``, without moving them one by one.
    """
    rows, columns = shape.height // patch, shape.width // patch
    grid = values.reshape(rows, columns, patch, patch, shape.channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1)


def padded_shape(shape: ImageShape, patch: int) -> ImageShape:
    """Return the smallest shape that patches tile and the image fits in."""
    check_shape(shape)
    height, width = (-(-side // patch) * patch for side in shape[:2])
    return ImageShape(height, width, shape.channels)


def pad(images: UInt8Array, patch: int) -> UInt8Array:
    """Extend uint8 (n, h, w, c) to whole patches: last row and column are repeated.

    For images of any size outside a model. The ciphertext then shows how large a padded image is;
    who decrypts has to be told the size it had (``crop``).
    """
    shape = ImageShape(*images.shape[1:])
    whole = padded_shape(shape, patch)
    below, right = whole.height - shape.height, whole.width - shape.width
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")


def crop(images: UInt8Array, shape: ImageShape) -> UInt8Array:
    """Undo ``pad``: keep the top left part of uint8 (n, h, w, c) that has this shape."""
    return np.ascontiguousarray(images[:, : shape.height, : shape.width])
