"""Odd polynomials in place of the logistic function, fitted by least squares on an interval.

sigma(z) = 1/2 + c1 z + c3 z^3 + ...: the even part of the logistic function is its value at 0, so
odd powers suffice (least squares as in Kim, Song, Wang, Xia, Jiang, JMIR Medical Informatics
2018). Outside the interval the polynomial leaves the logistic function at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.types import Float64Array

DEGREES = (3, 5, 7)
GRID_POINTS = 4001


@dataclass(frozen=True)
class SigmoidPolynomial:
    """``coefficients``: of z, z^3, z^5 ...; ``interval``: the fit holds for |z| below it."""

    coefficients: tuple[float, ...]
    interval: float

    @property
    def degree(self) -> int:
        """The highest power."""
        return 2 * len(self.coefficients) - 1

    @property
    def leading(self) -> float:
        """The coefficient of the highest power."""
        return self.coefficients[-1]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Return c1/c_d, c3/c_d ...: what is left of the polynomial in z^2 once it is monic."""
        return tuple(c / self.leading for c in self.coefficients[:-1])

    def centred(self, z: Float64Array) -> Float64Array:
        """Return the approximation of sigma(z) - 1/2."""
        total = np.zeros_like(z)
        for coefficient in reversed(self.coefficients):
            total = total * z * z + coefficient
        return total * z

    def largest_error(self) -> float:
        """Return the largest distance from the logistic function on the interval."""
        z = np.linspace(0, self.interval, GRID_POINTS)
        return float(np.abs(self.centred(z) - np.tanh(z / 2) / 2).max())


def fit_sigmoid(degree: int, interval: float) -> SigmoidPolynomial:
    """Fit the polynomial of that odd degree on [-interval, interval]."""
    if degree not in DEGREES:
        raise ValueError(f"degree {degree} is not one of {DEGREES}")
    unit = np.linspace(0, 1, GRID_POINTS)
    powers = np.arange(1, degree + 1, 2)
    target = np.tanh(unit * interval / 2) / 2
    solution = np.linalg.lstsq(unit[:, None] ** powers, target, rcond=None)[0]
    return SigmoidPolynomial(tuple(float(c) for c in solution / interval**powers), interval)
