"""TIFF files written by hand, so that every kind can be had: no library writes all of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

Tag = tuple[int, int, Sequence[int]]
_LETTERS = {3: "H", 4: "I", 16: "Q"}


def directory(tags: Sequence[Tag], place: int, order: str, big: bool, after: int = 0) -> bytes:
    """Return one directory at ``place``, its long values behind it, and where the next one is."""
    width = 8 if big else 4
    entry = 4 + 2 * width
    values_at = place + (8 if big else 2) + entry * len(tags) + width
    entries, values = b"", b""
    for tag, kind, numbers in sorted(tags):
        data = struct.pack(f"{order}{len(numbers)}{_LETTERS[kind]}", *numbers)
        entries += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, len(numbers))
        if len(data) <= width:
            entries += data.ljust(width, b"\0")
        else:
            entries += struct.pack(order + ("Q" if big else "I"), values_at + len(values))
            values += data
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return count + entries + struct.pack(order + ("Q" if big else "I"), after) + values


def tiff_bytes(
    pixels: np.ndarray[Any, Any],
    *,
    photometric: int,
    order: str = "<",
    big: bool = False,
    tile: int = 0,
    planar: bool = False,
    deflate: bool = False,
    more: Sequence[Tag] = (),
) -> bytes:
    """Return a TIFF of (h, w) or (h, w, c), 8 or 16 bits. ``more``: tags that win over others."""
    stack = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, samples = stack.shape
    stack = stack.astype(stack.dtype.newbyteorder(order))
    layers = [stack[:, :, [k]] for k in range(samples)] if planar else [stack]
    pieces: list[bytes] = []
    for layer in layers:
        if tile:
            padded = np.pad(layer, ((0, -height % tile), (0, -width % tile), (0, 0)))
            pieces += [
                padded[y : y + tile, x : x + tile].tobytes()
                for y in range(0, padded.shape[0], tile)
                for x in range(0, padded.shape[1], tile)
            ]
        else:
            pieces += [layer[y : y + 5].tobytes() for y in range(0, height, 5)]
    pieces = [zlib.compress(piece) for piece in pieces] if deflate else pieces
    body, places = b"", []
    head = 16 if big else 8
    for piece in pieces:
        places.append(head + len(body))
        body += piece
    lengths = [len(piece) for piece in pieces]
    tags: dict[int, Tag] = {
        256: (256, 4, [width]),
        257: (257, 4, [height]),
        258: (258, 3, [stack.dtype.itemsize * 8] * samples),
        259: (259, 3, [8 if deflate else 1]),
        262: (262, 3, [photometric]),
        277: (277, 3, [samples]),
        284: (284, 3, [2 if planar else 1]),
    }
    if tile:
        tags |= {322: (322, 3, [tile]), 323: (323, 3, [tile])}
        tags |= {324: (324, 4, places), 325: (325, 4, lengths)}
    else:
        tags |= {278: (278, 3, [5]), 273: (273, 4, places), 279: (279, 4, lengths)}
    tags |= {tag[0]: tag for tag in more}
    first = head + len(body)
    mark = b"II" if order == "<" else b"MM"
    if big:
        start = mark + struct.pack(order + "HHHQ", 43, 8, 0, first)
    else:
        start = mark + struct.pack(order + "HI", 42, first)
    return start + body + directory(list(tags.values()), first, order, big)
