"""How well two blocks fit side by side, for all pairs, summed over images of one block order.

The unfit of a joint is the squared difference of what each block predicts half a pixel beyond its
border, by continuing its own gradient (after Pomeranz, Shemesh, Ben-Shahar, CVPR 2011), summed over
images: as scalar products, so that it is one matrix product for all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from he_compare.common.block_solving.tiles import INVERSE, MOVES, symmetric
from he_compare.common.types import BoolArray, Float32Array, IntArray, UInt8Array

UPRIGHT = (0,)
ALL_TURNS = tuple(range(8))
SLOPE = 0.5
MIDDLE = 127.5
KEPT = 12
USUAL = 0.5
SHAKE = 0.3
FLAT = 1.0
# Rank, then the columns of ``Joints``.
_Part: TypeAlias = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Joints:
    """Pairs of blocks that may lie side by side, the most likely first.

    In joint k, with block ``first[k]`` turned by symmetry ``first_turn[k]``, block ``second[k]``
    turned by ``second_turn[k]`` lies at ``step[k]``, (0, 1) to its right or (1, 0) below, and is
    negated against it where ``opposite[k]``. ``rank[k]``: its unfit over that of its best rival;
    ``usual``: unfit of the best joint of a block, as a rule.
    """

    first: IntArray
    first_turn: IntArray
    second: IntArray
    second_turn: IntArray
    step: IntArray
    opposite: IntArray
    rank: Float32Array
    usual: float

    def shaken(self, random: np.random.Generator) -> Joints:
        """Return the joints in an order a little different, to try another way of merging."""
        noisy = self.rank * np.exp(SHAKE * random.normal(size=len(self.rank)))
        order = np.argsort(noisy, kind="stable")
        columns = {name: values[order] for name, values in vars(self).items() if name != "usual"}
        return Joints(**columns, usual=self.usual)


@dataclass(frozen=True)
class Borders:
    """What blocks predict beyond their borders, in each of their turns.

    ``ends[axis]``: beyond the right (axis 1) or lower border (axis 0), ``starts[axis]``: beyond the
    left or upper one; float32 (turns * blocks, values), turn by turn. The negative of a block
    predicts the opposite. ``ends_alone``, ``starts_alone``: the least unfit of each border to any
    other, (turns * blocks,): what is lost where it lies at the edge of the picture. ``prior``:
    (rows, columns, blocks), what else speaks against a block at a place, None for nothing.
    """

    ends: tuple[Float32Array, Float32Array]
    starts: tuple[Float32Array, Float32Array]
    ends_alone: tuple[Float32Array, Float32Array]
    starts_alone: tuple[Float32Array, Float32Array]
    blocks: int
    turns: int
    prior: Float32Array | None = None


def borders_of(blocks: UInt8Array, symmetries: tuple[int, ...]) -> Borders:
    """Return the borders of blocks (n, k, m, m) in the given turns: ``UPRIGHT``, ``ALL_TURNS``."""
    every = np.concatenate([_turned(blocks, symmetry) for symmetry in symmetries], axis=1)
    beyond = [_borders(every.swapaxes(2, 3)), _borders(every)]
    ends, starts = ((beyond[0][i], beyond[1][i]) for i in (0, 1))
    count = blocks.shape[1]
    alone = _alone_upright(ends, starts) if len(symmetries) == 1 else _alone(ends, starts, count)
    return Borders(ends, starts, alone[:2], alone[2:], count, len(symmetries))


_Pair: TypeAlias = tuple[Float32Array, Float32Array]
_Alone: TypeAlias = tuple[Float32Array, Float32Array, Float32Array, Float32Array]


def _alone_upright(ends: _Pair, starts: _Pair) -> _Alone:
    costs = [_squared_distances(ends[axis], starts[axis]) for axis in (0, 1)]
    for cost in costs:
        np.fill_diagonal(cost, np.inf)
    rows, columns = ([cost.min(axis=side) for cost in costs] for side in (1, 0))
    return rows[0], rows[1], columns[0], columns[1]


def _alone(ends: _Pair, starts: _Pair, count: int) -> _Alone:
    """Where blocks may be turned, a border has one value whichever way it looks."""
    quarter = ends[1][: 4 * count]
    cost = np.minimum(
        _squared_distances(quarter, starts[1]), _squared_distances(quarter, -starts[1])
    )
    cost[_itself(quarter, starts[1], count)] = np.inf
    least = cost.min(axis=1).reshape(4, count)
    side = {tuple(MOVES[INVERSE[turn]] @ (0, 1)): least[turn] for turn in range(4)}
    found = [
        np.concatenate([side[tuple(MOVES[INVERSE[turn]] @ way)] for turn in ALL_TURNS])
        for way in ((1, 0), (0, 1), (-1, 0), (0, -1))
    ]
    return found[0], found[1], found[2], found[3]


def unfit(blocks: UInt8Array, axis: int) -> Float32Array:
    """Return (k, k): how badly block j fits to the right of block i, or below it for ``axis`` 0.

    ``blocks``: (n, k, m, m), of n images whose blocks moved alike.
    """
    turned = blocks if axis else blocks.swapaxes(2, 3)
    ends, starts = _borders(turned)
    return _squared_distances(ends, starts)


def upright_joints(blocks: UInt8Array) -> Joints:
    """Return the joints of blocks (n, k, m, m) that were neither turned nor negated."""
    parts: list[_Part] = []
    usual = []
    for axis in (1, 0):
        cost = unfit(blocks, axis)
        np.fill_diagonal(cost, np.inf)
        usual.append(_usual(cost))
        first, second, rank = _likely(cost)
        zero = np.zeros_like(first)
        step = np.broadcast_to([1 - axis, axis], (len(first), 2))
        parts.append((rank, first, zero, second, zero, step, zero))
    return _sorted(parts, float(np.mean(usual)))


def turned_joints(blocks: UInt8Array) -> Joints:
    """Return the joints of blocks that were turned, mirrored and negated one by one.

    Block i at a quarter turn s against block j at any symmetry t: together with the mirror image of
    every joint, which is the same joint, these are all.
    """
    count = blocks.shape[1]
    every = np.concatenate([_turned(blocks, symmetry) for symmetry in ALL_TURNS], axis=1)
    ends, starts = _borders(every)
    ends = ends[: 4 * count]
    same, opposed = _squared_distances(ends, starts), _squared_distances(ends, -starts)
    cost = np.minimum(same, opposed)
    cost[_itself(ends, starts, count)] = np.inf
    i, j, rank = _likely(cost)
    step = np.broadcast_to([0, 1], (len(i), 2))
    opposite = (opposed[i, j] < same[i, j]).astype(np.int64)
    columns = (rank, i % count, i // count, j % count, j // count, step, opposite)
    return _sorted([columns], _usual(cost))


def upright_agreement(blocks: UInt8Array) -> float:
    """Share of blocks (n, k, m, m) whose best neighbour is the same in two halves of the evidence.

    Blocks with a flat border are not counted. The halves are images, or with one image every other
    pixel of a border. 1 / k by chance.
    """
    shares = []
    for axis in (1, 0):
        ends, starts = _borders(blocks if axis else blocks.swapaxes(2, 3))
        shares.append(_agreement(ends, starts, *blocks.shape[:2]))
    return float(np.mean(shares))


def turned_agreement(blocks: UInt8Array) -> float:
    """The same for blocks that were turned and negated one by one."""
    every = np.concatenate([_turned(blocks, symmetry) for symmetry in ALL_TURNS], axis=1)
    ends, starts = _borders(every)
    count = blocks.shape[1]
    return _agreement(ends[: 4 * count], np.concatenate([starts, -starts]), len(blocks), count)


def _agreement(ends: Float32Array, starts: Float32Array, images: int, blocks: int) -> float:
    side = ends.shape[1] // images
    odd = np.arange(ends.shape[1]) % 2 if images == 1 else np.arange(ends.shape[1]) // side % 2
    itself = _itself(ends, starts, blocks)
    # Flat borders fit all others alike: halves that choose the same one of those agree on nothing.
    told = ends.std(axis=1) > FLAT
    if not told.any():
        return 0.0
    best = []
    for half in (odd == 0, odd == 1):
        cost = _squared_distances(ends[:, half], starts[:, half])
        cost[itself] = np.inf
        best.append(cost.argmin(axis=1))
    return float((best[0] == best[1])[told].mean())


def _itself(ends: Float32Array, starts: Float32Array, blocks: int) -> BoolArray:
    """Mark the pairs of a block with itself, however turned."""
    return np.arange(len(ends))[:, None] % blocks == np.arange(len(starts))[None] % blocks


def _turned(blocks: UInt8Array, symmetry: int) -> UInt8Array:
    count, pieces, side, _ = blocks.shape
    return symmetric(blocks.reshape(-1, side, side), symmetry).reshape(count, pieces, side, side)


def _borders(blocks: UInt8Array) -> tuple[Float32Array, Float32Array]:
    """Predict half a pixel outside the right and the left border: two (k, n * m)."""
    count, pieces, side, _ = blocks.shape
    near = blocks[..., [0, 1, side - 2, side - 1]].astype(np.float32) - MIDDLE
    left = near[..., 0] + SLOPE * (near[..., 0] - near[..., 1])
    right = near[..., 3] + SLOPE * (near[..., 3] - near[..., 2])
    shape = (pieces, count * side)
    return right.swapaxes(0, 1).reshape(shape), left.swapaxes(0, 1).reshape(shape)


def _squared_distances(first: Float32Array, second: Float32Array) -> Float32Array:
    cost = -2 * (first @ second.T)
    cost += (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None]
    return np.maximum(cost, 0)


def _likely(cost: Float32Array) -> tuple[IntArray, IntArray, Float32Array]:
    """Return pairs that are among the best for both of their blocks, and their rank.

    The rank of a pair is its unfit over that of the best rival for either border: a joint is
    certain where nothing else comes near.
    """
    rows = np.arange(len(cost))
    kept = min(KEPT, cost.shape[1] - 1)
    best = np.argpartition(cost, kept, axis=1)[:, : kept + 1]
    first, second = np.repeat(rows, kept + 1), best.ravel()
    own = cost[first, second]
    rival = np.minimum(_rival(cost, first, own), _rival(np.ascontiguousarray(cost.T), second, own))
    finite = np.isfinite(own)
    # Below what right joints usually leave, nothing is told apart: flat borders fit one another.
    floor = USUAL * _usual(cost) + 1
    rank = (own + floor) / (rival + floor)
    return first[finite], second[finite].astype(np.int64), rank[finite]


def _usual(cost: Float32Array) -> float:
    """Unfit of the best joint of a block, as a rule."""
    return float(np.median(cost.min(axis=1)))


def _rival(cost: Float32Array, line: IntArray, own: Float32Array) -> Float32Array:
    """The least unfit on a line of ``cost`` apart from the pair's own."""
    two = np.partition(cost, 1, axis=1)[:, :2]
    return np.where(own <= two[line, 0], two[line, 1], two[line, 0])


def _sorted(parts: list[_Part], usual: float) -> Joints:
    rank, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(rank, kind="stable")
    first, first_turn, second, second_turn, step, opposite = (
        column[order].astype(np.int64) for column in columns
    )
    return Joints(
        first, first_turn, second, second_turn, step, opposite, rank=rank[order], usual=usual
    )
