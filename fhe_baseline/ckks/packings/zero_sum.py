"""Packing ``zero-sum``, an experiment: no rotation, the client sums products behind a mask.

The slots of ``slot_layout``, one product, and in place of rotations a random mask whose real parts
sum to zero over the slots of each class (imaginary parts and empty slots are masked freely): the
client decrypts, adds up and learns the score. What else it may learn:

* The mask is Gaussian with a deviation of 2^LEAK_BITS / sqrt(2 pi) times the norm the products can
  have, so what is decrypted is within a statistical distance of 2^-LEAK_BITS an image of what the
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
from he_compare.common.clock import Clock
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.context import (
    ERROR_SIGMA,
    data_primes,
    explain_seal_error,
    import_tenseal,
    level_with,
    seal_context,
)
from he_compare.fhe_baseline.ckks.layouts.scales import LARGEST_ERROR
from he_compare.fhe_baseline.ckks.layouts.slots import Complex128Array, SlotLayout
from he_compare.fhe_baseline.ckks.packings import PREDICTED_ERROR, finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.serialization import load_seal, seal_bytes

PUBLIC_KEY = "public_key"
PRIMES = 2
LEAK_BITS = 30
# A mask beyond this many deviations would overflow: less often than once in 10^10 images.
MASK_DEVIATIONS = 9.0
# Doubles carry the mask through two transforms: relative error of a slot, as measured.
TRANSFORM_ERROR = 2.0**-50
MAX_WEIGHT_SCALE_BITS = 30


@dataclass(frozen=True)
class Scales:
    """Scales of features and weights, the mask's deviation, five deviations of a score's error."""

    features: float
    weights: float
    deviation: float
    predicted_error: float

    @property
    def reply(self) -> float:
        """Scale of the masked products."""
        return self.features * self.weights


def layout_of(parameters: CkksParameters, model: LinearModel) -> SlotLayout:
    """Return where this model lies in the slots of this ring."""
    return SlotLayout(model.width, model.classes, parameters.slot_count)


def plan(parameters: CkksParameters, model: LinearModel) -> Scales:
    """Choose the mask for the model, and the largest scales under it that cannot overflow."""
    modulus = math.prod(data_primes(seal_context(parameters))[:PRIMES])
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
    return Scales(features, weights, deviation, 5 * math.sqrt(variance))


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


class ZeroSumClient:
    """Encrypts symmetrically; publishes a public key for the server's encryptions of zero."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._seal = import_tenseal().sealapi
        self._context = seal_context(parameters)
        self._layout = layout_of(parameters, model)
        self._scales = plan(parameters, model)
        self._level = level_with(self._context, PRIMES)
        self._shape = CiphertextShape(self._context, parameters.degree, PRIMES, self._scales.reply)
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._keys = self._seal.KeyGenerator(self._context)
        secret = self._keys.secret_key()
        self._encryptor = self._seal.Encryptor(self._context, secret)
        self._decryptor = self._seal.Decryptor(self._context, secret)
        self._public_key = self._seal.PublicKey()
        self._keys.create_public_key(self._public_key)

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the public key."""
        return {PUBLIC_KEY: np.frombuffer(seal_bytes(self._public_key), dtype=np.uint8)}

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width)."""
        n = len(features)
        with clock.stage(Stage.ENCODE, items=n):
            plaintexts = [self._encode(row) for row in features]
        with clock.stage(Stage.ENCRYPT, items=n):
            ciphertexts = [self._encryptor.encrypt_symmetric(plain) for plain in plaintexts]
        with clock.stage(Stage.SERIALIZE, items=n):
            return [seal_bytes(ciphertext) for ciphertext in ciphertexts]

    def _encode(self, features: Float64Array) -> Any:
        plaintext = self._seal.Plaintext()
        slots = self._layout.place_features(features)
        self._encoder.encode(slots, self._level, self._scales.features, plaintext)
        return plaintext

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt and add up the masked products: scores (n, classes)."""
        n = len(replies)
        with clock.stage(Stage.DESERIALIZE, items=n):
            ciphertexts = [self._shape.load(reply, "reply") for reply in replies]
        with clock.stage(Stage.DECRYPT, items=n):
            plaintexts = [self._decrypt(ciphertext) for ciphertext in ciphertexts]
        with clock.stage(Stage.DECODE, items=n):
            scores = [score for plain in plaintexts for score in self._summed(plain)]
        return finite_scores(scores, self._layout.classes)

    def _summed(self, plaintext: Any) -> list[float]:
        layout = self._layout
        slots = np.array(self._encoder.decode_complex(plaintext)).real
        table = slots[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)
        scores: list[float] = table.sum(axis=0)[: layout.classes].tolist()
        return scores

    def _decrypt(self, ciphertext: Any) -> Any:
        plaintext = self._seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plaintext)
        return plaintext


class ZeroSumServer:
    """Holds weights in the clear and the client's public key."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, public_key: UInt8Array
    ) -> None:
        self._seal = import_tenseal().sealapi
        self._parameters = parameters
        self._context = seal_context(parameters)
        self._layout = layout_of(parameters, model)
        self._scales = plan(parameters, model)
        self._level = level_with(self._context, PRIMES)
        self._shape = CiphertextShape(
            self._context, parameters.degree, PRIMES, self._scales.features
        )
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._evaluator = self._seal.Evaluator(self._context)
        key = load_seal(self._seal.PublicKey(), self._context, public_key.tobytes(), "public key")
        self._encryptor = self._seal.Encryptor(self._context, key)
        (weights,) = self._layout.place_weights(model)
        self._weights = self._encode(weights, self._scales.weights)
        self._bias = np.array(self._layout.place_bias(model))

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message with masked products."""
        n = len(messages)
        with clock.stage(Stage.DESERIALIZE, items=n):
            uploads = [self._shape.load(message, "upload") for message in messages]
        with clock.stage(Stage.EVALUATE, items=n):
            try:
                replies = [self._evaluate(features) for features in uploads]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=n):
            return [seal_bytes(reply) for reply in replies]

    def _evaluate(self, features: Any) -> Any:
        products, zero = self._seal.Ciphertext(), self._seal.Ciphertext()
        self._evaluator.multiply_plain(features, self._weights, products)
        drawn = mask(self._layout, self._scales.deviation) + self._bias
        self._evaluator.add_plain_inplace(
            products, self._encode(drawn.tolist(), self._scales.reply)
        )
        self._encryptor.encrypt_zero(self._level, zero)
        zero.scale = products.scale
        self._evaluator.add_inplace(products, zero)
        return products

    def _encode(self, slots: list[Any], scale: float) -> Any:
        plaintext = self._seal.Plaintext()
        self._encoder.encode(slots, self._level, scale, plaintext)
        return plaintext


class ZeroSum:
    """One ciphertext up, one product, a mask, one ciphertext down; no evaluation key."""

    name = "zero-sum"
    preferred_parameters = ("n4096-106-flat", "n8192")

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        layout = layout_of(parameters, model)
        if len(parameters.modulus_bits) <= PRIMES:
            return "it allows no multiplication: the mask needs two primes besides the last"
        if not layout.fits() or layout.shifts > 1:
            return f"{model.width} features for {model.classes} classes need a rotation"
        scales = plan(parameters, model)
        if scales.weights < 1 or scales.predicted_error > LARGEST_ERROR:
            return f"scores would be off by up to {scales.predicted_error:.1g}"
        return ""

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return what the record says of this packing."""
        scales = plan(parameters, model)
        return {
            "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
            "galois_keys": "none: no rotation",
            "rotations": 0,
            "reply_scale_log2": round(math.log2(scales.reply), 3),
            "mask_deviation_log2": round(math.log2(scales.deviation), 3),
            PREDICTED_ERROR: float(f"{scales.predicted_error:.2g}"),
            "experiment": True,
            "leaks_to_client": f"beyond the score, what a statistical distance of 2^-{LEAK_BITS} "
            "an image allows (distances add up); the second polynomial is hidden by an encryption "
            "of zero (RLWE); no review of this construction is known",
            "seeded_upload": True,
            "replies": 1,
        }

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> ZeroSumClient:
        """Generate the keys of a client."""
        return ZeroSumClient(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> ZeroSumServer:
        """Build the server from the public key. Raises MessageError."""
        return ZeroSumServer(parameters, model, arrays[PUBLIC_KEY])


PACKING = ZeroSum()
