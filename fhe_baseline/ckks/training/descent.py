"""A step on ciphertexts: weights and momentum from the gradient, level by level.

The penalty's factors come encrypted, since they would tell the variances of the features. Two
columns share a slot, so their factors a and b come as (a + b)/2, which V is multiplied with, and
(a - b)/2, which the conjugate of V is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.fhe_baseline.ckks.training.arithmetic import Arithmetic
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.key_parts import KeyRing
from he_compare.fhe_baseline.ckks.training.messages import Address, Content


class Descent(Arithmetic):
    """The step of one ciphertext of V."""

    def __init__(self, circuit: Circuit, keys: KeyRing, data: Mapping[Address, Any]) -> None:
        super().__init__(circuit, keys)
        self._data = data

    def advance(
        self, ahead: Any, weights: Any, gradient: Any, stretch: int, step: int
    ) -> tuple[Any, Any]:
        """Return the next V (None after the last step of a stretch) and the next W.

        ``ahead``, ``weights``: V and W, or None where they are zero.
        """
        following = self._following(ahead, gradient, stretch, step)
        steps, chain = self._circuit.stretches[stretch], self._circuit.scales.stretches[stretch]
        if step + 1 == steps.count:
            return None, following
        momentum = self._circuit.steps[steps.first + step].momentum
        onward = self.copied(following, chain[step].after)
        onward.scale = chain[step + 1].ahead
        if momentum and weights is not None:
            past = self.times(weights, momentum, onward.scale)
            self.subtract(onward, self.at(past, chain[step].after))
        return onward, following

    def _following(self, ahead: Any, gradient: Any, stretch: int, step: int) -> Any:
        """Return V less the penalty's step and the gradient, at the level and scale of W."""
        if ahead is None:
            self._evaluator.negate_inplace(gradient)
            return gradient
        scales = self._circuit.scales.stretches[stretch][step]
        number = self._circuit.stretches[stretch].first + step
        following = self.copied(self.times(ahead, 1.0, scales.result), scales.after)
        lost = self.times(self._penalty(ahead), self._circuit.steps[number].length, scales.result)
        self.subtract(following, self.at(lost, scales.after))
        self.subtract(following, gradient)
        return following

    def _penalty(self, ahead: Any) -> Any:
        """Return the penalty's gradient: each column of V times its factor."""
        primes = self.primes(ahead)
        sums, differences = (
            self.at(self._data[Address(Content.PENALTIES, 0, index)], primes) for index in (0, 1)
        )
        product = self.add_product(None, sums, ahead)
        self.add_product(product, differences, self.conjugated(ahead))
        scale = product.scale / self.prime(primes)
        product = self.finish(product)
        product.scale = scale
        return product
