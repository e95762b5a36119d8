"""Client and evaluator on the replicated slot layout, whether the weights are clear or encrypted.

The features of an image are repeated for each class (``layouts.slots``); the server multiplies,
rotates and sums. Under two primes a rotation costs more than twice what it costs under one, so as
many rotations as the precision allows come after the rescale (``layouts.scales``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from he_compare.common.backbones.head import LinearModel
from he_compare.common.types import Float64Array, UInt8Array
from he_compare.fhe_baseline.ckks.layouts.scales import ReplicatedScales, plan_scales
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout, layout_of
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_packing import Levels, SealClient, SealServer

LEVELS = Levels(upload=2, reply=1)


class ReplicatedClient(SealClient):
    """Lays features out once per class and reads the scores from the first slots."""

    def __init__(self, parameters: CkksParameters, model: LinearModel) -> None:
        self._layout = layout_of(parameters, model)
        scales = plan_scales(parameters, model, self._layout)
        super().__init__(parameters, model, scales, LEVELS, self._layout.steps)

    def place(self, features: Float64Array) -> list[complex]:
        """Lay the features (width,) of one image out in the slots."""
        return self._layout.place_features(features)

    def read(self, plaintext: Any) -> list[float]:
        """Return the scores: the real parts of the first slots."""
        scores: list[float] = self._encoder.decode_double(plaintext)[: self._layout.classes]
        return scores


class ReplicatedEvaluator(SealServer):
    """The server's side of the layout, whatever the weights are: products, rotations, rescale."""

    def __init__(
        self,
        parameters: CkksParameters,
        layout: SlotLayout,
        scales: ReplicatedScales,
        arrays: Mapping[str, UInt8Array],
    ) -> None:
        super().__init__(parameters, scales, LEVELS, arrays, layout.steps)
        self._layout = layout
        self._before_rescale = scales.rotations_before_rescale

    def evaluate(self, features: Any) -> Any:
        """Return one ciphertext that holds all scores."""
        scores = self._products(features)
        self.rotate_and_sum(scores, self._layout.sum_steps, self._before_rescale)
        self._add_bias(scores)
        return scores

    @abstractmethod
    def _products(self, features: Any) -> Any:
        """Return the sum over all shifts of rotated features times their weights."""

    @abstractmethod
    def _add_bias(self, scores: Any) -> None:
        """Add the bias to the scores in place."""

    def _shifted(self, features: Any) -> Iterator[Any]:
        """Yield the features under every shift of the layout."""
        yield features
        for step in self._layout.feature_steps:
            yield self.rotated(features, step)
