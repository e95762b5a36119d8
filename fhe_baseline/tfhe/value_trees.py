"""The structure of a serialised Concrete value or key set, read without Concrete.

Concrete serialises with Cap'n Proto (https://capnproto.org/encoding.html) and does not survive
every change of what it reads back. A value is a tree of structures and lists; all of it is fixed by
the circuit but the runs of bytes that hold numbers, whose lengths are fixed as well. So a receiver
has its library make a value of its own, and takes only messages of the same tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from he_compare.common.errors import MessageError

CAPNP_WORD_BYTES = 8
MOST_SEGMENTS = 512
MOST_DEPTH = 24
MOST_NODES = 20_000
# Kinds of pointers.
STRUCT, LIST, FAR = 0, 1, 2
# Sizes of a list's elements: bits by code; then pointers, and structures of one kind.
ELEMENT_BITS = (0, 1, 8, 16, 32, 64)
BYTE_LIST, POINTERS, COMPOSITE = 2, 6, 7
# Nested tuples of numbers and bytes; where bytes are numbers of ciphertexts, their count alone.
Tree: TypeAlias = "tuple[Tree | int | bytes | str, ...]"


def tree_of(message: bytes, what: str) -> Tree:
    """Return the structure of a serialised message, with the bytes of its payloads left out.

    Raises MessageError where a pointer leaves the message, where two parts lie in one place, and
    where it is no such message at all.
    """
    reader = _Reader(_segments(message, what), what)
    tree = reader.pointer(0, 0, 0)
    reader.require_apart()
    return tree


@dataclass(frozen=True)
class ValueForm:
    """What values of one place in a circuit are: as long as the sample, and of its tree."""

    length: int
    tree: Tree

    @classmethod
    def of(cls, sample: bytes) -> ValueForm:
        """Return the form of a value of this program's own making."""
        return cls(len(sample), tree_of(sample, "sample"))

    def check(self, message: bytes, what: str) -> None:
        """Refuse a message of any other structure. Raises MessageError."""
        if len(message) != self.length:
            raise MessageError(f"{what} of {len(message)} bytes, expected {self.length}")
        if tree_of(message, what) != self.tree:
            raise MessageError(f"{what} is not a ciphertext of this circuit")


def _segments(message: bytes, what: str) -> list[bytes]:
    """Take the message apart by the table of segments in front of it."""
    count = int.from_bytes(message[:4], "little") + 1
    table = 4 + 4 * count + (4 if count % 2 == 0 else 0)
    if not 1 <= count <= MOST_SEGMENTS or len(message) < table:
        raise MessageError(f"{what} of {len(message)} bytes is not a serialised value")
    sizes = [int.from_bytes(message[4 + 4 * i : 8 + 4 * i], "little") for i in range(count)]
    if table + CAPNP_WORD_BYTES * sum(sizes) != len(message):
        raise MessageError(f"{what} of {len(message)} bytes: its header says otherwise")
    segments, start = [], table
    for size in sizes:
        segments.append(message[start : start + CAPNP_WORD_BYTES * size])
        start += CAPNP_WORD_BYTES * size
    return segments


