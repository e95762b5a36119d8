"""Packing ``replicated``: features repeated per class, one product, one reply for all classes.

On ``tenseal.sealapi``, with Galois keys for exactly the rotations used and uploads whose second
polynomial is a seed (half the bytes). The slots are those of ``slot_layout``. Under two primes a
rotation costs more than twice what it costs under one, so as many rotations as the precision allows
come after the rescale.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.context import (
    explain_seal_error,
    galois_elements,
    import_tenseal,
    level_with,
    seal_context,
)
from he_compare.fhe_baseline.ckks.layouts.scales import ScalePlan, plan_scales
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout
from he_compare.fhe_baseline.ckks.packings import PREDICTED_ERROR, finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.serialization import load_seal, seal_bytes

GALOIS_KEYS = "galois_keys"
FRESH_PRIMES, REPLY_PRIMES = 2, 1


def layout_of(parameters: CkksParameters, model: LinearModel) -> SlotLayout:
    """Return where this model lies in the slots of this ring."""
    return SlotLayout(model.width, model.classes, parameters.slot_count)


class ReplicatedClient:
    """Encrypts with the secret key itself (symmetric), so that half of a ciphertext is a seed."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._seal = import_tenseal().sealapi
        self._parameters = parameters
        self._context = seal_context(parameters)
        self._layout = layout_of(parameters, model)
        self._scales = plan_scales(parameters, model, self._layout)
        self._shape = CiphertextShape(
            self._context, parameters.degree, REPLY_PRIMES, self._scales.reply
        )
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._keys = self._seal.KeyGenerator(self._context)
        secret = self._keys.secret_key()
        self._encryptor = self._seal.Encryptor(self._context, secret)
        self._decryptor = self._seal.Decryptor(self._context, secret)
        self._level = level_with(self._context, FRESH_PRIMES)
        steps = self._layout.feature_steps + self._layout.sum_steps
        elements = galois_elements(steps, parameters.degree)
        self._galois_keys = self._keys.create_galois_keys(elements) if elements else None

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the Galois keys, seeded."""
        data = seal_bytes(self._galois_keys) if self._galois_keys is not None else b""
        return {GALOIS_KEYS: np.frombuffer(data, dtype=np.uint8)}

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width)."""
        with clock.stage(Stage.ENCODE, items=len(features)):
            plaintexts = [self._encode(row) for row in features]
        with clock.stage(Stage.ENCRYPT, items=len(features)):
            ciphertexts = [self._encryptor.encrypt_symmetric(plain) for plain in plaintexts]
        with clock.stage(Stage.SERIALIZE, items=len(features)):
            return [seal_bytes(ciphertext) for ciphertext in ciphertexts]

    def _encode(self, features: Float64Array) -> Any:
        plaintext = self._seal.Plaintext()
        slots = self._layout.place_features(features)
        self._encoder.encode(slots, self._level, self._scales.features, plaintext)
        return plaintext

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        with clock.stage(Stage.DESERIALIZE, items=len(replies)):
            ciphertexts = [self._shape.load(reply, "reply") for reply in replies]
        with clock.stage(Stage.DECRYPT, items=len(replies)):
            plaintexts = [self._decrypt(ciphertext) for ciphertext in ciphertexts]
        with clock.stage(Stage.DECODE, items=len(replies)):
            classes = self._layout.classes
            slots = [self._encoder.decode_double(plain)[:classes] for plain in plaintexts]
        return finite_scores([score for row in slots for score in row], classes)

    def _decrypt(self, ciphertext: Any) -> Any:
        plaintext = self._seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plaintext)
        return plaintext


