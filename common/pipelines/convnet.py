"""No protection, a convolutional network: the "traditional deep learning" that papers compare with.

timm's ``resnet18`` (He et al., CVPR 2016, arXiv 1512.03385) trained on the plain images under the
same budget, loss and early stopping as the Vision Transformers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from he_compare.common.backbones.convnet import (
    ARCHITECTURE,
    SMALL_STEM_SIDE,
    Stem,
    build_convnet,
    convnet_budget,
)
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
from he_compare.common.errors import DataError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Float64Array, Split, UInt8Array
from he_compare.common.unprotected import (
    FittedWithoutProtection,
    PlaintextClient,
    PlaintextServer,
    read_setup,
)

if TYPE_CHECKING:
    import torch

    from he_compare.common.backbones.finetune import Budget

NAME = "convnet"


class ConvnetParameters(Parameters):
    """Which images the network sees, and what its weights start from."""

    protection: Literal["none"] = Field(
        default="none",
        description="none: plain images; scrambled ones are the pipeline block-scramble-convnet",
    )
    weights: Literal["untrained", "hub"] = Field(
        default="untrained", description="untrained: random; hub: timm's ImageNet weights"
    )
    stem: Stem = Field(
        default="imagenet",
        description="imagenet: the first layers of the paper; small: those for images of 64 px at "
        "most, as in MedMNIST's benchmark",
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> ConvnetParameters:
        if self.stem == "small" and self.weights == "hub":
            raise ValueError("weights=hub are of the imagenet stem; leave one of them out")
        return self


class ConvnetServer(PlaintextServer):
    """Runs the network on plain images."""

    def __init__(self, public_material: bytes) -> None:
        from he_compare.common.backbones.deit import load_state_bytes, pixel_statistics
        from he_compare.common.backbones.device import moved, server_device
        from he_compare.common.backbones.state_size import require_convnet_state

        arrays, metadata = unpack(public_material, expect={"state": ("uint8", 1)})
        setup = read_setup(
            metadata, {"statistics": str, "image_size": int, "classes": int, "stem": str}
        )
        self.size, classes = setup["image_size"], setup["classes"]
        state = arrays["state"].tobytes()
        stem = setup["stem"]
        require_convnet_state(state, image_size=self.size, outputs=classes, stem=stem)
        self._mean, self._std = pixel_statistics(setup["statistics"])
        self._model = build_convnet(classes=classes, weights="untrained", seed=0, stem=stem)
        load_state_bytes(self._model, state)
        moved(self._model, server_device())

    def scores(self, images: UInt8Array) -> Float64Array:
        """Return the network's scores."""
        from he_compare.common.backbones.deit import predict_logits

        return predict_logits(self._model, images, self._mean, self._std)


@dataclass(frozen=True)
class ConvnetFitted(FittedWithoutProtection):
    """A trained network. ``statistics``: the backbone whose pixel mean and deviation it uses."""

    statistics: str
    image_size: int
    classes: int
    state: bytes
    stem: Stem = "imagenet"

    def deploy(self, context: RunContext) -> Deployment:
        """Hand the network to the server; there are no keys."""
        setup = {
            "statistics": self.statistics,
            "image_size": self.image_size,
            "classes": self.classes,
            "stem": self.stem,
        }
        arrays = {"state": np.frombuffer(self.state, np.uint8)}
        return Deployment(PlaintextClient(), pack(arrays, {"setup": json.dumps(setup)}))


