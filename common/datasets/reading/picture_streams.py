"""What the bytes of JPEG, PNG and WebP files tell before Pillow decodes or makes room for them."""

from __future__ import annotations

import struct
from typing import BinaryIO


def count_scans(stream: BinaryIO) -> int:
    """Count the scans of a JPEG file: each may cost as much as the whole picture."""
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(b"\xff\xda")
    stream.seek(place)
    return scans


def webp_size(stream: BinaryIO) -> tuple[int, int]:
    """Return (width, height) of a WebP file (RFC 9649) before Pillow makes room for its canvas."""
    stream.seek(12)
    data = stream.read(18)
    if len(data) < 18:
        raise ValueError("it is truncated")
    kind = data[:4]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (12, 15))
        return width, height
    if kind == b"VP8L":
        bits = int.from_bytes(data[9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[14:18])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("it holds no picture")


def says_more_at_the_end(stream: BinaryIO) -> bool:
    """Say whether a PNG has EXIF data or text behind its pixels, by walking over its chunks."""
    place, at, seen = stream.tell(), 8, False
    try:
        while True:
            stream.seek(at)
            head = stream.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            if seen and head[4:] in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True
            seen = seen or head[4:] == b"IDAT"
            at += 12 + int.from_bytes(head[:4], "big")
    finally:
        stream.seek(place)
