"""Shared-key correlation: the order and negation of values inside blocks, from ciphertexts alone.

One key for all blocks leaves neighbouring pixels correlated over the blocks wherever it puts them:
``comparisons.attacks.tools.correlation`` finds the negation mask and lays the positions out.
Source: this project (measured); the idea is that of correlation attacks on permutation ciphers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.attack import Budget, Detail, Facts, Metric, Need, Score, Truth, View
from he_compare.common.scheme import KeyMoves
from he_compare.common.types import IntArray, Knowledge
from he_compare.comparisons.attacks.tools.correlation import BlockOrder, find_block_order
from he_compare.comparisons.attacks.tools.move_keys import uses_nibbles
from he_compare.comparisons.attacks.tools.scores import mask_found, positions_found
from he_compare.comparisons.attacks.tools.tiles import as_bytes, cut


@dataclass(frozen=True)
class Inside:
    """What was found about the inside of blocks, from how many ciphertexts."""

    order: BlockOrder
    ciphertexts: int


class SharedKeyCorrelation:
    """Ciphertext only; many blocks under one key."""

    name = "shared_key_correlation"
    title = "Shared-key correlation"
    rung = Knowledge.MANY_CIPHERTEXTS
    needs: frozenset[Need] = frozenset()
    slow = True
    metric = Metric("share of pixel positions inside blocks exact", best=1.0)
    limits = (
        "up to the eight symmetries of the square and a global negation, which no ciphertext tells",
        "of three equal channels one copy counts; which copy is which makes no difference",
    )
    source = "attack of this project; prior art: correlation attacks on permutation-only ciphers"

    def applies(self, facts: Facts) -> str:
        """Only where one key moves whole values inside all blocks."""
        return inside_obstacle(facts)

    def run(self, view: View, budget: Budget, random: np.random.Generator) -> Inside | None:
        """Correlate the positions of all blocks of all ciphertexts."""
        patch = view.facts.patch
        assert patch is not None
        ciphertexts = as_bytes(view.ciphertexts)
        blocks = cut(ciphertexts, patch)
        order = find_block_order(blocks.reshape(-1, blocks.shape[2]))
        return None if order is None else Inside(order, len(ciphertexts))

    def score(self, guess: Inside | None, truth: Truth) -> Score:
        """Count positions and signs that are right."""
        patch = truth.facts.patch
        assert patch is not None
        pixel, negated = true_inside(truth.key, truth.facts.shape, patch)
        if guess is None or len(guess.order.position) != patch * patch:
            return Score(1 / patch**2)
        found = positions_found(pixel[guess.order.position[:, 0]].reshape(patch, patch))
        details = (
            Detail("positions at most one pixel off", found.near),
            Detail("negation mask right", mask_found(guess.order.negated, negated)),
            Detail("held-out correlation of neighbours", guess.order.neighbours),
        )
        return Score(found.exact, details, (), {"ciphertexts": guess.ciphertexts})


def inside_obstacle(facts: Facts) -> str:
    """Say why there is no common order inside blocks to find; '' where there is."""
    if facts.patch is None:
        return "no blocks"
    if not facts.deterministic or not facts.one_key:
        return "every image has a key of its own (the jigsaw solver tries each by itself)"
    if facts.ciphertext != "uint8" or not facts.local:
        return "values are not moved and negated but mixed or mapped otherwise"
    if not facts.shared_key:
        return "every block has a key of its own: no order is common to the blocks"
    if uses_nibbles(facts):
        return "4-bit halves of values move apart; this solver correlates whole values"
    return ""


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
