"""A head trained on TFHE ciphertexts with Concrete ML, on a small slice that is stated.

Bootstrapping makes the steps independent of the client (no refresh), and so slow that a slice of a
few features and a few dozen images is what a minute allows. Executed, not simulated; the price per
sample and feature is the result. The trained head then classifies as in ``fhe-tfhe``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from he_compare.common.backbones.head import LinearModel
from he_compare.common.contracts import (
    Parameters,
    RunContext,
    Server,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.errors import UnavailableError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, UInt8Array
from he_compare.fhe_baseline.fitted import clear_twin, last_layer_work
from he_compare.fhe_baseline.tfhe.pipeline import FittedOnTfhe, TfhePipeline

if TYPE_CHECKING:
    from he_compare.fhe_baseline.preparation import Preparation
    from he_compare.fhe_baseline.tfhe.training_run import TfheTrainingOutcome

NAME = "fhe-tfhe-train"
# Concrete ML trains no more under encryption.
TRAINED_CLASSES = 2


class FheTfheTrainParameters(Parameters):
    """The slice, and how the training and the head are quantised."""

    train_images: int = Field(
        default=32, ge=8, le=4096, multiple_of=8, description="Images trained on, once each"
    )
    train_features: int = Field(
        default=4, ge=1, le=64, description="Principal components trained on, whitened"
    )
    bits: int = Field(default=5, ge=3, le=7, description="Bits of training's numbers")
    rounding: int = Field(
        default=6, ge=3, le=8, description="Bits that sums are rounded to before a table look-up"
    )
    learning_rate: float = Field(default=1.0, gt=0, le=4, description="Step size")
    n_bits: int = Field(default=8, ge=4, le=10, description="Bits of the head in inference")


@dataclass
class FheTfheTrainFitted(FittedOnTfhe):
    """A head trained under encryption, decrypted by its owner, and its quantised form."""

    preparation: Preparation
    outcome: TfheTrainingOutcome

    @property
    def model(self) -> LinearModel:
        """The head that was trained under encryption, before it is quantised."""
        from he_compare.fhe_baseline.tfhe.training_run import linear_model

        return linear_model(self.outcome.weights)

    def prepared(self, features: Float32Array) -> Float64Array:
        """Return features (n, width) as they are encrypted."""
        from he_compare.fhe_baseline.tfhe.training_run import scaled

        return scaled(self.preparation.apply(features))

    def claims(self) -> SecurityClaims:
        """Return what training and inference claim; inference's as last deployed."""
        from he_compare.fhe_baseline.tfhe.claims import training_claims

        told: dict[str, Any] = {"n_bits": self.quantised.bits}
        if self._deployed is None:
            return training_claims(self.outcome.facts, None, told)
        deployed = self._deployed
        return training_claims(
            self.outcome.facts, deployed.facts, told | deployed.sizes, deployed.key_fingerprint
        )

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array]:
        """Return the integer model's scores in the clear, on features extracted anew."""
        scores = self.quantised.clear_scores(self.inputs(images))
        return "quantised clear head, as trained under encryption", scores


class FheTfheTrainPipeline(TfhePipeline):
    """Encrypted training of a small head, and encrypted inference with it."""

    name = NAME
    parameters = FheTfheTrainParameters

    def twin(self, parameters: FheTfheTrainParameters) -> Twin:
        """The clear head, trained on all images and features."""
        slice_ = f"{parameters.train_images} training images and {parameters.train_features} "
        return clear_twin(differs=f"trained on {slice_}components where the twin takes all")

    def work(self, parameters: FheTfheTrainParameters) -> Work:
        """The server trains on an encrypted slice; its result is decrypted and handed back."""
        return last_layer_work(
            "the server, on an encrypted slice of the features",
            "the hospital, which decrypts it; the server then holds a copy in the clear",
            trains=True,
        )

    def most_classes(self, parameters: FheTfheTrainParameters, feature_width: int) -> int:
        """Two: Concrete ML trains no more under encryption."""
        return TRAINED_CLASSES

    def fit(
        self, data: TrainingData, parameters: FheTfheTrainParameters, context: RunContext
    ) -> FheTfheTrainFitted:
        """Train on an encrypted slice at a server process, which gets nothing else.

        Raises UnavailableError for more than two classes.
        """
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.fhe_baseline.preparation import fit_whitening
        from he_compare.fhe_baseline.tfhe.library import load_concrete
        from he_compare.fhe_baseline.tfhe.quantised import quantise_head
        from he_compare.fhe_baseline.tfhe.training_run import linear_model, scaled

        if len(data.classes) != TRAINED_CLASSES:
            raise UnavailableError(
                f"Concrete ML trains two classes under encryption, the dataset has "
                f"{len(data.classes)}",
                fix="choose a dataset of two classes, or fhe-train",
            )
        load_concrete()
        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        preparation = fit_whitening(features, parameters.train_features)
        inputs = scaled(preparation.apply(features))
        outcome = _train(inputs, data, parameters, context)
        context.training["preparation"] = preparation.name
        quantised = quantise_head(linear_model(outcome.weights), inputs, parameters.n_bits)
        return FheTfheTrainFitted(extractor, quantised, preparation, outcome)

    def load_server(self, public_material: bytes) -> Server:
        """Build a server that trains, or one that classifies. Raises MessageError."""
        from he_compare.common.service.wire import unpack
        from he_compare.fhe_baseline.tfhe import training
        from he_compare.fhe_baseline.tfhe.inference import load_inference_server

        _, metadata = unpack(public_material)
        if metadata.get("role") == training.ROLE:
            return training.load_training_server(public_material)
        return load_inference_server(public_material)


def _train(
    inputs: Float64Array,
    data: TrainingData,
    parameters: FheTfheTrainParameters,
    context: RunContext,
) -> TfheTrainingOutcome:
    from he_compare.common.seeds import seed_for
    from he_compare.fhe_baseline.tfhe.claims import training_warnings
    from he_compare.fhe_baseline.tfhe.training import TrainingShape
    from he_compare.fhe_baseline.tfhe.training_run import (
        batches_of,
        choose_slice,
        train,
        training_facts,
    )

    shape = TrainingShape(
        inputs.shape[1], parameters.bits, parameters.rounding, parameters.learning_rate
    )
    n = parameters.train_images
    chosen = choose_slice(data.train.labels, n, seed_for(context.seed, "fhe-tfhe-train slice"))
    outcome = train(
        shape,
        batches_of(inputs[chosen], data.train.labels[chosen]),
        lambda material: context.start_server(NAME, material),
        context.clock,
        context.progress,
    )
    context.training.update(training_facts(outcome, shape, n))
    context.warnings.extend(training_warnings(n, len(inputs), shape.features))
    if not np.any(outcome.weights[:-1]):
        context.warnings.append("the encrypted training ended with all weights zero")
    return outcome


PIPELINE = FheTfheTrainPipeline()
