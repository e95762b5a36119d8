"""Puts blocks together into a picture: joints are taken in order of certainty, parts merge.

Two parts merge where the result has no block on another and still fits into the grid (after
Gallagher, "Jigsaw Puzzles with Pieces of Unknown Orientation", CVPR 2012). What is left over fills
the holes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from he_compare.common.types import Float32Array, IntArray
from he_compare.comparisons.attacks.tools.joints import Joints
from he_compare.comparisons.attacks.tools.tiles import AFTER, INVERSE, MOVES

SETTLING = 20


@dataclass(frozen=True)
class Placement:
    """Block, turn and negation at each place of a grid, each int64 (rows, columns).

    ``joined``: share of the blocks that the joints put into one part before holes were filled.
    """

    block: IntArray
    turn: IntArray
    negated: IntArray
    joined: float


# A row of ``Joints``.
_Joint: TypeAlias = tuple[int, int, int, int, list[int], int]


@dataclass
class _Part:
    """Blocks that hang together: number (p,), place (p, 2), turn (p,) and negation (p,)."""

    blocks: IntArray
    at: IntArray
    turn: IntArray
    negated: IntArray


def place(joints: Joints, rows: int, columns: int) -> Placement:
    """Return where the blocks go, as far as the joints show; the rest fills the holes in turn."""
    count = rows * columns
    zero = np.zeros(1, dtype=np.int64)
    parts = {i: _Part(np.array([i]), np.zeros((1, 2), np.int64), zero, zero) for i in range(count)}
    part_of = np.arange(count)
    index_in = np.zeros(count, dtype=np.int64)
    turned = bool(joints.second_turn.any())
    for joint in zip(*(column.tolist() for column in vars(joints).values()), strict=True):
        first, _, second, *_ = joint
        a, b = int(part_of[first]), int(part_of[second])
        if a == b:
            continue
        moved = _fitted(
            parts[a], int(index_in[first]), parts[b], int(index_in[second]), cast(_Joint, joint)
        )
        if not _allowed(parts[a], moved, (rows, columns), turned):
            continue
        keep, gone = (a, b) if len(parts[a].blocks) >= len(parts[b].blocks) else (b, a)
        whole = _merged(parts[a], moved) if keep == a else _merged(moved, parts[a])
        parts[keep] = whole
        del parts[gone]
        part_of[whole.blocks] = keep
        index_in[whole.blocks] = np.arange(len(whole.blocks))
        if len(parts) == 1:
            break
    largest = max(parts.values(), key=lambda part: len(part.blocks))
    return _fill(largest, rows, columns)


def _fitted(a: _Part, i: int, b: _Part, j: int, joint: _Joint) -> _Part:
    """Return part b moved, turned and negated so that the joint holds in the frame of part a."""
    _, first_turn, _, second_turn, step, opposite = joint
    frame = AFTER[a.turn[i], INVERSE[first_turn]]
    turn = AFTER[frame, second_turn]
    target = a.at[i] + MOVES[frame] @ step
    change = AFTER[turn, INVERSE[b.turn[j]]]
    at = (b.at - b.at[j]) @ MOVES[change].T + target
    flip = a.negated[i] ^ b.negated[j] ^ opposite
    return _Part(b.blocks, at, AFTER[change, b.turn], b.negated ^ flip)


def _allowed(a: _Part, b: _Part, grid: tuple[int, int], turned: bool) -> bool:
    """Say whether no blocks of the two meet, and the whole fits into the grid."""
    low = np.minimum(a.at.min(axis=0), b.at.min(axis=0))
    extent = np.maximum(a.at.max(axis=0), b.at.max(axis=0)) - low + 1
    # Where blocks may be turned, so may the whole.
    lies, limits = (sorted(extent), sorted(grid)) if turned else (extent, grid)
    if lies[0] > limits[0] or lies[1] > limits[1]:
        return False
    width = int(extent[1])
    mine, theirs = (a.at - low) @ [width, 1], (b.at - low) @ [width, 1]
    return len(np.intersect1d(mine, theirs, assume_unique=True)) == 0


def _merged(a: _Part, b: _Part) -> _Part:
    return _Part(
        np.concatenate([a.blocks, b.blocks]),
        np.concatenate([a.at, b.at]),
        np.concatenate([a.turn, b.turn]),
        np.concatenate([a.negated, b.negated]),
    )


def unmoved(rows: int, columns: int) -> Placement:
    """Return the placement that leaves every block where it is."""
    block = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    return Placement(block, np.zeros_like(block), np.zeros_like(block), 0.0)


def settle(placement: Placement, right: Float32Array, below: Float32Array) -> Placement:
    """Improve an upright placement: the fields of either colour of a chessboard are filled anew.

    ``right``, ``below``: (k, k), how badly block j fits to the right of block i, or below it. With
    one colour fixed, the best filling of the other is a linear assignment; the sum never rises.
    """
    block = placement.block.copy()
    colour = np.add.outer(*map(np.arange, block.shape)) % 2
    for _ in range(SETTLING):
        before = block.copy()
        for half in (0, 1):
            cells = np.nonzero(colour == half)
            pieces = block[cells]
            cost = _beside(block, right, below)[cells][:, pieces]
            block[cells] = pieces[linear_sum_assignment(cost)[1]]
        if np.array_equal(before, block):
            break
    return replace(placement, block=block)


def _beside(block: IntArray, right: Float32Array, below: Float32Array) -> Float32Array:
    """How badly each block would fit at each place between its neighbours: (rows, columns, k)."""
    cost = np.zeros((*block.shape, len(right)), dtype=np.float32)
    cost[:, 1:] += right[block[:, :-1]]
    cost[:, :-1] += right.T[block[:, 1:]]
    cost[1:] += below[block[:-1]]
    cost[:-1] += below.T[block[1:]]
    return cost


def _fill(part: _Part, rows: int, columns: int) -> Placement:
    """Lay the part into the grid, upright if it has to be turned for that, and fill the holes."""
    extent = np.ptp(part.at, axis=0) + 1
    if extent[0] > rows or extent[1] > columns:
        quarter = 1
        part = _Part(
            part.blocks, part.at @ MOVES[quarter].T, AFTER[quarter, part.turn], part.negated
        )
    at = part.at - part.at.min(axis=0)
    block = np.full((rows, columns), -1, dtype=np.int64)
    turn, negated = np.zeros_like(block), np.zeros_like(block)
    where = tuple(at.T)
    block[where], turn[where], negated[where] = part.blocks, part.turn, part.negated
    block[block < 0] = np.setdiff1d(np.arange(rows * columns), part.blocks)
    return Placement(block, turn, negated, len(part.blocks) / block.size)
