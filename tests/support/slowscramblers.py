"""The ciphers again, written from their descriptions as plain loops over blocks and pixels.

Nothing of ``block_scramble`` is called: these stand for scramblers of somebody else. Every function
takes one image (h, w, c) of bytes and a generator that is the key: the same seed scrambles the same
way. ``under`` scrambles a stack of images, under one key or under a key for each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from he_compare.common.types import IntArray, UInt8Array

Key: TypeAlias = np.random.Generator
Scrambler: TypeAlias = Callable[[UInt8Array, int, Key], UInt8Array]


def under(
    scrambler: Scrambler, images: UInt8Array, patch: int, seed: int, *, per_image: bool = False
) -> UInt8Array:
    """Scramble images (n, h, w, c), each under a key of its own where ``per_image``."""
    keys = [np.random.default_rng([seed, i if per_image else 0]) for i in range(len(images))]
    return np.stack([scrambler(image, patch, key) for image, key in zip(images, keys, strict=True)])


def shf(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Permute the values of every block by one permutation; blocks stay."""
    order = key.permutation(patch * patch * image.shape[2])
    return _each_block(image, patch, lambda values, number: values[order])


def negate(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Replace the same half of the values of every block by 255 - v."""
    chosen = _half(patch * patch * image.shape[2], key)

    def one(values: UInt8Array, number: int) -> UInt8Array:
        return np.where(chosen, 255 - values, values).astype(np.uint8)

    return _each_block(image, patch, one)


def ffx(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Replace the same half of the values of every block through one table of 256 values."""
    chosen = _half(patch * patch * image.shape[2], key)
    table = key.permutation(256).astype(np.uint8)
    return _each_block(image, patch, lambda values, number: np.where(chosen, table[values], values))


def vit_block(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Permute the values of every block by one permutation, then permute the blocks."""
    return _moved(shf(image, patch, key), patch, key)


def al_amin(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Permute the values of every block by a permutation of its own, then permute the blocks."""
    orders = [key.permutation(patch * patch * image.shape[2]) for _ in _corners(image, patch)]
    shuffled = _each_block(image, patch, lambda values, number: values[orders[number]])
    return _moved(shuffled, patch, key)


def moved_only(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Permute the blocks; their insides stay."""
    return _moved(image, patch, key)


def shuffled_and_negated(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Negate half of the values of every block, permute them, permute the blocks."""
    return vit_block(negate(image, patch, key), patch, key)


def etc(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Permute the blocks; turn, mirror, negate and recolour each by choices of its own."""
    out = _moved(image, patch, key)
    for top, left in _corners(image, patch):
        block = out[top : top + patch, left : left + patch]
        block = np.rot90(block, int(key.integers(4)))
        if key.integers(2):
            block = block[:, ::-1]
        if key.integers(2):
            block = 255 - block
        out[top : top + patch, left : left + patch] = block[:, :, key.permutation(image.shape[2])]
    return out


def pixel_np(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Negate each value by a bit of its own, and order the colours of each pixel anew."""
    out = image.copy()
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            values = image[row, column]
            values = np.where(key.integers(0, 2, len(values)), 255 - values, values)
            out[row, column] = values[key.permutation(len(values))]
    return out


def tanaka_le(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """Split every block into low and high nibbles, negate and permute those, merge them."""
    nibbles = 2 * patch * patch * image.shape[2]
    negated, order = key.integers(0, 2, nibbles), key.permutation(nibbles)
    return _each_block(image, patch, lambda values, number: _nibbles(values, negated, order))


def madono_ele(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    """The same with a key for every block, then permute the blocks."""
    nibbles = 2 * patch * patch * image.shape[2]
    keys = [(key.integers(0, 2, nibbles), key.permutation(nibbles)) for _ in _corners(image, patch)]
    scrambled = _each_block(image, patch, lambda values, number: _nibbles(values, *keys[number]))
    return _moved(scrambled, patch, key)


def _nibbles(values: UInt8Array, negated: IntArray, order: IntArray) -> UInt8Array:
    halves = [int(value) % 16 for value in values] + [int(value) // 16 for value in values]
    turned = [15 - half if flip else half for half, flip in zip(halves, negated, strict=True)]
    placed = [turned[place] for place in order]
    count = len(values)
    return np.array([placed[i] + 16 * placed[count + i] for i in range(count)], dtype=np.uint8)


def _half(count: int, key: Key) -> IntArray:
    chosen = np.zeros(count, dtype=np.int64)
    chosen[key.permutation(count)[: count // 2]] = 1
    return chosen


def _corners(image: UInt8Array, patch: int) -> Iterator[tuple[int, int]]:
    for top in range(0, image.shape[0], patch):
        for left in range(0, image.shape[1], patch):
            yield top, left


def _each_block(
    image: UInt8Array, patch: int, change: Callable[[UInt8Array, int], UInt8Array]
) -> UInt8Array:
    out = image.copy()
    for number, (top, left) in enumerate(_corners(image, patch)):
        values = image[top : top + patch, left : left + patch].ravel()
        changed = change(values, number).reshape(patch, patch, image.shape[2])
        out[top : top + patch, left : left + patch] = changed
    return out


def _moved(image: UInt8Array, patch: int, key: Key) -> UInt8Array:
    out = image.copy()
    corners = list(_corners(image, patch))
    for (top, left), place in zip(corners, key.permutation(len(corners)), strict=True):
        above, beside = corners[int(place)]
        out[top : top + patch, left : left + patch] = image[
            above : above + patch, beside : beside + patch
        ]
    return out
