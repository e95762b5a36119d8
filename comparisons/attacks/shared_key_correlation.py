"""Shared-key correlation: the order and negation of values inside blocks, from ciphertexts alone.

One key for all blocks leaves neighbouring pixels correlated over the blocks wherever it puts them:
``common.block_solving.correlation`` finds the negation mask and lays the positions out.
Source: this project (measured); the idea is that of correlation attacks on permutation ciphers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_requirements import (
    BLOCKS,
    BYTES,
    ONE_KEY,
    ONE_VALUE,
    SHARED_KEY,
    Requirement,
)
from he_compare.common.attack_score import AS_IT_IS, AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.correlation import BlockOrder, find_block_order
from he_compare.common.block_solving.tiles import as_bytes, cut
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import Aim, IntArray, Knowledge
from he_compare.comparisons.attacks.tools.move_keys import uses_nibbles
from he_compare.comparisons.attacks.tools.scores import (
    chance_of_positions,
    mask_found,
    positions_found,
)


@dataclass(frozen=True)
class FoundOrder:
    """What was found about the inside of blocks, from how many ciphertexts."""

    order: BlockOrder
    ciphertexts: int


NOT_HALVES = Requirement(
    "4-bit halves of values move apart; this solver correlates whole values",
    lambda facts: not uses_nibbles(facts),
)


class SharedKeyCorrelation(Attack):
    """Ciphertext only; many blocks under one key."""

    name = "shared_key_correlation"
    title = "Shared-key correlation"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.KEY
    slow = True
    # Of grainy pictures with a black margin, twenty leave the layout torn; a hundred take a second.
    wants_images = 100
    requires = (BLOCKS, ONE_KEY, BYTES, ONE_VALUE, SHARED_KEY, NOT_HALVES)
    metric = AttackMetric("share of pixel positions inside blocks exact", best=1.0)
    limits = (
        "up to the eight symmetries of the square and a global negation, which ciphertexts do not "
        "determine",
        "of three equal channels one copy counts; which copy is which makes no difference",
    )
    source = "attack of this project; prior art: correlation attacks on permutation-only ciphers"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> FoundOrder:
        """Correlate the positions of all blocks of all ciphertexts."""
        patch = view.facts.side
        ciphertexts = as_bytes(view.ciphertexts)
        blocks = cut(ciphertexts, patch)
        order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
        if order is None:
            raise AttackFailedError("blocks show no order of their values")
        return FoundOrder(order, len(ciphertexts))

    def score(self, guess: FoundOrder, truth: Truth) -> Score:
        """Count positions and signs that are right."""
        patch = truth.facts.side
        pixel, negated = true_inside(truth.key, truth.facts.shape, patch)
        if len(guess.order.position) != patch * patch:
            return self.score_nothing(truth)
        found = positions_found(pixel[guess.order.position[:, 0]].reshape(patch, patch))
        details = (
            Detail("positions at most one pixel off", found.near),
            Detail("negation mask right", mask_found(guess.order.negated, negated)),
            Detail("held-out correlation of neighbours", guess.order.neighbours),
        )
        return Score(found.exact, details, (), {"ciphertexts": guess.ciphertexts})

    def effortless(self, view: View, truth: Truth) -> Mapping[str, float]:
        """Count the positions that the cipher did not move."""
        facts = truth.facts
        if facts.patch is None:
            return {}
        pixel, _ = true_inside(truth.key, facts.shape, facts.side)
        first = pixel.reshape(facts.side, facts.side, -1)[..., 0]
        return {AS_IT_IS: positions_found(first).exact}

    def chance(self, truth: Truth) -> float | None:
        """Return the chance of positions laid at random, of which the best way up counts."""
        return None if truth.facts.patch is None else chance_of_positions(truth.facts.side)


def true_inside(
    key: KeyMoves | None, shape: tuple[int, int, int], patch: int
) -> tuple[IntArray, IntArray]:
    """Return for each position of a ciphertext block its pixel (values,) and whether it is negated.

    Taken from the first block; without a key of moves, the identity (any order is as good there).
    """
    height, width, channels = shape
    flat = np.arange(height * width * channels, dtype=np.int64).reshape(shape)
    positions = flat[:patch, :patch].ravel()
    moved = key is not None and not key.nibbles
    source = key.index[positions] if moved and key is not None else positions
    row, column = np.divmod(source // channels, width)
    negated = key.negated[positions] if moved and key is not None else np.zeros(len(positions))
    pixel = row % patch * patch + column % patch
    return pixel.astype(np.int64), np.asarray(negated, dtype=np.int64)


ATTACK = SharedKeyCorrelation()
