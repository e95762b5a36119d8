"""Block order from block statistics: blocks that vary together over many images are neighbours.

No border and no pixel is looked at, so that it works where every block has a key of its own: what a
block keeps of itself (its mean, and its folded means) is followed over the images of one block
order, and each block's neighbour is taken to be the one whose statistics correlate best with its
own. Where every image has a key of its own, the same statistics name neighbours within one image:
blocks that are alike. Source: the ciphers' design (one block order for all images of a key);
measured here.
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
from he_compare.common.block_solving.tiles import as_bytes, cut
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.scores import source_blocks

READABLE_ORDER = Requirement(
    "every image has a key of its own, and no block holds what one block of the image held",
    lambda facts: (facts.deterministic and facts.one_key) or facts.keeps_blocks,
)
MOST_DESCRIBED = 4096
LEAST_IMAGES = 3


@dataclass(frozen=True)
class Neighbours:
    """The block guessed as each block's neighbour, (k,), and how many ciphertexts were used."""

    nearest: IntArray
    ciphertexts: int


@dataclass(frozen=True)
class NeighboursAlone:
    """The same within each image by itself, (n, k), with what tells blocks apart, (n, k)."""

    nearest: IntArray
    contents: IntArray


class BlockStatistics(Attack):
    """Ciphertext only; many images under one block order."""

    name = "block_statistics"
    title = "Neighbours from block statistics"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.IMAGE
    metric = AttackMetric("share of blocks with a correctly named neighbour")
    requires = (BLOCKS, READABLE_ORDER, MOVED_BLOCKS)
    limits = (
        "finds which blocks are neighbours, not what they show",
        "under a key for each image, blocks of which an image has several alike are not counted",
    )
    source = "design of the ciphers: one block order for all images of a key"

    def cannot_read(self, facts: Facts) -> str:
        """Only as many blocks as have pairs that fit in memory."""
        blocks = facts.shape[0] // facts.side * (facts.shape[1] // facts.side)
        return f"{blocks} blocks, more than {MOST_DESCRIBED}" if blocks > MOST_DESCRIBED else ""

    def rung_on(self, facts: Facts) -> Knowledge:
        """Images that have a key each are read one by one: a single ciphertext is enough."""
        return Knowledge.CIPHERTEXT_ONLY if facts.one_by_one else self.rung

    def run(
        self, view: View, budget: AttackBudget, random: np.random.Generator
    ) -> Neighbours | NeighboursAlone:
        """Name for each block the one that varies most like it over the images, or within one."""
        patch = view.facts.side
        images = as_bytes(view.ciphertexts)
        if view.facts.one_by_one:
            blocks = cut(images, patch)
            return NeighboursAlone(most_alike(blocks), contents_of(blocks))
        if len(images) < LEAST_IMAGES:
            raise AttackFailedError(f"{len(images)} images, at least {LEAST_IMAGES} are needed")
        alike = alikeness(cut(images, patch))
        np.fill_diagonal(alike, -np.inf)
        return Neighbours(alike.argmax(axis=1).astype(np.int64), len(images))

    def score(self, guess: Neighbours | NeighboursAlone, truth: Truth) -> Score:
        """Count blocks whose named neighbour touches them in the picture, corners included."""
        if isinstance(guess, NeighboursAlone):
            return _score_alone(guess, truth)
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


def _score_alone(guess: NeighboursAlone, truth: Truth) -> Score:
    """Score each image by itself: its blocks are found in the original by what they hold."""
    height, width, _ = truth.facts.shape
    columns = width // truth.facts.side
    apart = distances(np.arange(height // truth.facts.side * columns), columns)
    held = contents_of(cut(truth.originals, truth.facts.side))
    named: list[IntArray] = []
    for seen, true, nearest in zip(guess.contents, held, guess.nearest, strict=True):
        place = _places(seen, true)
        known = np.flatnonzero((place >= 0) & (place[nearest] >= 0))
        named.append(apart[place[known], place[nearest[known]]])
    steps = np.concatenate(named)
    counted = np.array([len(one) for one in named], dtype=np.float64)
    right = np.array([(one == 1).sum() for one in named], dtype=np.float64)

    def under(weights: Float64Array) -> Float64Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return cast(Float64Array, (weights @ right) / (weights @ counted))

    touching = apart == 1
    chance = float(touching.sum() / (touching.size - len(touching)))
    if not len(steps):
        return Score(chance, error=float(np.sqrt(chance * (1 - chance) / len(touching))))
    return Score(
        float((steps == 1).mean()),
        (
            Detail("chance", chance),
            Detail("named block at most two blocks away", float((steps <= 2).mean())),
            Detail("blocks counted", float(len(steps)), "blocks"),
        ),
        (),
        {"ciphertexts": len(guess.nearest)},
        float(np.sqrt(chance * (1 - chance) / len(steps))),
        images=truth.ids[: len(named)],
        resampled=under,
    )


def _places(seen: IntArray, true: IntArray) -> IntArray:
    """Return where in the original each block of a ciphertext lay, (k,); -1 where not one did."""
    values, first, counts = np.unique(true, return_index=True, return_counts=True)
    at = np.minimum(np.searchsorted(values, seen), len(values) - 1)
    found = (values[at] == seen) & (counts[at] == 1)
    return cast(IntArray, np.where(found, first[at], -1))


def contents_of(blocks: UInt8Array) -> IntArray:
    """Number blocks (n, k, values) by the 4-bit halves they hold, whatever their order and sign."""
    low, high = blocks & 15, blocks >> 4
    halves = np.concatenate([np.minimum(low, 15 - low), np.minimum(high, 15 - high)], axis=2)
    counts = np.stack([(halves == value).sum(axis=2) for value in range(8)], axis=2)
    weights = np.random.default_rng(0).integers(1, 1 << 40, 8)
    return cast(IntArray, counts.astype(np.int64) @ weights)


def most_alike(blocks: UInt8Array) -> IntArray:
    """Return for each block of each image the block most like it, (n, k)."""
    found = np.stack([*_statistics(blocks), *_spreads(blocks)], axis=2)
    found = found - found.mean(axis=1, keepdims=True)
    found /= found.std(axis=1, keepdims=True) + 1e-6
    nearest = np.empty(blocks.shape[:2], dtype=np.int64)
    for image, rows in enumerate(found):
        squares = (rows**2).sum(axis=1)
        gap = squares[:, None] + squares[None] - 2 * rows @ rows.T
        np.fill_diagonal(gap, np.inf)
        nearest[image] = gap.argmin(axis=1)
    return nearest


def _spreads(blocks: UInt8Array) -> list[Float64Array]:
    """Spread of the folded values of blocks: (n, k)."""
    folded = np.minimum(blocks, 255 - blocks)
    return [cast(Float64Array, folded.std(axis=2))]


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
