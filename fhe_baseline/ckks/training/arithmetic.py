"""Arithmetic on ciphertexts of one circuit: products, rotations, constants, levels and scales.

SEAL tracks scales through products; where ``scales`` folds a constant into one, it is set by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from he_compare.fhe_baseline.ckks.context import import_tenseal, level_with
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.key_parts import KeyRing


class Arithmetic:
    """SEAL's evaluator with the client's evaluation keys, for the levels of one circuit."""

    def __init__(self, circuit: Circuit, keys: KeyRing) -> None:
        self._seal = import_tenseal().sealapi
        self._circuit = circuit
        self._context = circuit.context
        self._evaluator = self._seal.Evaluator(self._context)
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._keys = keys

    def add(self, total: Any, other: Any) -> None:
        """Add to ``total`` in place."""
        self._evaluator.add_inplace(total, other)

    def subtract(self, total: Any, other: Any) -> None:
        """Subtract from ``total`` in place."""
        self._evaluator.sub_inplace(total, other)

    def rotated(self, ciphertext: Any, step: int) -> Any:
        """Return the ciphertext rotated to the left."""
        turned = self._seal.Ciphertext()
        self._evaluator.rotate_vector(ciphertext, step, self._keys.rotation(step), turned)
        return turned

    def turn(self, ciphertext: Any, step: int, times: int) -> None:
        """Rotate in place, to the left, so many times."""
        for _ in range(times):
            key = self._keys.rotation(step)
            self._evaluator.rotate_vector_inplace(ciphertext, step, key)

    def rotations(self, ciphertext: Any, step: int, count: int) -> list[Any]:
        """Return the ciphertext rotated by 0, step ... (count - 1) steps, each from the last."""
        turned = [ciphertext]
        for _ in range(count - 1):
            turned.append(self.rotated(turned[-1], step))
        return turned

    def conjugated(self, ciphertext: Any) -> Any:
        """Return the ciphertext with its slots conjugated."""
        conjugate = self._seal.Ciphertext()
        self._evaluator.complex_conjugate(ciphertext, self._keys.conjugation, conjugate)
        return conjugate

    def rescale(self, ciphertext: Any, scale: float) -> None:
        """Drop a prime and say what the scale is then."""
        self._evaluator.rescale_to_next_inplace(ciphertext)
        ciphertext.scale = scale

    def add_product(self, total: Any, left: Any, right: Any) -> Any:
        """Add a product of three polynomials to ``total``, or begin a sum with it."""
        product = self._seal.Ciphertext()
        self._evaluator.multiply(left, right, product)
        if total is None:
            return product
        self._evaluator.add_inplace(total, product)
        return total

    def walked(self, sums: Sequence[Any], step: int, first: int) -> Any:
        """Return sum_i rot_{(first + i) step}(sums[i]), walked from the last to the first.

        ``sums``: products of three polynomials, relinearised here; None where there are none.
        """
        total = None
        for inner in reversed(sums):
            self.relinearise(inner)
            if total is not None:
                self.turn(total, step, 1)
                self.add(inner, total)
            total = inner
        if total is not None:
            self.turn(total, step, first)
        return total

    def relinearise(self, product: Any) -> None:
        """Bring a product of three polynomials back to two, in place."""
        self._evaluator.relinearize_inplace(product, self._keys.relinearisation)

    def multiplied(self, left: Any, right: Any) -> Any:
        """Return the product, relinearised and rescaled."""
        product = self._seal.Ciphertext()
        self._evaluator.multiply(left, right, product)
        return self.finish(product)

    def finish(self, product: Any) -> Any:
        """Relinearise and rescale a product in place, and return it."""
        self.relinearise(product)
        self._evaluator.rescale_to_next_inplace(product)
        return product

    def times(self, ciphertext: Any, number: float, scale: float) -> Any:
        """Return the ciphertext times a number, one level down, at that scale."""
        plaintext, product = self._seal.Plaintext(), self._seal.Ciphertext()
        unit = scale * self.prime(self.primes(ciphertext)) / ciphertext.scale
        self._encoder.encode(number, ciphertext.parms_id(), unit, plaintext)
        self._evaluator.multiply_plain(ciphertext, plaintext, product)
        self._evaluator.rescale_to_next_inplace(product)
        product.scale = scale
        return product

    def plus(self, ciphertext: Any, number: float) -> Any:
        """Return the ciphertext plus a number."""
        plaintext, total = self._seal.Plaintext(), self._seal.Ciphertext()
        self._encoder.encode(number, ciphertext.parms_id(), ciphertext.scale, plaintext)
        self._evaluator.add_plain(ciphertext, plaintext, total)
        return total

    def at(self, ciphertext: Any, primes: int) -> Any:
        """Return the ciphertext under so many primes, itself where it is there already."""
        if self.primes(ciphertext) == primes:
            return ciphertext
        return self.copied(ciphertext, primes)

    def copied(self, ciphertext: Any, primes: int) -> Any:
        """Return a copy under so many primes."""
        copy = self._seal.Ciphertext()
        self._evaluator.mod_switch_to(ciphertext, level_with(self._context, primes), copy)
        return copy

    def primes(self, ciphertext: Any) -> int:
        """Return how many primes the ciphertext is under."""
        primes: int = ciphertext.coeff_modulus_size()
        return primes

    def prime(self, primes: int) -> float:
        """Return the prime that a rescale under so many primes drops."""
        return float(self._circuit.primes[primes - 1])
