"""Places things on a grid by how unlike they are: similar ones are near each other.

The first layout is Isomap (Tenenbaum, de Silva, Langford 2000): geodesic distances on the nearest
neighbours' graph, classical multidimensional scaling to the plane, then the assignment to grid
places that moves least. It is then refined as a quadratic assignment: how unlike two things are is
taken to depend on their offset only (a variogram, estimated from the layout at hand), and all
things are assigned anew to the places where their unlikeness to the others fits best, until nothing
moves.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree, shortest_path

from he_compare.common.types import Float64Array, IntArray

# Graphs of few neighbours bend, graphs of many take short cuts: the best layout is kept.
NEIGHBOURS = (6, 10, 8, 20)
FEW, MANY = 2, 400
SAME = 1e-6
ROUNDS = 30


def places(rows: int, columns: int) -> Float64Array:
    """Return (row, column) of each place of a grid: float64 (rows * columns, 2)."""
    return np.stack(np.divmod(np.arange(rows * columns), columns), axis=1).astype(np.float64)


def lay_out(
    unlike: Float64Array, rows: int, columns: int, starts: int = len(NEIGHBOURS)
) -> IntArray:
    """Return the thing at each place: int64 (rows * columns,), up to the grid's symmetries.

    ``unlike``: (k, k) symmetric, at least 0, k = rows * columns. ``starts``: at most as many are
    tried, and of many things but a few.
    """
    most = min(starts, FEW) if rows * columns > MANY else starts
    found: list[tuple[float, IntArray]] = []
    for near in NEIGHBOURS[:most]:
        layout = refine(unlike, first_layout(unlike, rows, columns, near), rows, columns)
        amiss = misfit(unlike, layout, rows, columns)
        # Two starts hardly ever end in the same wrong layout.
        agreed = any(abs(amiss - before) <= SAME * amiss for before, _ in found)
        found.append((amiss, layout))
        if agreed:
            break
    return min(found, key=lambda one: one[0])[1]


def first_layout(unlike: Float64Array, rows: int, columns: int, near: int) -> IntArray:
    """Return the thing at each place by Isomap, ``near`` neighbours each, and assignment."""
    flat = plane(geodesics(np.sqrt(unlike), near))
    if (np.ptp(flat[:, 0]) > np.ptp(flat[:, 1])) != (rows > columns):
        flat = flat[:, ::-1]
    grid = places(rows, columns)
    spread = np.stack([_spread(flat[:, 0], rows), _spread(flat[:, 1], columns)], axis=1)
    return _assign(((grid[:, None] - spread[None]) ** 2).sum(axis=2))


def geodesics(lengths: Float64Array, neighbours: int) -> Float64Array:
    """Return path lengths (k, k) through nearest neighbours; a spanning tree joins them all."""
    k = len(lengths)
    lengths = lengths + 1e-9
    kept = min(neighbours, k - 1)
    near = np.argpartition(lengths + np.diag(np.full(k, np.inf)), kept - 1, axis=1)[:, :kept]
    rows = np.repeat(np.arange(k), near.shape[1])
    graph = csr_matrix((lengths[rows, near.ravel()], (rows, near.ravel())), shape=(k, k))
    graph = graph.maximum(graph.T)
    if connected_components(graph, directed=False)[0] > 1:
        tree = minimum_spanning_tree(lengths)
        graph = graph.maximum(tree).maximum(tree.T)
    return np.asarray(shortest_path(graph, directed=False))


def plane(distances: Float64Array) -> Float64Array:
    """Classical multidimensional scaling to (k, 2), turned so that a square's sides are the axes.

    A uniform square has the flattest distribution along its sides: the turn with the least
    kurtosis is taken.
    """
    squares = distances**2
    gram = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-gram / 2)
    flat = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    return _squared_up(flat)


def _squared_up(flat: Float64Array) -> Float64Array:
    angles = np.linspace(0, np.pi / 2, 90, endpoint=False)
    along = np.stack([np.cos(angles), np.sin(angles)])
    across = np.stack([-np.sin(angles), np.cos(angles)])
    kurtosis = _kurtosis(flat @ along) + _kurtosis(flat @ across)
    best = int(kurtosis.argmin())
    return flat @ np.stack([along[:, best], across[:, best]], axis=1)


def _kurtosis(values: Float64Array) -> Float64Array:
    centred = values - values.mean(axis=0)
    return (centred**4).mean(axis=0) / np.maximum((centred**2).mean(axis=0), 1e-12) ** 2


def _spread(values: Float64Array, count: int) -> Float64Array:
    """Stretch coordinates to 0 ... count - 1 by rank: as many on each line of the grid."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    by_rank = (ranks + 0.5) * count / len(values) - 0.5
    low, high = values.min(), values.max()
    linear = (values - low) / max(high - low, 1e-12) * (count - 1)
    return (by_rank + linear) / 2


