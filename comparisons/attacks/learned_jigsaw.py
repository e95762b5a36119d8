"""Learned jigsaw: a network that has seen public images says where blocks belong.

The inside of blocks is read as by the jigsaw solver, within one image if need be. Then a small
transformer, trained on plain images of other people, gives each block a probability of each place,
and the places are chosen that agree best with it and with the borders of the blocks. It is meant
for keys of one image, where a single image is all there is. Sources: ``tools.ordering``,
``common.block_solving.placement``; learned solvers as a threat: arXiv 2404.07292.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_requirements import BLOCKS, BYTES, KEPT_BLOCKS, MOVED_BLOCKS
from he_compare.common.attack_score import SSIM, Detail, Picture, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.device import memory_spent
from he_compare.common.block_solving.joints import (
    ALL_TURNS,
    UPRIGHT,
    borders_of,
    turned_joints,
    upright_joints,
)
from he_compare.common.block_solving.placement import Placement, place
from he_compare.common.block_solving.reconstruct import (
    MAX_BLOCKS,
    TRACE,
    Reconstruction,
    assemble,
    pixels_of,
    reconstruct,
)
from he_compare.common.block_solving.tiles import as_bytes, symmetric
from he_compare.common.similarity import ssim
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from he_compare.comparisons.attacks.tools.ordering import Ordering, learn_ordering

SHOWN = 3
ALONE = 8
# Of the budget's seconds per key, the share that training may take.
TRAINING = 0.5
# Unfit of a usual joint that a factor of e in probability outweighs.
WEIGHT = 8.0
SQUARE, UPRIGHT_ONLY = tuple(range(8)), (0, 2, 5, 7)


@dataclass(frozen=True)
class Ordered:
    """Pictures (n, h, w) by network and borders, by the network alone and by borders alone."""

    both: UInt8Array
    network: UInt8Array
    borders: UInt8Array
    alone: bool
    steps: int
    right: float
    at_once: int | None = None


class LearnedJigsaw(Attack):
    """Ciphertexts, and plain images of other people."""

    name = "learned_jigsaw"
    title = "Learned jigsaw (transformer, public images)"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.IMAGE
    aligns = True
    needs = frozenset({Need.AUXILIARY})
    slow = True
    least_seconds = 60.0
    requires = (BLOCKS, BYTES, MOVED_BLOCKS, KEPT_BLOCKS)
    metric = SSIM
    limits = (
        "a network of some 700,000 weights, trained for half of the budget's seconds: a "
        "larger one, or more public images, may place more",
        "blocks whose inside stays scrambled are not ordered",
        "recovered pictures are grey: the mean of the channels",
    )
    source = "transformer encoder (Vaswani et al., 2017); learned solvers: arXiv 2404.07292"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Ordered:
        """Learn where blocks belong, then place those of all ciphertexts or of a few alone."""
        patch = view.facts.side
        images = as_bytes(view.ciphertexts)
        alone = view.facts.one_by_one
        parts = [image[None] for image in images[:ALONE]] if alone else [images]
        solved = [reconstruct(part, patch) for part in parts]
        if max(one.neighbours for one in solved) < TRACE:
            raise AttackFailedError("no order is found inside blocks")
        if solved[0].placement.block.size > MAX_BLOCKS // 4:
            raise AttackFailedError(f"more than {MAX_BLOCKS // 4} blocks")
        turned = sum(one.turned for one in solved) * 2 > len(solved)
        ordering = learn_ordering(
            view.auxiliary,
            patch,
            turned=turned,
            seconds=TRAINING * budget.seconds,
            random=random,
            device=budget.device,
        )
        found = [
            _ordered(part, one, ordering, turned) for part, one in zip(parts, solved, strict=True)
        ]
        return Ordered(
            both=np.concatenate([both for both, _ in found]),
            network=np.concatenate([network for _, network in found]),
            borders=np.concatenate([one.pictures for one in solved]),
            alone=alone,
            steps=ordering.steps,
            right=ordering.right,
            at_once=ordering.at_once,
        )

    def score(self, guess: Ordered, truth: Truth) -> Score:
        """Compare pictures with originals, up to their symmetries."""
        originals = truth.originals[: len(guess.both)]
        align = aligned_one_by_one if guess.alone else aligned_together
        pictures = align(guess.both, originals)[..., None]
        alike = ssim(pictures, originals)
        shown = zip(pictures[:SHOWN], alike, strict=False)
        return Score(
            float(alike.mean()),
            (
                Detail("SSIM by borders alone", _alike(guess.borders, originals, guess.alone)),
                Detail("SSIM by the network alone", _alike(guess.network, originals, guess.alone)),
                Detail("blocks placed right by the network on public images", guess.right),
            ),
            [Picture(i, one, f"SSIM {value:.2f}") for i, (one, value) in enumerate(shown)],
            {"ciphertexts": len(pictures), "training steps": guess.steps}
            | memory_spent(guess.at_once),
            images=truth.ids[: len(alike)],
            each=alike,
        )


def _alike(pictures: UInt8Array, originals: UInt8Array, alone: bool) -> float:
    align = aligned_one_by_one if alone else aligned_together
    return float(ssim(align(pictures, originals)[..., None], originals).mean())


def _ordered(
    images: UInt8Array, solved: Reconstruction, ordering: Ordering, turned: bool
) -> tuple[UInt8Array, UInt8Array]:
    """Return the pictures of images (n, h, w, c) by network and borders, and by the network."""
    rows, columns = solved.placement.block.shape
    pieces = pixels_of(images, solved.patch, solved.order)
    framed = [pieces]
    if not turned and solved.order is not None:
        symmetries = SQUARE if rows == columns else UPRIGHT_ONLY
        framed = [shown for symmetry in symmetries for shown in _frames(pieces, symmetry)]
    upright, likely = _likeliest(framed, ordering)
    joints = turned_joints(upright) if turned else upright_joints(upright)
    borders = borders_of(upright, ALL_TURNS if turned else UPRIGHT)
    prior = (likely.max() - likely).reshape(rows, columns, -1).astype(np.float32)
    weighed = replace(borders, prior=prior * WEIGHT * max(joints.usual, 1.0))
    both = place(joints, weighed, rows, columns)
    return assemble(upright, both), assemble(upright, _by_likelihood(likely, rows, columns))


def _frames(pieces: UInt8Array, symmetry: int) -> Sequence[UInt8Array]:
    """All pieces (n, k, m, m) turned alike, as they are and negated."""
    flat = symmetric(pieces.reshape(-1, *pieces.shape[2:]), symmetry)
    shown = np.ascontiguousarray(flat).reshape(pieces.shape)
    return shown, cast(UInt8Array, 255 - shown)


def _likeliest(framed: Sequence[UInt8Array], ordering: Ordering) -> tuple[UInt8Array, Float64Array]:
    """Return the pieces as the network finds them the likeliest, with their log-likelihoods."""
    found = [ordering.log_likelihood(pieces) for pieces in framed]
    best = max(range(len(found)), key=lambda i: float(found[i][_assigned(found[i])].sum()))
    return framed[best], found[best]


def _assigned(likely: Float64Array) -> tuple[IntArray, IntArray]:
    rows, columns = linear_sum_assignment(-likely)
    return rows.astype(np.int64), columns.astype(np.int64)


def _by_likelihood(likely: Float64Array, rows: int, columns: int) -> Placement:
    """Return the likeliest placement; blocks that were turned one by one stay turned."""
    block = _assigned(likely)[1].reshape(rows, columns)
    return Placement(block, np.zeros_like(block), np.zeros_like(block), 0.0)


ATTACK = LearnedJigsaw()
