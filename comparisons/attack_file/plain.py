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
# Where only signs were changed, steps hardly grow (1.02; in two small images 1.05), and grow by so
# much more in folded_pictures values.
UNFOLDED, FOLDED = 1.06, 0.06
# Steps at borders over those inside. Measured where pixels lie as in a picture: up to 1.33 on
# pictures that were JPEG files once, 2.4 and more on moved blocks.
SEAMLESS_AS_IT_IS = 1.6
FAINT_BLOCKS = 0.1


def looks_plain(images: UInt8Array, patch: int | None, share: float = 0.0) -> tuple[bool, float]:
    """Say whether pixels lie as in a picture, and the growth of steps that tells it.

    ``patch``: blocks that show, and ``share``: how much of the variance their places explain. Those
    of a file that was JPEG once are faint. Then only steps inside blocks are looked at, and their
    borders must not stand out. Without blocks, averages of 2 x 2 pixels tell under strong grain.
    """
    grown = rise(images, patch)
    if patch is not None:
        # Smaller blocks have too few lags inside: a key may make steps grow by chance.
        if patch <= max(LAGS) or share > FAINT_BLOCKS:
            return False, grown
        return grown >= CLEARLY and at_borders(images, patch) <= SEAMLESS_AS_IT_IS, grown
    if HARDLY < grown < CLEARLY and min(images.shape[1:3]) // 2 > max(LAGS):
        height, width = (side // 2 * 2 for side in images.shape[1:3])
        even = images[:, :height, :width].astype(np.float32)
        halved = (even[:, ::2] + even[:, 1::2]) / 2
        grown = rise((halved[:, :, ::2] + halved[:, :, 1::2]) / 2)
    return grown >= CLEARLY, grown


def rise(images: UInt8Array | Float32Array, patch: int | None = None) -> float:
    """Return by which factor steps grow from each lag to the next, the least of both directions.

    1 where pixels were moved or changed one by one, and where blocks of ``patch`` are too small to
    tell. Images (n, h, w, c) are larger than 4 pixels.
    """
    values = images.astype(np.float32)
    lags = [lag for lag in LAGS if patch is None or lag < patch]
    growth = [1.0] if len(lags) < 2 else []
    for axis in (1, 2):
        steps = [_step(values, axis, lag, patch) for lag in lags]
        growth += [later / max(sooner, 1e-6) for sooner, later in pairwise(steps)]
    return float(min(growth))


def at_borders(images: UInt8Array, patch: int) -> float:
    """Return steps at borders of blocks over those inside, on average, as the images are."""
    found = []
    for axis in (1, 2):
        other = tuple(i for i in range(4) if i != axis)
        steps = np.abs(np.diff(images.astype(np.int16), axis=axis)).mean(axis=other)
        border = np.arange(1, len(steps) + 1) % patch == 0
        found.append(float(steps[border].mean() / max(float(steps[~border].mean()), 1e-6)))
    return max(found)


def _step(values: Float32Array, axis: int, lag: int, patch: int | None) -> float:
    start = np.arange(values.shape[axis] - lag)
    if patch is not None:
        start = start[start % patch + lag < patch]
    ahead = np.take(values, start + lag, axis=axis)
    return float(np.abs(ahead - np.take(values, start, axis=axis)).mean())


def folded_pictures(images: UInt8Array) -> UInt8Array:
    """Return images whose values lost their sign: min(v, 255 - v) twice, the colours sorted."""
    return (2 * np.sort(np.minimum(images, 255 - images), axis=3)).astype(np.uint8)
