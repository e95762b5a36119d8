"""How like their originals the pictures are that an attack made, and ciphertexts as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from he_compare.common.adversary import Truth
from he_compare.common.attack_score import Detail, Picture, Score
from he_compare.common.shown import shown
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.types import Float64Array, IntArray, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.recogniser import recognised


def as_picture(ciphertext: PixelArray) -> UInt8Array:
    """Show a ciphertext (h, w, c) as a copy of bytes: see ``common.shown``."""
    return shown(ciphertext).copy()


SHOWN = 3
# Name of a floor: one picture for everybody.
PUBLIC_MEAN = "the mean public picture"


def likeness_of_mean(truth: Truth) -> dict[str, float]:
    """Return the mean SSIM of the mean public picture to the originals; {} where there is none."""
    if truth.public_mean is None:
        return {}
    mean = np.broadcast_to(truth.public_mean, truth.originals.shape)
    return {PUBLIC_MEAN: float(ssim(mean, truth.originals).mean())}


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
        images=truth.ids[: len(alike)],
        each=alike,
    )


def ranked_by_picture(pictures: UInt8Array, candidates: UInt8Array) -> IntArray:
    """Order candidates (m, h, w, c) by how well they go together with each picture: (n, m).

    Correlation of what an image has beyond the mean of all of its kind.
    """
    alike = _beyond_mean(pictures) @ _beyond_mean(candidates).T
    return np.argsort(-alike, axis=1, kind="stable").astype(np.int64)


def _beyond_mean(images: UInt8Array) -> Float64Array:
    """Images less the mean of all, as rows of length one."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    rows -= rows.mean(axis=0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return cast(Float64Array, rows / np.maximum(length, 1e-9))
