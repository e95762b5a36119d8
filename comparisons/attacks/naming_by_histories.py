"""Naming by histories: which candidate is behind each ciphertext, every block under its own key.

Pictures that ``block_histories`` recovers go together best with their originals, long before they
are good. The candidates themselves are the public images: they hold the originals among others.
Source: this project (measured).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.tiles import as_bytes
from he_compare.common.types import Aim, IntArray, Knowledge
from he_compare.comparisons.attacks.tools.block_recovery import (
    MAPS_OF_BLOCKS,
    blocks_of_target,
    recover,
)
from he_compare.comparisons.attacks.tools.likeness import ranked_by_picture


@dataclass(frozen=True)
class Names:
    """Candidates of each ciphertext, the likeliest first: int64 (n, m)."""

    nearest: IntArray


class NamingByHistories(Attack):
    """Many ciphertexts under one key, and candidates that hold their originals."""

    name = "naming_by_histories"
    title = "Re-identification by block histories"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.LINKS
    needs = frozenset({Need.CANDIDATES})
    slow = True
    least_images = 16
    requires = MAPS_OF_BLOCKS
    metric = AttackMetric("top-1 accuracy", best=1.0)
    limits = (
        "the original is always among the candidates, pixel for pixel: candidates taken at another "
        "time or cropped in another way are not tried",
    )
    source = "attack of this project"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Names:
        """Recover pictures with the candidates, and rank these. Raises AttackFailedError."""
        found = recover(as_bytes(view.ciphertexts), view.candidates, blocks_of_target(view.facts))
        return Names(ranked_by_picture(found.pictures, view.candidates))

    def score(self, guess: Names, truth: Truth) -> Score:
        """Count how often the likeliest candidate is the right one."""
        assert truth.candidate_of is not None
        right = guess.nearest == truth.candidate_of[:, None]
        count = guess.nearest.shape[1]
        details = (
            Detail("top-5 accuracy", float(right[:, :5].any(axis=1).mean())),
            Detail("median rank of the right one", float(np.median(right.argmax(axis=1) + 1))),
            Detail("chance", 1.0 / count),
            Detail("candidates", float(count), "images"),
        )
        return Score(
            float(right[:, 0].mean()),
            details,
            (),
            {"ciphertexts": len(right), "candidates": count},
            error=float(np.sqrt((1 - 1 / count) / count / len(right))),
            images=truth.ids,
            each=right[:, 0].astype(np.float64),
        )

    def chance(self, truth: Truth) -> float | None:
        """One of the candidates, named at random."""
        return 1 / truth.candidates if truth.candidates else None


ATTACK = NamingByHistories()
