"""Nesterov's step on ciphertexts: weights and momentum from the gradient, level by level."""

from __future__ import annotations

from typing import Any

import numpy as np

from he_compare.fhe_baseline.ckks.training.arithmetic import Arithmetic
from he_compare.fhe_baseline.ckks.training.scales import MOMENTUM_BITS


class Descent(Arithmetic):
    """Nesterov's step of one classifier."""

    def advance(
        self, ahead: Any, weights: Any, gradient: Any, eta: float, step: int, *, last: bool
    ) -> tuple[Any, Any]:
        """Return the next V and W; ``last``: V is not used again before a refresh."""
        following = self._shrunk(ahead, step)
        self.subtract(following, gradient)
        moved = self._moved_last if last else self._moved_on
        return moved(following, weights, eta, step), following

    def ended(self, weights: Any) -> Any:
        """Return W under one prime, as a round gives it back."""
        return self.at(weights, 1)

    def _shrunk(self, ahead: Any, step: int) -> Any:
        """Return V with the penalty's step taken, at the level and scale of the gradient.

        The constant may share its slot with a penalised weight, so real and imaginary parts get
        different factors: (a + b)/2 v + (a - b)/2 conj(v) multiplies them by a and b.
        """
        keep = np.full(self._circuit.columns, self._circuit.shrink)
        keep[-1] = 1.0
        factors = self._circuit.layout.spread_weights(keep)
        real, imaginary = factors.real, -factors.imag
        primes = self._circuit.scales.steps[step].primes
        scale = self._circuit.scales.result * self.prime(primes) / ahead.scale
        total = self.times_slots(ahead, (real + imaginary) / 2, scale)
        if not np.array_equal(real, imaginary):
            conjugate = self.conjugated(ahead)
            self.add(total, self.times_slots(conjugate, (real - imaginary) / 2, scale))
        self.rescale(total, self._circuit.scales.result)
        return self.at(total, self._circuit.result_primes(step))

    def _moved_on(self, following: Any, weights: Any, eta: float, step: int) -> Any:
        """Return the next V of the same round, one level further down."""
        scale = self._circuit.scales.steps[step + 1].weights
        total = self.times(following, 1 - eta, scale)
        if eta:
            self.add(total, self.times(weights, eta, scale))
        return total

    def _moved_last(self, following: Any, weights: Any, eta: float, step: int) -> Any:
        """Return the V a round ends with: an integer combination under the last prime."""
        unit = 2.0**MOMENTUM_BITS
        total = self.scaled(self.at(following, 1), 1 - eta, unit)
        if eta:
            self.add(total, self.scaled(self.at(weights, 1), eta, unit))
        return total
