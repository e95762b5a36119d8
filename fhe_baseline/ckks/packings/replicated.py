"""Packing ``replicated``: features repeated per class, one product, one reply for all classes.

For latency. Galois keys are made for exactly the rotations used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import UInt8Array
from he_compare.fhe_baseline.ckks.layouts.replication import (
    LEVELS,
    ReplicatedClient,
    ReplicatedEvaluator,
)
from he_compare.fhe_baseline.ckks.layouts.scales import ReplicatedScales, plan_scales
from he_compare.fhe_baseline.ckks.layouts.slots import layout_of
from he_compare.fhe_baseline.ckks.packing import Purpose
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_packing import SealPacking


class ReplicatedServer(ReplicatedEvaluator):
    """Holds weights in the clear and Galois keys."""

    def __init__(
        self, parameters: CkksParameters, model: LinearModel, arrays: Mapping[str, UInt8Array]
    ) -> None:
        layout = layout_of(parameters, model)
        scales = plan_scales(parameters, model, layout)
        super().__init__(parameters, layout, scales, arrays)
        self._weights = [
            self.encode(slots, LEVELS.upload, scales.weights)
            for slots in layout.place_weights(model)
        ]
        self._bias = self.encode(layout.place_bias(model), LEVELS.reply, scales.reply)

    def _products(self, features: Any) -> Any:
        total = self._seal.Ciphertext()
        for position, (shifted, weights) in enumerate(
            zip(self._shifted(features), self._weights, strict=True)
        ):
            if position == 0:
                self._evaluator.multiply_plain(shifted, weights, total)
                continue
            self._evaluator.multiply_plain_inplace(shifted, weights)
            self._evaluator.add_inplace(total, shifted)
        return total

    def _add_bias(self, scores: Any) -> None:
        self._evaluator.add_plain_inplace(scores, self._bias)


class Replicated(SealPacking):
    """One ciphertext up, one product per shift, one ciphertext down."""

    name = "replicated"
    preferred_parameters = ("n4096-106", "n8192-160")
    purpose = Purpose.LATENCY
    one_ciphertext = True
    levels = LEVELS
    client = ReplicatedClient
    server = ReplicatedServer

    def scales(self, parameters: CkksParameters, model: LinearModel) -> ReplicatedScales:
        """Choose the largest reply scale that cannot overflow, and the place of the rescale."""
        return plan_scales(parameters, model, layout_of(parameters, model))

    def rotations(self, parameters: CkksParameters, model: LinearModel) -> list[int]:
        """Return the steps that shift features and sum products."""
        return layout_of(parameters, model).steps

    def layout_misfit(self, parameters: CkksParameters, model: LinearModel) -> str:
        """Say where there are more features or classes than slots."""
        if not layout_of(parameters, model).fits():
            return f"{model.width} features exceed {parameters.slot_count} slots"
        return ""

    def facts(self, parameters: CkksParameters, model: LinearModel) -> dict[str, Any]:
        """Return rotations, Galois keys and scales, for the record."""
        before = self.scales(parameters, model).rotations_before_rescale
        own = {"rotations_before_rescale": before, "replies": 1}
        return super().facts(parameters, model) | own


PACKING = Replicated()
