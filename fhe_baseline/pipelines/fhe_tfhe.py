"""Features at the client, encrypted with TFHE; a quantised head evaluated on them by Concrete ML.

The hospital runs the frozen DeiT in the clear, quantises and encrypts the features under its own
key; the server holds the quantised head and no secret key; only the hospital decrypts. Exact where
CKKS is approximate: decrypted integers are those of the clear integer model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from he_compare.common.contracts import (
    ClearTwin,
    Parameters,
    RunContext,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array
from he_compare.fhe_baseline.fitted import clear_twin, last_layer_work
from he_compare.fhe_baseline.tfhe.pipeline import FittedOnTfhe, TfhePipeline

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head, LinearModel
    from he_compare.fhe_baseline.tfhe.components import PreparedHead
    from he_compare.fhe_baseline.tfhe.inference import TfheInferenceServer

NAME = "fhe-tfhe"


class FheTfheParameters(Parameters):
    """How the head is trained and quantised."""

    n_bits: int = Field(default=8, ge=4, le=10, description="Bits of inputs and of weights")
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength of the head")
    components: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Principal components of the standardised features that the head takes, with "
        "the clear head's own objective; 0: all features. Time and bytes up grow with their number",
    )
    whiten: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Principal components that the head takes, whitened: its penalty is then "
        "another than the clear head's; 0: none",
    )

    @model_validator(mode="after")
    def _one_preparation(self) -> FheTfheParameters:
        if self.components and self.whiten:
            raise UsageError(
                "components and whiten are two preparations of the same features",
                fix="leave one of them out",
            )
        return self


@dataclass
class FheTfheFitted(FittedOnTfhe):
    """A trained head and its quantised form; ``clear``: the head it is compared with."""

    head: PreparedHead
    clear: Head

    @property
    def model(self) -> LinearModel:
        """The head that the server evaluates."""
        return self.head.linear

    def prepared(self, features: Float32Array) -> Float64Array:
        """Return features (n, width) as they are encrypted."""
        return self.head.preparation.apply(features)

    def claims(self) -> SecurityClaims:
        """Return what the encryption claims; parameters are those of the last deployment."""
        from he_compare.fhe_baseline.tfhe.claims import inference_claims

        told: dict[str, Any] = {"n_bits": self.quantised.bits}
        if self._deployed is None:
            return inference_claims(None, told)
        return inference_claims(
            self._deployed.facts, told | self._deployed.sizes, self._deployed.key_fingerprint
        )

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array]:
        """Return the integer model's scores in the clear, on features extracted anew."""
        return "quantised clear head", self.quantised.clear_scores(self.inputs(images))

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        """Return the clear models from the clear head to the quantised one, on these images."""
        from he_compare.fhe_baseline.tfhe.prices import quantised_twins

        return quantised_twins(self.clear, self.head, self.quantised, self.features(images))


class FheTfhePipeline(TfhePipeline):
    """Encrypted inference of a quantised linear head."""

    name = NAME
    parameters = FheTfheParameters

    def twin(self, parameters: FheTfheParameters) -> Twin:
        """The clear head on the same features, before components and quantisation."""
        return clear_twin(parameters.C)

    def work(self, parameters: FheTfheParameters) -> Work:
        """The server evaluates the last layer; the hospital does the rest, training included."""
        return last_layer_work(
            "the hospital, in the clear", "the hospital; the server holds a copy in the clear"
        )

    def costs(self, parameters: FheTfheParameters, sizes: RunSizes) -> Costs:
        """Features, a head in the clear, and encrypted inference."""
        from he_compare.fhe_baseline.encryption_costs import inference_costs

        def make(context: RunContext, data: TrainingData) -> FheTfheFitted:
            from he_compare.common.backbones.features import run_extractor
            from he_compare.common.backbones.head import train_head
            from he_compare.common.backbones.network_costs import random_features
            from he_compare.fhe_baseline.tfhe.quantised import quantise_head

            features, labels = random_features(4 * sizes.width, sizes.width, sizes.classes)
            clear = train_head(features, labels, sizes.classes, parameters.C)
            head = _prepared_head(features, labels, sizes.classes, parameters, clear)
            inputs = head.preparation.apply(features)
            quantised = quantise_head(head.linear, inputs, parameters.n_bits)
            return FheTfheFitted(run_extractor(context), quantised, head, clear)

        name = (
            f"{NAME}, {parameters.n_bits} bits, {parameters.components or parameters.whiten} of "
            f"{sizes.width} features, {sizes.classes} classes, {sizes.backbone}, "
            f"{sizes.image_size} px"
        )
        return inference_costs(sizes, parameters.C, Untrained(name, make), validation=True)

    def fit(
        self, data: TrainingData, parameters: FheTfheParameters, context: RunContext
    ) -> FheTfheFitted:
        """Train the head on features of the training images, in the clear, and quantise it."""
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.common.backbones.head import stored_head
        from he_compare.fhe_baseline.tfhe.claims import LICENCE
        from he_compare.fhe_baseline.tfhe.library import load_concrete
        from he_compare.fhe_baseline.tfhe.prices import prices, quantised_twins
        from he_compare.fhe_baseline.tfhe.quantised import distance, quantise_head

        load_concrete()
        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        clear = stored_head(features, data, parameters.C, context)
        head = _prepared_head(features, data.train.labels, len(data.classes), parameters, clear)
        inputs = head.preparation.apply(features)
        quantised = quantise_head(head.linear, inputs, parameters.n_bits)
        validation = cached_features(data.val, context, extractor)
        twins = quantised_twins(clear, head, quantised, validation) if len(validation) else ()
        context.warnings.append(LICENCE)
        context.training.update(
            {
                "trained_on": "features of plain images, in the clear, at the client",
                "C": parameters.C,
                "n": len(features),
                "iterations": head.iterations,
                "n_bits": parameters.n_bits,
                "features": head.linear.width,
                "preparation": head.preparation.name,
                "variance_kept": head.variance,
                "costs": prices(twins, data.val.labels, data.classes, "validation images"),
                "quantised_against_float": distance(quantised, head.linear, inputs),
            }
        )
        return FheTfheFitted(extractor, quantised, head, clear)

    def load_server(self, public_material: bytes) -> TfheInferenceServer:
        """Build the server half from public material. Raises MessageError."""
        from he_compare.fhe_baseline.tfhe.inference import load_inference_server

        return load_inference_server(public_material)


def _prepared_head(
    features: Float32Array,
    labels: IntArray,
    classes: int,
    parameters: FheTfheParameters,
    clear: Head,
) -> PreparedHead:
    from he_compare.fhe_baseline.tfhe.components import (
        component_head,
        standardised_head,
        whitened_head,
    )

    asked = labels, classes, parameters.C
    if parameters.components:
        return component_head(features, *asked, parameters.components)
    if parameters.whiten:
        return whitened_head(features, *asked, parameters.whiten)
    return standardised_head(clear)


PIPELINE = FheTfhePipeline()
