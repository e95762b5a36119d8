"""Features at the client, encrypted with TFHE; a quantised head evaluated on them by Concrete ML.

The hospital runs the frozen DeiT in the clear, quantises and encrypts the features under its own
key; the server holds the quantised head and no secret key; only the hospital decrypts. Exact where
CKKS is approximate: decrypted integers are those of the clear integer model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from he_compare.common.contracts import (
    Parameters,
    RunContext,
    TrainingData,
)
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, UInt8Array
from he_compare.fhe_baseline.tfhe.pipeline import FittedOnTfhe, TfhePipeline

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head, LinearModel
    from he_compare.fhe_baseline.preparation import Preparation
    from he_compare.fhe_baseline.tfhe.inference import TfheInferenceServer

NAME = "fhe-tfhe"


class FheTfheParameters(Parameters):
    """How the head is trained and quantised."""

    n_bits: int = Field(default=8, ge=4, le=10, description="Bits of inputs and of weights")
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength of the head")
    whiten: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Principal components the head takes, whitened; 0: all features, standardised. "
        "Time and bytes grow with their number",
    )


@dataclass
class FheTfheFitted(FittedOnTfhe):
    """A trained head and its quantised form."""

    preparation: Preparation | None
    head: Head

    @property
    def model(self) -> LinearModel:
        """The head that the server evaluates."""
        return self.head.linear

    def prepared(self, features: Float32Array) -> Float64Array:
        """Return features (n, width) as they are encrypted."""
        return self.head.standardise(_prepared(features, self.preparation))

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


def _prepared(
    features: Float32Array, preparation: Preparation | None
) -> Float32Array | Float64Array:
    return features if preparation is None else preparation.apply(features)


class FheTfhePipeline(TfhePipeline):
    """Encrypted inference of a quantised linear head."""

    name = NAME
    parameters = FheTfheParameters

    def fit(
        self, data: TrainingData, parameters: FheTfheParameters, context: RunContext
    ) -> FheTfheFitted:
        """Train the head on features of the training images, in the clear, and quantise it."""
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.common.backbones.head import stored_head
        from he_compare.fhe_baseline.preparation import fit_whitening
        from he_compare.fhe_baseline.tfhe.claims import LICENCE
        from he_compare.fhe_baseline.tfhe.library import load_concrete
        from he_compare.fhe_baseline.tfhe.quantised import distance, quantise_head

        load_concrete()
        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        preparation = fit_whitening(features, parameters.whiten) if parameters.whiten else None
        features = _prepared(features, preparation).astype(np.float32)
        head = stored_head(features, data, parameters.C, context)
        inputs = head.standardise(features)
        quantised = quantise_head(head.linear, inputs, parameters.n_bits)
        context.warnings.append(LICENCE)
        context.training.update(
            {
                "trained_on": "features of plain images, in the clear, at the client",
                "C": parameters.C,
                "n": len(features),
                "iterations": head.iterations,
                "n_bits": parameters.n_bits,
                "features": features.shape[1],
                "preparation": preparation.name if preparation else "standardised",
                "quantised_against_float": distance(quantised, head.linear, inputs),
            }
        )
        return FheTfheFitted(extractor, quantised, preparation, head)

    def load_server(self, public_material: bytes) -> TfheInferenceServer:
        """Build the server half from public material. Raises MessageError."""
        from he_compare.fhe_baseline.tfhe.inference import load_inference_server

        return load_inference_server(public_material)


PIPELINE = FheTfhePipeline()
