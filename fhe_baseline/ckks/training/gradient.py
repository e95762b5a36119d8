"""The gradient on ciphertexts: forward, polynomial, backward, and the fold over the slots.

Products of a giant step are summed as three polynomials and relinearised once, before they are
rescaled: rescaling the third polynomial would multiply its rounding error by the square of the
secret. The fold comes before the rescale too, since it adds up the rounding errors of all copies.

Forward and backward can be divided: forward by giant steps, backward by baby steps, each part
summed with the others at the same scale and level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from he_compare.fhe_baseline.ckks.training.arithmetic import Arithmetic
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.key_parts import KeyRing
from he_compare.fhe_baseline.ckks.training.messages import Address, Content
from he_compare.fhe_baseline.ckks.training.scales import StepScales
from he_compare.fhe_baseline.ckks.training.sigmoid import SigmoidPolynomial
from he_compare.fhe_baseline.ckks.training.steps import Step

Data = Mapping[Address, Any]


class GradientEvaluator(Arithmetic):
    """Computes length times the gradient of the loss for one ciphertext of V, without penalty."""

    def __init__(self, circuit: Circuit, keys: KeyRing, data: Data) -> None:
        super().__init__(circuit, keys)
        self._data = data

    def step_of(self, stretch: int, step: int) -> tuple[Step, StepScales]:
        """Return what a step of a stretch is, and its scales."""
        number = self._circuit.stretches[stretch].first + step
        return self._circuit.steps[number], self._circuit.scales.stretches[stretch][step]

    def partial_gradient(
        self, number: int, groups: Sequence[int], ahead: Any, stretch: int, step: int
    ) -> Any:
        """Return what some groups of rows add to the gradient, before the fold.

        ``number``: which ciphertext of V; ``ahead``: V, or None at zero weights.
        """
        turned = None if ahead is None else self.turned_weights(ahead)
        residuals = []
        for group in groups:
            logits = None
            if turned is not None:
                giants = range(self._circuit.layout.giants)
                logits = self.forward(group, turned, giants, stretch, step)
            residuals.append(self.residual(number, group, logits, stretch, step))
        babies = range(self._circuit.layout.baby)
        return self.backward(groups, residuals, babies)

    def turned_weights(self, ahead: Any) -> list[Any]:
        """Return V rotated by every baby step."""
        layout = self._circuit.layout
        return self.rotations(ahead, layout.baby_step, layout.baby)

    def forward(
        self, group: int, turned: Sequence[Any], giants: range, stretch: int, step: int
    ) -> Any:
        """Return some giant steps' part of X V of a group, before the rescale."""
        layout = self._circuit.layout
        primes = self._circuit.scales.stretches[stretch][step].primes
        sums = []
        for giant in giants:
            total = None
            for baby, weights in enumerate(turned):
                diagonal = self._diagonal(group, giant * layout.baby + baby, primes)
                total = self.add_product(total, diagonal, weights)
            sums.append(total)
        return self.walked(sums, layout.giant_step, giants.start)

    def _diagonal(self, group: int, k: int, primes: int) -> Any:
        return self.at(self._data[Address(Content.FEATURES, group, k)], primes)

    def summed(self, total: Any, part: Any) -> Any:
        """Add a part to a sum, or begin one."""
        if total is None:
            return part
        self.add(total, part)
        return total

    def residual(self, number: int, group: int, logits: Any, stretch: int, step: int) -> Any:
        """Return sample weight times (sigma(z) - target) of a group.

        ``logits``: the sum of all parts of X V, used up; None at zero weights.
        """
        targets = self._data[Address(Content.TARGETS, group, number)]
        one, scales = self.step_of(stretch, step)
        if logits is None:
            return self.at(targets, scales.after + 1)
        self.rescale(logits, scales.logits)
        self.add(logits, self.conjugated(logits))
        samples = self._data[Address(Content.SAMPLE_WEIGHTS, group, number)]
        square = self.multiplied(logits, logits)
        square.scale = scales.square
        weighted = self.multiplied(self.at(samples, scales.primes - 1), logits)
        weighted.scale = scales.weighted
        residual = self._polynomial(one.sigmoid, weighted, square)
        residual.scale = scales.residual
        self.add(residual, self.at(self.times(targets, 1.0, scales.residual), scales.after + 1))
        return residual

    def _polynomial(self, sigmoid: SigmoidPolynomial, weighted: Any, square: Any) -> Any:
        """Return ``weighted`` times the monic polynomial in z^2, negative where it leads so."""
        ratios = sigmoid.ratios
        if sigmoid.leading < 0:
            self._evaluator.negate_inplace(weighted)
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

    def backward(self, groups: Sequence[int], residuals: Sequence[Any], babies: range) -> Any:
        """Return some baby steps' part of X^T p over groups of rows, before the fold."""
        layout = self._circuit.layout
        sums: list[Any] = [None] * len(babies)
        for group, residual in zip(groups, residuals, strict=True):
            primes = self.primes(residual)
            turned = self.rotations(residual, -layout.giant_step, layout.giants)
            for giant, rows in enumerate(turned):
                for place, baby in enumerate(babies):
                    diagonal = self._diagonal(group, giant * layout.baby + baby, primes)
                    sums[place] = self.add_product(sums[place], diagonal, rows)
        return self.walked(sums, -layout.baby_step, babies.start)

    def folded(self, gradient: Any, stretch: int, step: int) -> Any:
        """Return the whole gradient from the sum of its parts, at the level and scale of W."""
        for rotation, times in self._circuit.layout.folds:
            turned = self.copied(gradient, self.primes(gradient))
            self.turn(turned, rotation, times)
            self.add(gradient, turned)
        _, scales = self.step_of(stretch, step)
        self.rescale(gradient, scales.result)
        return self.conjugated(gradient)
