"""Defences for decrypted scores before they are shown: rounding, flooding, labels only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from he_compare.common.types import Float64Array

STATISTICAL_BITS = 30


def to_decimals(values: Float64Array, decimals: int) -> Float64Array:
    """Return values rounded to so many decimals."""
    return np.round(values, decimals)


def label_only(values: Float64Array, classes: int) -> Float64Array:
    """Return what a label says: 1 at the slot of the largest of ``classes`` scores, else 0."""
    told = np.zeros_like(values)
    told[int(np.argmax(values[:classes]))] = 1.0
    return told


def scores_only(values: Float64Array, classes: int) -> Float64Array:
    """Return the scores and, for the slots that nobody published, 0: the adversary's best guess."""
    told = np.zeros_like(values)
    told[:classes] = values[:classes]
    return told


def flooded(values: Float64Array, deviation: float, random: np.random.Generator) -> Float64Array:
    """Return values with Gaussian noise of this deviation added to each."""
    return values + random.normal(scale=deviation, size=values.shape)


def averaged_over_queries(
    values: Float64Array, deviation: float, queries: int, random: np.random.Generator
) -> Float64Array:
    """Return the mean of ``queries`` floods of one result: what an adversary makes of replays."""
    total = np.zeros_like(values)
    for _ in range(queries):
        total += flooded(values, deviation, random)
    return total / queries


def flooding_deviation(noise: float, queries: int, bits: int = STATISTICAL_BITS) -> float:
    """Return the deviation that hides noise of deviation ``noise`` for so many queries."""
    return math.sqrt(12 * queries) * 2 ** (bits / 2) * noise


def fewest_decimals(succeeds: Sequence[tuple[int, bool]]) -> int | None:
    """Return the fewest decimals at which an attack succeeded, None where it never did."""
    return min((decimals for decimals, won in succeeds if won), default=None)
