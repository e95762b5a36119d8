"""Images cut into square blocks and put together again, and the symmetries an attack cannot tell.

A ciphertext-only attack finds a picture up to the eight symmetries of the square and, where values
may have been negated, up to 255 - v everywhere.
"""

from __future__ import annotations

import numpy as np

from common.types import UInt8Array


def cut(images: UInt8Array, patch: int) -> UInt8Array:
    """Cut uint8 (n, h, w, c) into blocks: (n, blocks, patch * patch * c), row by row."""
    count, height, width, channels = images.shape
    rows, columns = height // patch, width // patch
    grid = images.reshape(count, rows, patch, columns, patch, channels)
    flat = grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * columns, -1)
    return np.ascontiguousarray(flat)


def join(blocks: UInt8Array, rows: int, columns: int, channels: int) -> UInt8Array:
    """Undo ``cut``: (n, rows * columns, m * m * channels) to (n, rows * m, columns * m, channels).

    Blocks need not be as wide as high in number, but their pixels form a square.
    """
    count = len(blocks)
    patch = round((blocks.shape[2] // channels) ** 0.5)
    grid = blocks.reshape(count, rows, columns, patch, patch, channels)
    whole = grid.transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(whole.reshape(count, rows * patch, columns * patch, channels))


def symmetric(images: UInt8Array, symmetry: int) -> UInt8Array:
    """Apply symmetry 0 to 7 to images (n, h, w, ...): ``symmetry % 4`` quarter turns, and for 4 to
    7 rows and columns exchanged first."""
    turned = images.swapaxes(1, 2) if symmetry >= 4 else images
    return np.rot90(turned, symmetry % 4, axes=(1, 2))
