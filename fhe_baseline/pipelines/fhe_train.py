"""The head trained on encrypted features and labels, and used under encryption: MedBlindTuner.

The hospital runs the frozen DeiT in the clear, brings the features into coordinates in which few
gradient steps suffice, and encrypts them with their labels under its own key. They go up once; the
server runs all steps on ciphertexts; encrypted weights come down once. The hospital owns the
result, which then classifies under a second key, encrypted itself (arXiv 2401.09604; after HETAL,
ICML 2023). With ``rounds`` the hospital refreshes the weights between steps, for a smaller ring.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from he_compare.common.contracts import (
    Availability,
    ClearTwin,
    Deployment,
    Parameters,
    Pipeline,
    RunContext,
    Server,
    TrainingData,
    Twin,
    Work,
)
from he_compare.common.costs import Costs, RunSizes, Untrained
from he_compare.common.errors import CellError, UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import Float32Array, Float64Array, Per, Stage, UInt8Array
from he_compare.fhe_baseline.fitted import FittedOnFeatures, clear_twin, last_layer_work

if TYPE_CHECKING:
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.inference import Plan
    from he_compare.fhe_baseline.ckks.packing import PackingClient
    from he_compare.fhe_baseline.ckks.training.choosing import PreparedTask
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.ckks.training.preparing import Wish
    from he_compare.fhe_baseline.ckks.training.record import ClearCourse
    from he_compare.fhe_baseline.feature_client import Extractor, Prepare
    from he_compare.fhe_baseline.preparation import Preparation

NAME = "fhe-train"
PACKING = "replicated"
ENCRYPTED, BY_OWNER = "encrypted", "decrypted-by-owner"


class FheTrainParameters(Parameters):
    """How the head is trained under encryption and used afterwards."""

    rounds: int = Field(
        default=0,
        ge=0,
        le=199,
        description="How often the client refreshes the weights between steps; 0: one upload, no "
        "client in the loop",
    )
    steps: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Gradient steps; 0: three or four, chosen on the validation split, or as many "
        "as the refreshes need",
    )
    coordinates: Literal["preconditioned", "whitened", "standardised"] = Field(
        default="preconditioned",
        description="preconditioned: the clear head's own objective, in principal components "
        "scaled so that a step of fixed length is safe; whitened: components of variance 1, "
        "another penalty; standardised: all features, as the clear head takes them",
    )
    components: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Principal components kept; 0: chosen on the validation split. Bytes and time "
        "grow with their number, padded to a power of two less one",
    )
    schedule: Literal["chosen", "plain", "nesterov"] = Field(
        default="chosen",
        description="chosen: step lengths, momentum and interval of the lowest training loss of "
        "the clear twin; plain, nesterov: equal steps of the safe length, without and with "
        "momentum; where steps and components are named too, nothing is trained in the clear",
    )
    batches: int = Field(
        default=1,
        ge=1,
        le=64,
        description="1: full batch; more: the rows are shuffled, cut into as many mini-batches, "
        "and the steps use them in turn; each takes at least one ciphertext per pair of columns",
    )
    degree: Literal[3, 5, 7] = Field(default=3, description="Degree of the polynomial sigmoid")
    interval: float = Field(
        default=0.0,
        ge=0,
        le=64,
        description="Largest absolute logit that the polynomial is fitted for; 0: chosen with the "
        "steps, 12 where they are not chosen",
    )
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength, as in scikit-learn")
    balanced: bool = Field(
        default=True, description="Weigh classes equally, as the clear head does"
    )
    parameter_set: Literal[
        "auto",
        "n8192-214",
        "n8192-214-deep",
        "n16384-295",
        "n16384-309",
        "n16384-297",
        "n16384-402",
        "n16384-430",
        "n32768-724",
        "n32768-844",
        "n1024-insecure",
    ] = Field(
        default="auto",
        description="CKKS parameters of the training; auto: the cheapest that hold the steps and "
        "are predicted to leave the weights exact to 7e-4, or the most precise of its ring; the "
        "cheapest that hold the steps, where those are not chosen",
    )
    rotation_keys: Literal["fewest", "balanced", "fastest"] = Field(
        default="balanced",
        description="How many rotations get a key of their own: bytes of keys against time",
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
        description="How many failures of a server to survive: an upload is completed, a lost "
        "server replaced",
    )
    processes: int = Field(
        default=1, ge=1, le=64, description="Processes the training server computes with"
    )
    allow_insecure: bool = Field(
        default=False, description="Accept parameters below 128 bits, for study; flagged"
    )

    @model_validator(mode="after")
    def _hold_the_steps(self) -> FheTrainParameters:
        """Refuse steps that no parameter set holds, and sets below 128 bits, when they are read."""
        from he_compare.fhe_baseline.ckks.parameters import require_128_bits, training_set

        try:
            _step_options(self)
            if self.parameter_set != "auto" and not self.allow_insecure:
                require_128_bits(training_set(self.parameter_set))
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


# Predicted relative error of encrypted weights that parameter_set=auto accepts.
PRECISE_ENOUGH = 7e-4
# Errors of encrypted weights beyond so many times the predicted one are warned of.
UNEXPLAINED = 4.0
# Numbers of steps to choose from where none is named.
STEP_OPTIONS = (3, 4)
# Components to expect where their number is chosen.
USUAL_WIDTH = 63
# Folds of the gradient that one rotation key serves.
FOLDS_PER_KEY = {"fewest": 4, "balanced": 2, "fastest": 1}


@dataclass(frozen=True)
class Rung:
    """A clear model on the way from the clear head to the executed one; ``cost``: of its step."""

    name: str
    cost: str
    prepare: Prepare
    model: LinearModel


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

    name = NAME
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

        options = _step_options(parameters)
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
            f"{NAME}, {parameters.use}, {circuit.columns} columns, {sizes.classes} classes, "
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

        step_options = _step_options(parameters)
        extractor = run_extractor(context)
        features = [cached_features(part, context, extractor) for part in (data.train, data.val)]
        fitted = _train(features, data, parameters, step_options, context)
        model = _linear_model(fitted.weights, released=parameters.use == BY_OWNER)
        plan = make_plan(model, PACKING, "auto")
        rungs = _rungs(features[0], data, fitted, parameters, context)
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


@dataclass(frozen=True)
class _Trained:
    """What training gave. ``weights``: decrypted, (classifiers, columns)."""

    preparation: Preparation
    circuit: Circuit
    weights: Float64Array
    course: ClearCourse


def _train(
    features: list[Float32Array],
    data: TrainingData,
    parameters: FheTrainParameters,
    step_options: list[int],
    context: RunContext,
) -> _Trained:
    """Prepare, encrypt, train at a server process and decrypt; facts go into the record."""
    from he_compare.fhe_baseline.ckks.training.claims import insecurities
    from he_compare.fhe_baseline.ckks.training.preparing import LabelledFeatures, prepare
    from he_compare.fhe_baseline.ckks.training.record import clear_course, training_facts
    from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining

    train, validation = (
        LabelledFeatures(values, part.labels)
        for values, part in zip(features, (data.train, data.val), strict=True)
    )
    start = time.perf_counter()
    wish = _wish(parameters, context.seed)
    prepared = prepare(train, validation, len(data.classes), wish, step_options)
    plan, seconds = prepared.plan, time.perf_counter() - start
    circuit = _circuit(plan, parameters)
    session = CkksTraining(
        circuit,
        plan.problem,
        lambda material: context.start_server(NAME, material),
        context.clock,
        context.progress,
        parameters.processes,
    )
    outcome = session.run(parameters.restarts)
    course = clear_course(circuit, plan.problem)
    facts = training_facts(
        circuit, plan.problem, outcome, course, context.clock, parameters.processes
    )
    context.training.update(facts)
    context.training["preparation"] = plan.preparation.name
    context.training["choice"] = prepared.choice | {"seconds": round(seconds, 3)}
    context.warnings.extend(prepared.warnings)
    context.warnings.extend(_outside(course))
    unexplained = _not_the_twins(outcome.weights, course, circuit)
    if unexplained and parameters.use == BY_OWNER:
        raise CellError(
            f"{unexplained[0]}; weights that noise does not explain may be anything, an image's "
            "features too, and are not released",
            fix="train at a server that follows the protocol, or use=encrypted",
        )
    context.warnings.extend(unexplained)
    context.warnings.extend(insecurities(circuit.parameters, encrypted=parameters.use == ENCRYPTED))
    return _Trained(plan.preparation, circuit, outcome.weights, course)


def _circuit(plan: PreparedTask, parameters: FheTrainParameters) -> Circuit:
    """Return the circuit in the first parameter set that is precise enough, else the most precise.

    Where steps are not chosen in the clear, the first that has scales for them. Raises UsageError
    where none has.
    """
    from he_compare.fhe_baseline.ckks.training.clear_references import run_twin
    from he_compare.fhe_baseline.ckks.training.sets import sets_to_try

    chosen = parameters.schedule == "chosen"
    weights = run_twin(plan.problem, plan.steps, parameters.batches)[-1].weights if chosen else None
    tried: list[tuple[float, int, Circuit]] = []
    refused: list[UsageError] = []
    for parameter_set in sets_to_try(
        parameters.parameter_set, len(plan.steps), parameters.rounds, parameters.degree
    ):
        circuit = plan.problem.circuit(
            parameter_set,
            plan.steps,
            refreshes=parameters.rounds,
            batches=parameters.batches,
            doublings=FOLDS_PER_KEY[parameters.rotation_keys],
            allow_insecure=parameters.allow_insecure,
        )
        try:
            _ = circuit.scales
        except UsageError as imprecise:  # a set of larger primes may do
            refused.append(imprecise)
            continue
        if weights is None:
            return circuit
        tried.append((circuit.relative_error(weights), len(tried), circuit))
        if tried[-1][0] <= PRECISE_ENOUGH:
            return circuit
    if not tried:
        raise refused[0]
    return min(tried)[-1]


def _fewest_steps(parameters: FheTrainParameters) -> int:
    """Return the steps that are named, or the fewest that are chosen from."""
    return parameters.steps or max(STEP_OPTIONS[0], parameters.rounds + 1)


def _step_options(parameters: FheTrainParameters) -> list[int]:
    """Return the numbers of steps to choose from: those that the parameter set holds.

    Raises UsageError where it holds none, or not those that are named.
    """
    from he_compare.fhe_baseline.ckks.training.sets import choose_set

    name, rounds, degree = parameters.parameter_set, parameters.rounds, parameters.degree
    fewest = _fewest_steps(parameters)
    choose_set(name, fewest, rounds, degree)
    found = [fewest]
    if not parameters.steps:
        for count in range(fewest + 1, STEP_OPTIONS[-1] + 1):
            with contextlib.suppress(UsageError):
                choose_set(name, count, rounds, degree)
                found.append(count)
    return found


def _wish(parameters: FheTrainParameters, seed: int) -> Wish:
    from he_compare.common.seeds import seed_for
    from he_compare.fhe_baseline.ckks.training.preparing import Wish

    return Wish(
        coordinates=parameters.coordinates,
        components=parameters.components,
        steps=_fewest_steps(parameters),
        degree=parameters.degree,
        interval=parameters.interval,
        inverse_l2=parameters.C,
        balanced=parameters.balanced,
        batches=parameters.batches,
        momentum=None if parameters.schedule == "chosen" else parameters.schedule == "nesterov",
        seed=seed_for(seed, "fhe-train mini-batches"),
    )


def _outside(course: ClearCourse) -> list[str]:
    """Warn of logits that left the polynomial's interval while training."""
    count = sum(step.outside for step in course.twin)
    if not count:
        return []
    return [
        f"{count} logits left the sigmoid polynomial's interval during training, the largest was "
        f"{max(step.largest_logit for step in course.twin):.1f}: widen the interval, or take "
        "shorter or fewer steps"
    ]


