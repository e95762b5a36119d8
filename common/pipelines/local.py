"""The hospital alone: the network and the head run where the images are; nothing leaves it.

The same frozen DeiT and the same linear head as ``plaintext[model=logistic]`` and ``fhe-head``. In
a comparison after MedBlindTuner (arXiv 2401.09604) the hospital runs the whole network, and the
server evaluates its last layer only: a row of weights and a bias for each class. This is what the
same work costs without a server. It says nothing where there is a reason for one: a head that
belongs to somebody else or is sold as a service, features or labels of several owners, or a
hospital without a machine for the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    LocalFitted,
    LocalPipeline,
    Parameters,
    RunContext,
    TrainingData,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.types import Float64Array, Stage, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.backbones.features import FeatureExtractor
    from he_compare.common.backbones.head import Head

NAME = "local"


class LocalParameters(Parameters):
    """How the head is trained."""

    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength of the head")


@dataclass(frozen=True)
class LocalHead(LocalFitted):
    """The frozen network and a head on its features, both at the hospital."""

    extractor: FeatureExtractor
    head: Head

    def answer(self, images: UInt8Array, clock: Clock) -> Float64Array:
        """Return the head's scores (n, k) of images, uint8 (n, size, size, 3)."""
        with clock.stage(Stage.FEATURES, items=len(images)):
            features = self.extractor(images)
        with clock.stage(Stage.EVALUATE, items=len(images)):
            return self.head.scores(features)


class HospitalAlone(LocalPipeline):
    """The network and the head at the hospital, with no server."""

    name = NAME
    parameters = LocalParameters
    all_on_device = True

    def reference_rank(self, parameters: LocalParameters) -> int:
        """It is the clear head where a run has no plain reference."""
        return 2

    def work(self, parameters: LocalParameters) -> Work:
        """Everything is the hospital's."""
        return Work(
            hospital="runs the image network and the last layer",
            server="nothing: there is none",
            head_trained_by="the hospital, in the clear",
            head_owner="the hospital",
        )

    def costs(self, parameters: LocalParameters, sizes: RunSizes) -> Costs:
        """Features and a head; there is no server."""
        from he_compare.common.backbones import network_costs

        def make(context: RunContext, data: TrainingData) -> LocalHead:
            from he_compare.common.backbones.features import run_extractor

            return LocalHead(run_extractor(context), network_costs.untrained_head(sizes))

        return Costs(
            (*network_costs.feature_steps(sizes), network_costs.head_step(sizes, parameters.C)),
            Untrained(f"{network_costs.served_network(sizes, 0)}, at the hospital", make),
            fit_bytes=network_costs.feature_bytes(sizes),
        )

    def fit(
        self, data: TrainingData, parameters: LocalParameters, context: RunContext
    ) -> LocalHead:
        """Train the head on features of the training images, as ``fhe-head`` does."""
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.common.backbones.head import stored_head

        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        head = stored_head(features, data, parameters.C, context)
        context.training.update(
            {
                "trained_on": "features of plain images, in the clear, at the hospital",
                "C": parameters.C,
                "n": len(features),
                "iterations": head.iterations,
            }
        )
        return LocalHead(extractor, head)


PIPELINE = HospitalAlone()
