"""Re-identification: which of the candidate images is behind a ciphertext.

Candidates and ciphertexts are compared by what the cipher keeps. Which descriptor that is, the
adversary finds out by encrypting candidates under keys of their own. Scale of the NeuraCrypt
challenge (arXiv 2106.02484): under 5% good, 5 to 20% moderate, over 20% bad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.descriptors import DESCRIPTORS, block_side

TRIALS = 40
OWN_KEY = 7


@dataclass(frozen=True)
class Ranking:
    """Candidates of each ciphertext, nearest first: int64 (n, m), and the descriptor used."""

    nearest: IntArray
    descriptor: str


class Reidentification(Attack):
    """Matches ciphertexts to candidates."""

    name = "reidentification"
    title = "Re-identification"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.LINKS
    needs = frozenset({Need.CANDIDATES})
    reads_pictures = False
    metric = AttackMetric("top-1 accuracy", best=1.0)
    limits = (
        "the original is always among the candidates, pixel for pixel: candidates taken at another "
        "time or cropped in another way are not tried",
    )
    source = "scale: NeuraCrypt challenge, arXiv 2106.02484"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Ranking:
        """Choose a descriptor under an own key, then rank all candidates of every ciphertext."""
        candidates, shape = view.candidates, view.facts.shape
        side = block_side(shape, view.facts.patch)
        trial = candidates[random.permutation(len(candidates))[:TRIALS]]
        own = view.under_own_key(trial, OWN_KEY)
        right = {
            name: top_one(_ranked(describe(trial, shape, side), describe(own, shape, side)))
            for name, describe in DESCRIPTORS.items()
        }
        best = max(right, key=lambda name: right[name])
        describe = DESCRIPTORS[best]
        known = _in_parts(candidates, best, view)
        return Ranking(_ranked(known, describe(view.ciphertexts, shape, side)), best)

    def score(self, guess: Ranking, truth: Truth) -> Score:
        """Count how often the nearest candidate is the right one."""
        assert truth.candidate_of is not None
        right = guess.nearest == truth.candidate_of[:, None]
        ranks = right.argmax(axis=1) + 1
        count = guess.nearest.shape[1]
        return Score(
            float(right[:, 0].mean()),
            (
                Detail("top-5 accuracy", float(right[:, :5].any(axis=1).mean())),
                Detail("median rank of the right one", float(np.median(ranks))),
                Detail("chance", 1.0 / count),
                Detail("candidates", float(count), "images"),
            ),
            (),
            {"ciphertexts": len(ranks), "candidates": count, "descriptor": guess.descriptor},
            error=float(np.sqrt((1 - 1 / count) / count / len(ranks))),
            images=truth.ids,
            each=right[:, 0].astype(np.float64),
        )

    def chance(self, truth: Truth) -> float | None:
        """One of the candidates, named at random."""
        return 1 / truth.candidates if truth.candidates else None


def _in_parts(candidates: UInt8Array, name: str, view: View) -> Float64Array:
    """Describe many candidates a hundred at a time, to keep memory small."""
    side = block_side(view.facts.shape, view.facts.patch)
    parts = [
        DESCRIPTORS[name](candidates[start : start + 100], view.facts.shape, side)
        for start in range(0, len(candidates), 100)
    ]
    return np.concatenate(parts)


def _ranked(known: Float64Array, seen: Float64Array) -> IntArray:
    """Order known rows by distance (L1) from each seen row: int64 (n, m)."""
    distances = np.stack([np.abs(known - row).sum(axis=1) for row in seen])
    return np.argsort(distances, axis=1, kind="stable")


def top_one(nearest: IntArray) -> float:
    """Share of rows whose nearest is the row of the same number."""
    return float((nearest[:, 0] == np.arange(len(nearest))).mean())


ATTACK = Reidentification()
