"""Leading bit: every value and its negative folded onto one, so that the negation key cancels.

v becomes 255 - v where v >= 128, and the folded values of a pixel are sorted, so that an order of
colours cancels too; on schemes that keep 4-bit halves in place the same is done to those. Edges
survive. Source: Chang and Case, "Attacks on Image Encryption Schemes for Privacy-Preserving Deep
Neural Networks" (arXiv 2004.13263).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from common.adversary import Budget, Detail, Facts, Metric, Need, Picture, Score, Truth, View
from common.similarity import gradient_similarity, psnr, ssim
from common.types import Knowledge, PixelArray, UInt8Array
from comparisons.attacks.artefacts import as_picture
from comparisons.attacks.recogniser import recognised

SHOWN = 3


@dataclass(frozen=True)
class Reconstruction:
    """What came out, uint8 (n, h, w, c), and the ciphertexts as they are seen."""

    images: UInt8Array
    seen: UInt8Array


class LeadingBit:
    """Ciphertext only; no search."""

    name = "leading_bit"
    title = "Leading bit"
    rung = Knowledge.CIPHERTEXT_ONLY
    needs: frozenset[Need] = frozenset()
    metric = Metric("SSIM to the original", low=-1.0)
    limits = (
        "grey levels come back folded (v or 255 - v), on unprotected images as well: the ceiling "
        "is what folding leaves of a picture, not 1",
        "SSIM is that of the better of picture and negative",
    )
    source = "Chang and Case, arXiv 2004.13263"

    def applies(self, facts: Facts) -> str:
        """Only where values are negated and stay in their pixel."""
        return negation_obstacle(facts)

    def run(self, view: View, budget: Budget, random: np.random.Generator) -> Reconstruction:
        """Fold the ciphertexts, stretched back to 0..255."""
        return Reconstruction(folded(view.ciphertexts), as_pictures(view.ciphertexts))

    def score(self, guess: Reconstruction | None, truth: Truth) -> Score:
        """Compare folded ciphertexts with the originals."""
        assert guess is not None
        return score_reconstruction(guess, truth)


def negation_obstacle(facts: Facts) -> str:
    """Say why folding brings nothing against a scheme; '' where it does."""
    if facts.keeps_values:
        return (
            "permutation only: no value is negated, folding gains nothing by construction (this "
            "says nothing for the cipher)"
        )
    if not facts.deterministic or not facts.one_key:
        return "every encryption has a key of its own: there is no negation key to cancel"
    if not facts.keeps_folded and not facts.keeps_nibbles:
        return "values are not negated but mapped otherwise"
    if not facts.keeps_places:
        return (
            "pixels are moved as well: folded they stay scrambled (see the attacks on the pixel "
            "order)"
        )
    return ""


def folded(ciphertexts: PixelArray) -> UInt8Array:
    """Fold v and 255 - v onto one value, sort the colours of each pixel, use the whole scale."""
    values = np.clip(ciphertexts, 0, 255).astype(np.int16)
    halves = np.sort(np.minimum(values, 255 - values), axis=3)
    return cast(UInt8Array, (halves * 2).astype(np.uint8))


def as_pictures(ciphertexts: PixelArray) -> UInt8Array:
    """Show ciphertexts (n, h, w, c) as they are."""
    return np.stack([as_picture(ciphertext) for ciphertext in ciphertexts])


def score_reconstruction(guess: Reconstruction, truth: Truth, count: int | None = None) -> Score:
    """Score by SSIM to the first ``count`` originals, of the better sign, and by what it gains."""
    originals = truth.originals[:count]
    negative = cast(UInt8Array, 255 - guess.images)
    direct, inverted = ssim(guess.images, originals), ssim(negative, originals)
    best = np.where((inverted > direct)[:, None, None, None], negative, guess.images)
    structure = np.maximum(direct, inverted)
    before = ssim(guess.seen, originals)
    gradients = gradient_similarity(best, originals)
    pictures = [
        Picture(i, best[i], f"SSIM {structure[i]:.2f}") for i in range(min(SHOWN, len(best)))
    ]
    return Score(
        float(structure.mean()),
        (
            Detail("SSIM gain over the ciphertext", float((structure - before).mean())),
            Detail("PSNR", float(psnr(best, originals).mean()), "dB"),
            Detail("gradient similarity", float(gradients.mean())),
            *recognised(best, originals, truth.labels[:count], truth),
        ),
        pictures,
        {"ciphertexts": len(best)},
    )


ATTACK = LeadingBit()
