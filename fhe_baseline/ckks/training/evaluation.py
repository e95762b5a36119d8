"""One iteration on ciphertexts: forward, polynomial, backward, step and momentum.

SEAL tracks scales through products; where ``scales`` folds a constant into one, it is set here.
Products of a giant step are summed as three polynomials and relinearised once, before they are
rescaled: rescaling the third polynomial would multiply its rounding error by the square of the
secret. The fold comes before the rescale too, since it adds up the rounding errors of all copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fhe_baseline.ckks.context import import_tenseal, level_with
from fhe_baseline.ckks.training.circuit import Circuit
from fhe_baseline.ckks.training.messages import Address, Kind
from fhe_baseline.ckks.training.momentum import MOMENTUM_BITS, momentum
from fhe_baseline.ckks.training.scales import StepScales

Data = Mapping[Address, Any]


class StepEvaluator:
    """Evaluates iterations of one circuit with the client's evaluation keys."""

    def __init__(self, circuit: Circuit, galois_keys: Any, relinearisation_keys: Any) -> None:
        self._seal = import_tenseal().sealapi
        self._circuit = circuit
        self._layout = circuit.layout
        self._context = circuit.context
        self._evaluator = self._seal.Evaluator(self._context)
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._galois_keys = galois_keys
        self._relinearisation_keys = relinearisation_keys

    def round(
        self, data: Data, classifier: int, ahead: Any, weights: Any, first: int, count: int
    ) -> tuple[Any, Any]:
        """Return V and W of a classifier after ``count`` iterations, both under one prime."""
        etas = momentum(first + count - 1)[first - 1 :]
        for step, eta in enumerate(etas):
            gradient = self._gradient(data, classifier, ahead, step)
            following = self._shrunk(ahead, step)
            self._evaluator.sub_inplace(following, gradient)
            if step + 1 < count:
                ahead = self._moved_on(following, weights, eta, step)
            else:
                ahead = self._moved_last(following, weights, eta)
            weights = following
        return ahead, self._at(weights, 1)

    def _gradient(self, data: Data, classifier: int, ahead: Any, step: int) -> Any:
        """Return rate times the gradient of the loss without the penalty."""
        scales = self._circuit.scales.steps[step]
        giants = self._layout.period // self._layout.backward_baby
        sums: list[Any] = [None] * giants
        turned = self._rotations(ahead, 1, self._layout.forward_baby)
        for group in range(self._layout.groups):
            logits = self._logits(data, group, turned, scales)
            residual = self._residual(data, group, classifier, logits, step)
            self._accumulate(data, group, residual, step, sums)
        baby = self._layout.backward_baby
        gradient = self._giant_steps(sums, -baby)
        folded = self._seal.Ciphertext()
        for fold in self._layout.fold_steps:
            self._evaluator.rotate_vector(gradient, fold, self._galois_keys, folded)
            self._evaluator.add_inplace(gradient, folded)
        self._evaluator.rescale_to_next_inplace(gradient)
        gradient.scale = self._circuit.scales.result
        return gradient

    def _rotations(self, ciphertext: Any, step: int, count: int) -> list[Any]:
        """Return the ciphertext rotated by 0, step ... (count - 1) steps, each from the last."""
        turned = [ciphertext]
        for _ in range(count - 1):
            following = self._seal.Ciphertext()
            self._evaluator.rotate_vector(turned[-1], step, self._galois_keys, following)
            turned.append(following)
        return turned

    def _logits(self, data: Data, group: int, turned: Sequence[Any], scales: StepScales) -> Any:
        """Return the real part of X V of a group, doubled as the scale says."""
        baby = self._layout.forward_baby
        sums = []
        for start in range(0, self._layout.period, baby):
            total = None
            for number, weights in enumerate(turned):
                diagonal = data[Address(Kind.FORWARD, group, start + number)]
                total = self._add_product(total, self._at(diagonal, scales.primes), weights)
            sums.append(total)
        logits = self._giant_steps(sums, baby)
        self._evaluator.rescale_to_next_inplace(logits)
        conjugate = self._seal.Ciphertext()
        self._evaluator.complex_conjugate(logits, self._galois_keys, conjugate)
        self._evaluator.add_inplace(logits, conjugate)
        logits.scale = scales.logits
        return logits

    def _accumulate(
        self, data: Data, group: int, residual: Any, step: int, sums: list[Any]
    ) -> None:
        """Add a group's products with the rotated residual to the sum of each giant step."""
        baby, primes = self._layout.backward_baby, self._circuit.residual_primes(step)
        turned = self._rotations(residual, -1, baby)
        for k in range(self._layout.period):
            diagonal = self._at(data[Address(Kind.BACKWARD, group, k)], primes)
            giant, number = divmod(k, baby)
            sums[giant] = self._add_product(sums[giant], diagonal, turned[number])

    def _add_product(self, total: Any, left: Any, right: Any) -> Any:
        product = self._seal.Ciphertext()
        self._evaluator.multiply(left, right, product)
        if total is None:
            return product
        self._evaluator.add_inplace(total, product)
        return total

    def _giant_steps(self, sums: Sequence[Any], step: int) -> Any:
        """Return sum_i rot_{i step}(sums[i]), walked from the last to the first."""
        total = None
        for inner in reversed(sums):
            if total is not None:
                self._evaluator.rotate_vector_inplace(total, step, self._galois_keys)
                self._evaluator.add_inplace(inner, total)
            self._evaluator.relinearize_inplace(inner, self._relinearisation_keys)
            total = inner
        return total

    def _residual(self, data: Data, group: int, classifier: int, logits: Any, step: int) -> Any:
        """Return sample weight times (sigma(z) - target) of a group."""
        scales = self._circuit.scales.steps[step]
        samples = data[Address(Kind.SAMPLE_WEIGHTS, group, classifier)]
        square = self._multiplied(logits, logits)
        square.scale = scales.square
        weighted = self._multiplied(self._at(samples, scales.primes - 1), logits)
        weighted.scale = scales.weighted
        residual = self._polynomial(weighted, square)
        residual.scale = scales.residual
        index = classifier * self._circuit.per_round + step
        self._evaluator.add_inplace(residual, data[Address(Kind.TARGETS, group, index)])
        return residual

    def _polynomial(self, weighted: Any, square: Any) -> Any:
        """Return ``weighted`` times the monic polynomial in z^2, the scale as SEAL tracks it."""
        ratios = self._circuit.sigmoid.ratios
        if len(ratios) == 1:
            return self._multiplied(weighted, self._plus(square, ratios[0]))
        upper = self._multiplied(square, self._plus(square, ratios[-1]))
        lower = self._at(weighted, self._primes(upper))
        if len(ratios) == 2:
            return self._multiplied(lower, self._plus(upper, ratios[0]))
        cubic = self._multiplied(weighted, square)
        scale = cubic.scale * upper.scale / lower.scale
        linear = self._plus(self._times(square, ratios[1], scale), ratios[0])
        product = self._seal.Ciphertext()
        self._evaluator.multiply(cubic, upper, product)
        self._add_product(product, lower, linear)
        return self._finish(product)

    def _multiplied(self, left: Any, right: Any) -> Any:
        product = self._seal.Ciphertext()
        self._evaluator.multiply(left, right, product)
        return self._finish(product)

    def _finish(self, product: Any) -> Any:
        self._evaluator.relinearize_inplace(product, self._relinearisation_keys)
        self._evaluator.rescale_to_next_inplace(product)
        return product

    def _shrunk(self, ahead: Any, step: int) -> Any:
        """Return V with the penalty's step taken, at the level and scale of the gradient.

        The constant may share its slot with a penalised weight, so real and imaginary parts are
        told apart: (a + b)/2 v + (a - b)/2 conj(v) multiplies them by a and b.
        """
        conjugate = self._seal.Ciphertext()
        self._evaluator.complex_conjugate(ahead, self._galois_keys, conjugate)
        keep = np.full(self._circuit.columns, self._circuit.shrink)
        keep[-1] = 1.0
        factors = self._layout.spread_weights(keep)
        real, imaginary = factors.real, -factors.imag
        primes = self._circuit.scales.steps[step].primes
        scale = self._circuit.scales.result * self._prime(primes) / ahead.scale
        total = self._times_slots(ahead, (real + imaginary) / 2, scale)
        if not np.array_equal(real, imaginary):
            self._evaluator.add_inplace(
                total, self._times_slots(conjugate, (real - imaginary) / 2, scale)
            )
        self._evaluator.rescale_to_next_inplace(total)
        total.scale = self._circuit.scales.result
        return self._at(total, self._circuit.result_primes(step))

    def _moved_on(self, following: Any, weights: Any, eta: float, step: int) -> Any:
        """Return the next V of the same round, one level further down."""
        scale = self._circuit.scales.steps[step + 1].weights
        return self._combined(following, weights, eta, scale)

    def _combined(self, following: Any, weights: Any, eta: float, scale: float) -> Any:
        total = self._times(following, 1 - eta, scale)
        if eta:
            self._evaluator.add_inplace(total, self._times(weights, eta, scale))
        total.scale = scale
        return total

    def _moved_last(self, following: Any, weights: Any, eta: float) -> Any:
        """Return the V a round ends with: an integer combination under the last prime."""
        unit = 2.0**MOMENTUM_BITS
        total = self._scaled(self._at(following, 1), 1 - eta, unit)
        if eta:
            self._evaluator.add_inplace(total, self._scaled(self._at(weights, 1), eta, unit))
        return total

    def _times(self, ciphertext: Any, number: float, scale: float) -> Any:
        """Return the ciphertext times a number, one level down, at that scale."""
        primes = self._primes(ciphertext)
        product = self._scaled(ciphertext, number, scale * self._prime(primes) / ciphertext.scale)
        self._evaluator.rescale_to_next_inplace(product)
        product.scale = scale
        return product

    def _scaled(self, ciphertext: Any, number: float, scale: float) -> Any:
        plaintext, product = self._seal.Plaintext(), self._seal.Ciphertext()
        self._encoder.encode(number, ciphertext.parms_id(), scale, plaintext)
        self._evaluator.multiply_plain(ciphertext, plaintext, product)
        return product

    def _times_slots(self, ciphertext: Any, slots: Any, scale: float) -> Any:
        plaintext, product = self._seal.Plaintext(), self._seal.Ciphertext()
        self._encoder.encode(slots.tolist(), ciphertext.parms_id(), scale, plaintext)
        self._evaluator.multiply_plain(ciphertext, plaintext, product)
        return product

    def _plus(self, ciphertext: Any, number: float) -> Any:
        plaintext, total = self._seal.Plaintext(), self._seal.Ciphertext()
        self._encoder.encode(number, ciphertext.parms_id(), ciphertext.scale, plaintext)
        self._evaluator.add_plain(ciphertext, plaintext, total)
        return total

    def _at(self, ciphertext: Any, primes: int) -> Any:
        """Return the ciphertext under so many primes, itself where it is there already."""
        if self._primes(ciphertext) == primes:
            return ciphertext
        switched = self._seal.Ciphertext()
        self._evaluator.mod_switch_to(ciphertext, level_with(self._context, primes), switched)
        return switched

    def _primes(self, ciphertext: Any) -> int:
        primes: int = ciphertext.coeff_modulus_size()
        return primes

    def _prime(self, primes: int) -> float:
        """Return the prime that a rescale under so many primes drops."""
        return float(self._circuit.primes[primes - 1])
