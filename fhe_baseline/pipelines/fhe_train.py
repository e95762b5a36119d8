"""The head trained on encrypted features and labels, and used under encryption: MedBlindTuner.

The hospital runs the frozen DeiT in the clear, whitens the features and encrypts them with their
labels under its own key; the server fits the head on ciphertexts by Nesterov's method; the hospital
refreshes the weights between rounds and owns the result, which then classifies under a second key,
encrypted itself (arXiv 2401.09604; after HETAL, ICML 2023, with refreshes in place of
bootstrapping).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from he_compare.common.contracts import (
    Availability,
    Deployment,
    Parameters,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
)
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, Per, Stage, UInt8Array
from he_compare.fhe_baseline.fitted import FittedOnFeatures

if TYPE_CHECKING:
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.inference import Plan
    from he_compare.fhe_baseline.ckks.packing import PackingClient
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.feature_client import Extractor
    from he_compare.fhe_baseline.preparation import Preparation

NAME = "fhe-train"
PACKING = "replicated"
ENCRYPTED, BY_OWNER = "encrypted", "decrypted-by-owner"


class FheTrainParameters(Parameters):
    """How the head is trained under encryption and used afterwards."""

    whiten: int = Field(
        default=64,
        ge=0,
        le=1025,
        description="Columns of the training, the constant included; the others are whitened "
        "principal components; 0: standardise and keep all features",
    )
    iterations: int = Field(default=8, ge=1, le=200, description="Steps")
    batches: int = Field(
        default=1,
        ge=1,
        le=64,
        description="1: full batch; more: the rows are shuffled, cut into as many mini-batches, "
        "and the steps use them in turn; each takes at least one ciphertext per pair of columns",
    )
    degree: Literal[3, 5, 7] = Field(default=3, description="Degree of the polynomial sigmoid")
    interval: float = Field(
        default=12.0,
        gt=0,
        le=64,
        description="Largest absolute logit that the polynomial is fitted for",
    )
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength, as in scikit-learn")
    balanced: bool = Field(default=True, description="Weigh classes equally")
    parameter_set: Literal[
        "auto", "n8192-214", "n8192-214-deep", "n16384-295", "n16384-402", "n1024-insecure"
    ] = Field(
        default="auto",
        description="CKKS parameters of the training; n16384-402 refreshes every second iteration; "
        "n8192-214-deep has room for degree 5 and 7 and less precision; auto: n8192-214 for degree "
        "3, else n16384-295",
    )
    use: Literal["encrypted", "decrypted-by-owner"] = Field(
        default="encrypted",
        description="encrypted: the server classifies with encrypted weights; decrypted-by-owner: "
        "it gets them rounded, in the clear",
    )
    restarts: int = Field(
        default=1,
        ge=0,
        le=10,
        description="How many lost servers to replace, each from the last refresh",
    )
    processes: int = Field(
        default=1, ge=1, le=64, description="Processes the training server computes with"
    )
    allow_insecure: bool = Field(
        default=False, description="Accept parameters below 128 bits, for study; flagged"
    )


@dataclass
class FheTrainFitted(FittedOnFeatures):
    """A head trained under encryption, decrypted by its owner, and the plan of its use."""

    extractor: Extractor
    preparation: Preparation
    circuit: Circuit
    plan: Plan
    use: str
    _public: bytes = field(default=b"", init=False)

    @property
    def model(self) -> LinearModel:
        """The head that the server evaluates."""
        return self.plan.model

    def prepared(self, features: Float32Array) -> Float64Array:
        """Return features (n, width) as they are encrypted."""
        return self.preparation.apply(features)

    def deploy(self, context: RunContext) -> Deployment:
        """Generate a key of its own for inference; encrypt the head under it, or release it."""
        from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient
        from he_compare.fhe_baseline.ckks.inference import public_material
        from he_compare.fhe_baseline.feature_client import FeatureClient

        parameters, model = self.plan.parameters, self.plan.model
        encryption: PackingClient
        with context.clock.stage(Stage.KEYGEN, per=Per.KEY):
            if self.use == ENCRYPTED:
                encryption = EncryptedHeadClient(parameters, model)
                self._public = encryption.public_material()
            else:
                encryption = self.plan.packing.make_client(parameters, model)
                self._public = public_material(self.plan, encryption.public_arrays())
        client = FeatureClient(self.extractor, self.prepared, encryption, model.classes)
        return Deployment(client, self._public)

    def claims(self) -> SecurityClaims:
        """Return what training and inference claim; key and size of the last deployment."""
        from he_compare.fhe_baseline.ckks.training.claims import training_claims

        facts: dict[str, Any] = {
            "inference_packing": self.plan.packing.name,
            "parameter_set": self.plan.parameter_name,
            "public_material_bytes": len(self._public),
        }
        return training_claims(
            self.circuit,
            self.plan,
            encrypted=self.use == ENCRYPTED,
            facts=facts | self.plan.packing.facts(self.plan.parameters, self.plan.model),
            public=self._public,
        )

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array]:
        """Return the decrypted head's scores in float64, on features extracted anew."""
        return "decrypted head, in the clear", self.model.scores(self.inputs(images))


