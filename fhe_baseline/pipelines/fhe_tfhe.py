"""Features at the client, encrypted with TFHE; a quantised head evaluated on them by Concrete ML.

The hospital runs the frozen DeiT in the clear, quantises and encrypts the features under its own
key; the server holds the quantised head and no secret key; only the hospital decrypts. Exact where
CKKS is approximate: decrypted integers are those of the clear integer model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import FheMode, Float32Array, Float64Array, Message, Stage, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.backbones.head import Head
    from he_compare.fhe_baseline.features import Preparation
    from he_compare.fhe_baseline.tfhe.inference import Deployed, InferenceClient, InferenceServer
    from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead

NAME = "fhe-tfhe"
Extractor = Callable[[UInt8Array], Float32Array]


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


class FheTfheClient:
    """Holds backbone, standardisation and secret key; features never leave it unencrypted."""

    def __init__(
        self,
        prepare: Callable[[UInt8Array], Float64Array],
        encryption: InferenceClient,
        classes: int,
    ) -> None:
        self._prepare = prepare
        self._encryption = encryption
        self._classes = classes

    def protect(self, images: UInt8Array, clock: Clock) -> list[Message]:
        """Run the DeiT on uint8 (n, size, size, 3), quantise and encrypt: n messages."""
        if not len(images):
            return []
        with clock.stage(Stage.FEATURES, items=len(images)):
            inputs = self._prepare(images)
        return self._encryption.protect(inputs, clock)

    def reveal(self, replies: list[Message], clock: Clock) -> Float64Array:
        """Decrypt scores (logits), float64 (n, classes). Raises MessageError."""
        if not replies:
            return np.zeros((0, self._classes))
        return self._encryption.reveal(replies, clock)


@dataclass
class FheTfheFitted:
    """A trained head and its quantised form."""

    extractor: Extractor
    preparation: Preparation | None
    head: Head
    quantised: QuantisedHead
    _deployed: Deployed | None = field(default=None, init=False)

    fhe_mode = FheMode.EXECUTE

    def deploy(self, context: RunContext) -> Deployment:
        """Compile the circuit, generate a fresh secret key; the head goes to the server."""
        from he_compare.fhe_baseline.tfhe.inference import deploy_head

        self._deployed = deploy_head(self.quantised, context.clock)
        client = FheTfheClient(self._prepare, self._deployed.client, self.quantised.classes)
        return Deployment(client, self._deployed.public_material)

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
        return "quantised clear head", self.quantised.clear_scores(self._prepare(images))

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """None: a ciphertext is no picture, see ``fhe-head`` for its bytes."""
        return None

    def _prepare(self, images: UInt8Array) -> Float64Array:
        return self.head.standardise(_prepared(self.extractor(images), self.preparation))


def _prepared(
    features: Float32Array, preparation: Preparation | None
) -> Float32Array | Float64Array:
    return features if preparation is None else preparation.apply(features)


class FheTfhePipeline:
    """Encrypted inference of a quantised linear head."""

    name = NAME
    parameters = FheTfheParameters

    def availability(self) -> Availability:
        """Needs Concrete ML, which exists for some platforms and versions of Python only."""
        from he_compare.fhe_baseline.tfhe.library import availability

        return availability()

    def source_modules(self) -> tuple[str, ...]:
        """Name the modules that key the cells."""
        return (
            "he_compare.fhe_baseline.pipelines.fhe_tfhe",
            "he_compare.fhe_baseline.features",
            "he_compare.fhe_baseline.tfhe",
            "he_compare.fhe_baseline.lattice",
        )

    def identity_inputs(self, parameters: Parameters, key_file: Path) -> dict[str, str]:
        """Nothing of this machine changes a prediction."""
        return {}

    def fit(
        self, data: TrainingData, parameters: FheTfheParameters, context: RunContext
    ) -> FheTfheFitted:
        """Train the head on features of the training images, in the clear, and quantise it."""
        from he_compare.common.backbones.features import FeatureExtractor, cached_features
        from he_compare.fhe_baseline.features import fit_whitening
        from he_compare.fhe_baseline.tfhe.claims import LICENCE
        from he_compare.fhe_baseline.tfhe.library import load_concrete
        from he_compare.fhe_baseline.tfhe.quantised import distance, quantise_head

        load_concrete()
        settings = context.settings
        extractor = FeatureExtractor(
            settings.backbone,
            settings.image_size,
            settings.weights,
            context.seed,
            settings.threads,
        )
        features = cached_features(data.train, context, extractor)
        preparation = fit_whitening(features, parameters.whiten) if parameters.whiten else None
        features = _prepared(features, preparation).astype(np.float32)
        head = _stored_head(features, data, parameters.C, context)
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
        return FheTfheFitted(extractor, preparation, head, quantised)

    def load_server(self, public_material: bytes) -> InferenceServer:
        """Build the server half from public material. Raises MessageError."""
        from he_compare.fhe_baseline.tfhe.inference import load_inference_server

        return load_inference_server(public_material)


def _stored_head(
    features: Float32Array, data: TrainingData, inverse_l2: float, context: RunContext
) -> Head:
    """Train the float head once a run: the same artefact as ``fhe-head`` makes."""
    from he_compare.common.backbones.head import pack_head, train_head, unpack_head
    from he_compare.common.identity import array_digest, source_digest

    classes = len(data.classes)
    inputs: dict[str, Any] = {
        "features": array_digest(features),
        "labels": array_digest(data.train.labels),
        "classes": classes,
        "C": inverse_l2,
        "source": source_digest("he_compare.common.backbones.head"),
    }
    return unpack_head(
        context.artefacts.get_or_make(
            "head",
            inputs,
            lambda: pack_head(train_head(features, data.train.labels, classes, inverse_l2)),
        )
    )


PIPELINE = FheTfhePipeline()
