"""Turns, mirrors or negates recovered pictures so that they match their originals.

Ciphertexts do not determine which of the eight symmetries of the square, or which sign, a picture
had.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.block_solving.tiles import SYMMETRIES, symmetric
from he_compare.common.similarity import luminance
from he_compare.common.types import Float64Array, UInt8Array

COMPARED = 8


def aligned_together(pictures: UInt8Array, originals: UInt8Array) -> UInt8Array:
    """Turn all pictures (n, h, w) alike, so that they correlate best with originals (n, h, w, c).

    Returns uint8 of the originals' height and width.
    """
    grey = luminance(originals)
    best, found = -1.0, pictures
    for symmetry in range(SYMMETRIES):
        turned = symmetric(pictures, symmetry)
        if turned.shape != grey.shape:
            continue
        alike = _correlation(turned[:COMPARED], grey[:COMPARED])
        if abs(alike) > best:
            best, found = abs(alike), turned if alike >= 0 else _negative(turned)
    return np.ascontiguousarray(found)


def aligned_one_by_one(pictures: UInt8Array, originals: UInt8Array) -> UInt8Array:
    """Turn each picture by itself: every one was found under a key of its own."""
    pairs = zip(pictures, originals, strict=True)
    return np.concatenate([aligned_together(p[None], o[None]) for p, o in pairs])


def _negative(pictures: UInt8Array) -> UInt8Array:
    return cast(UInt8Array, 255 - pictures)


def _correlation(pictures: UInt8Array, grey: Float64Array) -> float:
    x = pictures.astype(np.float64)
    x -= x.mean(axis=(1, 2), keepdims=True)
    y = grey - grey.mean(axis=(1, 2), keepdims=True)
    return float((x * y).sum() / np.sqrt(max((x**2).sum() * (y**2).sum(), 1e-9)))
