"""A keyed stream of uniform bytes, and the unbiased permutations and bits drawn from it.

AES-256 in counter mode (NIST SP 800-38A) under a sub-key that serves one purpose only, so that the
zero counter it starts from is never used twice under one key.
"""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from he_compare.common.secrecy import KeptInProcess
from he_compare.common.types import Float64Array, IntArray, UInt8Array

WORD_BYTES = 8
# Counter mode encrypts zeros; a fixed piece of them spares a fresh one as large as the output.
_ZEROS = bytes(1 << 20)
# The library asks for room for one block less a byte behind the output.
_SLACK = 15


class Keystream(KeptInProcess):
    """Reads one stream from its start; two streams of one sub-key yield the same values."""

    def __init__(self, subkey: bytes) -> None:
        """``subkey``: 32 bytes that no other stream is made from."""
        counter = modes.CTR(bytes(16))
        self._encryptor = Cipher(algorithms.AES256(subkey), counter).encryptor()

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        return self._encryptor.update(bytes(count))

    def uint8(self, shape: tuple[int, ...]) -> UInt8Array:
        """Return the next uniform bytes as an array of ``shape``."""
        count = prod(shape)
        values = np.empty(count + _SLACK, np.uint8)
        for start in range(0, count, len(_ZEROS)):
            piece = _ZEROS[: min(len(_ZEROS), count - start)]
            self._encryptor.update_into(piece, values.data[start:])
        return values[:count].reshape(shape)

    def words(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint64]:
        """Return uniform 64-bit words, the same on every byte order."""
        raw = np.frombuffer(self.read(WORD_BYTES * prod(shape)), "<u8")
        return raw.astype(np.uint64).reshape(shape)

    def bits(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return fair bits."""
        count = prod(shape)
        packed = np.frombuffer(self.read((count + 7) // 8), np.uint8)
        return np.unpackbits(packed, count=count).reshape(shape).view(np.bool_)

    def half(self, size: int) -> npt.NDArray[np.bool_]:
        """Return a uniform choice of half of ``size`` elements (rounded down), as flags."""
        flags = np.zeros(size, np.bool_)
        flags[self.permutation(size)[: size // 2]] = True
        return flags

    def normals(self, shape: tuple[int, ...]) -> Float64Array:
        """Return independent standard normal values (Box and Muller, 1958) of 53-bit uniforms."""
        count = prod(shape)
        words = self.words((2, (count + 1) // 2))
        uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        radius, angle = np.sqrt(-2.0 * np.log(uniform[0])), 2.0 * np.pi * uniform[1]
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return cast(Float64Array, pairs[:count].reshape(shape))

    def permutation(self, size: int) -> IntArray:
        """Return a uniform permutation of ``size`` elements, int64 (size,)."""
        return self.permutations(1, size).reshape(size)

    def permutations(self, count: int, size: int) -> IntArray:
        """Return independent uniform permutations, int64 (count, size).

        Each row is the order that sorts ``size`` independent uniform words. Relabelling such words
        does not change their distribution, so given that they are distinct every order is equally
        likely: there is no modulo bias. A row in which two words agree is drawn again as a whole,
        which conditions on exactly that event.
        """
        order = np.empty((count, size), np.int64)
        pending = np.arange(count)
        while len(pending):
            words = self.words((len(pending), size))
            drawn = np.argsort(words, axis=1)
            ranked = np.take_along_axis(words, drawn, axis=1)
            tied = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
            order[pending[~tied]] = drawn[~tied]
            pending = pending[tied]
        return order
