"""Packing ``batched``: one ciphertext per feature, images in the slots, no rotation and no key.

For throughput. A complex slot holds two images, so N images fill a batch; a score is a sum of
features times constants, and a constant multiplies real and imaginary part alike. No ciphertext
product, no rescale: the server needs no evaluation key, and data lives under one large prime. The
weights are rounded as numbers, not as polynomials, and cost no more precision than that.

The first message of a batch carries all its ciphertexts; every other image's message is a mark of
the batch and its place in it, so that the server refuses a batch that is incomplete or mixed.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Complex128Array, Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, data_primes, seal_context
from he_compare.fhe_baseline.ckks.packing import Purpose, finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_packing import (
    Levels,
    PackingScales,
    SealClient,
    SealPacking,
    SealServer,
)

LEVELS = Levels(upload=1, reply=1)
MARK = struct.Struct("<16sII")  # batch, images in it, place of this one
MAX_SCALE_BITS = 52


def plan(parameters: CkksParameters, model: LinearModel) -> PackingScales:
    """Choose scales: the largest product that cannot overflow the prime."""
    last = data_primes(seal_context(parameters))[0]
    # Two biases share a slot, as real and imaginary part; the bound counts one.
    bound = model.score_bound() + float(np.abs(model.bias).max())
    room = math.floor(math.log2(last / 2 / max(bound, 1.0)))
    features = 2.0**parameters.scale_bits
    weights = 2.0 ** (min(room, MAX_SCALE_BITS) - parameters.scale_bits)
    squares = float((model.weights**2).sum(axis=1).max())
    variance = parameters.degree * (ERROR_SIGMA / features) ** 2 * squares
    variance += model.width / 12 / weights**2
    return PackingScales(features, weights, features * weights, 5 * math.sqrt(variance))


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


class BatchedClient(SealClient):
    """Encrypts the columns of a batch: slot i holds images i and i + N / 2."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        super().__init__(parameters, model, plan(parameters, model), LEVELS)
        self._slots = parameters.slot_count

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width), up to N images per batch."""
        messages: list[Message] = []
        for start in range(0, len(features), 2 * self._slots):
            messages += self._protect(features[start : start + 2 * self._slots], clock)
        return messages

    def _protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        columns = self.encrypt(features.T, len(features), clock)
        first, *others = marks(secrets.token_bytes(16), len(features))
        return [first + join(columns), *others]

    def place(self, features: Float64Array) -> list[complex]:
        """Lay one feature of all images (n,) out in the slots."""
        slots: Complex128Array = np.zeros(self._slots, dtype=np.complex128)
        real, imaginary = features[: self._slots], features[self._slots :]
        slots[: len(real)] = real
        slots[: len(imaginary)] += 1j * imaginary
        laid_out: list[complex] = slots.tolist()
        return laid_out

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        if not replies:
            return np.zeros((0, self._classes))
        whole = [
            self._reveal(images, content, clock)
            for _, images, content in batches(replies, 2 * self._slots, "reply")
        ]
        return finite_scores(np.vstack(whole).ravel().tolist(), self._classes)

    def _reveal(self, images: int, content: bytes, clock: Clock) -> Float64Array:
        parts = split(content)
        if len(parts) != self._classes:
            raise MessageError(f"{len(parts)} replies for a batch of {self._classes} classes")
        plaintexts = self.decrypt(parts, images, clock)
        with clock.stage(Stage.DECODE, items=images):
            by_class = np.array([self.read(plain) for plain in plaintexts])
            scores: Float64Array = by_class[:, :images].T
            return scores

    def read(self, plaintext: Any) -> list[float]:
        """Return the scores of one class for all images, (N,)."""
        slots = np.array(self._encoder.decode_complex(plaintext))
        scores: list[float] = np.hstack([slots.real, slots.imag]).tolist()
        return scores


class BatchedServer(SealServer):
    """Holds weights in the clear, and no key of any kind."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        super().__init__(parameters, plan(parameters, model), LEVELS, arrays)
        self._model = model

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer every batch with one ciphertext per class."""
        largest = 2 * self._parameters.slot_count
        replies: list[Message] = []
        for batch, images, content in batches(messages, largest, "upload"):
            parts = split(content)
            if len(parts) != self._model.width:
                raise MessageError(
                    f"upload of {len(parts)} features, this head has {self._model.width}"
                )
            scores = self.answer(parts, self.evaluate, images, clock)
            first, *others = marks(batch, images)
            replies += [first + join(scores), *others]
        return replies

    def evaluate(self, features: list[Any]) -> list[Any]:
        """Return the scores of each class from the ciphertexts of all features."""
        return [self._score(features, number) for number in range(self._model.classes)]

    def _score(self, features: list[Any], number: int) -> Any:
        """Return the score of one class; a weight that rounds to zero adds nothing."""
        scale = self._scales.weights
        total = None
        for ciphertext, weight in zip(features, self._model.weights[number], strict=True):
            if round(weight * scale) == 0:
                continue
            product = self._seal.Ciphertext()
            constant = self.encode(weight, LEVELS.upload, scale)
            self._evaluator.multiply_plain(ciphertext, constant, product)
            if total is None:
                total = product
            else:
                self._evaluator.add_inplace(total, product)
        bias = float(self._model.bias[number])
        # A constant of a + i a adds the bias to both images of a slot.
        both = self.encode(complex(bias, bias), LEVELS.reply, self._scales.reply)
        self._evaluator.add_plain_inplace(total, both)
        return total


class Batched(SealPacking):
    """As many ciphertexts up as features, as many down as classes, for up to N images."""

    name = "batched"
    preferred_parameters = ("n4096-106-wide",)
    purpose = Purpose.THROUGHPUT
    in_batches = True
    levels = LEVELS
    client = BatchedClient
    server = BatchedServer

    def scales(self, parameters: CkksParameters, model: LinearModel) -> PackingScales:
        """Choose the largest product that cannot overflow the prime."""
        return plan(parameters, model)

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        misfit = super().misfit(parameters, model)
        scale = self.scales(parameters, model).weights
        if not misfit and (np.abs(np.round(model.weights * scale)).max(axis=1) == 0).any():
            return "a class has only weights that round to zero"
        return misfit

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        return super().facts(parameters, model) | {
            "images_per_batch_at_most": parameters.degree,
            "ciphertexts_up_per_batch": model.width,
            "ciphertexts_down_per_batch": model.classes,
            "modulus_in_use_log2": parameters.modulus_bits[0],
        }


PACKING = Batched()
