"""What compressed pixels say of themselves, compared with the header before they are decoded.

ISO 10918-1 B.2 (JPEG), ISO 14495-1 C.2.2 (JPEG-LS), ISO 15444-1 A.5.1 (JPEG 2000).
"""

from __future__ import annotations

import struct

from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_recipe import PixelLayout

# Markers of JPEG and JPEG-LS that hold the size of the picture; those of a sequential process.
SIZE_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL = frozenset({0xC0, 0xC1})
START_OF_SCAN = 0xDA
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
# Where the size of JPEG 2000 is looked for: its container is short.
LONGEST_CONTAINER = 4096


def check_codestream(frame: bytes, layout: PixelLayout) -> None:
    """Raise ElementError where width and height differ from the header's, or no codec reads it."""
    said = codestream_size(frame)
    if said is not None and said != (layout.rows, layout.columns):
        raise ElementError(
            f"its compressed pixels are {said[1]:,} x {said[0]:,}, its header says "
            f"{layout.columns} x {layout.rows}",
            fix="restore the file or leave it out",
        )
    if _has_false_scan(frame):
        raise ElementError(
            "its JPEG stream has false parameters of a scan, which the Python codecs refuse",
            fix="convert it with DCMTK's dcmdjpeg, which reads such files",
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) that compressed data says of itself, None where it says nothing."""
    start = frame[:LONGEST_CONTAINER].find(b"\xff\x4f\xff\x51")
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return bottom - top, right - left
    for marker, body in _segments(frame):
        if marker in SIZE_MARKERS and len(body) >= 5:
            rows, columns = struct.unpack(">2H", body[1:5])
            return rows, columns
    return None


def _has_false_scan(frame: bytes) -> bool:
    """Return whether a scan of sequential JPEG does not say that it holds all 64 coefficients."""
    sequential = False
    for marker, body in _segments(frame):
        sequential = sequential or marker in SEQUENTIAL
        if marker == START_OF_SCAN and body:
            return sequential and body[1 + 2 * body[0] :][:2] != b"\x00\x3f"
    return False


def _segments(frame: bytes) -> list[tuple[int, bytes]]:
    """Return marker and body of the segments of JPEG up to the first scan."""
    found: list[tuple[int, bytes]] = []
    position = 2
    while frame[:2] == b"\xff\xd8" and position + 4 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in BARE_MARKERS:
            position += 2
        else:
            length = struct.unpack(">H", frame[position + 2 : position + 4])[0]
            found.append((marker, frame[position + 4 : position + 2 + length]))
            if marker == START_OF_SCAN:
                break
            position += 2 + max(length, 2)
    return found
