"""Packing ``zero-sum``, an experiment: no rotation, one product, all but the scores masked.

Features and weights lie in the coefficients of ``coefficients``; the score of a class is one
coefficient of the product, its place. An upload (c0, c1) decrypts to c0 + c1 s = m + e modulo q, m
the features as whole numbers, e the noise of encryption; the client knows both. With W the weights
as whole numbers, the reply is, without any rescaling,

    (c0 W + M + F + z0,  c1 W + z1).

M: uniform among the polynomials modulo q that are zero at the places, drawn as whole numbers modulo
each prime. F: at each place the bias and a whole number uniform from -B to B. (z0, z1): an
encryption of zero under the client's public key (b, a), that is (b v + e0, a v + e1) over the
key-switching prime, rounded, with v, e0, e1 fresh and short.

**What a client that follows the protocol learns.** The first polynomial follows from the second,
the client's key and the decryption (m + e) W + M + F + z, z = z0 + z1 s. So it sees:

1. Coefficients of the decryption outside the places. Whatever the rest is, M makes them uniform and
   independent of it: nothing, exactly.
2. At the place of a class: score, (e W) and z there, both blurred by F. |e| is at most 21, so |e W|
   at most 21 times the sum of |W|; z at most 21 (2 N + 1). A uniform number from -B to B moved by t
   is within a statistical distance of |t| / (2 B + 1) of one not moved, for any W, e, v, e0, e1,
   hence also beside the second polynomial. B is 2^LEAK_BITS / 2 times the classes times the bound:
   all classes together are within 2^-LEAK_BITS of the score and a number from -B to B.
3. The second polynomial. After 2. nothing else depends on v and e1: (a, a v + e1) is a sample of
   RLWE in the ring and modulus of the client's own public key, c1 W + z1 as good as uniform.

So a reply says what the scores say (of the head as rounded to whole numbers, and blurred), but for
2^-LEAK_BITS per image, which adds up over images, and the advantage against RLWE. Scales are
public: they tell the largest weight and the bound on scores as powers of two.

**What any client learns** that sends what it likes, c0, c1 and b: of the first polynomial one
number per class and reply, a linear function of the head of its choice modulo q blurred by F, plus
(b v + e0). These are as many hints about v as there are classes, of which RLWE in dimension N is
believed to take no harm (Dachman-Soled et al., "LWE with Side Information", CRYPTO 2020): believed,
not proven. a is not the client's choice (``public_keys``). With d + 1 queries any client solves for
the head, as with every exact score.

(Two versions were broken. A mask of doubles is a multiple of 2^24 at 2^76 and left low digits bare:
one chosen reply gave the head. A public key taken as it came could have a = 0, or an a with a
trapdoor: one division of second polynomials gave the head.)
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import MAX_CLASSES, Float64Array, UInt8Array
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
from he_compare.fhe_baseline.ckks.public_keys import load_public_key, make_public_key
from he_compare.fhe_baseline.ckks.seal_packing import (
    Levels,
    PackingScales,
    SealClient,
    SealPacking,
    SealServer,
)

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
        self._public_key = make_public_key(self._context, self._keys.secret_key())

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the public key."""
        return {PUBLIC_KEY: np.frombuffer(self._public_key, dtype=np.uint8)}

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
        key = load_public_key(self._context, arrays[PUBLIC_KEY].tobytes())
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

    def most_classes(self, parameters: CkksParameters, width: int) -> int:
        """As many as have stretches of so many coefficients, at most those of a head."""
        return min(MAX_CLASSES, parameters.degree // width)

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
            "leaks_to_client": "beyond the score of the rounded head and the public scales (the "
            "largest weight and score as powers of two): what a statistical distance of "
            f"2^-{LEAK_BITS} per image allows (distances add up) if the client follows the "
            "protocol; else one linear function of the head per class and reply, blurred by the "
            "flood; the second polynomial is hidden by an encryption of zero (RLWE, with as many "
            "hints as classes against a client that departs); no review of this construction is "
            "known",
            "replies": 1,
        }


PACKING = ZeroSum()
