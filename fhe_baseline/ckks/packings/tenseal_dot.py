"""Packing ``tenseal-dot``: TenSEAL's own inner product, one ``dot`` and one reply per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, Message, Stage, UInt8Array
from he_compare.fhe_baseline.ckks.context import explain_seal_error, load_tenseal_public
from he_compare.fhe_baseline.ckks.layouts.tenseal_vectors import (
    CONTEXT,
    VectorClient,
    as_array,
    load_upload,
    vector_facts,
    vector_misfit,
)
from he_compare.fhe_baseline.ckks.packings import finite_scores
from he_compare.fhe_baseline.ckks.parameters import CkksParameters


def _reply_name(number: int) -> str:
    return f"class{number:02d}"


class DotClient(VectorClient):
    """Reads one ciphertext per class."""

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt the scores (n, classes)."""
        with clock.stage(Stage.DESERIALIZE, items=len(replies)):
            rows = [self._load(reply) for reply in replies]
        with clock.stage(Stage.DECRYPT, items=len(replies)):
            scores = [vector.decrypt()[0] for row in rows for vector in row]
        return finite_scores(scores, self.classes)

    def _load(self, reply: Message) -> list[Any]:
        names = [_reply_name(number) for number in range(self.classes)]
        arrays, _ = unpack(reply, expect=dict.fromkeys(names, ("uint8", 1)))
        return [self.load_reply(arrays[name].tobytes(), 1) for name in names]


class DotServer:
    """Computes weights . x + bias, class by class."""

    verbs = ("infer",)

    def __init__(self, context: Any, parameters: CkksParameters, model: LinearModel) -> None:
        self._context, self._parameters, self._model = context, parameters, model
        self._rows = [
            (weights.tolist(), [float(bias)])
            for weights, bias in zip(model.weights, model.bias, strict=True)
        ]

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Answer each message with a ciphertext per class."""
        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            uploads = [load_upload(self._context, message, self._model) for message in messages]
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            try:
                scores = [self._evaluate(features) for features in uploads]
            except (RuntimeError, ValueError) as error:
                raise explain_seal_error(error, self._parameters) from None
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [_pack_reply(vectors) for vectors in scores]

    def _evaluate(self, features: Any) -> list[Any]:
        return [features.dot(weights) + bias for weights, bias in self._rows]


def _pack_reply(vectors: list[Any]) -> Message:
    return pack({_reply_name(i): as_array(vector.serialize()) for i, vector in enumerate(vectors)})


class TensealDot:
    """One ``dot`` per class."""

    name = "tenseal-dot"
    preferred_parameters = ("n8192-160",)

    def misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say why the model cannot be evaluated with these parameters, '' if it can."""
        return vector_misfit(parameters, model)

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return what the record says of this packing."""
        return vector_facts(parameters, "one dot per class") | {"replies": model.classes}

    def make_client(self, parameters: CkksParameters, model: LinearModel) -> DotClient:
        """Generate the keys of a client."""
        return DotClient(parameters, model)

    def load_server(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> DotServer:
        """Build the server from the public context. Raises MessageError."""
        context = load_tenseal_public(arrays[CONTEXT].tobytes(), parameters)
        return DotServer(context, parameters, model)


PACKING = TensealDot()
