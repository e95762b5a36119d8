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

from he_compare.common.attack import (
    AttackFailedError,
    Budget,
    Detail,
    Facts,
    Metric,
    Need,
    Score,
    Truth,
    View,
)
from he_compare.common.types import Float64Array, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.scores import source_blocks
from he_compare.comparisons.attacks.tools.tiles import as_bytes, cut

MAX_BLOCKS = 4096
LEAST_IMAGES = 3


@dataclass(frozen=True)
class Neighbours:
    """The block taken to be each block's neighbour, (k,), and from how many ciphertexts."""

    nearest: IntArray
    ciphertexts: int


class BlockStatistics:
    """Ciphertext only; many images under one block order."""

    name = "block_statistics"
    title = "Neighbours from block statistics"
    rung = Knowledge.MANY_CIPHERTEXTS
    needs: frozenset[Need] = frozenset()
    metric = Metric("share of blocks with a true neighbour named")
    limits = ("tells which blocks lie together, not what they show",)
    source = "design of the ciphers: one block order for all images of a key"

    def applies(self, facts: Facts) -> str:
        """Only where one order moves the blocks of all images."""
        if facts.patch is None:
            return "no blocks"
        if not facts.deterministic or not facts.one_key:
            return "every image has a key of its own: blocks cannot be followed over images"
        if not facts.moves_blocks:
            return "blocks do not change places"
        blocks = facts.shape[0] // facts.patch * (facts.shape[1] // facts.patch)
        return f"{blocks} blocks, more than {MAX_BLOCKS}" if blocks > MAX_BLOCKS else ""

    def run(self, view: View, budget: Budget, random: np.random.Generator) -> Neighbours:
        """Name for each block the one that varies most like it over the images."""
        patch = view.facts.patch
        assert patch is not None
        images = as_bytes(view.ciphertexts)
        if len(images) < LEAST_IMAGES:
            raise AttackFailedError(f"{len(images)} images, at least {LEAST_IMAGES} are needed")
        alike = alikeness(cut(images, patch))
        np.fill_diagonal(alike, -np.inf)
        return Neighbours(alike.argmax(axis=1).astype(np.int64), len(images))

    def score(self, guess: Neighbours | None, truth: Truth) -> Score:
        """Count blocks whose named neighbour touches them in the picture, corners included."""
        height, width, _ = truth.facts.shape
        patch = truth.facts.patch
        assert patch is not None
        rows, columns = height // patch, width // patch
        source = source_blocks(truth)
        place = np.arange(rows * columns) if source is None else source
        apart = distances(place, columns)
        touching = apart == 1
        chance = float(touching.sum() / (touching.size - len(touching)))
        error = float(np.sqrt(chance * (1 - chance) / len(place)))
        if guess is None:
            return Score(chance, error=error)
        named = apart[np.arange(len(place)), guess.nearest]
        return Score(
            float((named == 1).mean()),
            (
                Detail("chance", chance),
                Detail("named block at most two away", float((named <= 2).mean())),
            ),
            (),
            {"ciphertexts": guess.ciphertexts},
            error,
        )


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
