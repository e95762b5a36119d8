"""Stored pictures from strangers: shown, or refused before they take memory."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image

from he_compare.reports.document.png import MOST_PIXELS, png_of, redrawn


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_picture_is_drawn_again() -> None:
    png = png_of(np.full((8, 8, 3), 77, np.uint8))
    again = redrawn(png)
    assert again is not None
    assert Image.open(io.BytesIO(again)).getpixel((0, 0)) == 77


def test_bombs_are_no_pictures_and_nothing_is_printed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width, height in ((60_000, 60_000), (12_000, 12_000), (MOST_PIXELS // 8 + 1, 8)):
            assert redrawn(bomb(width, height)) is None


def test_bytes_that_are_no_png_are_no_picture() -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    for data in (b"", b"nonsense", jpeg.getvalue(), bomb(8, 8)[:40]):
        assert redrawn(data) is None
