"""The base of packings on TenSEAL's own vector interface: one encrypted vector per image.

TenSEAL encodes and encrypts in one call, and decrypts and decodes in one: the stages ``encrypt``
and ``decrypt`` stand for both. Its contexts want all power-of-two rotations (17.6 MB of Galois keys
at N = 8192 with three primes), and its ciphertexts are not seeded, so uploads are whole.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.context import (
    data_primes,
    explain_seal_error,
    import_tenseal,
    seal_context,
    tenseal_context,
    tenseal_public_bytes,
)
from he_compare.fhe_baseline.ckks.packing import (
    Packing,
    PackingClient,
    PackingServer,
    finite_scores,
)
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.tenseal_messages import load_tenseal_public, load_vector

CONTEXT = "tenseal_context"
# Largest difference of log2(prime) and log2(scale): 1e-4 is a relative error of 7e-5.
MAX_SCALE_DRIFT = 1e-4


class VectorClient(PackingClient):
    """Encrypts a feature vector as one TenSEAL vector; a subclass reads the replies."""

    server_encrypts = False

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._tenseal = import_tenseal()
        self._context = tenseal_context(parameters)
        self.classes = model.classes

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return the context without the secret key."""
        context = tenseal_public_bytes(self._context, with_public_key=self.server_encrypts)
        return {CONTEXT: as_array(context)}

    def secret_key(self) -> Any:
        """Return SEAL's secret key object, for scoring checks alone."""
        return self._context.secret_key().data

    def protect(self, features: Float64Array, clock: Clock) -> list[Message]:
        """Encrypt standardised features (n, width)."""
        with clock.stage(Stage.ENCRYPT, items=len(features)):
            vectors = [self._tenseal.ckks_vector(self._context, row) for row in features.tolist()]
        with clock.stage(Stage.SERIALIZE, items=len(features)):
            return [vector.serialize() for vector in vectors]

    @abstractmethod
    def load_scores(self, reply: Message) -> list[Any]:
        """Parse a reply into vectors that hold the scores in their order. Raises MessageError."""

    def load_reply(self, data: bytes, size: int) -> Any:
        """Parse an encrypted vector of ``size`` scores. Raises MessageError."""
        return load_vector(self._context, data, size, "reply")

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        with clock.stage(Stage.DESERIALIZE, items=len(replies)), parsed_as_hostile("a reply"):
            rows = [self.load_scores(reply) for reply in replies]
        with clock.stage(Stage.DECRYPT, items=len(replies)), parsed_as_hostile("a reply"):
            scores = [score for row in rows for vector in row for score in vector.decrypt()]
        return finite_scores(scores, self.classes)


class VectorServer(PackingServer):
    """Evaluates the head on TenSEAL vectors; a subclass computes and packs the reply."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        self._context = load_tenseal_public(arrays[CONTEXT].tobytes(), parameters)
        self._parameters, self._model = parameters, model

    @abstractmethod
    def evaluate(self, features: Any) -> Any:
        """Return the encrypted scores of one image."""

    @abstractmethod
    def reply(self, scores: Any) -> Message:
        """Serialise what ``evaluate`` returned."""

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)), parsed_as_hostile("an upload"):
            uploads = [load_upload(self._context, message, self._model) for message in messages]
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            try:
                scores = [self.evaluate(features) for features in uploads]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [self.reply(score) for score in scores]


class VectorPacking(Packing):
    """One TenSEAL vector up; ``call``: what the server calls, for the record."""

    call: ClassVar[str]
    preferred_parameters = ("n8192-160",)

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why TenSEAL's vector cannot hold or evaluate the model, '' if it can."""
        return vector_misfit(parameters, model)

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        steps = int(math.log2(parameters.slot_count))
        return {
            "interface": f"TenSEAL vector, {self.call}",
            "galois_keys": f"TenSEAL's full set: the steps +-2^i, i < {steps}, and conjugation",
            "reply_scale_log2": parameters.scale_bits,
            "seeded_upload": False,
        }


def load_upload(context: Any, data: Message, model: LinearModel) -> Any:
    """Parse what a client uploaded: fresh, at the first level, at the context's scale."""
    vector = load_vector(context, data, model.width, "upload")
    if vector.ciphertext()[0].parms_id() != context.seal_context().data.first_parms_id():
        raise MessageError("upload is not at the first level")
    return vector


def vector_misfit(parameters: CkksParameters, model: LinearModel) -> str:
    """Say why TenSEAL's vector cannot hold or evaluate the model, '' if it can.

    TenSEAL declares the global scale after every rescale, whatever the prime divided by was: with a
    prime of another size than the scale its results are wrong by their ratio, silently.
    """
    if parameters.depth < 1:
        return "it allows no multiplication"
    if model.width > parameters.slot_count:
        return f"{model.width} features exceed {parameters.slot_count} slots"
    *kept, dropped = data_primes(seal_context(parameters))
    if abs(math.log2(dropped) - parameters.scale_bits) > MAX_SCALE_DRIFT:
        return (
            f"TenSEAL rescales rightly only where the prime dropped is as large as the scale: "
            f"{math.log2(dropped):.2f} bits against {parameters.scale_bits}"
        )
    room = math.prod(kept) / 2 / 2.0**parameters.scale_bits
    if model.score_bound() >= room:
        return f"scores of up to {model.score_bound():.3g} exceed the {room:.3g} the modulus holds"
    return ""


def as_array(data: bytes) -> UInt8Array:
    """View bytes as an array that ``he_compare.common.service.wire`` packs."""
    return np.frombuffer(data, dtype=np.uint8)