class FheTrainPipeline(Pipeline):
    """Encrypted training of a linear head, and encrypted inference with it."""

    name = NAME
    parameters = FheTrainParameters

    def availability(self) -> Availability:
        """Needs TenSEAL."""
        from he_compare.fhe_baseline.ckks.library import availability

        return availability()

    def plugins_used(self, parameters: FheTrainParameters) -> tuple[str, ...]:
        """Name the module of the packing that classifies."""
        from he_compare.fhe_baseline.ckks.packing import packing_modules

        return packing_modules(PACKING)

    def fit(
        self, data: TrainingData, parameters: FheTrainParameters, context: RunContext
    ) -> FheTrainFitted:
        """Train the head at a server process, on ciphertexts."""
        from he_compare.common.backbones.features import cached_features, run_extractor
        from he_compare.fhe_baseline.ckks.inference import make_plan

        extractor = run_extractor(context)
        features = cached_features(data.train, context, extractor)
        preparation = _preparation(features, parameters)
        circuit, weights = _train(preparation.apply(features), data, parameters, context)
        context.training["preparation"] = preparation.name
        model = _linear_model(weights, released=parameters.use == BY_OWNER)
        plan = make_plan(model, PACKING, "auto")
        return FheTrainFitted(extractor, preparation, circuit, plan, parameters.use)

    def load_server(self, public_material: bytes) -> Server:
        """Build a training server, or one that classifies. Raises MessageError."""
        from he_compare.common.service.wire import unpack
        from he_compare.fhe_baseline.ckks import encrypted_head
        from he_compare.fhe_baseline.ckks.inference import load_public_material
        from he_compare.fhe_baseline.ckks.training.public_material import ROLE as TRAINING_ROLE
        from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer

        _, metadata = unpack(public_material)
        if metadata.get("role") == TRAINING_ROLE:
            return CkksTrainingServer(public_material)
        if metadata.get("role") == encrypted_head.ROLE:
            return encrypted_head.load_encrypted_head(public_material)
        return load_public_material(public_material)


def _preparation(features: Float32Array, parameters: FheTrainParameters) -> Preparation:
    from he_compare.fhe_baseline.preparation import fit_standardisation, fit_whitening

    if parameters.whiten == 0:
        return fit_standardisation(features)
    return fit_whitening(features, max(1, parameters.whiten - 1))


def _train(
    prepared: Float64Array,
    data: TrainingData,
    parameters: FheTrainParameters,
    context: RunContext,
) -> tuple[Circuit, Float64Array]:
    """Return the circuit and the decrypted weights (classifiers, columns)."""
    from he_compare.common.seeds import seed_for
    from he_compare.fhe_baseline.ckks.parameters import training_set
    from he_compare.fhe_baseline.ckks.training.claims import insecurities
    from he_compare.fhe_baseline.ckks.training.problem import make_problem
    from he_compare.fhe_baseline.ckks.training.record import training_facts
    from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining
    from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid

    problem = make_problem(
        prepared, data.train.labels, len(data.classes), parameters.C, parameters.balanced
    )
    if parameters.batches > 1:
        problem = problem.shuffled(seed_for(context.seed, "fhe-train mini-batches"))
    circuit = problem.circuit(
        training_set(parameters.parameter_set, parameters.degree),
        fit_sigmoid(parameters.degree, parameters.interval),
        parameters.allow_insecure,
        parameters.batches,
    )
    session = CkksTraining(
        circuit,
        problem,
        lambda material: context.start_server(NAME, material),
        context.clock,
        context.progress,
        parameters.processes,
    )
    outcome = session.run(parameters.iterations, parameters.restarts)
    facts = training_facts(circuit, problem, outcome, parameters.iterations, context.clock)
    context.training.update(facts | {"server_processes": parameters.processes})
    context.warnings.extend(insecurities(circuit.parameters, encrypted=parameters.use == ENCRYPTED))
    return circuit, outcome.weights


def _linear_model(weights: Float64Array, *, released: bool) -> LinearModel:
    """Return a head with one score per class; one that is released is rounded first."""
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.training.client import rounded

    table = rounded(weights) if released else weights
    if len(table) == 1:
        table = np.vstack([-table, table]) / 2
    return LinearModel(table[:, :-1], table[:, -1])


PIPELINE = FheTrainPipeline()
