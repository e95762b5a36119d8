"""Block order from block statistics: blocks that vary together over many images are neighbours.

No border and no pixel is looked at, so that it works where every block has a key of its own: what a
block keeps of itself (its mean, and its folded means) is followed over the images of one block
order, and each block's neighbour is taken to be the one whose statistics correlate best with its
own. Source: the ciphers' design (one block order for all images of a key); measured here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_requirements import BLOCKS, MOVED_BLOCKS, Requirement
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.target_facts import Facts
from he_compare.common.types import Float64Array, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.scores import source_blocks
from he_compare.comparisons.attacks.tools.tiles import as_bytes, cut

ONE_ORDER = Requirement(
    "every image has a key of its own, and with it an order of blocks of its own",
    lambda facts: facts.deterministic and facts.one_key,
    by_construction=True,
)
MAX_BLOCKS = 4096
LEAST_IMAGES = 3


@dataclass(frozen=True)
class Neighbours:
    """The block guessed as each block's neighbour, (k,), and how many ciphertexts were used."""

    nearest: IntArray
    ciphertexts: int


class BlockStatistics(Attack):
    """Ciphertext only; many images under one block order."""

    name = "block_statistics"
    title = "Neighbours from block statistics"
    rung = Knowledge.MANY_CIPHERTEXTS
    metric = AttackMetric("share of blocks with a correctly named neighbour")
    requires = (BLOCKS, ONE_ORDER, MOVED_BLOCKS)
    limits = ("finds which blocks are neighbours, not what they show",)
    source = "design of the ciphers: one block order for all images of a key"

    def cannot_read(self, facts: Facts) -> str:
        """Only as many blocks as have pairs that fit in memory."""
        blocks = facts.shape[0] // facts.side * (facts.shape[1] // facts.side)
        return f"{blocks} blocks, more than {MAX_BLOCKS}" if blocks > MAX_BLOCKS else ""

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Neighbours:
        """Name for each block the one that varies most like it over the images."""
        patch = view.facts.side
        images = as_bytes(view.ciphertexts)
        if len(images) < LEAST_IMAGES:
            raise AttackFailedError(f"{len(images)} images, at least {LEAST_IMAGES} are needed")
        alike = alikeness(cut(images, patch))
        np.fill_diagonal(alike, -np.inf)
        return Neighbours(alike.argmax(axis=1).astype(np.int64), len(images))

    def score(self, guess: Neighbours, truth: Truth) -> Score:
        """Count blocks whose named neighbour touches them in the picture, corners included."""
        apart = _apart(truth)
        nothing = self.score_nothing(truth)
        named = apart[np.arange(len(apart)), guess.nearest]
        return Score(
            float((named == 1).mean()),
            (
                Detail("chance", nothing.value),
                Detail("named block at most two blocks away", float((named <= 2).mean())),
            ),
            (),
            {"ciphertexts": guess.ciphertexts},
            nothing.error,
        )

    def chance(self, truth: Truth) -> float | None:
        """Return how often a block named at random touches."""
        return self.score_nothing(truth).value

    def score_nothing(self, truth: Truth) -> Score:
        """Return how often a block named at random touches, with its standard error."""
        touching = _apart(truth) == 1
        chance = float(touching.sum() / (touching.size - len(touching)))
        return Score(chance, error=float(np.sqrt(chance * (1 - chance) / len(touching))))


def _apart(truth: Truth) -> IntArray:
    """Return how far the blocks of a ciphertext lie apart in the picture: (k, k)."""
    height, width, _ = truth.facts.shape
    rows, columns = height // truth.facts.side, width // truth.facts.side
    source = source_blocks(truth)
    return distances(np.arange(rows * columns) if source is None else source, columns)


def distances(place: IntArray, columns: int) -> IntArray:
    """Return how many rows or columns, the more of both, blocks lie apart: (k, k)."""
    row, column = np.divmod(place, columns)
    return np.maximum(abs(row[:, None] - row[None]), abs(column[:, None] - column[None]))


def alikeness(blocks: UInt8Array) -> Float64Array:
    """Return the sum of correlations over images of the statistics of blocks (n, k, values)."""
    total = np.zeros((blocks.shape[1], blocks.shape[1]))
    for statistic in _statistics(blocks):
        # What an image does as a whole, and what a block is like in all images, tell no places.
        values = statistic - statistic.mean(axis=1, keepdims=True)
        values -= values.mean(axis=0)
        values /= values.std(axis=0) + 1e-6
        total += values.T @ values / len(values)
    return total


def _statistics(blocks: UInt8Array) -> list[Float64Array]:
    """Mean, folded mean, and folded mean of the halves of blocks: each (n, k)."""
    folded = np.minimum(blocks, 255 - blocks)
    low, high = blocks & 15, blocks >> 4
    halves = np.minimum(low, 15 - low) + np.minimum(high, 15 - high)
    return [cast(Float64Array, values.mean(axis=2)) for values in (blocks, folded, halves)]


ATTACK = BlockStatistics()
