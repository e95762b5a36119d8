"""Packing ``zero-sum``, an experiment: no rotation, one product, all but the scores masked.

Features and weights lie in the coefficients of ``coefficients``; the score of a class is one
coefficient of the product. The server adds a mask that sums to nothing where the scores are and is
uniform modulo q everywhere else, so the client decrypts the scores and noise. What it may learn:

* The other coefficients: nothing. The mask is drawn as whole numbers modulo each prime, exactly
  uniform among all polynomials with zeros at the scores' places, and added exactly.
* The digits of a score below its precision: the client knows the noise of its own upload, and noise
  times weights would tell heads of equal scores apart. So each score carries a whole number drawn
  uniformly from -B to B, with B = 2^LEAK_BITS / 2 times what that noise can amount to over all
  classes: what a client that follows the protocol decrypts is within a statistical distance of
  2^-LEAK_BITS per image of what the scores alone would give (of the head as rounded to whole
  numbers); distances of several images add up.
* A ciphertext is more than what it decrypts to: its second polynomial, the client's own times the
  weights, would give the weights away by one division. So the server adds an encryption of zero
  under the client's public key: hidden by RLWE, and its noise by B.

A client that departs from the protocol still gets one number a class and reply: a linear function
of the head of its own choice, modulo q and blurred by B. With d + 1 queries any client solves for
the head, as with every exact score.

(A mask of doubles, as it was here before, is a multiple of 2^24 at 2^76 and leaves the low digits
of every product bare: one chosen reply gave the whole head.)
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Float64Array, UInt8Array
from he_compare.fhe_baseline.ckks.context import seal_context
from he_compare.fhe_baseline.ckks.exact_plaintexts import (
    coefficient,
    coefficient_modulo,
    plaintext_of,
    primes_of,
    residues_of,
)
from he_compare.fhe_baseline.ckks.layouts.coefficients import (
    CoefficientLayout,
    coefficient_layout_of,
)
from he_compare.fhe_baseline.ckks.modular import (
    UInt64Array,
    add,
    monomial,
    multiply,
    residues,
    subtract,
    transformed,
    uniform,
)
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_packing import (
    Levels,
    PackingScales,
    SealClient,
    SealPacking,
    SealServer,
)
from he_compare.fhe_baseline.ckks.serialization import load_seal, seal_bytes

PUBLIC_KEY = "public_key"
LEVELS = Levels(upload=2, reply=2)
LEAK_BITS = 30
# The largest weight takes so many bits; scores lose less by it than by the number they carry.
WEIGHT_BITS = 20
SMALLEST_WEIGHT = 2.0**-500
# Features of CLIP at this scale are below 2^62.
MAX_FEATURE_SCALE_BITS = 58
# SEAL's errors come from a centred binomial over 2 x 21 bits, its secrets are ternary.
LARGEST_NOISE = 21


@dataclass(frozen=True)
class MaskedScales(PackingScales):
    """Scales, and B: the largest number that hides the noise of a score."""

    flood: int


def plan(parameters: CkksParameters, model: LinearModel) -> MaskedScales:
    """Choose the largest scale of features that cannot overflow, and B for the model's weights."""
    modulus = math.prod(primes_of(seal_context(parameters), LEVELS.upload))
    largest = max(float(np.abs(model.weights).max()), SMALLEST_WEIGHT)
    weights = 2.0 ** (WEIGHT_BITS - math.ceil(math.log2(largest)))
    noise = LARGEST_NOISE * int(np.abs(np.rint(weights * model.weights)).sum())
    # Of an encryption of zero under the public key: e v + e0 + e1 s, and rounding below it.
    noise += LARGEST_NOISE * (2 * parameters.degree + 1)
    flood = 2 ** (LEAK_BITS - 1) * model.classes * noise
    room = max(modulus // 2 - flood, 1) / (weights * max(model.score_bound(), 2.0**-20))
    features = 2.0 ** min(math.floor(math.log2(max(room, 1.0))), MAX_FEATURE_SCALE_BITS)
    reply = features * weights
    error = math.hypot(flood / reply / math.sqrt(3), math.sqrt(model.width / 12) / weights)
    return MaskedScales(features, weights, reply, 5 * error, flood)


def mask(layout: CoefficientLayout, prime: int) -> UInt64Array:
    """Return a fresh mask modulo a prime, transformed (N,).

    Exactly uniform among the polynomials whose coefficients at the scores' places are zero: a
    uniform one less its coefficients there.
    """
    drawn = uniform(layout.degree, prime)
    there = [coefficient_modulo(drawn, int(place), prime) for place in layout.places]
    return subtract(drawn, at_places(layout, there, prime), prime)


def at_places(layout: CoefficientLayout, numbers: Sequence[int], prime: int) -> UInt64Array:
    """Return the polynomial with a number at each score's place modulo a prime, transformed."""
    result = np.zeros(layout.degree, np.uint64)
    for place, number in zip(layout.places, numbers, strict=True):
        value = np.full(1, number % prime, np.uint64)
        result = add(
            result, multiply(monomial(int(place), layout.degree, prime), value, prime), prime
        )
    return result


def flood_numbers(classes: int, largest: int) -> list[int]:
    """Return a whole number a class, uniform from -largest to largest, from the OS's randomness."""
    return [secrets.randbelow(2 * largest + 1) - largest for _ in range(classes)]


class ZeroSumClient(SealClient):
    """Publishes a public key for the server's encryptions of zero; reads scores off places."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        super().__init__(parameters, model, plan(parameters, model), LEVELS)
        self._layout = coefficient_layout_of(parameters, model)
        self._primes = primes_of(self._context, LEVELS.upload)
        self._public_key = self._seal.PublicKey()
        self._keys.create_public_key(self._public_key)

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the public key."""
        return {PUBLIC_KEY: np.frombuffer(seal_bytes(self._public_key), dtype=np.uint8)}

    def place(self, features: Float64Array) -> list[float]:
        """Lay the features (width,) of one image out as coefficients: whole numbers."""
        laid_out = self._layout.place_features(self._scales.features * features)
        whole: list[float] = np.rint(laid_out).tolist()
        return whole

    def encode_upload(self, placed: Sequence[complex]) -> Any:
        """Return the polynomial of these coefficients as a plaintext, exactly."""
        numbers = np.array(placed, np.float64)
        values = [transformed(residues(numbers, prime), prime) for prime in self._primes]
        return plaintext_of(self._context, values, self._scales.features)

    def read(self, plaintext: Any) -> list[float]:
        """Read the coefficients that hold the scores (classes,)."""
        values = residues_of(plaintext, len(self._primes))
        return [
            coefficient(values, int(place), self._primes) / self._scales.reply
            for place in self._layout.places
        ]


class ZeroSumServer(SealServer):
    """Holds weights in the clear and the client's public key."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        scales = plan(parameters, model)
        super().__init__(parameters, scales, LEVELS, arrays)
        data = arrays[PUBLIC_KEY].tobytes()
        key = load_seal(self._seal.PublicKey(), self._context, data, "public key")
        self._encryptor = self._seal.Encryptor(self._context, key)
        self._layout = coefficient_layout_of(parameters, model)
        self._primes = primes_of(self._context, LEVELS.upload)
        self._flood = scales.flood
        laid_out = np.rint(self._layout.place_weights(scales.weights * model.weights))
        values = [transformed(residues(laid_out, prime), prime) for prime in self._primes]
        self._weights = plaintext_of(self._context, values, scales.weights)
        self._bias = [int(number) for number in np.rint(scales.reply * model.bias)]

    def evaluate(self, features: Any) -> Any:
        """Return masked products under a fresh encryption of zero."""
        products, zero = self._seal.Ciphertext(), self._seal.Ciphertext()
        self._evaluator.multiply_plain(features, self._weights, products)
        self._evaluator.add_plain_inplace(products, self._bias_and_mask())
        self._encryptor.encrypt_zero(products.parms_id(), zero)
        zero.scale = products.scale
        self._evaluator.add_inplace(products, zero)
        return products

    def _bias_and_mask(self) -> Any:
        """Return what is added to a product: fresh for each, exact modulo each prime."""
        drawn = flood_numbers(len(self._bias), self._flood)
        numbers = [bias + number for bias, number in zip(self._bias, drawn, strict=True)]
        values = [
            add(mask(self._layout, prime), at_places(self._layout, numbers, prime), prime)
            for prime in self._primes
        ]
        return plaintext_of(self._context, values, self._scales.reply)


class ZeroSum(SealPacking):
    """One ciphertext up, one product, a mask, one ciphertext down; no evaluation key."""

    name = "zero-sum"
    preferred_parameters = ("n4096-106-flat", "n8192")
    levels = LEVELS
    client = ZeroSumClient
    server = ZeroSumServer

    def scales(self, parameters: CkksParameters, model: LinearModel) -> MaskedScales:
        """Choose B, and the largest scale of features that cannot overflow with it."""
        return plan(parameters, model)

    def layout_misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say where the classes do not find places enough."""
        if not coefficient_layout_of(parameters, model).fits():
            return (
                f"{model.width} features for {model.classes} classes take more than "
                f"{parameters.degree} coefficients"
            )
        return ""

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        scales = plan(parameters, model)
        return super().facts(parameters, model) | {
            "upload_scale_log2": round(math.log2(scales.features), 3),
            "score_flood_log2": round(math.log2(scales.flood), 3),
            "experiment": True,
            "leaks_to_client": "beyond the score of the rounded head, what a statistical distance "
            f"of 2^-{LEAK_BITS} per image allows (distances add up) if the client follows the "
            "protocol; else one linear function of the head per class and reply, blurred by the "
            "flood; the second polynomial is hidden by an encryption of zero (RLWE); no review of "
            "this construction is known",
            "replies": 1,
        }


PACKING = ZeroSum()