def _not_the_twins(weights: Float64Array, course: ClearCourse, circuit: Circuit) -> list[str]:
    """Warn of decrypted weights that the noise of CKKS alone does not explain."""
    largest = float(np.abs(weights - course.twin[-1].weights).max())
    if largest <= UNEXPLAINED * circuit.scales.error:
        return []
    return [
        f"the decrypted weights differ from the clear twin's by up to {largest:.2g}, where "
        f"{circuit.scales.error:.2g} is predicted: the server computed something else, or the "
        "training diverged"
    ]


def _rungs(
    features: Float32Array,
    data: TrainingData,
    trained: _Trained,
    parameters: FheTrainParameters,
    context: RunContext,
) -> tuple[Rung, ...]:
    """Return the clear models between the clear head and the executed one."""
    from he_compare.common.backbones.head import stored_head
    from he_compare.fhe_baseline.ckks.training.clear_references import fit_optimum
    from he_compare.fhe_baseline.ckks.training.preparing import LabelledFeatures, make_task

    course, preparation = trained.course, trained.preparation
    head = stored_head(features, data, parameters.C, context)
    rungs = [Rung("clear head", "", head.standardise, head.linear)]
    if len(data.classes) > 2:
        wish = replace(_wish(parameters, context.seed), coordinates="standardised")
        train = LabelledFeatures(features, data.train.labels)
        standard, problem = make_task(train, len(data.classes), wish, 0)
        one_vs_rest = _linear_model(fit_optimum(problem), released=False)
        rungs.append(
            Rung("one against the rest, in the clear", "one vs rest", standard.apply, one_vs_rest)
        )
    for name, cost, weights in (
        ("same preparation, scikit-learn's optimum", "preparation", course.optimum),
        ("same steps, exact sigmoid", "few steps", course.exact),
        ("clear twin: same steps, polynomial sigmoid", "polynomial", course.twin[-1].weights),
    ):
        model = _linear_model(weights, released=False)
        rungs.append(Rung(name, cost, preparation.apply, model))
    return tuple(rungs)


def _linear_model(weights: Float64Array, *, released: bool) -> LinearModel:
    """Return a head with one score per class; one that is released is rounded first."""
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.training.client import rounded

    table = rounded(weights) if released else weights
    if len(table) == 1:
        table = np.vstack([-table, table]) / 2
    return LinearModel(table[:, :-1], table[:, -1])


PIPELINE = FheTrainPipeline()
