"""Features from an update of the head: exact for one sample, a mixture for many.

The gradient of the logistic loss is the sum of (p - y) x over the batch, and for the constant the
sum of (p - y): with one sample their quotient is x. Source: Phong, Aono, Hayashi, Wang, Moriai,
"Privacy-Preserving Deep Learning via Additively Homomorphic Encryption", IEEE TIFS 2018, section 3.
"""

from __future__ import annotations

import numpy as np

from common.types import Float64Array


def features_from_update(update: Float64Array) -> Float64Array:
    """Return what one sample's features would be, (width,), from an update of the head.

    ``update``: (classifiers, width + 1). The constant comes last; the classifier with the
    largest change of it is taken.
    """
    strongest = update[int(np.argmax(np.abs(update[:, -1])))]
    if strongest[-1] == 0:
        return np.array(strongest[:-1])
    return np.array(strongest[:-1] / strongest[-1])


def nearest(found: Float64Array, features: Float64Array) -> float:
    """Return the cosine of what was found, (width,), with the nearest of features (n, width)."""
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(found)
    cosines = np.abs(features @ found) / np.where(norms > 0, norms, 1)
    return float(cosines.max())
