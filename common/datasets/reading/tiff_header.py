"""What the first directory of a TIFF or BigTIFF file says, read before any library decodes it.

Source: TIFF 6.0 (Adobe, 1992) and the BigTIFF design (libtiff). Sizes that a header claims are
checked here, so that nothing is allocated for a number that somebody made up.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

MAX_TAGS = 4096
MAX_TAG_BYTES = 1 << 26
MAX_DIRECTORIES = 1000
MAX_VALUES = 64

_SIZES = dict(
    zip(range(1, 19), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8), strict=True)
)
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
NEW_SUBFILE, OLD_SUBFILE, WIDTH, LENGTH, SAMPLE_BITS, COMPRESSION = 254, 255, 256, 257, 258, 259
PHOTOMETRIC, STRIPS, SAMPLES, ROWS, PLANAR = 262, 273, 277, 278, 284
TILE_WIDTH, TILE_LENGTH, TILES, SAMPLE_FORMAT = 322, 323, 324, 339
_WANTED = frozenset(
    {
        NEW_SUBFILE,
        OLD_SUBFILE,
        WIDTH,
        LENGTH,
        SAMPLE_BITS,
        COMPRESSION,
        PHOTOMETRIC,
        STRIPS,
        SAMPLES,
    }
    | {SAMPLES, ROWS, PLANAR, TILE_WIDTH, TILE_LENGTH, TILES, SAMPLE_FORMAT}
)
_OF_PIECES = (STRIPS, TILES)
SEPARATE = 2
# Bits of NewSubfileType: a smaller copy, or a mask of another picture.
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2

Tags = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class TiffHeader:
    """``size``: (width, height) as stored. ``bits``: of each sample. ``pictures``: of full size.

    ``big_endian``: byte order; ``bigtiff``: places have eight bytes. ``copies``: further
    directories that hold smaller copies or masks. ``tile``: its pixels, 0 where the picture is in
    strips. ``sample_format``: 1 unsigned, 2 signed, 3 floating point.
    """

    big_endian: bool
    bigtiff: bool
    size: tuple[int, int]
    bits: tuple[int, ...]
    samples: int
    sample_format: tuple[int, ...]
    photometric: int
    compression: int
    tile: int
    pictures: int
    copies: int


def read_tiff_header(stream: BinaryIO) -> TiffHeader:
    """Read the directories of an open file. Raises ValueError that says what is wrong."""
    reader = _Reader(stream)
    first, following = reader.directory(reader.first)
    pictures, copies, seen = 1, 0, {reader.first}
    while following and following not in seen:
        if len(seen) >= MAX_DIRECTORIES:
            raise ValueError(f"it has more than {MAX_DIRECTORIES:,} directories")
        seen.add(following)
        try:
            tags, following = reader.directory(following)
        except ValueError:  # what some writers leave behind the last directory
            break
        if _is_copy(tags):
            copies += 1
        else:
            pictures += 1
    for tag, what in ((WIDTH, "width"), (LENGTH, "height")):
        if _one(first, tag) < 1:
            raise ValueError(f"its {what} is missing")
    _check_pieces(first)
    return TiffHeader(
        big_endian=reader.big_endian,
        bigtiff=reader.bigtiff,
        size=(first[WIDTH][0], first[LENGTH][0]),
        bits=first.get(SAMPLE_BITS) or (1,),
        samples=_one(first, SAMPLES) or 1,
        sample_format=first.get(SAMPLE_FORMAT) or (1,),
        photometric=_one(first, PHOTOMETRIC),
        compression=_one(first, COMPRESSION),
        tile=_one(first, TILE_WIDTH) * _one(first, TILE_LENGTH),
        pictures=pictures,
        copies=copies,
    )


def _one(tags: Tags, tag: int) -> int:
    values = tags.get(tag)
    return values[0] if values else 0


def _check_pieces(tags: Tags) -> None:
    """Raise ValueError where strips or tiles are missing: a library would make up their pixels."""
    width, height = _one(tags, WIDTH), _one(tags, LENGTH)
    across, down, places = 1, min(_one(tags, ROWS) or height, height), tags.get(STRIPS, ())
    if TILES in tags:
        down, places = _one(tags, TILE_LENGTH), tags[TILES]
        across = -(-width // max(1, _one(tags, TILE_WIDTH)))
    if down < 1:
        raise ValueError("its tiles have no size")
    pieces = across * -(-height // down)
    if _one(tags, PLANAR) == SEPARATE:
        pieces *= _one(tags, SAMPLES) or 1
    if len(places) < pieces or not all(places[:pieces]):
        there = sum(1 for place in places[:pieces] if place)
        raise ValueError(f"it has {there:,} of the {pieces:,} strips or tiles of its picture")


def _is_copy(tags: Tags) -> bool:
    flags = _one(tags, NEW_SUBFILE)
    return bool(flags & (_REDUCED | _MASK)) or _one(tags, OLD_SUBFILE) == _OLD_REDUCED


class _Reader:
    """Reads numbers at places of one file, each checked against the length of the file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._length = stream.seek(0, 2)
        head = self._read(0, 16 if self._length >= 16 else 8)
        self.big_endian = head[:2] == b"MM"
        self._order = ">" if self.big_endian else "<"
        self.bigtiff = self._numbers("H", head[2:4])[0] == 43
        if self.bigtiff and (len(head) < 16 or self._numbers("HH", head[4:8]) != (8, 0)):
            raise ValueError("its BigTIFF header is broken")
        self.first = self._numbers("Q", head[8:16])[0] if self.bigtiff else self._offset(head[4:8])

    def _offset(self, data: bytes) -> int:
        return self._numbers("Q" if self.bigtiff else "I", data)[0]

    def _numbers(self, kind: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + kind, data)

    def _read(self, place: int, count: int) -> bytes:
        if place < 0 or place + count > self._length:
            raise ValueError("it is truncated")
        self._stream.seek(place)
        data = self._stream.read(count)
        if len(data) != count:
            raise ValueError("it is truncated")
        return data

    def directory(self, place: int) -> tuple[Tags, int]:
        """Return the tags that are wanted, and where the next directory is (0: there is none)."""
        width, entry = (8, 20) if self.bigtiff else (4, 12)
        at = 8 if self.bigtiff else 2
        count = self._numbers("Q" if self.bigtiff else "H", self._read(place, at))[0]
        if not 1 <= count <= MAX_TAGS:
            raise ValueError(f"a directory has {count:,} tags, at most {MAX_TAGS:,} are read")
        data = self._read(place + at, count * entry)
        tags: Tags = {}
        claimed = 0
        for start in range(0, count * entry, entry):
            tag, kind = self._numbers("HH", data[start : start + 4])
            values = self._offset(data[start + 4 : start + 4 + width])
            if values * _SIZES.get(kind, 1) > self._length:
                raise ValueError(f"tag {tag} claims {values:,} values")
            claimed += values * _SIZES.get(kind, 1)
            if claimed > MAX_TAG_BYTES:
                raise ValueError(f"its tags claim more than {MAX_TAG_BYTES:,} bytes")
            if tag in _WANTED and tag not in tags:
                most = values if tag in _OF_PIECES else min(values, MAX_VALUES)
                tags[tag] = self._values(kind, most, data[start + 4 + width : start + entry])
        return tags, self._following(place + at + count * entry, width)

    def _following(self, place: int, width: int) -> int:
        """Return where the next directory is; a file may end where that should be written."""
        return self._offset(self._read(place, width)) if place + width <= self._length else 0

    def _values(self, kind: int, count: int, field: bytes) -> tuple[int, ...]:
        """Return the first values of a tag of integers; () where it holds something else."""
        letter = _INTEGERS.get(kind)
        if letter is None or not count:
            return ()
        size = count * _SIZES[kind]
        data = field[:size] if size <= len(field) else self._read(self._offset(field), size)
        return self._numbers(f"{count}{letter}", data)
