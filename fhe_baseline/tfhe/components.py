"""The clear head on fewer inputs, in the coordinates that quantisation hurts least.

A rotation leaves the L2 penalty as it is: a head trained with the clear head's own C and class
weights on the first principal components of the standardised features minimises the clear head's
own objective, restricted to those components. Whitening them first would not: it makes weights on
small components expensive no longer, which is another head.

Once the weights are found, each component may be stretched and its weight shrunk by the same
factor: the score stays, its quantisation error does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import CLIP, Head, LinearModel, fit_linear
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.preparation import (
    Preparation,
    fit_standardisation,
    fit_whitening,
    principal_components,
)

# A component of a smaller share of the largest weight is taken for one of this share.
SMALLEST_WEIGHT = 1e-6


@dataclass(frozen=True)
class PreparedHead:
    """A head in float64 and the preparation in front of it.

    ``variance``: the share of the standardised features' variance that is kept, where known.
    """

    preparation: Preparation
    linear: LinearModel
    iterations: int
    variance: float | None = None

    def scores(self, features: Float32Array | Float64Array) -> Float64Array:
        """Return scores in the clear, (n, classes), of features (n, width). Raises DataError."""
        return self.linear.scores(self.preparation.apply(features))


def standardised_head(head: Head) -> PreparedHead:
    """Return the clear head itself, which takes all features."""
    preparation = Preparation("standardised", head.mean, np.diag(1 / head.deviation))
    return PreparedHead(preparation, head.linear, head.iterations, 1.0)


def whitened_head(
    features: Float32Array, labels: IntArray, classes: int, inverse_l2: float, kept: int
) -> PreparedHead:
    """Train on whitened principal components: the same C, and another penalty.

    Raises DataError.
    """
    whitening = fit_whitening(features, kept)
    scaling = fit_standardisation(whitening.apply(features))
    preparation = Preparation(whitening.name, scaling.mean, scaling.directions, whitening)
    inputs = preparation.apply(features)
    return PreparedHead(preparation, *fit_linear(inputs, labels, classes, inverse_l2))


def component_head(
    features: Float32Array, labels: IntArray, classes: int, inverse_l2: float, kept: int
) -> PreparedHead:
    """Train the clear head's objective on ``kept`` components, then stretch each of them.

    Raises DataError.
    """
    standard = fit_standardisation(features)
    values = standard.apply(features)
    mean, variances, components = principal_components(values, kept)
    rotated = (values - mean) @ components
    linear, iterations = fit_linear(rotated, labels, classes, inverse_l2)
    reaches = np.abs(rotated).max(axis=0)
    lengths = CLIP * stretches(one_logit(linear), np.sqrt(variances), reaches)
    name = f"standardised, {len(variances)} principal components, stretched for quantisation"
    return PreparedHead(
        Preparation(name, mean, components * lengths, standard),
        LinearModel(linear.weights / lengths, linear.bias),
        iterations,
        float(variances.sum() / values.var(axis=0).sum()),
    )


def one_logit(linear: LinearModel) -> Float64Array:
    """Return the weights that are quantised: of two classes their difference, (1, width)."""
    weights = linear.weights
    return weights if linear.classes > 2 else weights[1:] - weights[:1]


def stretches(
    weights: Float64Array, deviations: Float64Array, reaches: Float64Array
) -> Float64Array:
    """Return the factor of each input, (width,), that makes a quantised score's error smallest.

    ``weights``: (logits, width). ``deviations``, ``reaches``: (width,), of the inputs: standard
    deviation and largest absolute value. Stretched inputs reach 1 at most.

    All inputs share one step, proportional to R = max g_i r_i, and all weights another,
    proportional to W = max |w_i| / g_i, for factors g, reaches r and deviations s. With rounding
    errors taken as independent and uniform, the squared error of a score is proportional to

        sum over i of  R^2 u_i^2 / g_i^2  +  W^2 m g_i^2 s_i^2,

    u_i^2 being the sum of w_i^2 over the m logits. A common factor of all g changes nothing: let
    R = 1, so that g_i <= 1 / r_i and g_i >= |w_i| / W. For a given W each term is least at
    g_i^2 = u_i / (W sqrt(m) s_i), or at the bound next to it; there it grows with W in all three
    cases, so that W is the smallest that leaves room between the bounds, max |w_i| r_i.
    """
    largest = np.abs(weights).max(axis=0)
    if not largest.any():
        return 1 / reaches
    largest = np.maximum(largest, SMALLEST_WEIGHT * largest.max())
    lengths = np.maximum(np.sqrt((weights**2).sum(axis=0)), largest)
    step = (largest * reaches).max()
    balanced = np.sqrt(lengths / (step * np.sqrt(len(weights)) * deviations))
    factors: Float64Array = np.clip(balanced, largest / step, 1 / reaches)
    return factors
