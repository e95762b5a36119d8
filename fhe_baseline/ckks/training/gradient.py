"""The gradient on ciphertexts: forward, polynomial, backward, and the fold over the slots.

Products of a giant step are summed as three polynomials and relinearised once, before they are
rescaled: rescaling the third polynomial would multiply its rounding error by the square of the
secret. The fold comes before the rescale too, since it adds up the rounding errors of all copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from he_compare.fhe_baseline.ckks.training.arithmetic import Arithmetic
from he_compare.fhe_baseline.ckks.training.messages import Address, Content
from he_compare.fhe_baseline.ckks.training.scales import StepScales

Data = Mapping[Address, Any]


class GradientEvaluator(Arithmetic):
    """Computes rate times the gradient of one classifier's loss, without the penalty."""

    def partial_gradient(
        self, data: Data, classifier: int, groups: Sequence[int], ahead: Any, step: int
    ) -> Any:
        """Return what some groups of rows add to the gradient, before it is folded."""
        layout = self._circuit.layout
        scales = self._circuit.scales.steps[step]
        sums: list[Any] = [None] * (layout.period // layout.backward_baby)
        turned = self.rotations(ahead, 1, layout.forward_baby)
        for group in groups:
            logits = self._logits(data, group, turned, scales)
            residual = self._residual(data, group, classifier, logits, step)
            self._accumulate(data, group, residual, step, sums)
        return self.giant_steps(sums, -layout.backward_baby)

    def summed(self, total: Any, part: Any) -> Any:
        """Add a part to a sum, or begin one."""
        if total is None:
            return part
        self.add(total, part)
        return total

    def folded(self, gradient: Any) -> Any:
        """Return the whole gradient from the sum of its parts, at the level and scale of W."""
        for fold in self._circuit.layout.fold_steps:
            self.add(gradient, self.rotated(gradient, fold))
        self.rescale(gradient, self._circuit.scales.result)
        return gradient

    def _logits(self, data: Data, group: int, turned: Sequence[Any], scales: StepScales) -> Any:
        """Return the real part of X V of a group, doubled as the scale says."""
        baby = self._circuit.layout.forward_baby
        sums = []
        for start in range(0, self._circuit.layout.period, baby):
            total = None
            for number, weights in enumerate(turned):
                diagonal = data[Address(Content.FORWARD, group, start + number)]
                total = self.add_product(total, self.at(diagonal, scales.primes), weights)
            sums.append(total)
        logits = self.giant_steps(sums, baby)
        self.rescale(logits, scales.logits)
        self.add(logits, self.conjugated(logits))
        return logits

    def _accumulate(
        self, data: Data, group: int, residual: Any, step: int, sums: list[Any]
    ) -> None:
        """Add a group's products with the rotated residual to the sum of each giant step."""
        baby, primes = self._circuit.layout.backward_baby, self._circuit.residual_primes(step)
        turned = self.rotations(residual, -1, baby)
        for k in range(self._circuit.layout.period):
            diagonal = self.at(data[Address(Content.BACKWARD, group, k)], primes)
            giant, number = divmod(k, baby)
            sums[giant] = self.add_product(sums[giant], diagonal, turned[number])

    def _residual(self, data: Data, group: int, classifier: int, logits: Any, step: int) -> Any:
        """Return sample weight times (sigma(z) - target) of a group."""
        scales = self._circuit.scales.steps[step]
        samples = data[Address(Content.SAMPLE_WEIGHTS, group, classifier)]
        square = self.multiplied(logits, logits)
        square.scale = scales.square
        weighted = self.multiplied(self.at(samples, scales.primes - 1), logits)
        weighted.scale = scales.weighted
        residual = self._polynomial(weighted, square)
        residual.scale = scales.residual
        index = classifier * self._circuit.per_round + step
        self.add(residual, data[Address(Content.TARGETS, group, index)])
        return residual

    def _polynomial(self, weighted: Any, square: Any) -> Any:
        """Return ``weighted`` times the monic polynomial in z^2, the scale as SEAL tracks it."""
        ratios = self._circuit.sigmoid.ratios
        if len(ratios) == 1:
            return self.multiplied(weighted, self.plus(square, ratios[0]))
        upper = self.multiplied(square, self.plus(square, ratios[-1]))
        lower = self.at(weighted, self.primes(upper))
        if len(ratios) == 2:
            return self.multiplied(lower, self.plus(upper, ratios[0]))
        cubic = self.multiplied(weighted, square)
        scale = cubic.scale * upper.scale / lower.scale
        linear = self.plus(self.times(square, ratios[1], scale), ratios[0])
        product = self._seal.Ciphertext()
        self._evaluator.multiply(cubic, upper, product)
        self.add_product(product, lower, linear)
        return self.finish(product)
