"""Puts blocks together into a picture: joints are taken in order of certainty, parts merge.

Two parts merge where the result has no block on another and still fits into the grid (after
Gallagher, "Jigsaw Puzzles with Pieces of Unknown Orientation", CVPR 2012). What is left over
is laid by size (``common.block_solving.filling``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from he_compare.common.block_solving.filling import Island, complete, rebuilt, unfit_of_all
from he_compare.common.block_solving.joints import Borders, Joints
from he_compare.common.block_solving.tiles import AFTER, INVERSE, MOVES
from he_compare.common.types import IntArray

# Orders of merging that are tried: more where blocks are few, as in a single image.
FEWEST_ATTEMPTS, MOST_ATTEMPTS, BLOCKS_IN_ALL = 2, 24, 1200
SAME = 1e-6


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


def place(joints: Joints, borders: Borders, rows: int, columns: int) -> Placement:
    """Return where the blocks go: as the joints show, then as their borders fit the best.

    Joints are merged in several orders; two that end in equally good pictures decide.
    """
    random = np.random.default_rng(0)
    found: list[tuple[float, Placement]] = []
    tried = joints
    for _ in range(_attempts(rows * columns)):
        islands = merged(tried, rows, columns)
        joined = max(len(island.block) for island in islands) / (rows * columns)
        mosaic = rebuilt(complete(islands, borders, rows, columns), borders, joints.usual)
        amiss = unfit_of_all(mosaic, borders)
        agreed = any(abs(amiss - before) <= SAME * before for before, _ in found)
        found.append((amiss, Placement(mosaic.block, mosaic.turn, mosaic.negated, joined)))
        if agreed:
            break
        tried = joints.shaken(random)
    return min(found, key=lambda one: one[0])[1]


def _attempts(blocks: int) -> int:
    return max(FEWEST_ATTEMPTS, min(MOST_ATTEMPTS, BLOCKS_IN_ALL // blocks))


def merged(joints: Joints, rows: int, columns: int) -> list[Island]:
    """Merge blocks along joints, the most certain first: islands of at least one block."""
    count = rows * columns
    zero = np.zeros(1, dtype=np.int64)
    parts = {i: _Part(np.array([i]), np.zeros((1, 2), np.int64), zero, zero) for i in range(count)}
    part_of = np.arange(count)
    index_in = np.zeros(count, dtype=np.int64)
    turned = bool(joints.second_turn.any())
    for joint in _rows(joints):
        first, _, second, *_ = joint
        a, b = int(part_of[first]), int(part_of[second])
        if a == b:
            continue
        moved = _fitted(parts[a], int(index_in[first]), parts[b], int(index_in[second]), joint)
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
    return [_island(part) for part in parts.values()]


def _rows(joints: Joints) -> list[_Joint]:
    columns = (
        joints.first,
        joints.first_turn,
        joints.second,
        joints.second_turn,
        joints.step,
        joints.opposite,
    )
    return [cast(_Joint, row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _island(part: _Part) -> Island:
    return Island(part.blocks, part.at - part.at.min(axis=0), part.turn, part.negated)


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
