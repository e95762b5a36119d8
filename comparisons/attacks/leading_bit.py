"""Leading bit: every value and its negative folded onto one, so that the negation key cancels.

v becomes 255 - v where v >= 128, and the folded values of a pixel are sorted, so that an order of
colours cancels too. No key is needed, so that a key for each image does not help. Edges survive.
Source: Chang and Case, "Attacks on Image Encryption Schemes for Privacy-Preserving Deep
Neural Networks" (arXiv 2004.13263).
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import SSIM, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Aim, Knowledge, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.negation import (
    NEGATED_IN_PLACE,
    NegationUndone,
    as_pictures,
    score_undone,
)


class LeadingBit(Attack):
    """Ciphertext only; no search."""

    name = "leading_bit"
    title = "Leading bit"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.IMAGE
    metric = SSIM
    requires = NEGATED_IN_PLACE
    limits = (
        "grey levels are recovered folded (v or 255 - v), on unprotected images as well: the "
        "ceiling is what folding leaves of a picture, not 1",
        "SSIM is the higher one of picture and negative",
    )
    source = "Chang and Case, arXiv 2004.13263"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> NegationUndone:
        """Fold the ciphertexts, stretched back to 0..255."""
        return NegationUndone(without_leading_bit(view.ciphertexts), as_pictures(view.ciphertexts))

    def score(self, guess: NegationUndone, truth: Truth) -> Score:
        """Compare folded ciphertexts with the originals."""
        return score_undone(guess, truth)


def without_leading_bit(ciphertexts: PixelArray) -> UInt8Array:
    """Fold v and 255 - v onto one value, sort the colours of each pixel, use the whole scale."""
    values = np.clip(ciphertexts, 0, 255).astype(np.int16)
    halves = np.sort(np.minimum(values, 255 - values), axis=3)
    return cast(UInt8Array, (halves * 2).astype(np.uint8))


ATTACK = LeadingBit()
