"""Minimum difference: of all signs and colour orders of a pixel, the one nearest its neighbours.

A raster scan over the pixels. Each pixel's candidates are v or 255 - v for every channel, in every
colour order; the one that differs least from the neighbours already fixed is taken, over all
ciphertexts at once where one key serves them, else in each by itself. Source: Chang and Case,
"Attacks on Image Encryption Schemes for Privacy-Preserving Deep Neural Networks" (arXiv
2004.13263).
"""

from __future__ import annotations

from itertools import permutations, product
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import SSIM, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.negation import (
    NEGATED_IN_PLACE,
    NegationUndone,
    as_pictures,
    score_undone,
)

Int16Array: TypeAlias = npt.NDArray[np.int16]

# More ciphertexts of the same key make no difference any more.
ENOUGH = 20


class MinimumDifference(Attack):
    """Undoes negation and colour orders pixel by pixel."""

    name = "minimum_difference"
    title = "Minimum difference"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.IMAGE
    metric = SSIM
    requires = NEGATED_IN_PLACE
    limits = (
        "the whole picture is found up to negation: SSIM is the higher one of picture and negative",
        "under a key for each image every image is scanned by itself: unprotected images give no "
        "more then, that is the ceiling, not 1",
    )
    source = "Chang and Case, arXiv 2004.13263"

    def rung_on(self, facts: Facts) -> Knowledge:
        """Images that have a key each are read one by one: a single ciphertext is enough."""
        return Knowledge.CIPHERTEXT_ONLY if facts.one_by_one else self.rung

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> NegationUndone:
        """Scan the ciphertexts, all of one key together, or one by one under keys of their own."""
        seen = as_pictures(view.ciphertexts[:ENOUGH])
        if not view.facts.one_by_one:
            return NegationUndone(minimum_difference(seen), seen)
        each = [minimum_difference(picture[None]) for picture in seen]
        return NegationUndone(np.concatenate(each), seen)

    def score(self, guess: NegationUndone, truth: Truth) -> Score:
        """Compare with the originals."""
        count = len(guess.images)
        return score_undone(guess, truth, count)


def minimum_difference(ciphertexts: UInt8Array) -> UInt8Array:
    """Fix signs and colour orders of uint8 (n, h, w, c) that share a key, in raster order.

    Pixels of one anti-diagonal do not touch and are fixed together.
    """
    _, height, width, channels = ciphertexts.shape
    orders = np.array(list(permutations(range(channels))))
    signs = np.array(list(product((0, 255), repeat=channels)), dtype=np.int16)
    values = ciphertexts.astype(np.int16)
    fixed = np.zeros_like(values)
    fixed[:, 0, 0] = _first(values[:, 0, 0], signs)
    for diagonal in range(1, height + width - 1):
        rows = np.arange(max(0, diagonal - width + 1), min(diagonal, height - 1) + 1)
        columns = diagonal - rows
        near = _neighbours(fixed, rows, columns)
        here = values[:, rows, columns]
        fixed[:, rows, columns] = _nearest(here, near, orders, signs)
    return cast(UInt8Array, fixed.astype(np.uint8))


def _first(pixel: Int16Array, signs: Int16Array) -> Int16Array:
    """Give the first pixel, (n, c), the signs that bring its channels together."""
    candidates = pixel[:, None] ^ signs
    spread = np.ptp(candidates, axis=2).sum(axis=0)
    return cast(Int16Array, candidates[:, spread.argmin()])


def _neighbours(fixed: Int16Array, rows: Int16Array, columns: Int16Array) -> Int16Array:
    """Return the mean of the pixels above and to the left, (n, k, c), where there are any."""
    above = fixed[:, np.maximum(rows - 1, 0), columns]
    left = fixed[:, rows, np.maximum(columns - 1, 0)]
    above = np.where((rows > 0)[None, :, None], above, left)
    left = np.where((columns > 0)[None, :, None], left, above)
    return cast(Int16Array, np.stack([above, left]))


def _nearest(here: Int16Array, near: Int16Array, orders: IntArray, signs: Int16Array) -> Int16Array:
    """Choose for each of k pixels, (n, k, c), order and signs that differ least over all images."""
    cost = np.empty((len(orders), len(signs), here.shape[1]))
    for i, order in enumerate(orders):
        moved = here[:, :, order]
        direct = np.abs(near - moved).sum(axis=(0, 1))
        inverse = np.abs(near - (255 - moved)).sum(axis=(0, 1))
        cost[i] = np.where(signs[:, None, :] == 0, direct, inverse).sum(axis=2)
    best = cost.reshape(-1, here.shape[1]).argmin(axis=0)
    order, sign = orders[best // len(signs)], signs[best % len(signs)]
    moved = np.take_along_axis(here, np.broadcast_to(order, here.shape), axis=2)
    return cast(Int16Array, moved ^ sign)


ATTACK = MinimumDifference()
