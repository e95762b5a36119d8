"""Whether images that an attacker is given are those under attack, found by their pixels.

Equal pixels are copies. So are images that are equal but for compression, scaling, brightness,
contrast or a mirror: small versions of 16 x 16 grey values, without mean and contrast, correlate
above ``ALIKE`` with them (measured: at least 0.993 for JPEG of quality 30 and for halving the size;
different patients of the chest X-rays at most 0.982, of histology at most 0.61). A crop of more
than a pixel or two, and a turn, are not found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Float64Array, Pictures, UInt8Array, in_portions

ALIKE = 0.99
_SIDE = 16
_FLAT = 1e-9


@dataclass(frozen=True)
class Copy:
    """Image ``ours`` is a copy of image ``theirs``, positions; ``exact``: pixel by pixel."""

    ours: int
    theirs: int
    exact: bool


def find_copy(ours: Pictures, theirs: Pictures) -> Copy | None:
    """Return the first of our images that is a copy of one of theirs; None where none is.

    Both uint8 (n, size, size, 3), of one size. A portion of the pixels is in memory at a time.
    """
    place = {digest: i for i, digest in reversed(list(enumerate(theirs.digests())))}
    for position, digest in enumerate(ours.digests()):
        if digest in place:
            return Copy(position, place[digest], True)
    if not len(ours) or not len(theirs):
        return None
    upright = np.concatenate([_small(part) for part in in_portions(ours)])
    mirrored = np.concatenate([_small(part[:, :, ::-1]) for part in in_portions(ours)])
    nearest = [(-1.0, 0, 0), (-1.0, 0, 0)]
    start = 0
    for part in in_portions(theirs):
        targets = _small(part)
        for way, turned in enumerate((upright, mirrored)):
            alike = turned @ targets.T
            at, other = divmod(int(alike.argmax()), len(part))
            # Of equally alike ones the first of ours, as if all had been compared at once.
            found = (float(alike[at, other]), -at, -(start + other))
            nearest[way] = max(nearest[way], found)
        start += len(part)
    for likeness, at, other in nearest:
        if likeness >= ALIKE:
            return Copy(-at, -other, False)
    return None


def _small(images: UInt8Array) -> Float64Array:
    """Return (n, 256): means of an even grid, grey, mean 0 and length 1; flat images are zero."""
    n, size = images.shape[:2]
    edges = np.linspace(0, size, _SIDE + 1).round().astype(int)[:-1]
    grey = images.mean(axis=3, dtype=np.float64)
    sums = np.add.reduceat(np.add.reduceat(grey, edges, axis=1), edges, axis=2)
    widths = np.diff(np.append(edges, size))
    small = (sums / np.outer(widths, widths)).reshape(n, -1)
    small -= small.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(small, axis=1, keepdims=True)
    return np.where(lengths > _FLAT * _SIDE, small / np.maximum(lengths, _FLAT), 0.0)
