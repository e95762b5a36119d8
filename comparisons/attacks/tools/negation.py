"""Attacks on negation: when they apply, and how their pictures are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Truth
from he_compare.common.attack_requirements import Requirement
from he_compare.common.attack_score import Detail, Picture, Score
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.types import PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import as_picture
from he_compare.comparisons.attacks.tools.recogniser import recognised

SHOWN = 3


@dataclass(frozen=True)
class NegationUndone:
    """What came out, uint8 (n, h, w, c), and the ciphertexts as they are seen."""

    images: UInt8Array
    seen: UInt8Array


PERMUTATION_ONLY = Requirement(
    "permutation only: no value is negated, folding gains nothing by construction (this does not "
    "mean that the cipher is secure)",
    lambda facts: not facts.keeps_values,
    by_construction=True,
)
OTHER_MAPS = "values are mapped in other ways than negation"
MOVED = "pixels are moved as well: folded they stay scrambled (see the attacks on the pixel order)"

# Whole values negated in their places, under whatever key.
FOLDED_IN_PLACE = (
    PERMUTATION_ONLY,
    Requirement(OTHER_MAPS, lambda facts: facts.keeps_folded, by_construction=True),
    Requirement(MOVED, lambda facts: facts.folds_in_place),
)
# Or their 4-bit halves.
NEGATED_IN_PLACE = (
    PERMUTATION_ONLY,
    Requirement(
        OTHER_MAPS,
        lambda facts: facts.keeps_folded or facts.keeps_nibbles,
        by_construction=True,
    ),
    Requirement(MOVED, lambda facts: facts.folds_in_place or facts.keeps_places),
)


def as_pictures(ciphertexts: PixelArray) -> UInt8Array:
    """Show ciphertexts (n, h, w, c) as they are."""
    return np.stack([as_picture(ciphertext) for ciphertext in ciphertexts])


def score_undone(guess: NegationUndone, truth: Truth, count: int | None = None) -> Score:
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
        images=truth.ids[: len(best)],
        each=structure,
    )
