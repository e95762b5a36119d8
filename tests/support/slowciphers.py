"""What ciphers are written again with, value by value: slow, and with no code of the engine."""

from __future__ import annotations

from typing import Any

from he_compare.block_scramble.cipher import Cipher, cipher_parameters, purpose_of
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.types import UInt8Array
from tests.support.smallciphers import KEY


class SlowStream:
    """A key stream as big integers and bits, read one after the other."""

    def __init__(self, key: ClientKey, *purpose: str) -> None:
        self._stream = key.stream(*purpose)

    def order(self, size: int) -> list[int]:
        """The order that sorts as many 64-bit numbers."""
        return self.orders(1, size)[0]

    def orders(self, count: int, size: int) -> list[list[int]]:
        """Several of them, from one piece of the stream."""
        data = self._stream.read(8 * count * size)
        words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
        rows = [words[r * size : (r + 1) * size] for r in range(count)]
        return [sorted(range(size), key=row.__getitem__) for row in rows]

    def bits(self, count: int) -> list[int]:
        """As many bits, the highest of a byte first."""
        data = self._stream.read(-(-count // 8))
        return [data[i // 8] >> (7 - i % 8) & 1 for i in range(count)]


def slow_stream(cipher: Cipher, options: dict[str, Any], shape: Any, name: str) -> SlowStream:
    """The stream that a cipher reads a part of its key from, under the key of the tests."""
    return SlowStream(
        KEY, *purpose_of(cipher.name, cipher_parameters(cipher, options), shape), name
    )


def corners(image: UInt8Array, side: int) -> list[tuple[int, int]]:
    """Upper left corners of the blocks of an image (h, w, ...), row by row."""
    height, width = image.shape[:2]
    return [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
