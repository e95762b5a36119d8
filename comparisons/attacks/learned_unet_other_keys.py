"""Learned inversion by a small U-Net, from pairs under keys of the adversary's own only.

What comes out does not hang on the key at all: the network learns from pictures of other people,
encrypted under many keys, what ciphertexts keep whatever the key (folded values, statistics of
blocks that stay in place). Source: as for ``learned_unet``.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack_score import Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.device import memory_spent
from he_compare.common.types import Aim, Float32Array, Knowledge, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.descriptors import block_side
from he_compare.comparisons.attacks.tools.learned_inversion import LearnedInversion
from he_compare.comparisons.attacks.tools.likeness import score_pictures
from he_compare.comparisons.attacks.tools.planes import constant_planes, planes_of
from he_compare.comparisons.attacks.tools.unet import Learnt

MOST_PICTURES = 256
OWN_KEYS = 64
# Where every message is made with fresh randomness, further keys add nothing and cost much.
FEW_KEYS = 4
HELD_OUT = 4
FIRST_KEY = 500


class LearnedUNetOtherKeys(LearnedInversion):
    """Auxiliary images under other keys; no pair of the key that is attacked."""

    name = "learned_unet_other_keys"
    title = "Learned inversion (U-Net, pairs of other keys)"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.IMAGE
    needs = frozenset({Need.AUXILIARY})
    limits = (
        "a network of some 100,000 weights, trained for 100 steps of 8 pictures: a larger "
        "network or more pictures and keys may recover more",
        "recovered pictures are grey: the mean of the channels",
        "blocks that change places are not put back: see the jigsaw solver",
    )
    source = "U-Net (Ronneberger et al., MICCAI 2015) on pairs it makes itself; arXiv 2004.13263"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Learnt:
        """Encrypt the auxiliary images under keys of the adversary's own, train, apply."""
        plain = view.auxiliary[:MOST_PICTURES]
        side = block_side(view.facts.shape, view.facts.patch)
        keys = OWN_KEYS if view.facts.deterministic else FEW_KEYS
        parts = [part for part in np.array_split(np.arange(len(plain)), keys) if len(part)]
        own = np.concatenate(
            [view.under_own_key(plain[part], FIRST_KEY + i) for i, part in enumerate(parts)]
        )
        held = np.concatenate(parts[: min(HELD_OUT, max(1, len(parts) // 4))])
        trained = self.trained(_planes(own, plain, side), plain, held, budget, random)
        pictures = trained.pictures(_planes(view.ciphertexts, plain, side))
        return Learnt(
            pictures, len(plain), len(parts), trained.steps, trained.held_out, trained.at_once
        )

    def score(self, guess: Learnt, truth: Truth) -> Score:
        """Compare pictures with originals."""
        spent = {
            "auxiliary images": guess.pairs,
            "own keys": guess.keys,
            "training steps": guess.steps,
        } | memory_spent(guess.at_once)
        details = (Detail("SSIM on own keys held out", guess.held_out),)
        return score_pictures(guess.pictures, truth, details, spent)


def _planes(images: PixelArray, plain: UInt8Array, side: int) -> Float32Array:
    """Stack what ciphertexts keep, and what is the same for all."""
    shown = [planes_of(images, side), constant_planes(plain, len(images))]
    return cast(Float32Array, np.concatenate(shown, axis=1))


ATTACK = LearnedUNetOtherKeys()
