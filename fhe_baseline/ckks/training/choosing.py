"""What the client chooses in the clear before it encrypts, by rules, and never on test images.

The length of the steps and the polynomial's interval: those whose clear twin ends with the lowest
loss on the training rows, the loss being the clear head's own. The components kept: the fewest
whose clear twin ranks the validation images within ``TOLERANCE`` of the best. Both run the training
in the clear, which takes a second: a client that owns all data could keep that head (see the
pipeline ``local``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.ckks.training.clear_references import TwinStep, loss, run_twin
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import Step
from he_compare.fhe_baseline.preparation import Preparation

COMPONENTS = (31, 63, 127, 255)
USUAL_COMPONENTS = 63
# Validation AUC that fewer components may cost.
TOLERANCE = 0.002
LEAST_PER_CLASS = 10
INTERVALS = (6.0, 8.0, 10.0, 12.0, 16.0)
# Step lengths over the safe one: the first, the second, growth from one to the next, the largest.
FIRST, SECOND, GROWTH, LARGEST = (1.0, 2.0), (1.0, 2.0, 3.0, 4.0, 6.0), (1.0, 1.5), 8.0
# Momentum is tried where the steps are enough to profit.
MOMENTA, LEAST_STEPS_FOR_MOMENTUM = (0.0, 0.25, 0.5), 4
COMPONENT_RULE = (
    f"the fewest components whose clear twin has a validation AUC within {TOLERANCE:g} of the best"
)
STEP_RULE = (
    "the step lengths, momentum and interval whose clear twin ends with the lowest loss on the "
    "training rows, the loss being the clear head's own"
)
TOO_FEW = (
    f"the validation split has fewer than {LEAST_PER_CLASS} images of a class: components were not "
    f"chosen on it, {USUAL_COMPONENTS} are kept"
)


@dataclass(frozen=True)
class Plan:
    """A task and its steps, ready to be encrypted, and what they were chosen from.

    ``entry``: numbers for the record: lengths, interval, losses and, where there is one, the
    validation AUC.
    """

    preparation: Preparation
    problem: Problem
    steps: tuple[Step, ...]
    entry: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What steps are chosen for. ``interval``: None to choose it."""

    steps: int
    degree: int
    interval: float | None
    batches: int = 1


def choose_steps(problem: Problem, task: Task) -> tuple[tuple[Step, ...], dict[str, Any]]:
    """Return the steps of the lowest training loss on the grid, and what the record says."""
    safe = problem.safe_length(task.batches)
    best: tuple[float, tuple[Step, ...], list[TwinStep], int] | None = None
    for number, steps in enumerate(_candidates(safe, task)):
        with np.errstate(over="ignore", invalid="ignore"):
            twin = run_twin(problem, steps, task.batches)
            reached = loss(problem, twin[-1].weights)
        if np.isfinite(reached) and (best is None or reached < best[0]):
            best = reached, steps, twin, number
    assert best is not None  # steps of the safe length stay finite
    reached, steps, twin, _ = best
    return steps, {
        "training_loss": round(reached, 6),
        "safe_length": safe,
        "interval": steps[0].sigmoid.interval,
        "momentum": steps[0].momentum,
        "logits_outside_interval": sum(step.outside for step in twin),
        "candidates": sum(1 for _ in _candidates(safe, task)),
    } | {f"length_{number}": step.length for number, step in enumerate(steps, start=1)}


def _candidates(safe: float, task: Task) -> Iterator[tuple[Step, ...]]:
    """Yield every sequence of steps on the grid, those of the safe length first."""
    momenta = MOMENTA if task.steps >= LEAST_STEPS_FOR_MOMENTUM else MOMENTA[:1]
    seconds = SECOND if task.steps > 1 else SECOND[:1]
    growths = GROWTH if task.steps > 2 else GROWTH[:1]
    intervals = INTERVALS if task.interval is None else (task.interval,)
    for first, second, growth, momentum in product(FIRST, seconds, growths, momenta):
        factors = [first, *(second * growth**i for i in range(task.steps - 1))]
        lengths = [float(f"{safe * min(factor, LARGEST):.4g}") for factor in factors]
        for interval in intervals:
            sigmoid = fit_sigmoid(task.degree, interval)
            yield tuple(Step(length, momentum, sigmoid) for length in lengths)


def enough_to_choose(labels: IntArray, classes: int) -> bool:
    """Say whether a validation split can tell numbers of components apart."""
    counts = np.bincount(labels, minlength=classes)
    return bool(counts.min() >= LEAST_PER_CLASS)


def options(width: int) -> list[int]:
    """Return the numbers of components that are tried for features of some width."""
    return sorted({min(count, width) for count in COMPONENTS})


def choose_plan(plans: Sequence[Plan], scores: Sequence[float]) -> Plan:
    """Return the plan of the fewest components whose score is within TOLERANCE of the best.

    ``plans``: by growing number of components; ``scores``: the validation AUC of each.
    """
    enough = max(scores) - TOLERANCE
    return next(plan for plan, score in zip(plans, scores, strict=True) if score >= enough)


def ranking(probabilities: Float64Array, labels: IntArray) -> float:
    """Return the AUC, for more than two classes the mean of one against the rest."""
    from sklearn.metrics import roc_auc_score

    classes = range(probabilities.shape[1])
    positive = [1] if len(classes) == 2 else classes
    areas = [roc_auc_score(labels == label, probabilities[:, label]) for label in positive]
    return float(np.mean(areas))


def prepared_scores(
    preparation: Preparation, weights: Float64Array, features: Float32Array | Float64Array
) -> Float64Array:
    """Return scores (n, classes) of weights (classifiers, columns) on raw features (n, width)."""
    logits = preparation.apply(features) @ weights[:, :-1].T + weights[:, -1]
    return np.hstack([-logits, logits]) / 2 if logits.shape[1] == 1 else logits
