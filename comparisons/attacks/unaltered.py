"""The ciphertext as it is: what whoever looks at it sees, without any attack.

What the other attacks on pictures have as a floor is a row of its own here, so that a cipher which
leaves much of the picture alone does not look safe because nobody added to it. Source: this
project.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import AttackMetric, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.run.records import CountsAs
from he_compare.common.similarity import LOW_SSIM_NOTE
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import (
    as_picture,
    likeness_of_mean,
    score_pictures,
)


class Unaltered(Attack):
    """Looks at the ciphertext."""

    name = "unaltered"
    title = "The ciphertext as it is"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.IMAGE
    reads_pictures = False
    # No metric of pictures: the ciphertext as it is would be its own floor.
    metric = AttackMetric("likeness to the original (SSIM)", best=1.0, low=-1.0)
    limits = (LOW_SSIM_NOTE,)
    source = "this project"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> UInt8Array:
        """Show the ciphertexts: uint8 (n, h, w, c)."""
        return np.stack([as_picture(ciphertext) for ciphertext in view.ciphertexts])

    def score(self, guess: UInt8Array, truth: Truth) -> Score:
        """Compare them with the originals."""
        return score_pictures(guess, truth, (), {"ciphertexts": len(guess)})

    def counts_as(self, facts: Facts) -> CountsAs:
        """Only that it shows the picture counts: that it does not was attacked by nobody."""
        return "necessary"

    def effortless(self, view: View, truth: Truth) -> Mapping[str, float]:
        """Score the mean public picture."""
        return likeness_of_mean(truth)


ATTACK = Unaltered()
