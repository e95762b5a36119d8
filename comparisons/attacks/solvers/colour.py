"""Tells apart the channels of colour blocks whose values the key mixed, and lays out each of them.

What a block is tinted all its values of one channel share, wherever the key put them: among the
leading eigenvectors of the values about their block's mean there is one that takes three levels,
one a channel. Each channel is then laid out by itself, and turned so that it agrees with the first.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from common.types import Float32Array, Float64Array, IntArray, UInt8Array
from comparisons.attacks.solvers.layout import lay_out

CHANNELS = 3
LEADING = 4
SYMMETRIES = 8
# Share of an eigenvector's spread that may be left inside its three levels.
MIXED = 0.15


def separate_channels(upright: UInt8Array) -> IntArray | None:
    """Return the positions of each channel, (3, values / 3), or None where no three levels show.

    ``upright``: blocks (count, values) with negation undone.
    """
    values = upright.shape[1]
    if values % CHANNELS or len(upright) < 2:
        return None
    about = upright.astype(np.float32)
    about -= about.mean(axis=1, keepdims=True)
    leading = np.linalg.eigh((about.T @ about).astype(np.float64))[1][:, : -LEADING - 1 : -1]
    levels = np.argsort(leading, axis=0, kind="stable").reshape(CHANNELS, values // CHANNELS, -1)
    sorted_values = np.take_along_axis(leading, levels.reshape(values, -1), axis=0)
    inside = sorted_values.reshape(levels.shape).var(axis=1).mean(axis=0)
    left = inside / np.maximum(leading.var(axis=0), 1e-12)
    best = int(left.argmin())
    if left[best] > MIXED:
        return None
    return cast(IntArray, np.sort(levels[..., best], axis=1).astype(np.int64))


def lay_out_channels(
    values: Float32Array, unlike: Float64Array, channels: IntArray, side: int
) -> IntArray:
    """Return the position of each pixel in each channel, (side * side, 3).

    ``values``: standardised blocks (count, values). ``unlike``: (values, values).
    """
    laid: list[IntArray] = []
    for mine in channels:
        layout = mine[lay_out(unlike[np.ix_(mine, mine)], side, side)].reshape(side, side)
        laid.append(layout if not laid else _turned_like(values, layout, laid[0]))
    return np.stack([layout.ravel() for layout in laid], axis=1)


def _turned_like(values: Float32Array, layout: IntArray, first: IntArray) -> IntArray:
    """Turn or mirror a layout so that its pixels agree best with those of the first channel."""
    shapes = [np.rot90(layout.T if turn >= 4 else layout, turn % 4) for turn in range(SYMMETRIES)]
    wanted = values[:, first]
    return max(shapes, key=lambda shape: float((values[:, shape] * wanted).mean()))
