"""Where the blocks of ciphertexts belong, from what each of them showed over many images.

The means of all blocks of one image go together as the principal components of public pictures of
the same kind say. Starting from the spread of values at each place, the components of the attacked
images and the places of the blocks are found in turns: what the blocks in place say of each image
says what to expect at every place, and blocks are assigned to the places that expect them (Kuhn
1955). More and more components take part, and in the end the blocks beside each place. Bodies are
nearly the same left and right, so that the mirrored places are tried as well, and those are kept
that public pictures expect most.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.comparisons.attacks.tools.expectations import (
    Expected,
    Factors,
    NeighbourRegression,
    window,
)

_LEVELS = np.linspace(0.02, 0.98, 25)
# Components that take part, rounds at most, and doubt about blocks that may be in a wrong place.
_STAGES = (
    (1, 4, 4.0),
    (2, 4, 3.0),
    (3, 4, 2.0),
    (5, 5, 1.0),
    (8, 5, 0.7),
    (12, 6, 0.5),
    (20, 6, 0.3),
    (40, 8, 0.2),
)
_MIRRORED_FROM = 3
_SETTLED = 0.995
_NEIGHBOUR_ROUNDS, _REACH, _RIDGE, _DOUBT = 6, 2, 0.1, 0.05


class Places(NamedTuple):
    """Ciphertext block at each place, int64 (places,), and its sign, float32 (places,)."""

    block: IntArray
    sign: Float32Array


def find_places(means: Float64Array, public: Float64Array, rows: int, *, signed: bool) -> Places:
    """Place blocks by their means (n, blocks); ``public``: means at each place, (N, places).

    ``rows``: of blocks in a picture. ``signed``: means are not negated. Blocks that are negated
    come out with sign -1.
    """
    mine, theirs = means.astype(np.float32), public.astype(np.float32)
    factors = Factors(theirs, _STAGES[-1][0])
    places = _refined(mine, _by_spread(mine, theirs, signed), factors, _STAGES, signed)
    order = np.arange(means.shape[1]).reshape(rows, -1)[:, ::-1].ravel()
    mirrored = Places(places.block[order], places.sign[order])
    other = _refined(mine, mirrored, factors, _STAGES[_MIRRORED_FROM:], signed)
    places = min(places, other, key=lambda one: _misfit(_laid(mine, one), factors))
    return _beside(mine, places, theirs, rows, signed)


def _refined(
    mine: Float32Array,
    places: Places,
    factors: Factors,
    stages: tuple[tuple[int, int, float], ...],
    signed: bool,
) -> Places:
    """Place blocks by principal components, as many as each stage says."""
    for components, rounds, doubt in stages:
        for _ in range(rounds):
            expected = factors.expect(_laid(mine, places), components, doubt)
            before, places = places, _assigned(mine, expected, signed)
            if (before.block == places.block).mean() > _SETTLED:
                break
    return places


def _beside(
    mine: Float32Array, places: Places, public: Float32Array, rows: int, signed: bool
) -> Places:
    """Place blocks by what the blocks beside each place say."""
    around = window(rows, mine.shape[1] // rows, _REACH, itself=False)
    neighbours = NeighbourRegression(public, public, around, _RIDGE)
    shown = _laid(mine, places)
    for _ in range(_NEIGHBOUR_ROUNDS):
        before, places = places, _assigned(mine, neighbours.expect(shown, _DOUBT), signed)
        if (before.block == places.block).mean() > _SETTLED:
            break
        # Half of what was there before: neighbours that change at once would change places forever.
        shown = (shown + _laid(mine, places)) / 2
    return places


def _misfit(shown: Float32Array, factors: Factors) -> float:
    """Minus log-likelihood of pictures (n, places) per value, but for constants."""
    expected = factors.expect(shown, _STAGES[-1][0], 0.0)
    off = (shown - expected.values) ** 2 / expected.variance + np.log(expected.variance)
    return float(off.mean())


def signs_in_place(means: Float64Array, public: Float64Array, *, signed: bool) -> Places:
    """Return the signs of blocks that stay in their places."""
    blocks = means.shape[1]
    sign = np.ones(blocks, np.float32)
    for components, rounds, doubt in _STAGES if not signed else ():
        factors = Factors(public.astype(np.float32), components)
        for _ in range(rounds):
            expected = factors.expect((means * sign).astype(np.float32), components, doubt)
            sign = np.where((means * expected.values).sum(axis=0) < 0, -1, 1).astype(np.float32)
    return Places(np.arange(blocks), sign)


def _laid(means: Float32Array, places: Places) -> Float32Array:
    return means[:, places.block] * places.sign


def _by_spread(mine: Float32Array, theirs: Float32Array, signed: bool) -> Places:
    """Assign blocks by the quantiles of their means alone."""
    ours, wanted = (np.quantile(one, _LEVELS, axis=0).T for one in (mine, theirs))
    direct = _distances(wanted, ours)
    if signed:
        return _solved(direct, np.full(direct.shape, np.inf))
    return _solved(direct, _distances(wanted, -ours[:, ::-1]))


def _assigned(mine: Float32Array, expected: Expected, signed: bool) -> Places:
    values = expected.values.T
    weight = 0.5 / expected.variance[:, None]
    direct = _distances(values, mine.T)
    spread = 0.5 * len(mine) * np.log(expected.variance)[:, None]
    if signed:
        return _solved(direct * weight + spread, np.full(direct.shape, np.inf))
    negated = _distances(values, -mine.T)
    return _solved(direct * weight + spread, negated * weight + spread)


def _distances(first: Float32Array, second: Float32Array) -> Float64Array:
    """Squared distances of rows: (a, k), (b, k) to float64 (a, b)."""
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None]
    return cast(Float64Array, (lengths - 2 * first @ second.T).astype(np.float64))


def _solved(direct: Float64Array, negated: Float64Array) -> Places:
    """Assign by costs (places, blocks) of blocks as they are and negated."""
    block = linear_sum_assignment(np.minimum(direct, negated))[1].astype(np.int64)
    place = np.arange(len(block))
    sign = np.where(direct[place, block] <= negated[place, block], 1, -1)
    return Places(block, sign.astype(np.float32))
