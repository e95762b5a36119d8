"""What public pictures lead one to expect at each site of a picture, given what is at the others.

A site is a block (its mean) or a pixel. ``Factors`` expects from the principal components of the
whole picture, a few of which can be told while most sites are still wrong; ``NeighbourRegression``
from the sites around. Both are linear, fitted on public pictures, and say how far off they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.types import Float32Array, IntArray

NOWHERE = -1
_LEAST_VARIANCE = 0.02
_AT_ONCE = 512
_FOLDS = 5
_PICTURES_PER_COMPONENT = 3


@dataclass(frozen=True)
class Expected:
    """``values``: float32 (n, sites); ``variance``: of what they are off by, float32 (sites,)."""

    values: Float32Array
    variance: Float32Array


class Factors:
    """Principal components of public pictures (N, sites).

    What a few pictures leave unexplained of themselves says too little of others, so that some are
    held out to see how much more that is.
    """

    def __init__(self, public: Float32Array, most: int) -> None:
        """Fit ``most`` components, fewer where there are few pictures."""
        self._fit = _fitted(public, min(most, len(public) // _PICTURES_PER_COMPONENT))
        held = np.arange(len(public)) % _FOLDS == 0
        self._trial, self._held = _fitted(public[~held], self._fit.most), public[held]

    def expect(self, shown: Float32Array, components: int, doubt: float) -> Expected:
        """Expect the sites of pictures (n, sites); ``doubt``: variance of sites that are wrong."""
        tried = self._trial.expect(self._held, components, 0.0)
        off = ((tried.values - self._held) ** 2).mean()
        found = self._fit.expect(shown, components, doubt)
        more = max(off / tried.variance.mean(), 1.0)
        return Expected(found.values, found.variance * more + np.float32(doubt / 2))


@dataclass(frozen=True)
class _Fitted:
    mean: Float32Array
    loadings: Float32Array
    variance: Float32Array

    @property
    def most(self) -> int:
        return self.loadings.shape[1]

    def expect(self, shown: Float32Array, components: int, doubt: float) -> Expected:
        loadings = self.loadings[:, :components]
        left = np.maximum(self.variance - (loadings**2).sum(axis=1), 0) + _LEAST_VARIANCE
        weighted = loadings / (left + doubt)[:, None]
        normal = weighted.T @ loadings + np.eye(loadings.shape[1], dtype=np.float32)
        scores = np.linalg.solve(normal, weighted.T @ (shown - self.mean).T)
        return Expected(self.mean + (loadings @ scores).T, left.astype(np.float32))


def _fitted(public: Float32Array, most: int) -> _Fitted:
    mean = public.mean(axis=0)
    moving = public - mean
    _, vectors = np.linalg.eigh((moving @ moving.T).astype(np.float64))
    chosen = vectors[:, ::-1][:, :most].astype(np.float32)
    loadings = moving.T @ chosen / np.float32(len(public) ** 0.5)
    return _Fitted(mean, loadings, moving.var(axis=0))


class NeighbourRegression:
    """Ridge regression of each site on other sites."""

    def __init__(
        self, known: Float32Array, wanted: Float32Array, beside: IntArray, ridge: float
    ) -> None:
        """Fit on public pictures: ``known`` (N, features), ``wanted`` (N, sites).

        ``beside``: (sites, m), the features that each site is expected from, or ``NOWHERE``.
        """
        self._known_mean, self._wanted_mean = known.mean(axis=0), wanted.mean(axis=0)
        self._beside = beside
        rows = self._rows(known)
        targets = np.ascontiguousarray((wanted - self._wanted_mean).T)
        found = [
            _ridge(rows[beside[start : start + _AT_ONCE]], targets[start : start + _AT_ONCE], ridge)
            for start in range(0, len(beside), _AT_ONCE)
        ]
        self._weights = np.concatenate([weights for weights, _ in found])
        self._variance = np.concatenate([variance for _, variance in found])

    def _rows(self, known: Float32Array) -> Float32Array:
        """Features as centred rows, and a last one of zeros for ``NOWHERE``."""
        moving = (known - self._known_mean).T
        return np.concatenate([moving, np.zeros((1, len(known)), np.float32)])

    def expect(self, known: Float32Array, doubt: float) -> Expected:
        """Expect the sites of pictures from their features (n, features)."""
        rows = self._rows(known)
        values = np.empty((len(known), len(self._beside)), np.float32)
        for start in range(0, len(self._beside), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            around = rows[self._beside[part]]
            values[:, part] = (self._weights[part, None] @ around)[:, 0].T
        return Expected(values + self._wanted_mean, self._variance + np.float32(doubt))


def _ridge(
    around: Float32Array, target: Float32Array, ridge: float
) -> tuple[Float32Array, Float32Array]:
    """Solve for sites together: ``around`` (s, m, N), ``target`` (s, N)."""
    count, pictures = around.shape[1:]
    normal = around @ around.transpose(0, 2, 1) / pictures
    normal[:, range(count), range(count)] += ridge
    weights = np.linalg.solve(normal, around @ target[:, :, None] / pictures)[..., 0]
    off = target - (weights[:, None] @ around)[:, 0]
    freedom = max(pictures - count, pictures / 4)
    variance = (off**2).sum(axis=1) / np.float32(freedom)
    return weights.astype(np.float32), variance.astype(np.float32)


def window(rows: int, columns: int, reach: int, *, itself: bool) -> IntArray:
    """Return the sites at most ``reach`` away, ``NOWHERE`` outside: int64 (sites, (2r + 1)^2)."""
    row, column = np.mgrid[:rows, :columns]
    sites = []
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if itself or down or right:
                there, across = row + down, column + right
                inside = (there >= 0) & (there < rows) & (across >= 0) & (across < columns)
                sites.append(np.where(inside, there * columns + across, NOWHERE).ravel())
    return cast(IntArray, np.stack(sites, axis=1).astype(np.int64))
