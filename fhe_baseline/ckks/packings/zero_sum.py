"""Packing ``zero-sum``, an experiment: no rotation, the client sums products behind a mask.

The slots of ``slot_layout``, one product, and in place of rotations a random mask whose real parts
sum to zero over the slots of each class (imaginary parts and empty slots are masked freely): the
client decrypts, adds up and learns the score. What else it may learn:

* The mask is Gaussian with a deviation of 2^LEAK_BITS / sqrt(2 pi) times the norm the products can
  have, so what is decrypted is within a statistical distance of 2^-LEAK_BITS per image of what the
  score alone would give; distances of several images add up.
* A ciphertext is more than what it decrypts to: its second polynomial, the client's own times the
  weights, would give the weights away by one division. So the server adds an encryption of zero
  under the client's public key: hidden by RLWE, and its noise by the mask.

With d + 1 chosen feature vectors a client solves for the head anyway, as with every exact score.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.types import Complex128Array, Float64Array, UInt8Array
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, data_primes, seal_context
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout, layout_of
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
# A mask beyond this many deviations would overflow: less often than once in 10^10 images.
MASK_DEVIATIONS = 9.0
# Doubles carry the mask through two transforms: relative error of a slot, as measured.
TRANSFORM_ERROR = 2.0**-50
MAX_WEIGHT_SCALE_BITS = 30


@dataclass(frozen=True)
class MaskedScales(PackingScales):
    """Scales, and the deviation of the mask in units of a score."""

    deviation: float


def plan(parameters: CkksParameters, model: LinearModel) -> MaskedScales:
    """Choose the mask for the model, and the largest scales under it that cannot overflow."""
    modulus = math.prod(data_primes(seal_context(parameters))[: LEVELS.upload])
    largest_norm = math.sqrt(2) * CLIP * float(np.linalg.norm(model.weights))
    deviation = 2.0**LEAK_BITS * largest_norm / math.sqrt(2 * math.pi)
    room = math.floor(math.log2(modulus / 2 / (MASK_DEVIATIONS * deviation)))
    features = 2.0**parameters.scale_bits
    weights = 2.0 ** min(room - parameters.scale_bits, MAX_WEIGHT_SCALE_BITS)
    squares = float((model.weights**2).sum(axis=1).max())
    rows = layout_of(parameters, model).rows
    variance = parameters.degree * (ERROR_SIGMA / features) ** 2 * squares
    variance += parameters.degree / 24 / weights**2 * model.width
    variance += rows * (TRANSFORM_ERROR * deviation) ** 2
    variance += rows * parameters.degree**2 * (ERROR_SIGMA / features / weights) ** 2
    return MaskedScales(features, weights, features * weights, 5 * math.sqrt(variance), deviation)


def gaussian(count: int) -> Complex128Array:
    """Return complex (count,), real and imaginary parts standard normal, from the OS's randomness.

    Box and Muller's transform of two uniform numbers of 53 bits.
    """
    words = np.frombuffer(os.urandom(16 * count), dtype="<u8").reshape(2, count) >> 11
    uniform = (words.astype(np.float64) + 1) / 2.0**53
    drawn: Complex128Array = np.sqrt(-2 * np.log(uniform[0])) * np.exp(2j * np.pi * uniform[1])
    return drawn


def mask(layout: SlotLayout, deviation: float) -> Complex128Array:
    """Return a fresh mask (slots,): real parts sum to zero over each class's slots."""
    drawn = deviation * gaussian(layout.slots)
    table = drawn[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)
    table -= table.real.mean(axis=0)
    return drawn


class ZeroSumClient(SealClient):
    """Publishes a public key for the server's encryptions of zero; adds up masked products."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        super().__init__(parameters, model, plan(parameters, model), LEVELS)
        self._layout = layout_of(parameters, model)
        self._public_key = self._seal.PublicKey()
        self._keys.create_public_key(self._public_key)

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the public key."""
        return {PUBLIC_KEY: np.frombuffer(seal_bytes(self._public_key), dtype=np.uint8)}

    def place(self, features: Float64Array) -> list[complex]:
        """Lay the features (width,) of one image out in the slots."""
        return self._layout.place_features(features)

    def read(self, plaintext: Any) -> list[float]:
        """Add the masked products up to the scores (classes,)."""
        layout = self._layout
        slots = np.array(self._encoder.decode_complex(plaintext)).real
        table = slots[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)
        scores: list[float] = table.sum(axis=0)[: layout.classes].tolist()
        return scores


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
        self._layout = layout_of(parameters, model)
        self._deviation = scales.deviation
        (weights,) = self._layout.place_weights(model)
        self._weights = self.encode(weights, LEVELS.upload, scales.weights)
        self._bias = np.array(self._layout.place_bias(model))

    def evaluate(self, features: Any) -> Any:
        """Return masked products under a fresh encryption of zero."""
        products, zero = self._seal.Ciphertext(), self._seal.Ciphertext()
        self._evaluator.multiply_plain(features, self._weights, products)
        drawn = mask(self._layout, self._deviation) + self._bias
        masked = self.encode(drawn.tolist(), LEVELS.reply, self._scales.reply)
        self._evaluator.add_plain_inplace(products, masked)
        self._encryptor.encrypt_zero(products.parms_id(), zero)
        zero.scale = products.scale
        self._evaluator.add_inplace(products, zero)
        return products


class ZeroSum(SealPacking):
    """One ciphertext up, one product, a mask, one ciphertext down; no evaluation key."""

    name = "zero-sum"
    preferred_parameters = ("n4096-106-flat", "n8192")
    levels = LEVELS
    client = ZeroSumClient
    server = ZeroSumServer

    def scales(self, parameters: CkksParameters, model: LinearModel) -> MaskedScales:
        """Choose the mask, and the largest scales under it that cannot overflow."""
        return plan(parameters, model)

    def layout_misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say where a rotation would be needed, or the mask leaves no room for the weights."""
        layout = layout_of(parameters, model)
        if not layout.fits() or layout.shifts > 1:
            return f"{model.width} features for {model.classes} classes need a rotation"
        scales = plan(parameters, model)
        if scales.weights < 1:
            return f"scores would be off by up to {scales.predicted_error:.1g}"
        return ""

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        deviation = plan(parameters, model).deviation
        return super().facts(parameters, model) | {
            "mask_deviation_log2": round(math.log2(deviation), 3),
            "experiment": True,
            "leaks_to_client": "beyond the score, what a statistical distance of "
            f"2^-{LEAK_BITS} per image allows (distances add up); the second polynomial is hidden "
            "by an encryption of zero (RLWE); no review of this construction is known",
            "replies": 1,
        }


PACKING = ZeroSum()