class ReplicatedEvaluator(ABC):
    """The server's side of the layout, whatever the weights are: products, rotations, rescale."""

    verbs: tuple[str, ...] = ("infer",)

    def __init__(
        self,
        parameters: CkksParameters,
        layout: SlotLayout,
        scales: ScalePlan,
        galois_keys: UInt8Array,
    ) -> None:
        self._seal = import_tenseal().sealapi
        self._parameters = parameters
        self._context = seal_context(parameters)
        self._evaluator = self._seal.Evaluator(self._context)
        self._layout = layout
        self._scales = scales
        self._shape = CiphertextShape(
            self._context, parameters.degree, FRESH_PRIMES, self._scales.features
        )
        self._galois_keys = self._load_keys(galois_keys.tobytes())

    def _load_keys(self, data: bytes) -> Any:
        steps = self._layout.feature_steps + self._layout.sum_steps
        keys = self._seal.GaloisKeys()
        if not steps:
            return keys
        load_seal(keys, self._context, data, "Galois keys")
        for step, element in zip(
            steps, galois_elements(steps, self._parameters.degree), strict=True
        ):
            if not keys.has_key(element):
                raise MessageError(f"the Galois keys lack the one for rotations by {step}")
        return keys

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message with one ciphertext that holds all scores."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            uploads = [self._shape.load(message, "upload") for message in messages]
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            try:
                scores = [self._evaluate(features) for features in uploads]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [seal_bytes(ciphertext) for ciphertext in scores]

    def _evaluate(self, features: Any) -> Any:
        scores = self._sum(self._products(features))
        self._add_bias(scores)
        return scores

    @abstractmethod
    def _products(self, features: Any) -> Any:
        """Return the sum over all shifts of rotated features times their weights."""

    @abstractmethod
    def _add_bias(self, scores: Any) -> None:
        """Add the bias to the scores in place."""

    def _rotated(self, features: Any) -> Iterator[Any]:
        """Yield the features under every shift of the layout."""
        yield features
        for step in self._layout.feature_steps:
            rotated = self._seal.Ciphertext()
            self._evaluator.rotate_vector(features, step, self._galois_keys, rotated)
            yield rotated

    def _sum(self, products: Any) -> Any:
        """Rotate and add until the first slots hold the scores; rescale on the way."""
        rotated = self._seal.Ciphertext()
        steps = self._layout.sum_steps
        early = self._scales.rotations_before_rescale
        for position, step in enumerate([*steps[:early], None, *steps[early:]]):
            if position == early:
                self._evaluator.rescale_to_next_inplace(products)
                continue
            self._evaluator.rotate_vector(products, step, self._galois_keys, rotated)
            self._evaluator.add_inplace(products, rotated)
        return products


class ReplicatedServer(ReplicatedEvaluator):
    """Holds weights in the clear and Galois keys."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, galois_keys: UInt8Array
    ) -> None:
        layout = layout_of(parameters, model)
        super().__init__(parameters, layout, plan_scales(parameters, model, layout), galois_keys)
        self._encoder = self._seal.CKKSEncoder(self._context)
        self._weights = [
            self._encode(slots, FRESH_PRIMES, self._scales.weights)
            for slots in self._layout.place_weights(model)
        ]
        bias = self._layout.place_bias(model)
        self._bias = self._encode(bias, REPLY_PRIMES, self._scales.reply)

    def _encode(self, slots: list[Any], primes: int, scale: float) -> Any:
        plaintext = self._seal.Plaintext()
        self._encoder.encode(slots, level_with(self._context, primes), scale, plaintext)
        return plaintext

    def _products(self, features: Any) -> Any:
        total = self._seal.Ciphertext()
        for position, (rotated, weights) in enumerate(
            zip(self._rotated(features), self._weights, strict=True)
        ):
            if position == 0:
                self._evaluator.multiply_plain(rotated, weights, total)
                continue
            self._evaluator.multiply_plain_inplace(rotated, weights)
            self._evaluator.add_inplace(total, rotated)
        return total

    def _add_bias(self, scores: Any) -> None:
        self._evaluator.add_plain_inplace(scores, self._bias)


class Replicated:
    """One ciphertext up, one product per shift, one ciphertext down."""

    name = "replicated"
    preferred_parameters = ("n4096-106", "n8192-160")

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        layout = layout_of(parameters, model)
        if parameters.depth < 1:
            return "it allows no multiplication"
        if not layout.fits():
            return f"{model.width} features exceed {parameters.slot_count} slots"
        return plan_scales(parameters, model, layout).misfit()

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return what the record says of this packing."""
        layout = layout_of(parameters, model)
        scales: ScalePlan = plan_scales(parameters, model, layout)
        steps = layout.feature_steps + layout.sum_steps
        return {
            "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
            "galois_keys": f"exactly the {len(steps)} rotations used: steps {steps}",
            "rotations": len(steps),
            "rotations_before_rescale": scales.rotations_before_rescale,
            "reply_scale_log2": round(math.log2(scales.reply), 3),
            PREDICTED_ERROR: float(f"{scales.predicted_error:.2g}"),
            "seeded_upload": True,
            "replies": 1,
        }

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> ReplicatedClient:
        """Generate the keys of a client."""
        return ReplicatedClient(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> ReplicatedServer:
        """Build the server from Galois keys. Raises MessageError."""
        return ReplicatedServer(parameters, model, arrays[GALOIS_KEYS])


PACKING = Replicated()
