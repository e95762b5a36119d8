"""Where features, weights and scores lie in the coefficients of a polynomial: no rotation needed.

Feature i is the coefficient of X^i; class c takes a stretch of ``width`` coefficients of its own,
its weights in reverse. In the product of both polynomials modulo X^N + 1 the last coefficient of
the stretch of class c is the sum of features times weights of that class and nothing else, as long
as all stretches fit below N. The other coefficients hold sums that nobody asked for.

(Inner products as one coefficient of a product: Huang et al., "Cheetah", USENIX Security 2022.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Float64Array, IntArray
from he_compare.fhe_baseline.ckks.parameters import CkksParameters


@dataclass(frozen=True)
class CoefficientLayout:
    """The layout of one head of ``classes`` scores over ``width`` features in ring degree N."""

    width: int
    classes: int
    degree: int

    def fits(self) -> bool:
        """Say whether every class finds a stretch."""
        return self.width * self.classes <= self.degree

    @property
    def places(self) -> IntArray:
        """The coefficient that holds the score of each class, int64 (classes,)."""
        return self.width * np.arange(1, self.classes + 1) - 1

    def place_features(self, features: Float64Array) -> Float64Array:
        """Lay features (width,) out as coefficients (N,)."""
        return self._laid_out(features)

    def place_weights(self, weights: Float64Array) -> Float64Array:
        """Lay weights (classes, width) out as coefficients (N,), for the product with features."""
        return self._laid_out(weights[:, ::-1].ravel())

    def _laid_out(self, values: Float64Array) -> Float64Array:
        coefficients = np.zeros(self.degree)
        coefficients[: len(values)] = values
        return coefficients


def coefficient_layout_of(parameters: CkksParameters, model: LinearModel) -> CoefficientLayout:
    """Return where this model lies in the coefficients of this ring."""
    return CoefficientLayout(model.width, model.classes, parameters.degree)
