"""Packing ``batched``: one ciphertext a feature, images in the slots, no rotation and no key.

For throughput. A complex slot holds two images, so N images fill a batch; a score is a sum of
features times constants, and a constant multiplies real and imaginary part alike. No ciphertext
product, no rescale: the server needs no evaluation key, and data lives under one large prime. The
weights are rounded as numbers, not as polynomials, and cost no more precision than that.

The first message of a batch carries all its ciphertexts; every other image's message is a mark of
the batch and its place in it, so that the server refuses what was torn apart or mixed.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split
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
from he_compare.fhe_baseline.ckks.layouts.slots import Complex128Array
from he_compare.fhe_baseline.ckks.packings import PREDICTED_ERROR, finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.serialization import seal_bytes

PRIMES = 1
MARK = struct.Struct("<16sII")  # batch, images in it, place of this one
MAX_SCALE_BITS = 52


@dataclass(frozen=True)
class Scales:
    """Scales of features, weights and scores, and five standard deviations of a score's error."""

    features: float
    weights: float
    predicted_error: float

    @property
    def reply(self) -> float:
        """Scale of the scores."""
        return self.features * self.weights


def plan(parameters: CkksParameters, model: LinearModel) -> Scales:
    """Choose scales: the largest product that cannot overflow the prime."""
    (last,) = data_primes(seal_context(parameters))[:PRIMES]
    # Two biases share a slot, as real and imaginary part; the bound counts one.
    bound = model.score_bound() + float(np.abs(model.bias).max())
    room = math.floor(math.log2(last / 2 / max(bound, 1.0)))
    features = 2.0**parameters.scale_bits
    weights = 2.0 ** (min(room, MAX_SCALE_BITS) - parameters.scale_bits)
    squares = float((model.weights**2).sum(axis=1).max())
    variance = parameters.degree * (ERROR_SIGMA / features) ** 2 * squares
    variance += model.width / 12 / weights**2
    return Scales(features, weights, 5 * math.sqrt(variance))


def marks(batch: bytes, images: int) -> list[bytes]:
    """Return the mark of every image of a batch, in order."""
    return [MARK.pack(batch, images, place) for place in range(images)]


def batches(
    messages: Sequence[Message], largest: int, what: str
) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield batch, number of images and content of every batch.

    Raises MessageError unless the messages are whole batches, in order.
    """
    position = 0
    while position < len(messages):
        first = messages[position]
        if len(first) < MARK.size:
            raise MessageError(f"{what} of {len(first)} bytes is shorter than the mark of a batch")
        batch, images, _ = MARK.unpack_from(first)
        if not 1 <= images <= largest:
            raise MessageError(f"{what}: a batch of {images} images is not one of 1 to {largest}")
        found = messages[position : position + images]
        expected = marks(batch, images)
        if first[: MARK.size] != expected[0] or list(found[1:]) != expected[1:]:
            raise MessageError(f"{what}: a batch of {images} images is not whole and in order")
        yield batch, images, first[MARK.size :]
        position += images


class BatchedClient:
    """Encrypts with the secret key itself (symmetric), so that half of a ciphertext is a seed."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._seal = import_tenseal().sealapi
        self._classes = model.classes
        self._context = seal_context(parameters)
        self._scales = plan(parameters, model)
        self._slots = parameters.slot_count
        self._level = level_with(self._context, PRIMES)
        self._shape = CiphertextShape(self._context, parameters.degree, PRIMES, self._scales.reply)
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._keys = self._seal.KeyGenerator(self._context)
        secret = self._keys.secret_key()
        self._encryptor = self._seal.Encryptor(self._context, secret)
        self._decryptor = self._seal.Decryptor(self._context, secret)

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return nothing: the server needs no key."""
        return {}

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width), N images a batch."""
        messages: list[Message] = []
        for start in range(0, len(features), 2 * self._slots):
            messages += self._protect(features[start : start + 2 * self._slots], clock)
        return messages

    def _protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        n = len(features)
        with clock.stage(Stage.ENCODE, items=n):
            plaintexts = [self._encode(column) for column in features.T]
        with clock.stage(Stage.ENCRYPT, items=n):
            encrypted = [self._encryptor.encrypt_symmetric(plain) for plain in plaintexts]
        with clock.stage(Stage.SERIALIZE, items=n):
            first, *others = marks(secrets.token_bytes(16), n)
            return [first + join([seal_bytes(one) for one in encrypted]), *others]

    def _encode(self, values: Float64Array) -> Any:
        slots: Complex128Array = np.zeros(self._slots, dtype=np.complex128)
        real, imaginary = values[: self._slots], values[self._slots :]
        slots[: len(real)] = real
        slots[: len(imaginary)] += 1j * imaginary
        plaintext = self._seal.Plaintext()
        self._encoder.encode(slots.tolist(), self._level, self._scales.features, plaintext)
        return plaintext

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        whole = [
            self._reveal(images, content, clock)
            for _, images, content in batches(replies, 2 * self._slots, "reply")
        ]
        return finite_scores(np.vstack(whole).ravel().tolist(), self._classes)

    def _reveal(self, images: int, content: bytes, clock: Clock) -> Float64Array:
        with clock.stage(Stage.DESERIALIZE, items=images):
            parts = split(content)
            if len(parts) != self._classes:
                raise MessageError(f"{len(parts)} replies to a batch of {self._classes} classes")
            ciphertexts = [self._shape.load(part, "reply") for part in parts]
        with clock.stage(Stage.DECRYPT, items=images):
            plaintexts = [self._decrypt(ciphertext) for ciphertext in ciphertexts]
        with clock.stage(Stage.DECODE, items=images):
            slots = np.array([self._encoder.decode_complex(plain) for plain in plaintexts])
            scores: Float64Array = np.hstack([slots.real, slots.imag])[:, :images].T
            return scores

    def _decrypt(self, ciphertext: Any) -> Any:
        plaintext = self._seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plaintext)
        return plaintext


