"""Brightness prior: folded values, v or 255 - v, unfolded by what public pictures hold.

Whatever key negates a value in its place, and even where each image has a key of its own, folding
removes the key. Whether a value was dark or bright is then told by public pictures and by its
neighbours (``comparisons.attacks.tools.unfolding``). The step that needs no key is that of Chang
and Case (arXiv 2004.13263); the prior is this project's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.tiles import as_bytes
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import score_pictures
from he_compare.comparisons.attacks.tools.negation import FOLDED_IN_PLACE
from he_compare.comparisons.attacks.tools.unfolding import Brightness, brightness_prior, unfold


@dataclass(frozen=True)
class Unfolded:
    """Pictures, uint8 (n, h, w, c), and whether the prior knew places."""

    pictures: UInt8Array
    by_place: bool


class BrightnessPrior(Attack):
    """Ciphertexts one by one, and plain images of other people."""

    name = "brightness_prior"
    title = "Brightness prior"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.IMAGE
    needs = frozenset({Need.AUXILIARY})
    requires = FOLDED_IN_PLACE
    metric = SSIM
    limits = (
        "on unprotected images the attack gets the same, since it reads nothing but folded values: "
        "this is its ceiling, not 1",
        "what it gets depends on the public images: with those of another kind of picture, which "
        "tell overall brightness only, it gets less",
        "in colour images each channel is unfolded by itself, with one prior for all",
    )
    source = "Chang and Case, arXiv 2004.13263; Greig, Porteous, Seheult 1989; prior: this project"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Unfolded:
        """Unfold every ciphertext by itself."""
        seen = as_bytes(view.ciphertexts)
        folded = np.sort(np.minimum(seen, 255 - seen), axis=3)
        public = np.rint(view.auxiliary.mean(axis=3)).astype(np.uint8)
        prior = brightness_prior(public, np.concatenate(np.moveaxis(folded, 3, 0)))
        return Unfolded(np.stack([_unfolded(one, prior) for one in folded]), prior.by_place)

    def score(self, guess: Unfolded, truth: Truth) -> Score:
        """Compare pictures with originals, in the sign that the prior gave them."""
        details = (Detail("the prior knew places", float(guess.by_place)),)
        return score_pictures(guess.pictures, truth, details, {"ciphertexts": len(guess.pictures)})


def _unfolded(folded: UInt8Array, prior: Brightness) -> UInt8Array:
    """Unfold the channels of (h, w, c), equal ones once."""
    if (folded == folded[..., :1]).all():
        return np.repeat(unfold(folded[..., 0], prior)[..., None], folded.shape[2], axis=2)
    return np.stack([unfold(folded[..., c], prior) for c in range(folded.shape[2])], axis=2)


ATTACK = BrightnessPrior()
