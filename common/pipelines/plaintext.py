"""No protection: the server sees the images. The reference that both sides are measured against.

``model=finetune``: a DeiT fine-tuned on the plain images. ``model=logistic``: features of the
frozen DeiT and logistic regression on them, the model that the homomorphic side evaluates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from he_compare.common.contracts import (
    Deployment,
    Parameters,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.errors import CellError, MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, UInt8Array
from he_compare.common.unprotected import (
    FittedWithoutProtection,
    PlaintextClient,
    PlaintextServer,
    read_setup,
)

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head


NAME = "plaintext"


class PlaintextParameters(Parameters):
    """Which plain model the server runs."""

    model: Literal["finetune", "logistic"] = Field(
        default="finetune",
        description="finetune: the whole DeiT; logistic: frozen features and logistic regression",
    )
    C: float = Field(
        default=0.01, gt=0, description="Inverse L2 strength of the logistic regression"
    )


class VitServer(PlaintextServer):
    """Runs the plain model on plain images."""

    def __init__(self, public_material: bytes) -> None:
        from he_compare.common.backbones.catalog import find_backbone
        from he_compare.common.backbones.deit import build_vit, load_state_bytes, pixel_statistics
        from he_compare.common.backbones.device import moved, server_device
        from he_compare.common.backbones.head import unpack_head
        from he_compare.common.backbones.state_size import require_vit_state

        arrays, metadata = unpack(public_material, expect={"state": ("uint8", 1)})
        setup = read_setup(metadata, {"backbone": str, "image_size": int, "outputs": int})
        backbone, self.size = setup["backbone"], setup["image_size"]
        state = arrays["state"].tobytes()
        require_vit_state(
            state,
            backbone,
            image_size=self.size,
            patch=find_backbone(backbone).patch,
            outputs=setup["outputs"],
        )
        self._head = unpack_head(arrays["head"].tobytes()) if "head" in arrays else None
        if (self._head is None) != bool(setup["outputs"]):
            raise MessageError(
                f"public material has {setup['outputs']} outputs and "
                f"{'no head' if self._head is None else 'a head'}"
            )
        if self._head and self._head.linear.width != find_backbone(backbone).width:
            raise MessageError(f"the head takes {self._head.linear.width} features of {backbone}")
        self._model = build_vit(
            backbone,
            image_size=self.size,
            classes=setup["outputs"],
            weights="untrained",
            seed=0,
        )
        self._mean, self._std = pixel_statistics(backbone)
        load_state_bytes(self._model, state)
        moved(self._model, server_device())

    def scores(self, images: UInt8Array) -> Float64Array:
        """Return the scores of the DeiT, or of the regression on its features."""
        from he_compare.common.backbones.deit import predict_logits

        scores = predict_logits(self._model, images, self._mean, self._std)
        if not np.isfinite(scores).all():
            raise CellError("the model gives values that are no finite numbers")
        return scores if self._head is None else self._head.scores(scores)


@dataclass(frozen=True)
class PlaintextFitted(FittedWithoutProtection):
    """A plain model ready to be deployed; ``head`` is None where the DeiT has its own."""

    backbone: str
    image_size: int
    outputs: int
    state: bytes
    head: Head | None

    def deploy(self, context: RunContext) -> Deployment:
        """Hand the model to the server; there are no keys."""
        from he_compare.common.backbones.head import pack_head

        setup = {"backbone": self.backbone, "image_size": self.image_size, "outputs": self.outputs}
        arrays: dict[str, Any] = {"state": np.frombuffer(self.state, np.uint8)}
        if self.head is not None:
            arrays["head"] = np.frombuffer(pack_head(self.head), np.uint8)
        return Deployment(PlaintextClient(), pack(arrays, {"setup": json.dumps(setup)}))


class PlaintextPipeline(Pipeline):
    """The two plain references."""

    name = NAME
    parameters = PlaintextParameters
    all_on_device = True

    def reference_rank(self, parameters: PlaintextParameters) -> int:
        """Whatever is compared, the fine-tuned DeiT is its reference, else the regression."""
        return 0 if parameters.model == "finetune" else 1

    def work(self, parameters: PlaintextParameters) -> Work:
        """The hospital trains the model; the server gets it, and every image."""
        return Work(
            hospital="sends its images as they are",
            server="runs the whole network on the images",
            head_trained_by="the hospital, in the clear",
            head_owner="the hospital; the server holds a copy",
        )

    def costs(self, parameters: PlaintextParameters, sizes: RunSizes) -> Costs:
        """Fine-tuning, or features and a head; the server runs the network."""
        from he_compare.common.backbones import network_costs

        if parameters.model == "finetune":
            served = network_costs.served_network(sizes, sizes.classes)
            make = partial(_untrained, sizes, sizes.classes)
            steps = network_costs.training_steps(sizes, shared="plain-vit")
            return Costs(steps, Untrained(served, make))
        served = network_costs.served_network(sizes, 0) + " and a head"
        return Costs(
            (*network_costs.feature_steps(sizes), network_costs.head_step(sizes, parameters.C)),
            Untrained(served, partial(_untrained, sizes, 0)),
            fit_bytes=network_costs.feature_bytes(sizes),
        )

    def fit(
        self, data: TrainingData, parameters: PlaintextParameters, context: RunContext
    ) -> PlaintextFitted:
        """Fine-tune the DeiT, or fit logistic regression on its features."""
        if parameters.model == "finetune":
            return self._fine_tune(data, context)
        return self._logistic(data, parameters, context)

    def _fine_tune(self, data: TrainingData, context: RunContext) -> PlaintextFitted:
        from he_compare.common.backbones.finetune import fine_tuned_vit

        settings = context.settings
        state = fine_tuned_vit(data, context)
        return PlaintextFitted(
            settings.backbone, settings.image_size, len(data.classes), state, None
        )

    def _logistic(
        self, data: TrainingData, parameters: PlaintextParameters, context: RunContext
    ) -> PlaintextFitted:
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.common.backbones.head import stored_head

        settings = context.settings
        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        head = stored_head(features, data, parameters.C, context)
        context.training.update(
            {"trained_on": "features of plain images", "C": parameters.C, "n": len(features)}
        )
        return PlaintextFitted(
            settings.backbone, settings.image_size, 0, extractor.state_bytes(), head
        )

    def load_server(self, public_material: bytes) -> Server:
        """Build the server half from public material. Raises MessageError."""
        with parsed_as_hostile("public material"):
            return VitServer(public_material)


def _untrained(
    sizes: RunSizes, outputs: int, context: RunContext, data: TrainingData
) -> PlaintextFitted:
    from he_compare.common.backbones.deit import build_vit, state_bytes
    from he_compare.common.backbones.network_costs import untrained_head

    model = build_vit(
        sizes.backbone, image_size=sizes.image_size, classes=outputs, weights="untrained", seed=0
    )
    head = None if outputs else untrained_head(sizes)
    return PlaintextFitted(sizes.backbone, sizes.image_size, outputs, state_bytes(model), head)


PIPELINE = PlaintextPipeline()
