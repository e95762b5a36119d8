"""Nesterov's momentum with coefficients that are whole multiples of 2^-8.

W_{t+1} = V_t - step, V_{t+1} = (1 - eta_t) W_{t+1} + eta_t W_t, with lambda_1 = 1, lambda_{t+1} =
(1 + sqrt(1 + 4 lambda_t^2)) / 2 and eta_t = (1 - lambda_t) / lambda_{t+1} (Bubeck, "Convex
Optimization: Algorithms and Complexity", 2015, section 3.7.2). The first step counts from t = 1,
where eta is 0; t = 0 would give eta = 1 and undo the step. Dyadic coefficients make the momentum an
integer combination of ciphertexts, which costs no level.
"""

from __future__ import annotations

import math

MOMENTUM_BITS = 8


def momentum(iterations: int) -> list[float]:
    """Return eta_1 .. eta_iterations, each rounded to MOMENTUM_BITS bits after the point."""
    step = 1.0
    etas = []
    for _ in range(iterations):
        following = (1 + math.sqrt(1 + 4 * step * step)) / 2
        etas.append(round((1 - step) / following * 2**MOMENTUM_BITS) / 2**MOMENTUM_BITS)
        step = following
    return etas
