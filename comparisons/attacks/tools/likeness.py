"""Pictures that came out turned, mirrored or negated, brought beside their originals.

No ciphertext tells which of the eight symmetries of the square, or which sign, a picture had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from he_compare.common.attack import Detail, Picture, Score, Truth
from he_compare.common.similarity import gradient_similarity, luminance, psnr, ssim
from he_compare.common.types import Float64Array, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.recogniser import recognised
from he_compare.comparisons.attacks.tools.tiles import symmetric


def as_picture(ciphertext: PixelArray) -> UInt8Array:
    """Show a ciphertext (h, w, c); float values v as 127.5 + v / 2, cut off."""
    if ciphertext.dtype == np.uint8:
        return ciphertext.astype(np.uint8)
    return np.clip(np.rint(127.5 + ciphertext / 2.0), 0, 255).astype(np.uint8)


SHOWN = 3


def score_pictures(
    pictures: UInt8Array,
    truth: Truth,
    details: Sequence[Detail] = (),
    spent: Mapping[str, Any] | None = None,
) -> Score:
    """Score pictures (n, h, w, c) of all attacked ciphertexts by their mean SSIM to the originals.

    ``details``: further ones. Pictures may lack a border that no block tiles.
    """
    height, width = pictures.shape[1:3]
    originals = truth.originals[:, :height, :width]
    alike = ssim(pictures, originals)
    shown = zip(pictures[:SHOWN], alike, strict=False)
    return Score(
        float(alike.mean()),
        (
            Detail("PSNR", float(psnr(pictures, originals).mean()), "dB"),
            Detail("gradient similarity", float(gradient_similarity(pictures, originals).mean())),
            *recognised(pictures, originals, truth.labels, truth),
            *details,
        ),
        [Picture(i, one, f"SSIM {value:.2f}") for i, (one, value) in enumerate(shown)],
        spent or {},
    )


SYMMETRIES = 8
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
