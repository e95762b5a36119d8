"""What pictures of an attack are worth: SSIM, PSNR, gradients, and a recogniser's say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.adversary import Detail, Picture, Score, Truth
from common.similarity import gradient_similarity, psnr, ssim
from common.types import UInt8Array
from comparisons.attacks.recogniser import recognised

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
