"""The base of packings on SEAL's own interface: client, server and packing, all but the layout.

A packing on this base states its scales and rotations and says how features lie in the slots, what
the server computes on a ciphertext, and where the scores are in a reply. Keys, messages, checks of
foreign bytes, timing and the record are here. The client encrypts with the secret key itself
(symmetric), so that half of a fresh ciphertext is a seed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.ciphertexts import CiphertextShape
from he_compare.fhe_baseline.ckks.context import (
    explain_seal_error,
    galois_elements,
    import_tenseal,
    level_with,
    new_keys,
    seal_context,
)
from he_compare.fhe_baseline.ckks.packing import (
    PREDICTED_ERROR,
    Packing,
    PackingClient,
    PackingServer,
    finite_scores,
)
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.serialization import load_galois_keys, seal_bytes

GALOIS_KEYS = "galois_keys"
# Beyond this no order of operations helps, and the parameters are refused for the model.
LARGEST_ERROR = 1e-2


@dataclass(frozen=True)
class PackingScales:
    """Scales of features, weights and reply.

    ``predicted_error``: five standard deviations of the error of one score.
    """

    features: float
    weights: float
    reply: float
    predicted_error: float

    def misfit(self) -> str:
        """Say why the scales are not usable, '' if they are."""
        if self.predicted_error > LARGEST_ERROR:
            return f"scores would be off by up to {self.predicted_error:.1g}"
        return ""


@dataclass(frozen=True)
class Levels:
    """Number of primes that fresh uploads and replies live under."""

    upload: int
    reply: int


class _SealHalf:
    """What client and server share: SEAL's context and encoder, and values as plaintexts."""

    def __init__(self, parameters: CkksParameters) -> None:
        self._seal = import_tenseal().sealapi
        self._parameters = parameters
        self._context = seal_context(parameters)
        self._encoder = self._seal.CKKSEncoder(self._context)

    def encode(self, values: Any, primes: int, scale: float) -> Any:
        """Encode slots, or one number for all of them, under so many primes at a scale."""
        plaintext = self._seal.Plaintext()
        self._encoder.encode(values, level_with(self._context, primes), scale, plaintext)
        return plaintext

    def shape_of(self, primes: int, scale: float) -> CiphertextShape:
        """Return what a ciphertext from outside must be."""
        return CiphertextShape(self._context, self._parameters.degree, primes, scale)


