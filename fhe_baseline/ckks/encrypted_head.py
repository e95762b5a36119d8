"""A head that stays encrypted at the server: ciphertext products in the replicated layout.

The owner encrypts weights and bias under the key of its features; the server multiplies,
relinearises and goes on as with clear weights. It learns the layout and the scales: from the
reply's the power of two above the largest score the head can give, and how many rotations the
precision wants before the rescale. The predicted error, from which the weights' norm could be
computed, stays with the owner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from he_compare.common.backbones.head import MAX_FEATURES, LinearModel
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile, strict_json
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import MAX_CLASSES, UInt8Array
from he_compare.fhe_baseline.ckks.context import seal_context
from he_compare.fhe_baseline.ckks.layouts.replication import (
    LEVELS,
    ReplicatedClient,
    ReplicatedEvaluator,
)
from he_compare.fhe_baseline.ckks.layouts.scales import ReplicatedScales
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, require_128_bits
from he_compare.fhe_baseline.ckks.serialization import load_relinearisation_keys, seal_bytes

ROLE = "encrypted head"
# What the server is told of the scales: all that it computes with.
TOLD_SCALES = ("features", "weights", "reply", "rotations_before_rescale")
RELINEARISATION_KEYS, BIAS = "relinearisation_keys", "bias"


class EncryptedHeadClient(ReplicatedClient):
    """Owns the head: encrypts it once, then features as ever."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        super().__init__(parameters, model)
        self._model = model

    def public_arrays(self) -> dict[str, UInt8Array]:
        """Return Galois and relinearisation keys and the encrypted head."""
        layout, scales = self._layout, self._scales
        arrays = dict(super().public_arrays())
        relinearisation = seal_bytes(self._keys.create_relin_keys())
        arrays[RELINEARISATION_KEYS] = np.frombuffer(relinearisation, np.uint8)
        for shift, slots in enumerate(layout.place_weights(self._model)):
            arrays[_weights(shift)] = self._encrypted(slots, LEVELS.upload, scales.weights)
        bias = layout.place_bias(self._model)
        arrays[BIAS] = self._encrypted(bias, LEVELS.reply, scales.reply)
        return arrays

    def _encrypted(self, slots: list[Any], primes: int, scale: float) -> UInt8Array:
        plaintext = self.encode(slots, primes, scale)
        return np.frombuffer(seal_bytes(self._encryptor.encrypt_symmetric(plaintext)), np.uint8)

    def public_material(self) -> bytes:
        """Return all the server gets. Fresh encryptions at every call."""
        header = {
            "classes": self._layout.classes,
            "width": self._layout.width,
            "scales": {name: getattr(self._scales, name) for name in TOLD_SCALES},
        }
        metadata = {
            "role": ROLE,
            "parameters": self._parameters.to_json(),
            "layout": json.dumps(header),
        }
        return pack(self.public_arrays(), metadata)


class EncryptedHeadServer(ReplicatedEvaluator):
    """Holds the head as ciphertexts, Galois and relinearisation keys."""

    def __init__(
        self,
        parameters: CkksParameters,
        layout: SlotLayout,
        scales: ReplicatedScales,
        arrays: Mapping[str, UInt8Array],
    ) -> None:
        super().__init__(parameters, layout, scales, arrays)
        relinearisation = arrays[RELINEARISATION_KEYS].tobytes()
        self._relinearisation_keys = load_relinearisation_keys(
            self._seal.RelinKeys(), self._context, relinearisation, "relinearisation keys"
        )
        if not self._relinearisation_keys.has_key(2):
            raise MessageError("the relinearisation keys lack the one for products")
        fresh = self.shape_of(LEVELS.upload, scales.weights)
        reply = self.shape_of(LEVELS.reply, scales.reply)
        self._weights = [
            fresh.load(arrays[_weights(shift)].tobytes(), "weights")
            for shift in range(layout.shifts)
        ]
        self._bias = reply.load(arrays[BIAS].tobytes(), "bias")

    def _products(self, features: Any) -> Any:
        total = self._seal.Ciphertext()
        product = self._seal.Ciphertext()
        for position, (shifted, weights) in enumerate(
            zip(self._shifted(features), self._weights, strict=True)
        ):
            self._evaluator.multiply(shifted, weights, product if position else total)
            if position:
                self._evaluator.add_inplace(total, product)
        self._evaluator.relinearize_inplace(total, self._relinearisation_keys)
        return total

    def _add_bias(self, scores: Any) -> None:
        scores.scale = self._scales.reply
        self._evaluator.add_inplace(scores, self._bias)


def load_encrypted_head(data: bytes) -> EncryptedHeadServer:
    """Build the server from bytes of unknown origin. Raises MessageError."""
    arrays, metadata = unpack(data)
    with parsed_as_hostile("public material"):
        return _loaded_head(arrays, metadata)


def _loaded_head(
    arrays: Mapping[str, UInt8Array], metadata: Mapping[str, str]
) -> EncryptedHeadServer:
    try:
        parameters = CkksParameters.from_json(metadata["parameters"])
        require_128_bits(parameters)
        header = strict_json(metadata["layout"], "the layout in public material")
        width, classes = header["width"], header["classes"]
        if not (type(width) is int and type(classes) is int):
            raise ValueError("width and classes must be whole numbers")
        if not (1 <= width <= MAX_FEATURES and 2 <= classes <= MAX_CLASSES):
            raise ValueError(f"a head of {width} features and {classes} classes")
        layout = SlotLayout(width, classes, parameters.slot_count)
        if not layout.fits():
            raise ValueError(f"{width} features do not fit into {parameters.slot_count} slots")
        scales = _read_scales(header["scales"], layout)
        seal_context(parameters)
        return EncryptedHeadServer(parameters, layout, scales, arrays)
    except KeyError as error:
        raise MessageError(f"public material lacks {error}") from None
    except (ValueError, TypeError) as error:
        raise MessageError(f"public material is invalid: {error}") from None


def _read_scales(fields: Any, layout: SlotLayout) -> ReplicatedScales:
    if not isinstance(fields, dict) or sorted(fields) != sorted(TOLD_SCALES):
        raise ValueError(f"scales must be {', '.join(TOLD_SCALES)}")
    scales = ReplicatedScales(**fields, predicted_error=0.0)
    numbers = (scales.features, scales.weights, scales.reply)
    if not all(isinstance(number, float) and 1 <= number < 2.0**120 for number in numbers):
        raise ValueError("scales must be numbers from 1 to 2^120")
    early = scales.rotations_before_rescale
    if type(early) is not int or not 0 <= early <= len(layout.sum_steps):
        raise ValueError(f"{early} rotations before the rescale")
    return scales


def _weights(shift: int) -> str:
    return f"weights_{shift}"