@dataclass
class _Reader:
    """Follows pointers from the root, within the segments and within limits.

    ``spans``: the segment, the first byte and the end of each part that was read.
    """

    segments: list[bytes]
    what: str
    nodes: int = field(default=0)
    spans: list[tuple[int, int, int]] = field(default_factory=list)

    def require_apart(self) -> None:
        """Refuse a message of which something is read twice: a payload moved over a pointer."""
        ordered = sorted(self.spans)
        for (segment, _, end), (following, start, _) in pairwise(ordered):
            if segment == following and start < end:
                raise MessageError(f"{self.what} has two parts in one place")

    def pointer(self, segment: int, word: int, depth: int) -> Tree:
        """Return the tree behind the pointer at a word of a segment."""
        self.nodes += 1
        if depth > MOST_DEPTH or self.nodes > MOST_NODES:
            raise MessageError(f"{self.what} is nested too deeply, or has too many parts")
        value = self._word(segment, word)
        if not value:
            return ()
        if value & 3 == FAR:
            segment, word, value = self._landed(value)
        target = word + 1 + _signed(value >> 2 & (1 << 30) - 1)
        if value & 3 == STRUCT:
            sizes = value >> 32 & 0xFFFF, value >> 48
            return ("structure", *self._structure(segment, target, *sizes, depth))
        if value & 3 == LIST:
            return self._list(segment, target, value >> 32 & 7, value >> 35, depth)
        raise MessageError(f"{self.what} holds a pointer of an unknown kind")

    def _landed(self, value: int) -> tuple[int, int, int]:
        """Follow a far pointer: to a pointer in another segment, or to two words that make one."""
        double, word, segment = value >> 2 & 1, value >> 3 & (1 << 29) - 1, value >> 32
        landing = self._word(segment, word)
        if not double:
            if landing & 3 == FAR:
                raise MessageError(f"{self.what} holds a far pointer to another one")
            return segment, word, landing
        if landing & 7 != FAR:
            raise MessageError(f"{self.what} holds a far pointer that lands nowhere")
        tag = self._word(segment, word + 1)
        # The tag has the sizes, the landing the place: an offset of zero from just before it.
        return landing >> 32, (landing >> 3 & (1 << 29) - 1) - 1, tag & ~(((1 << 30) - 1) << 2)

    def _structure(
        self, segment: int, start: int, data: int, pointers: int, depth: int
    ) -> tuple[Tree | bytes, ...]:
        """Return the numbers of a structure, then what its pointers lead to."""
        numbers = self._bytes(segment, start, CAPNP_WORD_BYTES * data)
        places = range(start + data, start + data + pointers)
        return numbers, *(self.pointer(segment, place, depth + 1) for place in places)

    def _list(self, segment: int, start: int, code: int, count: int, depth: int) -> Tree:
        if code == COMPOSITE:
            return self._structures(segment, start, count, depth)
        if code == POINTERS:
            if count > MOST_NODES:
                raise MessageError(f"{self.what} has a list of {count} parts")
            places = range(start, start + count)
            return ("list", *(self.pointer(segment, place, depth + 1) for place in places))
        size = (count * ELEMENT_BITS[code] + 7) // 8
        if code == BYTE_LIST:
            self._check(segment, start, size)
            return ("bytes", count)
        return ("numbers", code, count, self._bytes(segment, start, size))

    def _structures(self, segment: int, start: int, words: int, depth: int) -> Tree:
        """Return a list of structures of one kind; a word in front of them says how many."""
        tag = self._word(segment, start)
        count, data, pointers = tag >> 2 & (1 << 30) - 1, tag >> 32 & 0xFFFF, tag >> 48
        if tag & 3 != STRUCT or count > MOST_NODES or count * (data + pointers) != words:
            raise MessageError(f"{self.what} has a list that is not as long as it says")
        self.nodes += count
        step = data + pointers
        places = [start + 1 + step * number for number in range(count)]
        return (
            "structures",
            *(self._structure(segment, place, data, pointers, depth) for place in places),
        )

    def _word(self, segment: int, word: int) -> int:
        return int.from_bytes(self._bytes(segment, word, CAPNP_WORD_BYTES), "little")

    def _bytes(self, segment: int, word: int, count: int) -> bytes:
        """Return bytes from a word of a segment on. Raises MessageError where they leave it."""
        self._check(segment, word, count)
        return self.segments[segment][CAPNP_WORD_BYTES * word : CAPNP_WORD_BYTES * word + count]

    def _check(self, segment: int, word: int, count: int) -> None:
        if not 0 <= segment < len(self.segments):
            raise MessageError(f"{self.what} points to a segment that it does not have")
        if word < 0 or CAPNP_WORD_BYTES * word + count > len(self.segments[segment]):
            raise MessageError(f"{self.what} points out of itself")
        if count:
            start = CAPNP_WORD_BYTES * word
            self.spans.append((segment, start, start + count))


def _signed(value: int) -> int:
    """Return a number of 30 bits with its sign."""
    return value - (1 << 30) if value >> 29 else value
