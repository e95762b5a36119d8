"""Trains a head at a server process, on ciphertexts, and the clear models that lead up to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from he_compare.common.contracts import RunContext, TrainingData
from he_compare.common.errors import CellError, UsageError
from he_compare.common.types import Float32Array, Float64Array
from he_compare.fhe_baseline.encrypted_training_parameters import (
    BY_OWNER,
    ENCRYPTED,
    FHE_TRAIN,
    FOLDS_PER_KEY,
    FheTrainParameters,
    wish_of,
)

if TYPE_CHECKING:
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.training.choosing import PreparedTask
    from he_compare.fhe_baseline.ckks.training.circuit import Circuit
    from he_compare.fhe_baseline.ckks.training.record import ClearCourse
    from he_compare.fhe_baseline.feature_client import Prepare
    from he_compare.fhe_baseline.preparation import Preparation

# Predicted relative error of encrypted weights that parameter_set=auto accepts.
PRECISE_ENOUGH = 7e-4
# Errors of encrypted weights beyond so many times the predicted one are warned of.
UNEXPLAINED = 4.0


@dataclass(frozen=True)
class Rung:
    """A clear model on the way from the clear head to the executed one; ``cost``: of its step."""

    name: str
    cost: str
    prepare: Prepare
    model: LinearModel


@dataclass(frozen=True)
class TrainedEncrypted:
    """What training gave. ``weights``: decrypted, (classifiers, columns)."""

    preparation: Preparation
    circuit: Circuit
    weights: Float64Array
    course: ClearCourse


def train_encrypted(
    features: list[Float32Array],
    data: TrainingData,
    parameters: FheTrainParameters,
    options: list[int],
    context: RunContext,
) -> TrainedEncrypted:
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
    wish = wish_of(parameters, context.seed)
    prepared = prepare(train, validation, len(data.classes), wish, options)
    plan, seconds = prepared.plan, time.perf_counter() - start
    circuit = _circuit(plan, parameters)
    session = CkksTraining(
        circuit,
        plan.problem,
        lambda material: context.start_server(FHE_TRAIN, material),
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
    return TrainedEncrypted(plan.preparation, circuit, outcome.weights, course)


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


def clear_rungs(
    features: Float32Array,
    data: TrainingData,
    trained: TrainedEncrypted,
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
        wish = replace(wish_of(parameters, context.seed), coordinates="standardised")
        train = LabelledFeatures(features, data.train.labels)
        standard, problem = make_task(train, len(data.classes), wish, 0)
        one_vs_rest = linear_head(fit_optimum(problem), released=False)
        rungs.append(
            Rung("one against the rest, in the clear", "one vs rest", standard.apply, one_vs_rest)
        )
    for name, cost, weights in (
        ("same preparation, scikit-learn's optimum", "preparation", course.optimum),
        ("same steps, exact sigmoid", "few steps", course.exact),
        ("clear twin: same steps, polynomial sigmoid", "polynomial", course.twin[-1].weights),
    ):
        model = linear_head(weights, released=False)
        rungs.append(Rung(name, cost, preparation.apply, model))
    return tuple(rungs)


def linear_head(weights: Float64Array, *, released: bool) -> LinearModel:
    """Return a head with one score per class; one that is released is rounded first."""
    from he_compare.common.backbones.head import LinearModel
    from he_compare.fhe_baseline.ckks.training.client import rounded

    table = rounded(weights) if released else weights
    if len(table) == 1:
        table = np.vstack([-table, table]) / 2
    return LinearModel(table[:, :-1], table[:, -1])
