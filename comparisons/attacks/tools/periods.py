"""At which period the pixels of scrambled images repeat: how far a trace of blocks is from chance.

Whatever a scrambler does inside blocks, it does not do across their borders, and what it does to
one block it often does to all. So how a pixel differs from its neighbours depends on where in its
block it lies. The content of the pictures does not know the blocks: it is taken off as a local
average, and what is left is chance. Two measures follow for each side of blocks:

*places*: the share of what is left that the place inside a block explains. This is an analysis of
variance, free of bias, with an error by chance that is known. *borders*: how far the lines
between blocks are from all other lines, in standard errors. It tells blocks that have nothing in
common but their borders.

Neither needs smooth pictures or a guess at the cipher, and grain makes them smaller, not wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from he_compare.common.types import Float32Array, PixelArray

# Content is taken off as the average over this many pixels around, which knows no period.
AROUND = 5
# Pictures looked at by themselves, since each may have its own key.
ALONE = 3
# Histories of fewer images correlate by chance.
HISTORIES = 6
LAGS = (1, 2, 3)
# Larger images are cut to this: it is enough, and it bounds time and memory.
LOOKED_AT = 512
ENOUGH_PIXELS = 2.0
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Period:
    """How one side does.

    ``share``: of variance that places in blocks explain, 0 by chance; ``error``: its standard error
    by chance; ``pixels``: it was measured on. ``borders``: how far borders are from other lines, in
    standard errors; up to 3 on unscrambled pictures.
    """

    side: int
    share: float
    error: float
    pixels: int
    borders: float


@dataclass(frozen=True)
class _Relation:
    """How pixels differ from the neighbour ``lag`` away along ``axis`` (None: between colours)."""

    values: Float32Array
    axis: int | None
    lag: int


def periods(images: PixelArray, sides: Sequence[int], grid: int = 0) -> list[Period]:
    """Judge sides of blocks of images (n, h, w, c), which need not divide h and w.

    ``grid``: a period that is known to be there and is taken off first, such as the 8 of JPEG.
    """
    relations = [_without_content(one) for one in _relations(images[:, :LOOKED_AT, :LOOKED_AT])]
    if grid:
        relations = [
            _Relation(one.values - _tiled(one.values, grid), one.axis, one.lag) for one in relations
        ]
    return [_judged(relations, side) for side in sides]


def _judged(relations: Sequence[_Relation], side: int) -> Period:
    explained = np.array([_explained(one.values, side) for one in relations])
    # Relations are made of the same pixels: they count as one.
    share, error = (float(value) for value in explained.mean(axis=0))
    borders = [_borders(one, side) for one in relations if one.axis is not None]
    return Period(side, share, error, relations[0].values.size, float(np.mean(borders)))


def _relations(images: PixelArray) -> list[_Relation]:
    """The mean over all images, which one key makes alike; some by themselves; histories."""
    values = images.astype(np.float32)
    values = values[..., :1] if bool((images == images[..., :1]).all()) else values
    count = len(values)
    found = _steps(values)
    if count > 1:
        for one in np.unique(np.linspace(0, count - 1, ALONE).astype(int)):
            found += _steps(values[one : one + 1])
    return found + (_histories(values) if count >= HISTORIES else [])


def _steps(values: Float32Array) -> list[_Relation]:
    found = []
    for channel in range(values.shape[3]):
        plane = values[..., channel]
        for axis in (0, 1):
            steps = np.log1p(np.abs(np.diff(plane, axis=axis + 1))).mean(axis=0)
            found.append(_Relation(steps, axis, 1))
        if channel:
            apart = np.log1p(np.abs(plane - values[..., 0])).mean(axis=0)
            found.append(_Relation(apart, None, 0))
    return found


def _histories(values: Float32Array) -> list[_Relation]:
    """How the values of two pixels go together over the images, whatever their signs."""
    plane = values[..., 0] - values[..., 0].mean(axis=0)
    plane = plane / (plane.std(axis=0) + 1)
    found = []
    for lag in LAGS:
        across = np.abs((plane[:, :, lag:] * plane[:, :, :-lag]).mean(axis=0))
        down = np.abs((plane[:, lag:] * plane[:, :-lag]).mean(axis=0))
        found += [_Relation(down, 0, lag), _Relation(across, 1, lag)]
    return found


def _without_content(one: _Relation) -> _Relation:
    around = one.values
    for axis in (0, 1):
        around = uniform_filter1d(around, AROUND, axis=axis, mode="reflect")
    return _Relation(cast(Float32Array, one.values - around), one.axis, one.lag)


def _in_blocks(values: Float32Array, side: int) -> tuple[_Numbers, npt.NDArray[Any]]:
    """Sums and numbers of pixels at each place of blocks: two (side, side)."""
    rows, columns = -(-values.shape[0] // side), -(-values.shape[1] // side)
    room = ((0, rows * side - values.shape[0]), (0, columns * side - values.shape[1]))
    blocks = np.pad(values, room).reshape(rows, side, columns, side)
    down = np.bincount(np.arange(values.shape[0]) % side, minlength=side)
    across = np.bincount(np.arange(values.shape[1]) % side, minlength=side)
    return blocks.sum(axis=(0, 2), dtype=np.float64), np.outer(down, across)


def _tiled(values: Float32Array, side: int) -> Float32Array:
    total, count = _in_blocks(values, side)
    rows, columns = -(-values.shape[0] // side), -(-values.shape[1] // side)
    mean = (total / np.maximum(count, 1)).astype(np.float32)
    return np.tile(mean, (rows, columns))[: values.shape[0], : values.shape[1]]


def _explained(values: Float32Array, side: int) -> tuple[float, float]:
    """Return the share of variance that places explain, without bias, and its error by chance."""
    total, count = _in_blocks(values, side)
    pixels, places = int(count.sum()), int((count > 0).sum())
    error = float((2 * max(places - 1, 1)) ** 0.5 / pixels)
    centre = float(total.sum()) ** 2 / pixels
    everything = float((values.astype(np.float64) ** 2).sum()) - centre
    if pixels <= ENOUGH_PIXELS * places or everything <= 1e-6 * pixels:
        return 0.0, error
    between = float((total**2 / np.maximum(count, 1)).sum()) - centre
    left = (everything - between) / (pixels - places)
    return (between - (places - 1) * left) / everything, error


def _borders(one: _Relation, side: int) -> float:
    """How far the mean of lines between blocks is from that of other lines, in standard errors."""
    axis = cast(int, one.axis)
    lines = one.values.mean(axis=1 - axis)
    border = np.arange(1, len(lines) + 1) % side == 0
    if side <= one.lag or border.sum() < 2 or (~border).sum() < 2:
        return 0.0
    # Of the pairs that cross a border, those that begin at it are looked at: one a border.
    inside = lines[~border]
    error = float(inside.std()) * (1 / border.sum() + 1 / len(inside)) ** 0.5
    return float(abs(lines[border].mean() - inside.mean()) / max(error, 1e-9))
