"""Hostile messages made from good ones: cut, flipped, spliced, with other numbers in other places.

``hostile`` draws a change and the layer that it is made in: the bytes as they are, the header of a
packed message, JSON in it or in a value of it, a packed array, a member of an archive, or a SEAL
object whose content is inflated, edited and stored again. Everything follows from the random
generator alone, so that a seed repeats a message.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tools.soak import hostile_layers as layers

Random = np.random.Generator
Change = Callable[[bytes, Random, Sequence[bytes]], bytes]

HEAD_BYTES, TAIL_BYTES = 200, 100
# What a length or a count is replaced by, besides small changes of it.
EXTREMES = (0, 1, 2, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62)
FULL_WORDS = (1 << 63, (1 << 64) - 1, (1 << 64) - 8)
MAX_SPLICE = 1 << 16


def hostile(good: bytes, random: Random, others: Sequence[bytes] = ()) -> tuple[str, bytes]:
    """Return what was done, in words, and a changed message; ``others``: good ones to mix in.

    The result may by chance be the message itself.
    """
    outer = layers.layer_of(good)
    if outer is not None and random.random() < 0.6:
        found = outer.changed(good, random, others, hostile)
        if found is not None:
            return found
    name = str(random.choice(list(CHANGES)))
    return name, CHANGES[name](good, random, others)


def flipped(good: bytes, random: Random) -> bytes:
    """Return the message with exactly one bit flipped, half of them near its beginning or end."""
    if not good:
        return good
    length = len(good)
    near = int(random.integers(4))
    if near == 0:
        place = int(random.integers(min(length, HEAD_BYTES)))
    elif near == 1:
        place = length - 1 - int(random.integers(min(length, TAIL_BYTES)))
    else:
        place = int(random.integers(length))
    changed = bytearray(good)
    changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _cut(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    if random.random() < 0.3:
        return good[: int(random.choice([0, 1, 4, 7, 8, 9, 15, 16, 17, 100]))]
    return good[: int(random.integers(len(good) + 1))]


def _beheaded(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return good[int(random.integers(min(len(good), HEAD_BYTES) + 1)) :]


def _appended(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return good + random.bytes(int(random.integers(1, 64)))


def _replaced_bytes(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(good)
    for _ in range(int(random.integers(1, 9))):
        if changed:
            changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed)


def _filled(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, count = _stretch(good, random)
    return good[:start] + bytes([int(random.choice([0, 255]))]) * count + good[start + count :]


def _removed(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, count = _stretch(good, random)
    return good[:start] + good[start + count :]


def _repeated(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    start, count = _stretch(good, random)
    return good[: start + count] + good[start:]


def _spliced(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Put the end of another message, or of this one, after the beginning of this one."""
    other = others[int(random.integers(len(others)))] if others else good
    here = int(random.integers(len(good) + 1))
    there = here if random.random() < 0.5 else int(random.integers(len(other) + 1))
    return good[:here] + other[min(there, len(other)) :]


def _number(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Overwrite a 4 or 8 byte number near the beginning, or anywhere, with an extreme one."""
    width = int(random.choice([4, 8]))
    reach = min(len(good), HEAD_BYTES if random.random() < 0.7 else len(good)) - width
    if reach < 0:
        return good
    place = int(random.integers(reach + 1))
    if random.random() < 0.7:
        place -= place % width
    old = int.from_bytes(good[place : place + width], "little")
    choices = [*EXTREMES, *FULL_WORDS, old + 1, old - 1, old * 2, old + 8, old - 8]
    new = int(choices[int(random.integers(len(choices)))]) % (1 << 8 * width)
    return good[:place] + new.to_bytes(width, "little") + good[place + width :]


def _noise(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return random.bytes(int(random.integers(min(2 * len(good), MAX_SPLICE) + 1)))


def _another(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return others[int(random.integers(len(others)))] if others else b""


def _deep(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """JSON that nests deeper than any parser's stack, alone or as a packed message's header."""
    text = (b"[" if random.random() < 0.5 else b'{"a":') * int(random.choice([500, 5000, 100_000]))
    return struct.pack("<Q", len(text)) + text if random.random() < 0.5 else text


def _null_metadata(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    values: list[Any] = [None, [], "text", 7, {"a": None}, {"a": {}}]
    text = json.dumps({"__metadata__": values[int(random.integers(len(values)))]}).encode()
    return struct.pack("<Q", len(text)) + text


def _flip(good: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return flipped(good, random)


def _stretch(good: bytes, random: Random) -> tuple[int, int]:
    """Return where a stretch begins and how long it is: mostly short."""
    if not good:
        return 0, 0
    start = int(random.integers(len(good)))
    longest = min(len(good) - start, MAX_SPLICE)
    return start, max(1, int(longest * random.random() ** 4))


CHANGES: dict[str, Change] = {
    "cut": _cut,
    "beginning cut off": _beheaded,
    "bytes appended": _appended,
    "one bit flipped": _flip,
    "bytes replaced": _replaced_bytes,
    "a stretch filled": _filled,
    "a stretch removed": _removed,
    "a stretch repeated": _repeated,
    "spliced": _spliced,
    "a number replaced": _number,
    "noise": _noise,
    "another message": _another,
    "deep nesting": _deep,
    "metadata that is no table of texts": _null_metadata,
}