class BatchedServer:
    """Holds weights in the clear, and no key of any kind."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._seal = import_tenseal().sealapi
        self._parameters = parameters
        self._model = model
        self._context = seal_context(parameters)
        self._scales = plan(parameters, model)
        self._level = level_with(self._context, PRIMES)
        self._shape = CiphertextShape(
            self._context, parameters.degree, PRIMES, self._scales.features
        )
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._evaluator = self._seal.Evaluator(self._context)

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer every batch with one ciphertext a class."""
        largest = 2 * self._parameters.slot_count
        replies: list[Message] = []
        for batch, images, content in batches(messages, largest, "upload"):
            replies += self._infer(batch, images, content, clock)
        return replies

    def _infer(self, batch: bytes, images: int, content: bytes, clock: Clock) -> list[Message]:
        with clock.stage(Stage.DESERIALIZE, items=images):
            parts = split(content)
            if len(parts) != self._model.width:
                raise MessageError(
                    f"upload of {len(parts)} features, this head has {self._model.width}"
                )
            features = [self._shape.load(part, "upload") for part in parts]
        with clock.stage(Stage.EVALUATE, items=images):
            try:
                scores = [self._score(features, number) for number in range(self._model.classes)]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=images):
            first, *others = marks(batch, images)
            return [first + join([seal_bytes(score) for score in scores]), *others]

    def _score(self, features: list[Any], number: int) -> Any:
        """Return the score of one class; a weight that rounds to zero adds nothing."""
        total = None
        for ciphertext, weight in zip(features, self._model.weights[number], strict=True):
            if round(weight * self._scales.weights) == 0:
                continue
            product = self._seal.Ciphertext()
            self._evaluator.multiply_plain(
                ciphertext, self._encode(weight, self._scales.weights), product
            )
            if total is None:
                total = product
            else:
                self._evaluator.add_inplace(total, product)
        bias = float(self._model.bias[number])
        # A constant of a + i a adds the bias to both images of a slot.
        self._evaluator.add_plain_inplace(
            total, self._encode(complex(bias, bias), self._scales.reply)
        )
        return total

    def _encode(self, number: float | complex, scale: float) -> Any:
        plaintext = self._seal.Plaintext()
        self._encoder.encode(number, self._level, scale, plaintext)
        return plaintext


class Batched:
    """As many ciphertexts up as features, as many down as classes, for up to N images."""

    name = "batched"
    preferred_parameters = ("n4096-106-wide",)

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        scales = plan(parameters, model)
        if scales.predicted_error > LARGEST_ERROR:
            return f"scores would be off by up to {scales.predicted_error:.1g}"
        if (np.abs(np.round(model.weights * scales.weights)).max(axis=1) == 0).any():
            return "a class has only weights that round to zero"
        return ""

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return what the record says of this packing."""
        scales = plan(parameters, model)
        return {
            "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
            "galois_keys": "none: no rotation",
            "rotations": 0,
            "images_per_batch_at_most": parameters.degree,
            "ciphertexts_up_per_batch": model.width,
            "ciphertexts_down_per_batch": model.classes,
            "reply_scale_log2": round(math.log2(scales.reply), 3),
            "modulus_in_use_log2": parameters.modulus_bits[0],
            PREDICTED_ERROR: float(f"{scales.predicted_error:.2g}"),
            "seeded_upload": True,
        }

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> BatchedClient:
        """Generate the keys of a client."""
        return BatchedClient(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> BatchedServer:
        """Build the server; there is no key."""
        return BatchedServer(parameters, model)


PACKING = Batched()
