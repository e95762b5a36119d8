"""Packing ``tenseal-dot``: TenSEAL's own inner product, one ``dot`` and one reply per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message, UInt8Array
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.tenseal_packing import (
    VectorClient,
    VectorPacking,
    VectorServer,
    as_array,
)


def _reply_name(number: int) -> str:
    return f"class{number:02d}"


class DotClient(VectorClient):
    """Reads one ciphertext per class."""

    def load_scores(self, reply: Message) -> list[Any]:
        """Parse a vector of one score per class. Raises MessageError."""
        names = [_reply_name(number) for number in range(self.classes)]
        arrays, _ = unpack(reply, expect=dict.fromkeys(names, ("uint8", 1)))
        return [self.load_reply(arrays[name].tobytes(), 1) for name in names]


class DotServer(VectorServer):
    """Computes weights . x + bias, class by class."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        super().__init__(parameters, model, arrays)
        self._rows = [
            (weights.tolist(), [float(bias)])
            for weights, bias in zip(model.weights, model.bias, strict=True)
        ]

    def evaluate(self, features: Any) -> list[Any]:
        """Return one encrypted score per class."""
        return [features.dot(weights) + bias for weights, bias in self._rows]

    def reply(self, scores: list[Any]) -> Message:
        """Pack the ciphertexts of all classes."""
        return pack(
            {_reply_name(i): as_array(vector.serialize()) for i, vector in enumerate(scores)}
        )


class TensealDot(VectorPacking):
    """One ``dot`` per class."""

    name = "tenseal-dot"
    call = "one dot per class"
    client = DotClient
    server = DotServer

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        return super().facts(parameters, model) | {"replies": model.classes}


PACKING = TensealDot()
