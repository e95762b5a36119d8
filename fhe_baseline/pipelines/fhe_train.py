"""The head trained on encrypted features and labels, and used under encryption: MedBlindTuner.

The hospital runs the frozen DeiT in the clear, brings the features into coordinates in which few
gradient steps suffice, and encrypts them with their labels under its own key. They go up once; the
server runs all steps on ciphertexts; encrypted weights come down once. The hospital owns the
result, which then classifies under a second key, encrypted itself (arXiv 2401.09604; after HETAL,
ICML 2023). With ``rounds`` the hospital refreshes the weights between steps, for a smaller ring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from he_compare.common.contracts import (
    Availability,
    ClearTwin,
    Deployment,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, Per, Stage, UInt8Array
from he_compare.fhe_baseline.encrypted_training_parameters import (
    BY_OWNER,
    ENCRYPTED,
    FHE_TRAIN,
    FOLDS_PER_KEY,
    FheTrainParameters,
    step_options,
)
from he_compare.fhe_baseline.fitted import FittedOnFeatures, clear_twin, last_layer_work
from he_compare.fhe_baseline.trained_encrypted import (
    Rung,
    clear_rungs,
    linear_head,
    train_encrypted,
)

if TYPE_CHECKING:
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.inference import Plan
    from he_compare.fhe_baseline.ckks.packing import PackingClient
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.feature_client import Extractor
    from he_compare.fhe_baseline.preparation import Preparation

PACKING = "replicated"
# Components to expect where their number is chosen.
USUAL_WIDTH = 63


@dataclass
class FheTrainFitted(FittedOnFeatures):
    """A head trained under encryption, decrypted by its owner, and the plan of its use."""

    extractor: Extractor
    preparation: Preparation
    circuit: Circuit
    plan: Plan
    use: str
    rungs: tuple[Rung, ...] = ()
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

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        """Return the clear head, and what preparation, few steps and polynomial make of it."""
        features = self.features(images)
        return tuple(
            ClearTwin(rung.name, rung.cost, rung.model.scores(rung.prepare(features)))
            for rung in self.rungs
        )


class FheTrainPipeline(Pipeline):
    """Encrypted training of a linear head, and encrypted inference with it."""

    name = FHE_TRAIN
    parameters = FheTrainParameters

    def availability(self) -> Availability:
        """Needs TenSEAL."""
        from he_compare.fhe_baseline.ckks.library import availability

        return availability()

    def twin(self, parameters: FheTrainParameters) -> Twin:
        """The clear head on the same features, which the encrypted training approaches."""
        return clear_twin(
            parameters.C, "" if parameters.balanced else "its training weighs classes equally"
        )

    def work(self, parameters: FheTrainParameters) -> Work:
        """The server trains and evaluates the last layer on ciphertexts."""
        if parameters.use == ENCRYPTED:
            owner = "the hospital; the server holds it encrypted only"
        else:
            owner = "the hospital, which decrypts it; the server then holds it in the clear"
        return last_layer_work("the server, on encrypted features", owner, trains=True)

    def costs(self, parameters: FheTrainParameters, sizes: RunSizes) -> Costs:
        """Features, keys, encrypted training and encrypted inference. Raises UsageError."""
        from he_compare.fhe_baseline.encryption_costs import circuit_to_expect, training_costs

        options = step_options(parameters)
        width = parameters.components or USUAL_WIDTH
        if parameters.coordinates == "standardised":
            width = sizes.width
        circuit = circuit_to_expect(
            sizes,
            min(width, sizes.width) + 1,
            options[0],
            parameter_set=parameters.parameter_set,
            rounds=parameters.rounds,
            degree=parameters.degree,
            batches=parameters.batches,
            doublings=FOLDS_PER_KEY[parameters.rotation_keys],
            allow_insecure=parameters.allow_insecure,
        )

        def make(context: RunContext, data: TrainingData) -> FheTrainFitted:
            from he_compare.common.backbones.features import run_extractor
            from he_compare.common.backbones.head import fit_linear
            from he_compare.common.backbones.network_costs import random_features
            from he_compare.fhe_baseline.ckks.inference import make_plan
            from he_compare.fhe_baseline.preparation import fit_whitening

            features, labels = random_features(4 * sizes.width, sizes.width, sizes.classes)
            preparation = fit_whitening(features, circuit.columns - 1)
            inputs = preparation.apply(features)
            model, _ = fit_linear(inputs, labels, sizes.classes, parameters.C)
            plan = make_plan(model, PACKING, "auto")
            return FheTrainFitted(
                run_extractor(context), preparation, circuit, plan, parameters.use
            )

        name = (
            f"{FHE_TRAIN}, {parameters.use}, {circuit.columns} columns, {sizes.classes} classes, "
            f"{sizes.backbone}, {sizes.image_size} px"
        )
        chosen = not (parameters.components and parameters.steps)
        return training_costs(sizes, circuit, parameters.C, Untrained(name, make), chosen=chosen)

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

        options = step_options(parameters)
        extractor = run_extractor(context)
        features = [cached_features(part, context, extractor) for part in (data.train, data.val)]
        fitted = train_encrypted(features, data, parameters, options, context)
        model = linear_head(fitted.weights, released=parameters.use == BY_OWNER)
        plan = make_plan(model, PACKING, "auto")
        rungs = clear_rungs(features[0], data, fitted, parameters, context)
        return FheTrainFitted(
            extractor, fitted.preparation, fitted.circuit, plan, parameters.use, rungs
        )

    def load_server(self, public_material: bytes) -> Server:
        """Build a training server, or one that classifies. Raises MessageError."""
        from he_compare.common.service.parsing import parsed_as_hostile
        from he_compare.common.service.wire import unpack
        from he_compare.fhe_baseline.ckks import encrypted_head
        from he_compare.fhe_baseline.ckks.inference import load_public_material
        from he_compare.fhe_baseline.ckks.training.public_material import ROLE as TRAINING_ROLE
        from he_compare.fhe_baseline.ckks.training.server import CkksTrainingServer

        _, metadata = unpack(public_material)
        if metadata.get("role") == TRAINING_ROLE:
            with parsed_as_hostile("public material"):
                return CkksTrainingServer(public_material)
        if metadata.get("role") == encrypted_head.ROLE:
            return encrypted_head.load_encrypted_head(public_material)
        return load_public_material(public_material)


PIPELINE = FheTrainPipeline()
