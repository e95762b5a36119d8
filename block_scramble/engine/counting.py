"""Bits of uniform choices: what key spaces are counted with."""

from __future__ import annotations

import math

# Beyond, rounding n!/e to an integer changes nothing that a float shows.
EXACT = 15


def log2_factorial(n: int) -> float:
    """Return log2(n!), the bits of a uniform permutation of n elements."""
    return math.lgamma(n + 1) / math.log(2)


def log2_binomial(n: int, k: int) -> float:
    """Return log2 of the number of ways to choose k of n elements."""
    return log2_factorial(n) - log2_factorial(k) - log2_factorial(n - k)


def log2_derangements(n: int) -> float:
    """Return log2 of the number of orders of n elements in which none stays, n!/e rounded.

    0 for no element. Raises ValueError for one, which has no such order.
    """
    if n == 1:
        raise ValueError("one element alone has no place to move to")
    if n <= EXACT:
        return math.log2(round(math.factorial(n) / math.e)) if n else 0.0
    return log2_factorial(n) - math.log2(math.e)
