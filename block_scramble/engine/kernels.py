"""Compiled inner loops that move bytes or nibbles: one image, eight side by side, or whole rows.

The work of ``engine.gather``, compiled by numba when this module is imported and kept beside
it afterwards (``docs/adr/0009-compiled-moves.md``). Indices are trusted: whoever calls has checked
that they are in range. A byte is addressed by its place, a nibble by twice that, plus one if high.

Eight images are turned into words of eight bytes, byte i of a word from image i, so that one load,
one store and one index move eight bytes. An image is then a row of 64-bit words of neighbouring
bytes, and transposing 8 x 8 bytes of eight rows takes three rounds of masked exchanges (Warren,
Hacker's Delight, 7-3), which the compiler turns into vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit, types

from he_compare.block_scramble.engine.words import LANES, UInt32Array
from he_compare.common.types import UInt8Array

WordArray = npt.NDArray[np.uint64]
Word: TypeAlias = np.uint64

# Words of each image that are merged at a time: two tiles stay in a core's own cache.
TILE = 384

_ODD_BYTES = np.uint64(0x00FF00FF00FF00FF)
_ODD_PAIRS = np.uint64(0x0000FFFF0000FFFF)
_ODD_FOURS = np.uint64(0x00000000FFFFFFFF)
_LOW_HALVES = np.uint64(0x0F0F0F0F0F0F0F0F)
_ONE, _TWO, _FOUR = np.uint64(1), np.uint64(2), np.uint64(4)
_8, _16, _32 = np.uint64(8), np.uint64(16), np.uint64(32)


def _given(kind: Any, dimensions: int) -> Any:
    """A contiguous input, which may be read-only."""
    return types.Array(kind, dimensions, "C", readonly=True)


_IMAGES, _RESULTS = _given(types.uint8, 2), types.uint8[:, ::1]
_MASK = _given(types.uint8, 1)
_ON_BYTES = types.void(_IMAGES, _given(types.uint32, 2), _MASK, _RESULTS)
_ON_WORDS = types.void(
    _given(types.uint64, 2),
    _given(types.uint32, 3),
    _given(types.uint64, 1),
    types.uint64[:, ::1],
)


_inner: Callable[[Any], Any] = njit(boundscheck=False)


def _compiled(signature: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        try:
            return njit(signature, cache=True, nogil=True, boundscheck=False)(function)
        except RuntimeError as error:
            # No folder to keep compiled code in, say a read-only one and no home.
            if "cannot cache" not in str(error):
                raise
            return njit(signature, nogil=True, boundscheck=False)(function)

    return decorate


@_inner
def _exchange(x: Word, y: Word, shift: Word, mask: Word) -> tuple[Word, Word]:
    changed = ((x >> shift) ^ y) & mask
    return x ^ (changed << shift), y ^ changed


@_inner
def _transposed(
    a: Word, b: Word, c: Word, d: Word, e: Word, f: Word, g: Word, h: Word
) -> tuple[Word, ...]:
    """Transpose 8 x 8 bytes: byte j of word i changes places with byte i of word j."""
    a, b = _exchange(a, b, _8, _ODD_BYTES)
    c, d = _exchange(c, d, _8, _ODD_BYTES)
    e, f = _exchange(e, f, _8, _ODD_BYTES)
    g, h = _exchange(g, h, _8, _ODD_BYTES)
    a, c = _exchange(a, c, _16, _ODD_PAIRS)
    b, d = _exchange(b, d, _16, _ODD_PAIRS)
    e, g = _exchange(e, g, _16, _ODD_PAIRS)
    f, h = _exchange(f, h, _16, _ODD_PAIRS)
    a, e = _exchange(a, e, _32, _ODD_FOURS)
    b, f = _exchange(b, f, _32, _ODD_FOURS)
    c, g = _exchange(c, g, _32, _ODD_FOURS)
    d, h = _exchange(d, h, _32, _ODD_FOURS)
    return a, b, c, d, e, f, g, h


@_inner
def _transpose_rows(rows: WordArray, result: WordArray, count: int) -> None:
    """Transpose words 0..count-1 of eight rows.

    ``result`` must not be ``rows``: where they overlap the compiled loop is not a vector loop.
    """
    a, b, c, d = rows[0], rows[1], rows[2], rows[3]
    e, f, g, h = rows[4], rows[5], rows[6], rows[7]
    p, q, r, s = result[0], result[1], result[2], result[3]
    t, u, v, w = result[4], result[5], result[6], result[7]
    for k in range(count):
        p[k], q[k], r[k], s[k], t[k], u[k], v[k], w[k] = _transposed(
            a[k], b[k], c[k], d[k], e[k], f[k], g[k], h[k]
        )


@_inner
def _merge(
    tile: WordArray,
    merged: WordArray,
    mask: WordArray,
    results: WordArray,
    start: int,
    count: int,
) -> None:
    """Turn words of eight images back into eight rows and XOR them."""
    _transpose_rows(tile, merged, count)
    masked = mask[start : start + count]
    for lane in range(LANES):
        words, row = merged[lane], results[lane, start : start + count]
        for k in range(count):
            row[k] = words[k] ^ masked[k]


@_inner
def _half(words: WordArray, nibble: np.uint32) -> Word:
    place = np.uint64(nibble)
    word: Word = words[place >> _ONE] >> ((place & _ONE) << _TWO)
    return word & _LOW_HALVES


@_compiled(_ON_WORDS)
def _bytes_of_eight(
    images: WordArray, index: UInt32Array, mask: WordArray, results: WordArray
) -> None:
    count, width = images.shape
    spread, tile = np.empty((LANES, width), np.uint64), np.empty((LANES, TILE), np.uint64)
    words, merged = spread.reshape(-1), np.empty_like(tile)
    for first in range(0, count, LANES):
        _transpose_rows(images[first : first + LANES], spread, width)
        for start in range(0, width, TILE):
            piece = min(TILE, width - start)
            for lane in range(LANES):
                sources, row = index[0, lane, start : start + piece], tile[lane]
                for k in range(piece):
                    row[k] = words[sources[k]]
            _merge(tile, merged, mask, results[first : first + LANES], start, piece)


@_compiled(_ON_WORDS)
def _nibbles_of_eight(
    images: WordArray, index: UInt32Array, mask: WordArray, results: WordArray
) -> None:
    count, width = images.shape
    spread, tile = np.empty((LANES, width), np.uint64), np.empty((LANES, TILE), np.uint64)
    words, merged = spread.reshape(-1), np.empty_like(tile)
    for first in range(0, count, LANES):
        _transpose_rows(images[first : first + LANES], spread, width)
        for start in range(0, width, TILE):
            piece = min(TILE, width - start)
            for lane in range(LANES):
                low, high = index[0, lane, start : start + piece], index[1, lane, start:]
                row = tile[lane]
                for k in range(piece):
                    row[k] = _half(words, low[k]) | (_half(words, high[k]) << _FOUR)
            _merge(tile, merged, mask, results[first : first + LANES], start, piece)


@_compiled(_ON_BYTES)
def _bytes_of_one(
    images: UInt8Array, index: UInt32Array, mask: UInt8Array, results: UInt8Array
) -> None:
    for i in range(len(images)):
        image, result, sources = images[i], results[i], index[0]
        for k in range(mask.size):
            result[k] = image[sources[k]]
        for k in range(mask.size):
            result[k] ^= mask[k]


@_compiled(_ON_BYTES)
def _nibbles_of_one(
    images: UInt8Array, index: UInt32Array, mask: UInt8Array, results: UInt8Array
) -> None:
    halves, low, high = np.empty(2 * mask.size, np.uint8), index[0], index[1]
    for i in range(len(images)):
        image, result = images[i], results[i]
        for k in range(mask.size):
            halves[2 * k], halves[2 * k + 1] = image[k] & 15, image[k] >> 4
        for k in range(mask.size):
            result[k] = halves[low[k]] | (halves[high[k]] << 4)
        for k in range(mask.size):
            result[k] ^= mask[k]


@_compiled(_ON_BYTES)
def _rows_of_bytes(
    rows: UInt8Array, index: UInt32Array, mask: UInt8Array, results: UInt8Array
) -> None:
    for k in range(mask.size):
        source, result, flips = rows[index[0, k]], results[k], mask[k]
        for i in range(source.size):
            result[i] = source[i] ^ flips


@_compiled(_ON_BYTES)
def _rows_of_nibbles(
    rows: UInt8Array, index: UInt32Array, mask: UInt8Array, results: UInt8Array
) -> None:
    for k in range(mask.size):
        low, high, flips = np.uint64(index[0, k]), np.uint64(index[1, k]), mask[k]
        lower, upper = rows[low >> _ONE], rows[high >> _ONE]
        down, up = np.uint8((low & _ONE) << _TWO), np.uint8((high & _ONE) << _TWO)
        result = results[k]
        for i in range(lower.size):
            half = (lower[i] >> down) & np.uint8(15)
            result[i] = (half | np.uint8((upper[i] >> up) << np.uint8(4))) ^ flips


class Kernels(NamedTuple):
    """Each takes images, index, XOR mask and the array for the result, and returns nothing.

    ``one``: uint8 (n, size), uint32 (1 or 2, size), uint8 (size,). ``rows``: the same with the
    batch as the last axis, (size, n). ``eight``: n divisible by eight, all in words of eight bytes:
    uint64 (n, size / 8), uint32 (1 or 2, 8, size / 8) as ``by_eight`` makes it, uint64 (size / 8,).
    """

    one: Any
    eight: Any
    rows: Any


BYTES = Kernels(_bytes_of_one, _bytes_of_eight, _rows_of_bytes)
NIBBLES = Kernels(_nibbles_of_one, _nibbles_of_eight, _rows_of_nibbles)
