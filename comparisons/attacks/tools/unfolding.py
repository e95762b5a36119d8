"""Folded pictures, min(v, 255 - v), unfolded with public pictures as the prior of brightness.

Each value is either dark or bright. What public pictures hold at its place says how likely either
is, and what their neighbours differ by says how likely two values side by side are. Of two folded
values those on one side never differ by more than those on opposite sides, so that the likeliest
picture is a least cut of a graph, found exactly (Greig, Porteous, Seheult 1989). Where the places
of the public pictures do not explain the folded values, only their overall brightness is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from he_compare.common.types import BoolArray, Float64Array, IntArray, UInt8Array

TOP = 255
SHADES = 32
WIDTH = 256 // SHADES
# Smoothing of the prior, in pixels and in levels; share of it that is spread over all levels.
PLACES, NEAR_LEVELS, ANYTHING = 3.0, 1.0, 0.02
# Places tell more than they seem to: neighbours in one picture are not independent.
TRUST = 0.5
# Costs are counted in whole numbers of this fraction.
FINE = 200


@dataclass(frozen=True)
class Brightness:
    """A prior: ``log`` (levels, h, w), log chance of each level at each place; ``step`` (256,),
    cost of a difference between neighbours; ``by_place``: whether places were used."""

    log: Float64Array
    step: Float64Array
    by_place: bool


def brightness_prior(public: UInt8Array, folded: UInt8Array) -> Brightness:
    """Learn a prior from public pictures (m, h, w) for folded ones (n, h, w).

    By place, or of the overall brightness alone where that explains the folded values better.
    """
    counts = np.stack([(public // WIDTH == level).mean(axis=0) for level in range(SHADES)])
    whole = counts.mean(axis=(1, 2), keepdims=True) + np.zeros_like(counts)
    spread = ndimage.gaussian_filter(counts, (NEAR_LEVELS, PLACES, PLACES), mode="nearest")
    logs = [_log(one) for one in (spread, ndimage.gaussian_filter1d(whole, NEAR_LEVELS, axis=0))]
    explained = [_explained(log, folded) for log in logs]
    by_place = explained[0] >= explained[1]
    return Brightness(logs[0] if by_place else logs[1], step_cost(public), by_place)


def _log(counts: Float64Array) -> Float64Array:
    shares = counts / np.maximum(counts.sum(axis=0), 1e-12)
    return cast(Float64Array, np.log((1 - ANYTHING) * shares + ANYTHING / SHADES))


def _explained(log: Float64Array, folded: UInt8Array) -> float:
    """Mean log chance of the folded values, dark or bright."""
    dark, bright = _at(log, folded), _at(log, (TOP - folded).astype(np.uint8))
    return float(np.logaddexp(dark, bright).mean())


def _at(log: Float64Array, pictures: UInt8Array) -> Float64Array:
    row, column = np.indices(log.shape[1:])
    return log[pictures // WIDTH, row, column]


def step_cost(public: UInt8Array) -> Float64Array:
    """Cost of each difference between neighbours, (256,): -log of how often it occurs, rising."""
    values = public.astype(np.int16)
    steps = [np.abs(np.diff(values, axis=axis)).ravel() for axis in (1, 2)]
    counts = np.bincount(np.concatenate(steps), minlength=TOP + 1) + 0.5
    smooth = ndimage.gaussian_filter1d(counts / counts.sum(), 1.0)
    return cast(Float64Array, -np.log(np.minimum.accumulate(smooth)))


def unfold(folded: UInt8Array, prior: Brightness) -> UInt8Array:
    """Return the likeliest picture whose folded values (h, w) these are."""
    brighter = (TOP - folded).astype(np.uint8)
    gain = _at(prior.log, brighter) - _at(prior.log, folded)
    bright = _least_cut(folded, TRUST * gain, prior.step)
    return np.where(bright, brighter, folded).astype(np.uint8)


def _least_cut(folded: UInt8Array, gain: Float64Array, step: Float64Array) -> BoolArray:
    """Say which values are bright; ``gain``: what that gains at each place, (h, w)."""
    count = folded.size
    source, sink = count, count + 1
    every = np.arange(count)
    here, there, cost = _joints(folded, step)
    alone = np.rint(gain.ravel() * FINE).astype(np.int64)
    likes = alone > 0
    start = np.concatenate([here, there, np.full(likes.sum(), source), every[~likes]])
    end = np.concatenate([there, here, every[likes], np.full((~likes).sum(), sink)])
    capacity = np.concatenate([cost, cost, alone[likes], -alone[~likes]]).astype(np.int32)
    graph = csr_matrix((capacity, (start, end)), shape=(count + 2, count + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    bright = np.zeros(count + 2, bool)
    bright[breadth_first_order(left, source, return_predecessors=False)] = True
    return bright[:count].reshape(folded.shape)


def _joints(folded: UInt8Array, step: Float64Array) -> tuple[IntArray, IntArray, IntArray]:
    """Return pairs of neighbours, flat, and what it costs more to put them on opposite sides."""
    places = np.arange(folded.size, dtype=np.int64).reshape(folded.shape)
    pairs = [(places[:, :-1], places[:, 1:]), (places[:-1], places[1:])]
    here = np.concatenate([first.ravel() for first, _ in pairs])
    there = np.concatenate([second.ravel() for _, second in pairs])
    values = folded.ravel().astype(np.int64)
    first, second = values[here], values[there]
    more = step[TOP - first - second] - step[np.abs(first - second)]
    return here, there, np.rint(np.maximum(more, 0) * FINE).astype(np.int64)