def _assign(cost: Float64Array) -> IntArray:
    """Return the column assigned to each row, at the least total cost."""
    return np.asarray(linear_sum_assignment(cost)[1], dtype=np.int64)


def refine(unlike: Float64Array, layout: IntArray, rows: int, columns: int) -> IntArray:
    """Improve a layout until no thing moves, or for ``ROUNDS`` rounds."""
    offsets, kind = _offsets(rows, columns)
    reach = np.hypot(offsets[:, 0], offsets[:, 1])
    for round_ in range(ROUNDS):
        weight_of = np.exp(-((reach / _width(round_)) ** 2))
        weight_of[reach == 0] = 0
        seen = unlike[np.ix_(layout, layout)]
        model_of = _variogram(seen, kind, len(offsets))
        weight, model = weight_of[kind], model_of[kind]
        weight = weight / weight.sum(axis=1, keepdims=True)
        # cost[place, thing] = sum over places q of weight (unlike[thing, layout[q]] - model)^2
        toward = unlike[layout]
        cost = weight @ toward**2 - 2 * (weight * model) @ toward
        cost += (weight * model**2).sum(axis=1, keepdims=True)
        changed = _assign(cost)
        if np.array_equal(changed, layout) and round_ > SHRINKING:
            break
        layout = changed
    return layout


def misfit(unlike: Float64Array, layout: IntArray, rows: int, columns: int) -> float:
    """Mean unlikeness of neighbouring places: what a right layout has least of."""
    grid = unlike[np.ix_(layout, layout)].reshape(rows, columns, rows, columns)
    r, c = np.indices((rows, columns))
    right = grid[r[:, 1:], c[:, 1:], r[:, 1:], c[:, :-1]]
    below = grid[r[1:], c[1:], r[:-1], c[1:]]
    return float(np.concatenate([right.ravel(), below.ravel()]).mean())


SHRINKING = 8


def _width(round_: int) -> float:
    """Reach of the comparison in places: wide at first, nearest neighbours in the end."""
    return float(max(1.5, 5.0 - 0.5 * round_))


def _offsets(rows: int, columns: int) -> tuple[Float64Array, IntArray]:
    """Return the offsets between places up to sign, (o, 2), and which one each pair has (k, k)."""
    grid = places(rows, columns).astype(np.int64)
    step = grid[:, None] - grid[None]
    code = step[..., 0] * (2 * columns) + step[..., 1]
    # An offset and its opposite are one.
    code = np.abs(code)
    kind = np.unique(code, return_inverse=True)[1]
    kind = kind.reshape(code.shape)
    first = np.unique(kind, return_index=True)[1]
    return step.reshape(-1, 2)[first].astype(np.float64), kind.astype(np.int64)


def _variogram(seen: Float64Array, kind: IntArray, count: int) -> Float64Array:
    """Mean unlikeness at each offset: (count,)."""
    total = np.bincount(kind.ravel(), weights=seen.ravel(), minlength=count)
    return total / np.maximum(np.bincount(kind.ravel(), minlength=count), 1)
