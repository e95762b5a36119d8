"""Bits of uniform choices: what key spaces are counted with."""

from __future__ import annotations

import math


def log2_factorial(n: int) -> float:
    """Return log2(n!), the bits of a uniform permutation of n elements."""
    return math.lgamma(n + 1) / math.log(2)


def log2_binomial(n: int, k: int) -> float:
    """Return log2 of the number of ways to choose k of n elements."""
    return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k)
