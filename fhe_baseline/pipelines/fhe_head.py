"""Features at the client, encrypted with CKKS; a head trained in the clear evaluated on them.

The hospital runs the frozen DeiT in the clear, standardises and encrypts the features under its own
key; the server, which holds the head in the clear and no secret key, evaluates it on ciphertexts;
only the hospital decrypts. The inference half of MedBlindTuner (arXiv 2401.09604).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Availability,
    ClearTwin,
    Deployment,
    Parameters,
    Pipeline,
    RunContext,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import (
    Float32Array,
    Float64Array,
    Per,
    Side,
    Stage,
    UInt8Array,
)
from he_compare.fhe_baseline.fitted import FittedOnFeatures, clear_twin, last_layer_work

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head
    from he_compare.fhe_baseline.ckks.inference import Plan
    from he_compare.fhe_baseline.ckks.packing import PackingServer
    from he_compare.fhe_baseline.feature_client import Extractor, FeatureClient

NAME = "fhe-head"
CLEAR_HEAD = "clear head"
ParameterSetName = Literal[
    "auto",
    "n4096",
    "n4096-106",
    "n4096-106-wide",
    "n4096-106-flat",
    "n8192",
    "n8192-160",
    "n8192-144",
]


class FheHeadParameters(Parameters):
    """How the head is trained and evaluated."""

    packing: str = Field(
        default="auto",
        description="Slot layout, one of `compare list packings`; auto: batched where a batch of "
        "the run has at least as many images as there are features, else replicated",
    )
    parameter_set: ParameterSetName = Field(
        default="auto", description="CKKS parameters; auto: the packing's smallest that fits"
    )
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength of the head")

    @field_validator("packing")
    @classmethod
    def _known_packing(cls, value: str) -> str:
        from he_compare.fhe_baseline.ckks.packing import check_name

        return check_name(value)


@dataclass
class FheHeadFitted(FittedOnFeatures):
    """A trained head and the plan of its encrypted evaluation."""

    extractor: Extractor
    head: Head
    plan: Plan
    _deployed: FeatureClient | None = field(default=None, init=False)
    _public_keys: bytes = field(default=b"", init=False)
    _sizes: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def model(self) -> LinearModel:
        """The head that the server evaluates."""
        return self.plan.model

    def prepared(self, features: Float32Array) -> Float64Array:
        """Return features (n, width) as they are encrypted."""
        return self.head.standardise(features)

    def deploy(self, context: RunContext) -> Deployment:
        """Generate a fresh secret key; hand the model and the evaluation keys to the server."""
        from he_compare.fhe_baseline.ckks.inference import public_material
        from he_compare.fhe_baseline.feature_client import FeatureClient

        with context.clock.stage(Stage.KEYGEN, per=Per.KEY):
            encryption = self.plan.packing.make_client(self.plan.parameters, self.plan.model)
            keys = encryption.public_arrays()
        material = public_material(self.plan, keys)
        self._deployed = FeatureClient(
            self.extractor, self.head.standardise, encryption, self.plan.model.classes
        )
        self._public_keys = b"".join(keys[name].tobytes() for name in sorted(keys))
        self._sizes = {
            "evaluation_key_bytes": len(self._public_keys),
            "public_material_bytes": len(material),
        }
        return Deployment(self._deployed, material)

    def claims(self) -> SecurityClaims:
        """Return what the encryption claims; key and sizes are those of the last deployment."""
        from he_compare.fhe_baseline.ckks.claims import inference_claims

        return inference_claims(self.plan, self._public_keys, self._sizes)

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array]:
        """Return the same head's scores in float64, on features extracted anew."""
        return CLEAR_HEAD, self.head.scores(self.features(images))

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        """Return the clear head alone: nothing but the encryption lies between it and the rest."""
        return (ClearTwin(CLEAR_HEAD, "", self.clear_reference(images)[1]),)

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """Return the first bytes of each upload, one grey pixel per byte, row by row.

        Nothing but a way to look at a ciphertext: what is left of the picture stays black. None
        before the first deployment.
        """
        if self._deployed is None:
            return None
        pictures = np.zeros_like(images)
        area = images.shape[1] * images.shape[2]
        uploads = self._deployed.protect(images, Clock(Side.CLIENT))
        for picture, upload in zip(pictures, uploads, strict=True):
            seen = np.frombuffer(upload[:area], dtype=np.uint8)
            picture.reshape(area, 3)[: len(seen)] = seen[:, None]
        return pictures


