"""The client's way from features to a task: coordinates, penalties, components and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from he_compare.common.errors import UsageError
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.ckks.training.choosing import (
    COMPONENT_RULE,
    STEP_RULE,
    TOO_FEW,
    USUAL_COMPONENTS,
    PreparedTask,
    Task,
    choose_plan,
    choose_steps,
    enough_to_choose,
    options,
    prepared_scores,
    ranking,
)
from he_compare.fhe_baseline.ckks.training.clear_references import run_twin
from he_compare.fhe_baseline.ckks.training.problem import Problem, encode_labels, make_problem
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import Step, nesterov_steps, plain_steps
from he_compare.fhe_baseline.preparation import (
    Preparation,
    fit_preconditioning,
    fit_standardisation,
    fit_whitening,
)

Coordinates = Literal["preconditioned", "whitened", "standardised"]
USUAL_INTERVAL = 12.0


@dataclass(frozen=True)
class LabelledFeatures:
    """Features (n, width) of images and their labels 0 .. classes - 1."""

    features: Float32Array
    labels: IntArray


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``components``, ``interval``: 0 to choose. ``momentum``: None to choose
    the steps, else whether equal steps have Nesterov's."""

    coordinates: Coordinates
    components: int
    steps: int
    degree: int
    interval: float
    inverse_l2: float
    balanced: bool
    batches: int
    momentum: bool | None
    seed: int


@dataclass(frozen=True)
class Prepared:
    """The plan that will be encrypted, the record of the choice, and warnings."""

    plan: PreparedTask
    choice: dict[str, Any]
    warnings: list[str]


def prepare(
    train: LabelledFeatures,
    validation: LabelledFeatures,
    classes: int,
    wish: Wish,
    step_options: Sequence[int] = (),
) -> Prepared:
    """Choose what is to be chosen and return the task.

    ``step_options``: numbers of steps to choose from in place of the wish's. Raises DataError,
    UsageError.
    """
    asked = wish.components
    standardised = wish.coordinates == "standardised"
    several = len(step_options) > 1
    if (asked or standardised) and not several:
        chosen = _plan(train, classes, wish, asked)
        return Prepared(chosen, _choice([chosen], chosen, by_validation=False), [])
    if not enough_to_choose(validation.labels, classes):
        chosen = _plan(train, classes, wish, asked or USUAL_COMPONENTS)
        kept = f"{chosen.preparation.width} components and {len(chosen.steps)} steps are used"
        told = [f"{TOO_FEW}, {kept}"]
        return Prepared(chosen, _choice([chosen], chosen, by_validation=False), told)
    width = train.features.shape[1]
    plans = [
        _plan(train, classes, replace(wish, steps=steps), components)
        for steps in step_options or (wish.steps,)
        for components in ([asked] if asked or standardised else options(width))
    ]
    scores = [_validation_auc(plan, validation, wish.batches) for plan in plans]
    if not np.isfinite(scores).any():
        raise UsageError(
            "the training diverges in the clear: logits leave the polynomial's interval until "
            "nothing is a number",
            fix="take schedule=chosen, a wider interval or fewer steps",
        )
    plans = [
        replace(plan, entry=_with_score(plan.entry, score))
        for plan, score in zip(plans, scores, strict=True)
    ]
    chosen = choose_plan(plans, scores)
    return Prepared(chosen, _choice(plans, chosen, by_validation=True), [])


def _plan(train: LabelledFeatures, classes: int, wish: Wish, components: int) -> PreparedTask:
    preparation, problem = make_task(train, classes, wish, components)
    if wish.batches > 1:
        problem = problem.shuffled(wish.seed)
    steps, entry = _steps(problem, wish)
    kept = {"components": preparation.width, "steps": len(steps)}
    return PreparedTask(preparation, problem, steps, kept | entry)


def make_task(
    train: LabelledFeatures, classes: int, wish: Wish, components: int
) -> tuple[Preparation, Problem]:
    """Return coordinates and task of the training features, restricted to so many components."""
    features, penalties = train.features, None
    if wish.coordinates == "standardised":
        preparation = fit_standardisation(features)
    elif wish.coordinates == "whitened":
        preparation = fit_whitening(features, components)
    else:
        _, weights = encode_labels(train.labels, len(features), classes, wish.balanced)
        penalty = 1 / (wish.inverse_l2 * len(features))
        found = fit_preconditioning(features, weights.mean(axis=0), penalty, components)
        preparation, penalties = found.preparation, found.penalties
    problem = make_problem(
        preparation.apply(features),
        train.labels,
        classes,
        wish.inverse_l2,
        wish.balanced,
        penalties,
    )
    return preparation, problem


def _steps(problem: Problem, wish: Wish) -> tuple[tuple[Step, ...], dict[str, Any]]:
    if wish.momentum is None:
        task = Task(wish.steps, wish.degree, wish.interval or None, wish.batches)
        return choose_steps(problem, task)
    make = nesterov_steps if wish.momentum else plain_steps
    sigmoid = fit_sigmoid(wish.degree, wish.interval or USUAL_INTERVAL)
    length = problem.safe_length(wish.batches)
    return make(wish.steps, length, sigmoid), {
        "safe_length": length,
        "interval": sigmoid.interval,
        "length_1": length,
    }


def _validation_auc(plan: PreparedTask, validation: LabelledFeatures, batches: int) -> float:
    """Return the AUC of a plan's clear twin; NaN where that diverges."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights: Float64Array = run_twin(plan.problem, plan.steps, batches)[-1].weights
        scores = prepared_scores(plan.preparation, weights, validation.features)
    if not np.isfinite(scores).all():
        return np.nan
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return ranking(shifted / shifted.sum(axis=1, keepdims=True), validation.labels)


def _told(score: float) -> float | str:
    return round(score, 5) if np.isfinite(score) else "diverged"


def _with_score(entry: dict[str, Any], score: float) -> dict[str, Any]:
    """Return an entry with the score that decides right after what it is the score of."""
    kept = {name: entry[name] for name in ("components", "steps")}
    return kept | {"validation_auc": _told(score)} | entry


def _choice(
    plans: list[PreparedTask], chosen: PreparedTask, *, by_validation: bool
) -> dict[str, Any]:
    searched = "candidates" in chosen.entry
    rules = [COMPONENT_RULE] * by_validation + [STEP_RULE] * searched
    places = ["the validation split"] * by_validation + ["the training rows"] * searched
    return {
        "grid": [plan.entry for plan in plans],
        "chosen": chosen.entry,
        "rule": "; ".join(rules) or "nothing was chosen: everything was named",
        "measured_on": " and ".join(places) + ", in the clear" if places else "",
    }
