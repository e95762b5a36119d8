"""Compressed frames inside a DICOM file: where the fragments of each lie (PS3.5 section A.4).

Only the lengths of the fragments are read; the table of offsets is believed where it fits them.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from he_compare.common.datasets.reading.dicom_elements import ElementError

ITEM = b"\xfe\xff\x00\xe0"
MAX_FRAGMENTS = 200_000
# How a frame begins: JPEG and JPEG-LS, JPEG 2000 without and in its container.
FIRST_BYTES = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")

Extent = tuple[int, int]


def frame_fragments(stream: BinaryIO, start: int, frames: int) -> list[list[Extent]]:
    """Return (offset, length) of the fragments of each frame. Raises ElementError."""
    end = stream.seek(0, 2)
    offsets, position = _offset_table(stream, start, end)
    spans: list[Extent] = []
    while (span := _item(stream, position, end)) is not None:
        spans.append(span)
        position = span[0] + span[1]
        if len(spans) > MAX_FRAGMENTS:
            raise ElementError(f"its pixels are in more than {MAX_FRAGMENTS:,} fragments")
    if frames == 1 and spans:
        return [spans]
    if len(spans) == frames:
        return [[span] for span in spans]
    first = spans[0][0] if spans else 0
    marked = {first + offset for offset in offsets}
    if len(offsets) != frames or not marked <= {span[0] for span in spans}:
        marked = {offset for offset, _ in spans if _begins_frame(stream, offset)}
    grouped: list[list[Extent]] = []
    for span in spans:
        if span[0] in marked or not grouped:
            grouped.append([])
        grouped[-1].append(span)
    if len(grouped) != frames:
        raise ElementError(
            f"its pixels are {len(grouped):,} compressed frames, its header says {frames:,}",
            fix="restore the file or leave it out",
        )
    return grouped


def joined(stream: BinaryIO, spans: list[Extent]) -> bytes:
    """Return the bytes of the fragments of a frame."""
    parts = []
    for offset, length in spans:
        stream.seek(offset)
        parts.append(stream.read(length))
    return b"".join(parts)


def _offset_table(stream: BinaryIO, start: int, end: int) -> tuple[tuple[int, ...], int]:
    """Return the table of offsets, which may be empty, and where the first fragment begins."""
    span = _item(stream, start, end)
    if span is None:
        raise ElementError(
            "its compressed pixels do not begin with a table of offsets",
            fix="restore the file or leave it out",
        )
    offset, length = span
    stream.seek(offset)
    table = stream.read(length - length % 4)
    return struct.unpack(f"<{len(table) // 4}I", table), offset + length


def _item(stream: BinaryIO, position: int, end: int) -> Extent | None:
    """Return where the value of an item lies, None where there is no item."""
    stream.seek(position)
    header = stream.read(8)
    if len(header) < 8 or header[:4] != ITEM:
        return None
    return position + 8, min(struct.unpack("<I", header[4:])[0], max(0, end - position - 8))


def _begins_frame(stream: BinaryIO, offset: int) -> bool:
    stream.seek(offset)
    return stream.read(8).startswith(FIRST_BYTES)
