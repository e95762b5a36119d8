"""Blind rotation: pictures from blocks under one secret rotation, from ciphertexts alone.

Norms and scalar products of blocks are kept by every orthogonal matrix, so that one matrix for all
blocks leaves a single rotation to be found: the one that gives the smoothest pictures
(``comparisons.attacks.tools.rotation``). Source: this project (measured); orthogonal Procrustes,
Schoenemann, Psychometrika 1966.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import BLOCKS, NO_BYTES, ONE_KEY, SHARED_KEY
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import score_pictures
from he_compare.comparisons.attacks.tools.rotation import learn_rotation, show_rotation


class BlindRotation(Attack):
    """Ciphertext only; one rotation of all blocks, which stay in place."""

    name = "blind_rotation"
    title = "Blind rotation"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.IMAGE
    aligns = True
    slow = True
    requires = (BLOCKS, NO_BYTES, ONE_KEY, SHARED_KEY)
    metric = SSIM
    limits = (
        "up to a negative of the whole: SSIM is the higher one of pictures and negatives",
        "recovered pictures are grey: the mean of the channels",
        "fine detail stays blurred; more images, larger images or smaller blocks recover more of "
        "it",
    )
    source = "attack of this project; orthogonal Procrustes (Schoenemann 1966)"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> UInt8Array:
        """Find the rotation from all ciphertexts and undo it: uint8 (n, h, w, 1)."""
        patch = view.facts.side
        matrix = learn_rotation(view.ciphertexts, patch)
        return show_rotation(view.ciphertexts, patch, matrix)[..., None]

    def score(self, guess: UInt8Array, truth: Truth) -> Score:
        """Compare pictures with originals, in the better sign: a rotation may be a reflection."""
        negative = cast(UInt8Array, 255 - guess)
        guess = max(guess, negative, key=lambda shown: score_pictures(shown, truth).value)
        means = _block_means(truth.originals, truth.facts.patch or 1)
        thumbnail = score_pictures(means, truth).value
        details = (Detail("SSIM of block means alone", thumbnail),)
        return score_pictures(guess, truth, details, {"ciphertexts": len(guess)})


def _block_means(originals: UInt8Array, side: int) -> UInt8Array:
    n, height, width, _ = originals.shape
    grey = originals.mean(axis=3).reshape(n, height // side, side, width // side, side)
    means = np.rint(grey.mean(axis=(2, 4))).astype(np.uint8)
    return means.repeat(side, axis=1).repeat(side, axis=2)[..., None]


ATTACK = BlindRotation()