class ConvnetPipeline(Pipeline):
    """A convolutional network on plain images."""

    name = NAME
    parameters = ConvnetParameters
    all_on_device = True
    takes_patches = False

    def work(self, parameters: ConvnetParameters) -> Work:
        """The hospital trains the model; the server gets it, and every image."""
        return Work(
            hospital="sends its images as they are",
            server="runs the whole network on the images",
            head_trained_by="the hospital, in the clear",
            head_owner="the hospital; the server holds a copy",
        )

    def costs(self, parameters: ConvnetParameters, sizes: RunSizes) -> Costs:
        """Training; the server runs the network."""
        from he_compare.common.backbones import network_costs

        def make(context: RunContext, data: TrainingData) -> ConvnetFitted:
            from he_compare.common.backbones.deit import state_bytes

            model = build_convnet(classes=sizes.classes, weights="untrained", seed=0, stem=stem)
            return ConvnetFitted(
                sizes.backbone, sizes.image_size, sizes.classes, state_bytes(model), stem
            )

        stem = parameters.stem
        steps = network_costs.training_steps(
            sizes, shared=f"plain-convnet, {stem}", architecture=ARCHITECTURE, stem=stem
        )
        served = (
            f"server with {ARCHITECTURE}, {stem} stem, {sizes.image_size} px, "
            f"{sizes.classes} classes"
        )
        return Costs(steps, Untrained(served, make))

    def fit(
        self, data: TrainingData, parameters: ConvnetParameters, context: RunContext
    ) -> ConvnetFitted:
        """Train on the plain images, once per run.

        Raises DataError without hub weights, or for images that are too large for the stem.
        """
        import torch

        from he_compare.common.backbones.deit import state_digest
        from he_compare.common.backbones.device import device_identity
        from he_compare.common.backbones.features import backbone_seed
        from he_compare.common.backbones.finetune import note_memory
        from he_compare.common.identity import source_digest
        from he_compare.common.sources import sources_of

        settings = context.settings
        if parameters.stem == "small" and settings.image_size > SMALL_STEM_SIDE:
            raise DataError(
                f"stem=small is for images of {SMALL_STEM_SIDE} pixels at most, not of "
                f"{settings.image_size}",
                fix="pass --image-size 28, or leave out stem=small",
            )
        torch.set_num_threads(settings.threads)
        classes = len(data.classes)
        seed = backbone_seed(context.seed)
        stem = parameters.stem
        model = build_convnet(classes=classes, weights=parameters.weights, seed=seed, stem=stem)
        budget = convnet_budget(context, len(data.train), "plain", NAME)
        inputs: dict[str, Any] = {
            "data": data.fingerprint,
            "pixels": [data.train.images.digest(), data.val.images.digest()],
            "initial_weights": state_digest(model),
            "statistics": settings.backbone,
            "budget": asdict(budget),
            "threads": settings.threads,
            "device": device_identity(settings.device),
            "source": source_digest(*sources_of(__name__)),
            "torch": torch.__version__,
        }
        stored = context.artefacts.get_or_make(
            "plain-convnet", inputs, lambda: _train_plain(model, data, budget, context)
        )
        arrays, metadata = unpack(stored, expect={"state": ("uint8", 1)})
        context.training.update(json.loads(metadata["training"]))
        note_memory(context, context.training)
        state = arrays["state"].tobytes()
        return ConvnetFitted(settings.backbone, settings.image_size, classes, state, stem)

    def load_server(self, public_material: bytes) -> Server:
        """Build the server half from public material. Raises MessageError."""
        with parsed_as_hostile("public material"):
            return ConvnetServer(public_material)


def _train_plain(
    model: torch.nn.Module, data: TrainingData, budget: Budget, context: RunContext
) -> bytes:
    from he_compare.common.backbones.deit import pixel_statistics
    from he_compare.common.backbones.device import moved
    from he_compare.common.backbones.finetune import VitTrainer

    mean, std = pixel_statistics(context.settings.backbone)
    trainer = VitTrainer(moved(model, context.settings.device), mean, std, budget, flip=True)
    trainer.add(Split.TRAIN, data.train.images, data.train.labels)
    trainer.add(Split.VAL, data.val.images, data.val.labels)
    while not trainer.finished:
        context.progress(f"training {ARCHITECTURE}", len(trainer.history), budget.epochs)
        trainer.run_epoch()
    training = {
        "trained_on": "plain images, by their owner",
        "model": ARCHITECTURE,
        "augmentation": "random horizontal flips",
        "epochs": len(trainer.history),
        "best_epoch": trainer.best_epoch,
        "history": trainer.history,
        "seconds": sum(entry["seconds"] for entry in trainer.history),
        **trainer.device_facts,
    }
    state = np.frombuffer(trainer.best_state(), np.uint8)
    return pack({"state": state}, {"training": json.dumps(training)})


PIPELINE = ConvnetPipeline()