class SealClient(_SealHalf, PackingClient):
    """Encrypts one image per ciphertext; a subclass places features and reads scores."""

    def __init__(
        self,
        parameters: CkksParameters,
        model: LinearModel,
        scales: PackingScales,
        levels: Levels,
        rotations: Sequence[int] = (),
    ) -> None:
        super().__init__(parameters)
        self._classes = model.classes
        self._scales = scales
        self._levels = levels
        self._shape = self.shape_of(levels.reply, scales.reply)
        self._keys = new_keys(self._context)
        secret = self._keys.secret_key()
        self._encryptor = self._seal.Encryptor(self._context, secret)
        self._decryptor = self._seal.Decryptor(self._context, secret)
        elements = galois_elements(list(rotations), parameters.degree)
        self._galois_keys = self._keys.create_galois_keys(elements) if elements else None

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the Galois keys, seeded, where the packing rotates."""
        if self._galois_keys is None:
            return {}
        return {GALOIS_KEYS: np.frombuffer(seal_bytes(self._galois_keys), dtype=np.uint8)}

    def secret_key(self) -> Any:
        """Return SEAL's secret key object, for scoring checks alone."""
        return self._keys.secret_key()

    @abstractmethod
    def place(self, features: Float64Array) -> Sequence[complex]:
        """Lay the features (width,) of one image out in the slots."""

    @abstractmethod
    def read(self, plaintext: Any) -> Sequence[float]:
        """Return the scores (classes,) in a decrypted reply."""

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width)."""
        return self.encrypt(features, len(features), clock)

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        plaintexts = self.decrypt(replies, len(replies), clock)
        with clock.stage(Stage.DECODE, items=len(replies)):
            scores = [score for plain in plaintexts for score in self.read(plain)]
        return finite_scores(scores, self._classes)

    def encrypt(self, rows: Float64Array, images: int, clock: Clock) -> list[bytes]:
        """Place and encrypt each row; the time is that of so many ``images``."""
        with clock.stage(Stage.ENCODE, items=images):
            plaintexts = [self.encode_upload(self.place(row)) for row in rows]
        with clock.stage(Stage.ENCRYPT, items=images):
            ciphertexts = [self._encryptor.encrypt_symmetric(plain) for plain in plaintexts]
        with clock.stage(Stage.SERIALIZE, items=images):
            return [seal_bytes(ciphertext) for ciphertext in ciphertexts]

    def decrypt(self, replies: Sequence[bytes], images: int, clock: Clock) -> list[Any]:
        """Parse and decrypt each reply to a plaintext; the time is that of so many ``images``."""
        with clock.stage(Stage.DESERIALIZE, items=images), parsed_as_hostile("a reply"):
            ciphertexts = [self._shape.load(reply, "reply") for reply in replies]
        with clock.stage(Stage.DECRYPT, items=images), parsed_as_hostile("a reply"):
            return [self._decrypt(ciphertext) for ciphertext in ciphertexts]

    def encode_upload(self, placed: Sequence[complex]) -> Any:
        """Encode what ``place`` laid out: slots, unless a subclass uses coefficients."""
        return self.encode(placed, self._levels.upload, self._scales.features)

    def _decrypt(self, ciphertext: Any) -> Any:
        plaintext = self._seal.Plaintext()
        self._decryptor.decrypt(ciphertext, plaintext)
        return plaintext


class SealServer(_SealHalf, PackingServer):
    """Answers one ciphertext per image with another; a subclass computes."""

    def __init__(
        self,
        parameters: CkksParameters,
        scales: PackingScales,
        levels: Levels,
        arrays: Mapping[str, UInt8Array],
        rotations: Sequence[int] = (),
    ) -> None:
        super().__init__(parameters)
        self._scales = scales
        self._levels = levels
        self._evaluator = self._seal.Evaluator(self._context)
        self._shape = self.shape_of(levels.upload, scales.features)
        self._galois_keys = self._load_galois_keys(arrays, list(rotations))

    def _load_galois_keys(self, arrays: Mapping[str, UInt8Array], steps: list[int]) -> Any:
        keys = self._seal.GaloisKeys()
        if not steps:
            return keys
        elements = galois_elements(steps, self._parameters.degree)
        sent = arrays[GALOIS_KEYS].tobytes()
        load_galois_keys(keys, self._context, sent, "Galois keys", elements)
        for step, element in zip(steps, elements, strict=True):
            if not keys.has_key(element):
                raise MessageError(f"the Galois keys lack the one for rotations by {step}")
        return keys

    @abstractmethod
    def evaluate(self, features: Any) -> Any:
        """Return the reply to an upload: a ciphertext at the level and scale of replies."""

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message with one ciphertext."""

        def each(uploads: list[Any]) -> list[Any]:
            return [self.evaluate(features) for features in uploads]

        return self.answer(messages, each, len(messages), clock)

    def answer(
        self,
        uploads: Sequence[bytes],
        evaluate: Callable[[list[Any]], list[Any]],
        images: int,
        clock: Clock,
    ) -> list[bytes]:
        """Parse ciphertexts, compute others from them and serialise these, timed for ``images``.

        Raises MessageError, and CellError where SEAL refuses to compute.
        """
        with clock.stage(Stage.DESERIALIZE, items=images), parsed_as_hostile("an upload"):
            ciphertexts = [self._shape.load(upload, "upload") for upload in uploads]
        with clock.stage(Stage.EVALUATE, items=images):
            try:
                replies = evaluate(ciphertexts)
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=images):
            return [seal_bytes(reply) for reply in replies]

    def rotated(self, ciphertext: Any, step: int) -> Any:
        """Return a ciphertext with its slots rotated left by ``step``."""
        result = self._seal.Ciphertext()
        self._evaluator.rotate_vector(ciphertext, step, self._galois_keys, result)
        return result

    def rotate_and_sum(self, products: Any, steps: Sequence[int], before_rescale: int) -> None:
        """Add, in place and for each step in turn, the products rotated by it.

        The rescale comes after the first ``before_rescale`` rotations.
        """
        for step in steps[:before_rescale]:
            self._evaluator.add_inplace(products, self.rotated(products, step))
        self._evaluator.rescale_to_next_inplace(products)
        for step in steps[before_rescale:]:
            self._evaluator.add_inplace(products, self.rotated(products, step))


class SealPacking(Packing):
    """A packing on SEAL's own interface, from its scales and rotations.

    ``levels``: primes of uploads and replies.
    """

    levels: ClassVar[Levels]

    @abstractmethod
    def scales(self, parameters: CkksParameters, model: LinearModel) -> PackingScales:
        """Choose the scales for a model, and predict the error they leave."""

    def rotations(self, parameters: CkksParameters, model: LinearModel) -> Sequence[int]:
        """Return the steps by which the server rotates: Galois keys are made for these."""
        return ()

    def layout_misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be laid out in the slots, '' if it can."""
        return ""

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        if len(parameters.modulus_bits) <= self.levels.upload:
            return f"it allows no multiplication: uploads need {self.levels.upload} data primes"
        return self.layout_misfit(parameters, model) or self.scales(parameters, model).misfit()

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        scales = self.scales(parameters, model)
        steps = list(self.rotations(parameters, model))
        keys = f"exactly the {len(steps)} rotations used: steps {steps}"
        return {
            "interface": "tenseal.sealapi (SEAL Evaluator and CKKSEncoder)",
            "galois_keys": keys if steps else "none: no rotation",
            "rotations": len(steps),
            "reply_scale_log2": round(math.log2(scales.reply), 3),
            PREDICTED_ERROR: float(f"{scales.predicted_error:.2g}"),
            "seeded_upload": True,
        }