class FheHeadPipeline(Pipeline):
    """Encrypted inference of a linear head."""

    name = NAME
    parameters = FheHeadParameters

    def availability(self) -> Availability:
        """Needs TenSEAL."""
        from he_compare.fhe_baseline.ckks.library import availability

        return availability()

    def twin(self, parameters: FheHeadParameters) -> Twin:
        """The same head on the same features, in the clear."""
        return clear_twin(parameters.C)

    def work(self, parameters: FheHeadParameters) -> Work:
        """The server evaluates the last layer; the hospital does the rest, training included."""
        return last_layer_work(
            "the hospital, in the clear", "the hospital; the server holds a copy in the clear"
        )

    def costs(self, parameters: FheHeadParameters, sizes: RunSizes) -> Costs:
        """Features, a head in the clear, and encrypted inference."""
        from he_compare.fhe_baseline.encryption_costs import inference_costs

        def make(context: RunContext, data: TrainingData) -> FheHeadFitted:
            from he_compare.common.backbones.features import run_extractor
            from he_compare.common.backbones.network_costs import untrained_head
            from he_compare.fhe_baseline.ckks.inference import make_plan

            head = untrained_head(sizes)
            plan = make_plan(
                head.linear, parameters.packing, parameters.parameter_set, sizes.infer_batch
            )
            return FheHeadFitted(run_extractor(context), head, plan)

        name = (
            f"{NAME}, {parameters.packing}, {parameters.parameter_set}, {sizes.width} features, "
            f"{sizes.classes} classes, {sizes.backbone}, {sizes.image_size} px"
        )
        return inference_costs(sizes, parameters.C, Untrained(name, make), validation=False)

    def most_classes(self, parameters: FheHeadParameters, feature_width: int) -> int:
        """As many as the packing finds places for."""
        from he_compare.fhe_baseline.ckks.packing import most_classes_of

        return most_classes_of(parameters.packing, parameters.parameter_set, feature_width)

    def plugins_used(self, parameters: FheHeadParameters) -> tuple[str, ...]:
        """Name the module of the packing, or of those that ``auto`` may choose."""
        from he_compare.fhe_baseline.ckks.packing import packing_modules

        return packing_modules(parameters.packing)

    def fit(
        self, data: TrainingData, parameters: FheHeadParameters, context: RunContext
    ) -> FheHeadFitted:
        """Train the head on features of the training images and plan its encrypted evaluation."""
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.common.backbones.head import stored_head
        from he_compare.fhe_baseline.ckks.claims import parameter_warnings
        from he_compare.fhe_baseline.ckks.inference import make_plan

        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        head = stored_head(features, data, parameters.C, context)
        plan = make_plan(
            head.linear, parameters.packing, parameters.parameter_set, context.settings.infer_batch
        )
        context.warnings.extend(parameter_warnings(plan.parameters))
        context.training.update(
            {
                "trained_on": "features of plain images, in the clear, at the client",
                "C": parameters.C,
                "n": len(features),
                "iterations": head.iterations,
                "largest_training_score": float(np.abs(head.scores(features)).max()),
            }
        )
        return FheHeadFitted(extractor, head, plan)

    def load_server(self, public_material: bytes) -> PackingServer:
        """Build the server half from public material. Raises MessageError."""
        from he_compare.fhe_baseline.ckks.inference import load_public_material

        return load_public_material(public_material)


PIPELINE = FheHeadPipeline()
