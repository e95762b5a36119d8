"""Where features, weights and scores lie in the slots of the ``replicated`` packing.

A linear head needs, for each class, the sum of products over all features. Two real features share
one complex slot: Re((x1 + i x2)(w1 - i w2)) = x1 w1 + x2 w2, which halves the slots and saves one
rotation. With K classes and D pairs (each padded to a power of two) over S slots, slot u K + v
belongs to class v and holds pair ``u + U (v mod J)``, where U = min(D, S / K) rows fit and the
remaining J = D / U parts are reached by rotating the features by 1 .. J - 1: class v then meets
pairs ``u + U ((v + j) mod J)``, all D of them. Summing over u takes log2 U rotations by multiples
of K, and the score of class v is the real part of slot v: one ciphertext for all classes.

(The hybrid of diagonals and rotate-and-sum goes back to Halevi and Shoup, CRYPTO 2014, and GAZELLE,
USENIX Security 2018; the interleaving and the pairs are fitted to it here.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Complex128Array, Float64Array, IntArray
from he_compare.fhe_baseline.ckks.parameters import CkksParameters


def padded(count: int) -> int:
    """Return the smallest power of two at or above ``count``."""
    return 1 << (count - 1).bit_length()


@dataclass(frozen=True)
class SlotLayout:
    """The layout of one head of ``classes`` scores over ``width`` features in ``slots`` slots."""

    width: int
    classes: int
    slots: int

    @property
    def columns(self) -> int:
        """K: classes, padded."""
        return padded(self.classes)

    @property
    def pairs(self) -> int:
        """D: pairs of features, padded."""
        return padded((self.width + 1) // 2)

    @property
    def rows(self) -> int:
        """U: pairs a class meets without rotating the features."""
        return min(self.pairs, self.slots // self.columns)

    @property
    def shifts(self) -> int:
        """J: rotated copies of the features, the unrotated one included."""
        return self.pairs // self.rows

    def fits(self) -> bool:
        """Say whether all pairs and classes find a slot."""
        return self.columns <= self.slots and self.pairs <= self.slots

    @property
    def feature_steps(self) -> list[int]:
        """Rotations of the features before the products."""
        return list(range(1, self.shifts))

    @property
    def sum_steps(self) -> list[int]:
        """Rotations that sum the products, in order."""
        rows = self.rows
        return [self.columns * (rows >> i) for i in range(1, rows.bit_length())]

    @property
    def steps(self) -> list[int]:
        """Every rotation of the layout."""
        return self.feature_steps + self.sum_steps

    def _pair_of_slot(self) -> IntArray:
        """Return the pair each slot holds, int64 (slots,), -1 where a slot stays empty."""
        row, column = np.divmod(np.arange(self.slots), self.columns)
        pair = row + self.rows * (column % self.shifts)
        return np.where(row < self.rows, pair, -1)

    def place_features(self, features: Float64Array) -> list[complex]:
        """Lay standardised features (width,) out in the slots."""
        slots: list[complex] = self._spread(self._paired(features[None])[0]).tolist()
        return slots

    def place_weights(self, model: LinearModel) -> list[list[complex]]:
        """Lay the weights out, one list of slots per shift, for the product with the features."""
        pairs = self._paired(model.weights).conj()
        row, column = np.divmod(np.arange(self.slots), self.columns)
        used = (row < self.rows) & (column < self.classes)
        laid_out = []
        for shift in range(self.shifts):
            met = np.roll(self._pair_of_slot(), -shift)
            weights = pairs[np.minimum(column, self.classes - 1), met]
            laid_out.append(np.where(used & (met >= 0), weights, 0).tolist())
        return laid_out

    def place_bias(self, model: LinearModel) -> list[float]:
        """Lay the bias out where the scores end up."""
        return [*model.bias.tolist(), *([0.0] * (self.slots - self.classes))]

    def _paired(self, rows: Float64Array) -> Complex128Array:
        """Return complex (n, pairs) of real (n, width): the first half real, the rest imaginary."""
        half = (self.width + 1) // 2
        pairs = np.zeros((len(rows), self.pairs), dtype=np.complex128)
        pairs[:, :half] = rows[:, :half]
        pairs[:, : self.width - half] += 1j * rows[:, half:]
        return pairs

    def _spread(self, pairs: Complex128Array) -> Complex128Array:
        where = self._pair_of_slot()
        return np.where(where >= 0, pairs[where], 0)


def layout_of(parameters: CkksParameters, model: LinearModel) -> SlotLayout:
    """Return where this model lies in the slots of this ring."""
    return SlotLayout(model.width, model.classes, parameters.slot_count)
