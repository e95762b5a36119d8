"""Packing ``tenseal-mm``: TenSEAL's own matrix product, kept as a reference only.

``mm`` goes through the diagonals of the padded matrix, one rotation each: some hundred times the
work of any other packing here for a head of few classes.
"""

from __future__ import annotations

from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Message
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.tenseal_packing import VectorClient, VectorPacking, VectorServer


class MatrixClient(VectorClient):
    """Reads all scores from one ciphertext."""

    server_encrypts = True

    def load_scores(self, reply: Message) -> list[Any]:
        """Parse one vector of all scores. Raises MessageError."""
        return [self.load_reply(reply, self.classes)]


class MatrixServer(VectorServer):
    """Computes x W + bias in one call."""

    def evaluate(self, features: Any) -> Any:
        """Return all encrypted scores in one vector."""
        return features.mm(self._model.weights.T.tolist()) + self._model.bias.tolist()

    def reply(self, scores: Any) -> Message:
        """Serialise the vector."""
        data: bytes = scores.serialize()
        return data


class TensealMm(VectorPacking):
    """One ``mm`` for all classes."""

    name = "tenseal-mm"
    call = "one mm for all classes"
    client = MatrixClient
    server = MatrixServer

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        return super().facts(parameters, model) | {"replies": 1}


PACKING = TensealMm()
