"""No protection: the server sees the images. The reference that both sides are measured against.

``model=finetune``: a DeiT fine-tuned on the plain images. ``model=logistic``: features of the
frozen DeiT and logistic regression on them, the model that the homomorphic side evaluates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Availability,
    Deployment,
    Parameters,
    RunContext,
    TrainingData,
)
from he_compare.common.errors import MessageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import FheMode, Float64Array, Message, Stage, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head
from collections.abc import Mapping, Sequence

import numpy.typing as npt

from he_compare.common.errors import UsageError
from he_compare.common.scheme import ImageShape, KeyMoves, Models
from he_compare.common.types import PixelArray, Side

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


class PlaintextClient:
    """Sends the image as it is and reads the scores."""

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Pack each image: uint8 (n, size, size, 3) to n messages."""
        with clock.stage(Stage.SERIALIZE, items=len(images)):
            return [pack({"image": image}) for image in images]

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Unpack the scores: float64 (n, k). Raises MessageError."""
        with clock.stage(Stage.DECODE, items=len(replies)):
            return unpack_scores(replies)


def unpack_scores(replies: list[Message]) -> Float64Array:
    """Unpack one reply per image into scores: float64 (n, k). Raises MessageError."""
    rows = [unpack(reply, expect={"scores": ("float32", 1)})[0]["scores"] for reply in replies]
    if len({len(row) for row in rows}) > 1:
        raise MessageError("replies differ in their number of scores")
    return np.stack(rows).astype(np.float64)


class PlaintextServer:
    """Runs the plain model on plain images."""

    verbs = ("infer",)

    def __init__(self, public_material: bytes) -> None:
        from he_compare.common.backbones.deit import build_vit, load_state_bytes, pixel_statistics
        from he_compare.common.backbones.head import unpack_head

        arrays, metadata = unpack(public_material, expect={"state": ("uint8", 1)})
        try:
            setup = json.loads(metadata["setup"])
            self._size = int(setup["image_size"])
            self._model = build_vit(
                str(setup["backbone"]),
                image_size=self._size,
                classes=int(setup["outputs"]),
                weights="untrained",
                seed=0,
            )
            self._mean, self._std = pixel_statistics(str(setup["backbone"]))
        except (KeyError, ValueError, TypeError) as error:
            raise MessageError(f"public material lacks its setup: {error}") from None
        load_state_bytes(self._model, arrays["state"].tobytes())
        self._head = unpack_head(arrays["head"].tobytes()) if "head" in arrays else None

    def infer(self, messages: list[Message], clock: Clock) -> list[Message]:
        """Classify images. Raises MessageError on anything that is no image of the right size."""
        from he_compare.common.backbones.deit import predict_logits

        with clock.stage(Stage.DESERIALIZE, items=len(messages)):
            images = np.stack([self._read(message) for message in messages])
        with clock.stage(Stage.EVALUATE, items=len(messages)):
            scores = predict_logits(self._model, images, self._mean, self._std)
            if self._head is not None:
                scores = self._head.scores(scores)
        with clock.stage(Stage.SERIALIZE, items=len(messages)):
            return [pack({"scores": row.astype(np.float32)}) for row in scores]

    def _read(self, message: Message) -> UInt8Array:
        image = unpack(message, expect={"image": ("uint8", 3)})[0]["image"]
        if image.shape != (self._size, self._size, 3):
            raise MessageError(f"image has shape {image.shape}, expected {self._size} px, colour")
        return image


@dataclass(frozen=True)
class PlaintextFitted:
    """A plain model ready to be deployed; ``head`` is None where the DeiT has its own."""

    backbone: str
    image_size: int
    outputs: int
    state: bytes
    head: Head | None

    fhe_mode = FheMode.NOT_APPLICABLE

    def deploy(self, context: RunContext) -> Deployment:
        """Hand the model to the server; there are no keys."""
        from he_compare.common.backbones.head import pack_head

        setup = {"backbone": self.backbone, "image_size": self.image_size, "outputs": self.outputs}
        arrays: dict[str, Any] = {"state": np.frombuffer(self.state, np.uint8)}
        if self.head is not None:
            arrays["head"] = np.frombuffer(pack_head(self.head), np.uint8)
        return Deployment(PlaintextClient(), pack(arrays, {"setup": json.dumps(setup)}))

    def claims(self) -> SecurityClaims:
        """Claim nothing."""
        return SecurityClaims(
            scheme="none",
            protects="nothing: the server receives the image",
            claim_type="none",
            deterministic=True,
            preserves=["everything"],
            server_learns=["the image", "the scores", "the model"],
        )

    def clear_reference(self, images: UInt8Array) -> None:
        """None: this is the reference."""
        return

    def protected_picture(self, images: UInt8Array) -> UInt8Array:
        """Return the images: the server sees them."""
        return images


class PlaintextPipeline:
    """The two plain references."""

    name = NAME
    parameters = PlaintextParameters

    def availability(self) -> Availability:
        """Needs torch and timm only, which the package requires."""
        return Availability(True)

    def source_modules(self) -> tuple[str, ...]:
        """Name the modules that key the cells."""
        return ("he_compare.common.pipelines.plaintext",)

    def identity_inputs(self, parameters: Parameters, key_file: Path) -> dict[str, str]:
        """Nothing of this machine changes a prediction."""
        return {}

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
        from he_compare.common.backbones.features import FeatureExtractor, cached_features
        from he_compare.common.backbones.head import train_head

        settings = context.settings
        extractor = FeatureExtractor(
            settings.backbone,
            settings.image_size,
            settings.weights,
            context.seed,
            settings.threads,
        )
        features = cached_features(data.train, context, extractor)
        head = train_head(features, data.train.labels, len(data.classes), parameters.C)
        context.training.update(
            {"trained_on": "features of plain images", "C": parameters.C, "n": len(features)}
        )
        return PlaintextFitted(
            settings.backbone, settings.image_size, 0, extractor.state_bytes(), head
        )

    def load_server(self, public_material: bytes) -> PlaintextServer:
        """Build the server half from public material."""
        return PlaintextServer(public_material)


PIPELINE = PlaintextPipeline()


PIPELINES = ("plaintext", "convnet")
NO_KEY = "there is no key"


@dataclass(frozen=True)
class PlainScheme:
    """Sends images as they are; scheme and keyed scheme in one."""

    shape: ImageShape
    name: str = "plaintext"
    adaptable: str = NO_KEY

    @property
    def parameters(self) -> Mapping[str, Any]:
        """There are none."""
        return {}

    def new_key(self, seed: int) -> PlainScheme:
        """There is no key."""
        return self

    def protect(self, images: UInt8Array) -> list[Message]:
        """Pack uint8 (n, h, w, c) as the plain pipelines do."""

        return PlaintextClient().protect(images, Clock(Side.CLIENT))

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Unpack the images. Raises MessageError."""
        read = [unpack(message, expect={"image": ("uint8", 3)})[0]["image"] for message in messages]
        return np.stack(read) if read else np.empty((0, *self.shape), np.uint8)

    def moves(self) -> KeyMoves:
        """Every value is where it was."""
        size = int(np.prod(self.shape))
        return KeyMoves(np.arange(size), np.zeros(size, np.bool_))

    def adapted(self, rows: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]) -> Models:
        """Raise UsageError: there is no key to absorb."""
        raise UsageError(NO_KEY)

    def claims(self) -> SecurityClaims:
        """Claim nothing."""
        return SecurityClaims(
            scheme="none", protects="nothing: the server receives the image", claim_type="none"
        )


class PlainSchemes:
    """The pipelines that protect nothing."""

    name = "plaintext"

    def of_cipher(self, name: str, options: Mapping[str, Any], shape: ImageShape) -> None:
        """None: there is no cipher here."""
        return

    def of_pipeline(
        self, pipeline: str, parameters: Any, shape: ImageShape, backbone: str
    ) -> PlainScheme | None:
        """Return the plain scheme for the plain pipelines."""
        return PlainScheme(shape) if pipeline in PIPELINES else None


SCHEMES = PlainSchemes()
