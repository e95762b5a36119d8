"""What the client chooses in the clear before it encrypts, by rules, and never on test images.

The length of each step, its polynomial's interval and momentum: those whose clear twin ends with
the lowest loss on the training rows, the loss being the clear head's own, while no logit leaves an
interval; on a coarse grid first, then number by number. Number of steps and components: the fewest
whose clear twin ranks the validation images within ``TOLERANCE`` of the best. Both run the training
in the clear, which takes a second: a client that owns all data could keep that head (see the
pipeline ``local``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
# Validation AUC that fewer steps and components may cost.
TOLERANCE = 0.001
LEAST_PER_CLASS = 10
INTERVALS = (6.0, 8.0, 10.0, 12.0, 16.0)
# Step lengths over the safe one: the first, the second, growth from one to the next, the largest.
FIRST, SECOND, GROWTH, LARGEST = (1.0, 2.0), (1.0, 2.0, 3.0, 4.0, 6.0), (1.0, 1.5), 20.0
MOMENTUM_STEP, LARGEST_MOMENTUM = 0.1, 0.9
# Each number in turn is multiplied or divided by this, and by its square root once that helps none.
REFINEMENT, FINEST, MOST_SWEEPS = 1.25, 1.06, 6
COMPONENT_RULE = (
    "the fewest steps, then the fewest components, whose clear twin has a validation AUC within "
    f"{TOLERANCE:g} of the best"
)
STEP_RULE = (
    "the step lengths, momentum and intervals whose clear twin ends with the lowest loss on the "
    "training rows while no logit leaves an interval, the loss being the clear head's own; a grid "
    "first, then number by number"
)
TOO_FEW = (
    f"the validation split has fewer than {LEAST_PER_CLASS} images of a class: nothing was chosen "
    "on it"
)


@dataclass(frozen=True)
class PreparedTask:
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


@dataclass(frozen=True)
class Candidate:
    """Numbers that describe the steps of a training; equal momentum after each."""

    lengths: tuple[float, ...]
    intervals: tuple[float, ...]
    momentum: float = 0.0

    def steps(self, degree: int) -> tuple[Step, ...]:
        """Return the steps."""
        return tuple(
            Step(float(f"{length:.4g}"), self.momentum, fit_sigmoid(degree, interval))
            for length, interval in zip(self.lengths, self.intervals, strict=True)
        )


class StepSearch:
    """Looks for the steps of the lowest training loss of one problem."""

    def __init__(self, problem: Problem, task: Task) -> None:
        self._problem = problem
        self._task = task
        self.safe_length = problem.safe_length(task.batches)
        self.tried = 0

    def run(self) -> tuple[Candidate, list[TwinStep]]:
        """Return the best candidate and its twin."""
        best = min(self._grid(), key=self.judge)
        judged, factor = self.judge(best), REFINEMENT
        for _ in range(MOST_SWEEPS):
            before = judged
            for place in range(self._places):
                for turn in (factor, 1 / factor):
                    other = self._changed(best, place, turn)
                    found = self.judge(other)
                    if found < judged:
                        best, judged = other, found
                        break
            if judged == before:
                factor **= 0.5
                if factor < FINEST:
                    break
        return best, self._twin(best)

    def judge(self, candidate: Candidate) -> tuple[bool, float]:
        """Return whether a logit left an interval, and the loss reached; the smaller the better."""
        self.tried += 1
        with np.errstate(over="ignore", invalid="ignore"):
            twin = self._twin(candidate)
            reached = loss(self._problem, twin[-1].weights)
        finite = bool(np.isfinite(reached))
        outside = any(step.outside for step in twin)
        return outside or not finite, reached if finite else np.inf

    def _twin(self, candidate: Candidate) -> list[TwinStep]:
        return run_twin(self._problem, candidate.steps(self._task.degree), self._task.batches)

    def _grid(self) -> Iterator[Candidate]:
        """Yield coarse candidates, those of the safe length first."""
        count = self._task.steps
        seconds = SECOND if count > 1 else SECOND[:1]
        growths = GROWTH if count > 2 else GROWTH[:1]
        intervals = INTERVALS if self._task.interval is None else (self._task.interval,)
        for first, second, growth in product(FIRST, seconds, growths):
            factors = [first, *(second * growth**i for i in range(count - 1))]
            lengths = tuple(self.safe_length * min(factor, LARGEST) for factor in factors)
            for interval in intervals:
                yield Candidate(lengths, (interval,) * count)

    @property
    def _places(self) -> int:
        """Numbers that can be changed: lengths, momentum, and intervals unless one is given."""
        intervals = self._task.steps - 1 if self._task.interval is None else 0
        return self._task.steps + 1 + intervals

    def _changed(self, candidate: Candidate, place: int, factor: float) -> Candidate:
        count = self._task.steps
        if place < count:
            length = min(candidate.lengths[place] * factor, LARGEST * self.safe_length)
            return replace(candidate, lengths=_with(candidate.lengths, place, length))
        if place == count:
            change = MOMENTUM_STEP if factor > 1 else -MOMENTUM_STEP
            momentum = round(min(max(candidate.momentum + change, 0), LARGEST_MOMENTUM), 4)
            return replace(candidate, momentum=momentum if count > 1 else 0.0)
        interval = candidate.intervals[place - count] * factor
        return replace(candidate, intervals=_with(candidate.intervals, place - count, interval))


def _with(values: tuple[float, ...], place: int, value: float) -> tuple[float, ...]:
    return (*values[:place], value, *values[place + 1 :])


def choose_steps(problem: Problem, task: Task) -> tuple[tuple[Step, ...], dict[str, Any]]:
    """Return the steps of the lowest training loss that was found, and what the record says."""
    search = StepSearch(problem, task)
    best, twin = search.run()
    steps = best.steps(task.degree)
    entry: dict[str, Any] = {
        "training_loss": round(loss(problem, twin[-1].weights), 6),
        "logits_outside_interval": sum(step.outside for step in twin),
        "momentum": best.momentum,
    }
    entry |= {f"length_{number}": step.length for number, step in enumerate(steps, start=1)}
    for number, step in enumerate(steps[1:], start=2):
        entry[f"interval_{number}"] = round(step.sigmoid.interval, 3)
    return steps, entry | {"safe_length": search.safe_length, "candidates": search.tried}


def enough_to_choose(labels: IntArray, classes: int) -> bool:
    """Say whether a validation split can tell numbers of components apart."""
    counts = np.bincount(labels, minlength=classes)
    return bool(counts.min() >= LEAST_PER_CLASS)


def options(width: int) -> list[int]:
    """Return the numbers of components that are tried for features of some width."""
    return sorted({min(count, width) for count in COMPONENTS})


def choose_plan(plans: Sequence[PreparedTask], scores: Sequence[float]) -> PreparedTask:
    """Return the first plan whose score is within TOLERANCE of the best.

    ``plans``: the cheapest first; ``scores``: the validation AUC of each, NaN where there is none.
    """
    enough = float(np.nanmax(scores)) - TOLERANCE
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
