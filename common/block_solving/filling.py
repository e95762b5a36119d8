"""Completes a picture of which parts are laid: islands by size, single blocks, then all once more.

Every piece is judged by how well its borders continue those of the pieces that lie beside it, in
each of its turns and signs. What borders nothing, and what is flat, comes last and goes anywhere:
flat blocks that are alike in all images cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from he_compare.common.block_solving.joints import Borders
from he_compare.common.block_solving.tiles import AFTER, MOVES
from he_compare.common.types import Float32Array, IntArray

EMPTY = -1
SETTLING, REBUILDING = 20, 6
# Cells that are filled anew at a time, the worst: an assignment of n pieces takes n cubed steps.
MOST_SETTLED = 500
BAD = 4.0
# Of the mean unfit of a piece, by which a move has to be better than to stay.
STAYING = 1e-4
# Share of the cells at the rim that are filled at a time, the surest.
SURE_SHARE = 0.25
# (row, column) of the neighbour; axis of the border; whether the neighbour lies before the cell.
_SIDES = ((0, -1, 1, True), (0, 1, 1, False), (-1, 0, 0, True), (1, 0, 0, False))
_Shape: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Island:
    """Pieces that hang together: block (p,), place (p, 2) from 0, turn (p,), negation (p,)."""

    block: IntArray
    at: IntArray
    turn: IntArray
    negated: IntArray


@dataclass(frozen=True)
class Mosaic:
    """Block (``EMPTY`` where none lies), turn and negation at each place: int64 (rows, columns)."""

    block: IntArray
    turn: IntArray
    negated: IntArray

    @classmethod
    def empty(cls, rows: int, columns: int) -> Mosaic:
        """Return a mosaic without pieces."""
        block = np.full((rows, columns), EMPTY, dtype=np.int64)
        return cls(block, np.zeros_like(block), np.zeros_like(block))

    def copy(self) -> Mosaic:
        """Return a copy that may be changed."""
        return Mosaic(self.block.copy(), self.turn.copy(), self.negated.copy())

    def lay(self, cells: IntArray, block: IntArray, turn: IntArray, negated: IntArray) -> None:
        """Lay pieces (p,) at cells (p, 2)."""
        where = tuple(cells.T)
        self.block[where], self.turn[where], self.negated[where] = block, turn, negated


class Beside(NamedTuple):
    """Cost of each piece at each cell, (cells, pieces, signs, turns), and filled neighbours of each
    cell (cells,)."""

    cost: Float32Array
    neighbours: IntArray


def complete(islands: Sequence[Island], borders: Borders, rows: int, columns: int) -> Mosaic:
    """Lay islands, the largest first, and all single blocks into a grid.

    ``islands`` hold each block of the grid once.
    """
    ordered = sorted(islands, key=lambda island: -len(island.block))
    mosaic = Mosaic.empty(rows, columns)
    _lay_first(mosaic, ordered[0], borders)
    for island in ordered[1:]:
        if len(island.block) > 1:
            _lay_island(mosaic, island, borders)
    _lay_singles(mosaic, borders)
    return settled(mosaic, borders)


def rebuilt(mosaic: Mosaic, borders: Borders, usual: float) -> Mosaic:
    """Take a full mosaic apart at bad joints and complete it again, as long as it gets better.

    ``usual``: unfit of right joints; bad are those far above it.
    """
    best = unfit_of_all(mosaic, borders)
    for _ in range(REBUILDING):
        tried = complete(_islands(mosaic, borders, BAD * usual), borders, *mosaic.block.shape)
        amiss = unfit_of_all(tried, borders)
        if amiss >= best:
            break
        best, mosaic = amiss, tried
    return mosaic


def unfit_of_all(mosaic: Mosaic, borders: Borders) -> float:
    """Return the sum of unfits over all joints of a full mosaic, and of borders at its edge."""
    state = mosaic.turn * borders.blocks + mosaic.block
    edge = borders.starts_alone[0][state[0]].sum() + borders.ends_alone[0][state[-1]].sum()
    edge += borders.starts_alone[1][state[:, 0]].sum() + borders.ends_alone[1][state[:, -1]].sum()
    if borders.prior is not None:
        row, column = np.indices(mosaic.block.shape)
        edge += borders.prior[row, column, mosaic.block].sum()
    return float(edge + sum(unfits.sum() for unfits in _unfits(mosaic, borders)))


def _unfits(mosaic: Mosaic, borders: Borders) -> tuple[Float32Array, Float32Array]:
    """Unfit of each joint: below (rows - 1, columns), to the right (rows, columns - 1)."""
    state = mosaic.turn * borders.blocks + mosaic.block
    sign = np.where(mosaic.negated == 1, -1, 1).astype(np.float32)[..., None]
    found = []
    for axis in (0, 1):
        ends, starts = borders.ends[axis][state] * sign, borders.starts[axis][state] * sign
        first = ends[:-1] if axis == 0 else ends[:, :-1]
        second = starts[1:] if axis == 0 else starts[:, 1:]
        found.append(((first - second) ** 2).sum(axis=2))
    return found[0], found[1]


def _islands(mosaic: Mosaic, borders: Borders, most: float) -> list[Island]:
    """Cut a full mosaic into what hangs together by joints of at most this unfit."""
    below, right = (unfits <= most for unfits in _unfits(mosaic, borders))
    rows, columns = mosaic.block.shape
    drawn = np.zeros((2 * rows - 1, 2 * columns - 1), dtype=bool)
    drawn[::2, ::2] = True
    drawn[1::2, ::2], drawn[::2, 1::2] = below, right
    labels = ndimage.label(drawn)[0][::2, ::2]
    islands = []
    for label in range(1, int(labels.max()) + 1):
        cells = np.argwhere(labels == label)
        where = tuple(cells.T)
        islands.append(
            Island(
                mosaic.block[where],
                cells - cells.min(axis=0),
                mosaic.turn[where],
                mosaic.negated[where],
            )
        )
    return islands


def beside(mosaic: Mosaic, cells: IntArray, pieces: IntArray, borders: Borders) -> Beside:
    """Judge pieces (p,) at cells (c, 2) by the neighbours that lie there already."""
    turns, signs = borders.turns, 2 if borders.turns > 1 else 1
    cost = np.zeros((len(cells), len(pieces), signs, turns), dtype=np.float32)
    neighbours = np.zeros(len(cells), dtype=np.int64)
    if borders.prior is not None:
        cost += borders.prior[tuple(cells.T)][:, pieces, None, None]
    states = (np.arange(turns)[None] * borders.blocks + pieces[:, None]).ravel()
    for down, across, axis, before in _SIDES:
        there = cells + (down, across)
        inside = ((there >= 0) & (there < mosaic.block.shape)).all(axis=1)
        alone = (borders.starts_alone if before else borders.ends_alone)[axis][states]
        cost[~inside] += alone.reshape(1, len(pieces), 1, turns)
        filled = np.flatnonzero(inside)
        filled = filled[mosaic.block[tuple(there[filled].T)] != EMPTY]
        if not len(filled):
            continue
        where = tuple(there[filled].T)
        theirs = borders.ends[axis] if before else borders.starts[axis]
        mine = borders.starts[axis] if before else borders.ends[axis]
        known = theirs[mosaic.turn[where] * borders.blocks + mosaic.block[where]]
        known = np.where(mosaic.negated[where][:, None] == 1, -known, known)
        piece = mine[states]
        cross = known @ piece.T
        own = (known**2).sum(axis=1)[:, None] + (piece**2).sum(axis=1)[None]
        for sign in range(signs):
            apart = own - 2 * cross if sign == 0 else own + 2 * cross
            cost[filled, :, sign] += apart.reshape(len(filled), len(pieces), turns)
        neighbours[filled] += 1
    return Beside(np.maximum(cost, 0), neighbours)


def settled(mosaic: Mosaic, borders: Borders) -> Mosaic:
    """Improve a full mosaic: the cells of either colour of a chessboard are filled anew.

    With one colour fixed, the best filling of the other is a linear assignment: the sum of unfits
    never rises. Where pieces fit equally well they stay: thousands of equal ones, such as a black
    margin, would change places forever, and slowly.
    """
    whole = mosaic.copy()
    colour = np.add.outer(*map(np.arange, whole.block.shape)) % 2
    for _ in range(SETTLING):
        before = whole.copy()
        for half in (0, 1):
            cells = _worst(whole, np.argwhere(colour == half), borders)
            if len(cells):
                _assign(whole, cells, whole.block[tuple(cells.T)], borders)
        if all(map(np.array_equal, vars(before).values(), vars(whole).values())):
            break
    return whole


def _worst(mosaic: Mosaic, cells: IntArray, borders: Borders) -> IntArray:
    """Return the cells (c, 2) whose pieces fit worst, ``MOST_SETTLED`` at most."""
    if len(cells) <= MOST_SETTLED:
        return cells
    below, right = _unfits(mosaic, borders)
    around = np.zeros(mosaic.block.shape)
    around[:-1] += below
    around[1:] += below
    around[:, :-1] += right
    around[:, 1:] += right
    return cells[np.argsort(-around[tuple(cells.T)], kind="stable")[:MOST_SETTLED]]


def _assign(mosaic: Mosaic, cells: IntArray, pieces: IntArray, borders: Borders) -> None:
    """Fill cells with as many pieces, each in its best turn and sign, at the least sum.

    ``pieces`` lie at the cells already, in the same order.
    """
    cost = beside(mosaic, cells, pieces, borders).cost
    flat = cost.reshape(*cost.shape[:2], -1)
    least = flat.min(axis=2).astype(np.float64)
    least[np.diag_indices_from(least)] -= STAYING * least.mean()
    chosen = np.asarray(linear_sum_assignment(least)[1])
    state = flat[np.arange(len(cells)), chosen].argmin(axis=1)
    sign, turn = np.divmod(state, borders.turns)
    mosaic.lay(cells, pieces[chosen], turn, sign)


def _lay_first(mosaic: Mosaic, island: Island, borders: Borders) -> None:
    """Lay the largest island where its blocks belong, or in the middle where nothing tells it."""
    size = np.array(mosaic.block.shape)
    best, laid = np.inf, None
    for turn in (0, 1) if borders.prior is None else range(borders.turns):
        turned = _turned(island, turn)
        room = size - turned.at.max(axis=0)
        if (room <= 0).any():
            continue
        if borders.prior is None:
            laid = turned, (room - 1) // 2
            break
        for shift in np.ndindex(*room):
            row, column = (turned.at + shift).T
            against = float(borders.prior[row, column, turned.block].sum())
            if against < best:
                best, laid = against, (turned, np.array(shift, dtype=np.int64))
    assert laid is not None, "parts are merged only where the whole fits into the grid"
    turned, at = laid
    mosaic.lay(turned.at + at, turned.block, turned.turn, turned.negated)


def _turned(island: Island, turn: int) -> Island:
    at = island.at @ MOVES[turn].T
    return Island(island.block, at - at.min(axis=0), AFTER[turn, island.turn], island.negated)


def _lay_island(mosaic: Mosaic, island: Island, borders: Borders) -> None:
    """Lay an island where it fits best beside what lies; not at all where no room is left."""
    cells = np.argwhere(mosaic.block == EMPTY)
    found = beside(mosaic, cells, island.block, borders)
    shape: _Shape = mosaic.block.shape[0], mosaic.block.shape[1]
    near: Float32Array = np.zeros(shape, dtype=np.float32)
    near[tuple(cells.T)] = found.neighbours
    best, laid = np.inf, None
    for turn in range(borders.turns):
        turned = _turned(island, turn)
        for sign in range(found.cost.shape[2]):
            negated = turned.negated ^ sign
            fit: Float32Array = np.full((len(island.block), *shape), np.inf, dtype=np.float32)
            for piece in range(len(island.block)):
                one = found.cost[:, piece, negated[piece], turned.turn[piece]]
                fit[(piece, *cells.T)] = one
            total, at = _best_shift(fit, near, turned.at)
            if total < best:
                best, laid = total, (turned, negated, at)
    if laid is not None:
        turned, negated, at = laid
        mosaic.lay(turned.at + at, turned.block, turned.turn, negated)


def _best_shift(fit: Float32Array, near: Float32Array, at: IntArray) -> tuple[float, IntArray]:
    """Return the least cost per joint over all shifts of an island, and that shift."""
    extent = at.max(axis=0) + 1
    room = np.array(near.shape) - extent + 1
    if (room <= 0).any():
        return np.inf, np.zeros(2, dtype=np.int64)
    total, joints = np.zeros(room), np.zeros(room)
    for piece, (row, column) in enumerate(at):
        window = slice(row, row + room[0]), slice(column, column + room[1])
        total += fit[piece][window]
        joints += near[window]
    per_joint = np.where(joints > 0, total / np.maximum(joints, 1), np.inf)
    where = np.unravel_index(per_joint.argmin(), per_joint.shape)
    return float(per_joint[where]), np.array(where, dtype=np.int64)


def _lay_singles(mosaic: Mosaic, borders: Borders) -> None:
    """Fill holes from their rims, each time those cells that have the most neighbours."""
    left = np.setdiff1d(np.arange(mosaic.block.size), mosaic.block)
    while len(left):
        cells = np.argwhere(mosaic.block == EMPTY)
        found = beside(mosaic, cells, left, borders)
        rim = found.neighbours == found.neighbours.max()
        cost = found.cost[rim].reshape(int(rim.sum()), len(left), -1)
        least = cost.min(axis=2)
        rows, chosen = linear_sum_assignment(least)
        surest = np.argsort(least[rows, chosen], kind="stable")
        surest = surest[: max(1, int(SURE_SHARE * len(rows)))]
        rows, chosen = rows[surest], chosen[surest]
        state = cost[rows, chosen].argmin(axis=1)
        sign, turn = np.divmod(state, borders.turns)
        mosaic.lay(cells[rim][rows], left[chosen], turn, sign)
        left = np.delete(left, chosen)
