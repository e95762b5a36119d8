"""Blind rotation: pictures from blocks under one secret rotation, from ciphertexts alone.

Norms and scalar products of blocks are kept by every orthogonal matrix, so that one matrix for all
blocks leaves a single rotation to be found: the one that gives the smoothest pictures
(``comparisons.attacks.tools.rotation``). Source: this project (measured); orthogonal Procrustes,
Schoenemann, Psychometrika 1966.
"""

from __future__ import annotations

import numpy as np

from he_compare.common.attack import Budget, Detail, Facts, Metric, Need, Score, Truth, View
from he_compare.common.types import Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import score_pictures
from he_compare.comparisons.attacks.tools.rotation import learn_rotation, show_rotation


class BlindRotation:
    """Ciphertext only; one rotation of all blocks, which stay in place."""

    name = "blind_rotation"
    title = "Blind rotation"
    rung = Knowledge.MANY_CIPHERTEXTS
    needs: frozenset[Need] = frozenset()
    slow = True
    metric = Metric("SSIM to the original", low=-1.0)
    limits = (
        "pictures come back grey: the mean of the channels",
        "detail finer than its surroundings stays blurred; more images, larger ones or smaller "
        "blocks give more of it",
    )
    source = "attack of this project; orthogonal Procrustes (Schoenemann 1966)"

    def applies(self, facts: Facts) -> str:
        """Only where one matrix mixes the values of every block, and blocks stay."""
        if facts.patch is None:
            return "no blocks"
        if facts.ciphertext == "uint8":
            return "values are moved or mapped as bytes, not rotated (see shared-key correlation)"
        if not facts.deterministic or not facts.one_key:
            return "every image has a key of its own"
        if not facts.shared_key:
            return "every block has a key of its own: no rotation is common to the blocks"
        return ""

    def run(self, view: View, budget: Budget, random: np.random.Generator) -> UInt8Array:
        """Find the rotation from all ciphertexts, and show them by it: uint8 (n, h, w, 1)."""
        patch = view.facts.patch
        assert patch is not None
        matrix = learn_rotation(view.ciphertexts, patch)
        return show_rotation(view.ciphertexts, patch, matrix)[..., None]

    def score(self, guess: UInt8Array | None, truth: Truth) -> Score:
        """Compare pictures with originals."""
        assert guess is not None
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
