"""Packing ``tenseal-mm``: TenSEAL's own matrix product, kept as a reference only.

``mm`` goes through the diagonals of the padded matrix, one rotation each: some hundred times the
work of any other packing here for a head of few classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.context import explain_seal_error, load_tenseal_public
from he_compare.fhe_baseline.ckks.layouts.tenseal_vectors import (
    CONTEXT,
    VectorClient,
    load_upload,
    vector_facts,
    vector_misfit,
)
from he_compare.fhe_baseline.ckks.packings import finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters


class MatrixClient(VectorClient):
    """Reads all scores from one ciphertext."""

    server_encrypts = True

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        with clock.stage(Stage.DESERIALIZE, items=len(replies)):
            vectors = [self.load_reply(reply, self.classes) for reply in replies]
        with clock.stage(Stage.DECRYPT, items=len(replies)):
            scores = [score for vector in vectors for score in vector.decrypt()]
        return finite_scores(scores, self.classes)


class MatrixServer:
    """Computes x W + bias in one call."""

    verbs = ("infer",)

    def __init__(self, context: Any, parameters: CkksParameters, model: LinearModel) -> None:
        self._context, self._parameters, self._model = context, parameters, model
        self._matrix = model.weights.T.tolist()
        self._bias = model.bias.tolist()

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message with one ciphertext."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            uploads = [load_upload(self._context, message, self._model) for message in messages]
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            try:
                scores = [features.mm(self._matrix) + self._bias for features in uploads]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [vector.serialize() for vector in scores]


class TensealMm:
    """One ``mm`` for all classes."""

    name = "tenseal-mm"
    preferred_parameters = ("n8192-160",)

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        return vector_misfit(parameters, model)

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return what the record says of this packing."""
        return vector_facts(parameters, "one mm for all classes") | {"replies": 1}

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> MatrixClient:
        """Generate the keys of a client."""
        return MatrixClient(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> MatrixServer:
        """Build the server from the public context. Raises MessageError."""
        context = load_tenseal_public(arrays[CONTEXT].tobytes(), parameters)
        return MatrixServer(context, parameters, model)


PACKING = TensealMm()
