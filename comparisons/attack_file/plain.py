"""Pictures that were never scrambled, and pictures whose values were only negated in place.

In a picture, pixels two places apart differ more than neighbours do, and four places apart more
still, with any grain. Where values were moved or changed one by one, all differ alike.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from he_compare.common.types import Float32Array, UInt8Array

LAGS = (1, 2, 4)
# Growth of steps from lag to lag. Measured: 1.14 and more on pictures, 1.05 under grain of 25 grey
# levels, up to 1.04 where every block was shuffled by a key of its own, 1.02 otherwise.
CLEARLY, HARDLY = 1.1, 1.04
# Folded values grow by so much again where only signs were changed.
FOLDED = 1.08


def looks_plain(images: UInt8Array) -> tuple[bool, float]:
    """Say whether pixels lie as in a picture, and the growth of steps that tells it.

    Under strong grain the averages of 2 x 2 pixels tell.
    """
    grown = rise(images)
    if grown < CLEARLY and grown > HARDLY:
        height, width = (side // 2 * 2 for side in images.shape[1:3])
        even = images[:, :height, :width].astype(np.float32)
        halved = (even[:, ::2] + even[:, 1::2]) / 2
        grown = rise((halved[:, :, ::2] + halved[:, :, 1::2]) / 2)
    return grown >= CLEARLY, grown


def rise(images: UInt8Array | Float32Array) -> float:
    """Return by which factor steps grow from each lag to the next, the least of both directions.

    1 where pixels were moved or changed one by one; images (n, h, w, c), all larger than 4 pixels.
    """
    values = images.astype(np.float32)
    growth = []
    for axis in (1, 2):
        steps = [_step(values, axis, lag) for lag in LAGS]
        growth += [later / max(sooner, 1e-6) for sooner, later in pairwise(steps)]
    return float(min(growth))


def _step(values: Float32Array, axis: int, lag: int) -> float:
    length = values.shape[axis]
    ahead = np.take(values, range(lag, length), axis=axis)
    return float(np.abs(ahead - np.take(values, range(length - lag), axis=axis)).mean())


def folded(images: UInt8Array) -> UInt8Array:
    """Return images whose values lost their sign: min(v, 255 - v) twice, the colours sorted."""
    return (2 * np.sort(np.minimum(images, 255 - images), axis=3)).astype(np.uint8)
