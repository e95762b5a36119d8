"""The polynomial that stood for the logistic function in a training, as a record spells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

POINTS = 1000
# Far beyond what replaces a logistic function: a record that says more is not read.
MOST_COEFFICIENTS, LARGEST_NUMBER = 16, 1e4


@dataclass(frozen=True)
class LogisticPolynomial:
    """1/2 + c1 z + c3 z^3 + ... in place of the logistic function, on [-interval, interval]."""

    coefficients: tuple[float, ...]
    interval: float

    def error_at(self, logit: float) -> float:
        """Return its distance from the logistic function at a logit."""
        total = 0.0
        for coefficient in reversed(self.coefficients):
            total = total * logit * logit + coefficient
        return abs(total * logit - math.tanh(logit / 2) / 2)

    def largest_error(self, reach: float) -> float:
        """Return its largest distance from the logistic function up to a logit."""
        return max(self.error_at(reach * place / POINTS) for place in range(POINTS + 1))


def polynomial_of(recorded: Any) -> LogisticPolynomial | None:
    """Read a polynomial; None where the record has none, or something of another shape."""
    if not isinstance(recorded, dict):
        return None
    ends, coefficients = recorded.get("interval"), recorded.get("coefficients")
    if not isinstance(ends, list) or len(ends) != 2 or not isinstance(coefficients, list):
        return None
    numbers = [*coefficients, ends[1]]
    if not 0 < len(coefficients) <= MOST_COEFFICIENTS or not all(map(_is_moderate, numbers)):
        return None
    found = LogisticPolynomial(tuple(float(one) for one in coefficients), float(ends[1]))
    return found if found.interval > 0 else None


def _is_moderate(value: Any) -> bool:
    """Return whether it is a number that no polynomial of the logistic function is beyond."""
    return isinstance(value, int | float) and abs(value) < LARGEST_NUMBER
