"""Decrypted weights on their way out: rounded far above the noise that would betray the key.

Li and Micciancio (EUROCRYPT 2021) recover the secret key from decryptions at full precision beside
their ciphertexts. Copies are averaged and weights rounded to 2^-10 before they are released: the
noise, some 2^-15, then shows only where it tips a rounding. That defeats the published attack and
proves nothing: the record says so.
"""

from __future__ import annotations

import numpy as np

from common.types import Float64Array

KEPT_BITS = 10


def rounded(weights: Float64Array) -> Float64Array:
    """Return weights as multiples of 2^-KEPT_BITS."""
    unit = 2.0**-KEPT_BITS
    kept: Float64Array = np.round(weights / unit) * unit
    return kept
