"""Trainings under encryption as figures and tables read them, from what the record says.

Facts that a record does not have, or has in another shape, are none: older records say less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from he_compare.common.run.logistic_polynomial import LogisticPolynomial, polynomial_of
from he_compare.common.run.records import RunRecord
from he_compare.common.run.view import PipelineView, RunView

NEEDED = ("iteration", "loss", "loss_of_twin", "relative_difference_to_twin", "seconds")
# Far beyond every modulus: nothing that anybody published.
MOST_LEVELS = 1000
# How a record spells what JSON has no number for: a training that diverged leaves them.
NO_NUMBERS = ("Infinity", "-Infinity", "NaN")


@dataclass(frozen=True)
class StretchFacts:
    """Steps between two visits to the client: where they ended, and their seconds.

    ``outside``, ``largest_logit``: logits of the clear twin on the way. A training from one upload
    is a single stretch.
    """

    iteration: int
    loss: float
    twin_loss: float
    difference: float
    outside: int
    largest_logit: float | None
    seconds: float


@dataclass(frozen=True)
class StepFacts:
    """One step of the clear twin, which is that of the circuit.

    ``interval``: half the width of the polynomial's interval; None for a step from zero weights,
    which needs no polynomial.
    """

    number: int
    twin_loss: float
    interval: float | None
    outside: int
    largest_logit: float | None


@dataclass(frozen=True)
class DesignPoint:
    """A parameter set for this training's task and number of steps: computed, not measured."""

    name: str
    ring: int
    log2_q: float
    levels: int
    steps: int
    refreshes: int | None
    keys_bytes: float | None
    data_bytes: float | None
    server_bytes: float | None
    key_switches: float | None
    chosen: bool


@dataclass(frozen=True)
class Choice:
    """What was chosen in the clear before anything was encrypted, and by which rule."""

    grid: tuple[dict[str, Any], ...]
    chosen: dict[str, Any]
    rule: str
    measured_on: str


@dataclass(frozen=True)
class EncryptedTraining:
    """One training: its stretches, where it began and where scikit-learn ends."""

    pipeline: PipelineView
    stretches: tuple[StretchFacts, ...]
    facts: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Wall clock after the upload, refreshes included."""
        return sum(one.seconds for one in self.stretches)

    @property
    def steps_done(self) -> int:
        """How many steps were done."""
        return self.stretches[-1].iteration

    @property
    def refresh_rounds(self) -> int:
        """How often the client refreshed the weights between steps; 0: one upload."""
        told = _count(self.facts, "refresh_rounds")
        return len(self.stretches) - 1 if told is None else told

    @property
    def outside(self) -> int:
        """Logits that left the polynomial's interval, over all steps."""
        return sum(one.outside for one in self.stretches)

    @property
    def steps(self) -> tuple[StepFacts, ...]:
        """The twin step by step; empty where the record does not have it."""
        found = (_step(one) for one in _dicts(self.facts.get("steps")))
        return tuple(one for one in found if one is not None)

    @property
    def losses(self) -> list[float]:
        """Loss of the twin from zero weights on, step by step where that was recorded."""
        seen = [one.twin_loss for one in self.steps or self.stretches]
        return seen if self.start is None else [self.start, *seen]

    @property
    def polynomial(self) -> LogisticPolynomial | None:
        """The polynomial of the last step; None where its coefficients are not recorded."""
        return polynomial_of(self.facts.get("sigmoid"))

    @property
    def largest_logit(self) -> float | None:
        """Largest absolute logit that the twin met; None where it was not recorded."""
        met = [one.largest_logit for one in self.steps or self.stretches]
        known = [one for one in met if one is not None and math.isfinite(one)]
        return max(known, default=None)

    @property
    def levels(self) -> tuple[int, int] | None:
        """Levels of the first step and of each later one."""
        first, later = (
            _count(self.facts.get("levels"), name) for name in ("first_step", "later_step")
        )
        return (first, later) if first is not None and later else None

    @property
    def design_space(self) -> tuple[DesignPoint, ...]:
        """Every published parameter set for this task; empty where the record has none."""
        found = (_point(one) for one in _dicts(self.facts.get("design_space")))
        return tuple(one for one in found if one is not None)

    @property
    def choice(self) -> Choice | None:
        """What was chosen in the clear; None where nothing was recorded."""
        found = self.facts.get("choice")
        if not isinstance(found, dict) or not isinstance(found.get("chosen"), dict):
            return None
        return Choice(
            grid=_dicts(found.get("grid")),
            chosen=found["chosen"],
            rule=str(found.get("rule", "")),
            measured_on=str(found.get("measured_on", "")),
        )

    @property
    def optimum(self) -> float | None:
        """Loss of scikit-learn's optimum."""
        return self.number("scikit_learn", "loss")

    @property
    def same_calls(self) -> float | None:
        """Share of training rows that scikit-learn's optimum calls the same."""
        return self.number("scikit_learn", "same_decisions_on_training_rows")

    @property
    def start(self) -> float | None:
        """Loss of zero weights."""
        return _number(self.facts, "loss_at_start")

    @property
    def keys_bytes(self) -> float | None:
        """Bytes of the keys; older records have them together with the circuit's."""
        keys = self.number("bytes", "keys")
        return self.number("bytes", "keys_and_circuit") if keys is None else keys

    @property
    def refresh_bytes(self) -> float:
        """Bytes of all refreshes, both ways."""
        ways = ("refresh_upload", "refresh_download")
        return sum(self.number("bytes", way) or 0.0 for way in ways)

    @property
    def parameter_set(self) -> str:
        """Name, ring and modulus of the training's parameters, as far as they are recorded."""
        claims, name = self.pipeline.claims, self.facts.get("parameter_set")
        known = [name] if isinstance(name, str) and name else []
        for facts in claims.lattice if claims else ():
            if facts.task == "training":
                known.append(f"N = {facts.dimension:,}, log2 Q = {facts.log2_q:g}")
                break
        return ": ".join(known) or "parameters not recorded"

    def number(self, group: str, name: str) -> float | None:
        """Return a number of a group of facts, such as bytes, seconds or memory."""
        return _number(self.facts.get(group), name)


def encrypted_trainings(view: RunView) -> list[EncryptedTraining]:
    """Return every training under encryption whose course was recorded."""
    found = (encrypted_training_of(pipeline) for pipeline in view.pipelines)
    return [one for one in found if one is not None]


def encrypted_training_of(pipeline: PipelineView) -> EncryptedTraining | None:
    """Return the training under encryption of one pipeline; None where it has none on record."""
    record = pipeline.measured
    stretches = _stretches(record) if record else ()
    return EncryptedTraining(pipeline, stretches, record.training) if record and stretches else None


def _stretches(record: RunRecord) -> tuple[StretchFacts, ...]:
    """Read the history; empty where it is of another kind (epochs of a network)."""
    history = record.training.get("history")
    found = [_stretch(one) for one in history] if isinstance(history, list) else []
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(found) else ()


def _stretch(one: Any) -> StretchFacts | None:
    iteration = _count(one, "iteration")
    if iteration is None or not all(_number(one, name) is not None for name in NEEDED):
        return None
    return StretchFacts(
        iteration=iteration,
        loss=float(one["loss"]),
        twin_loss=float(one["loss_of_twin"]),
        difference=float(one["relative_difference_to_twin"]),
        outside=_count(one, "logits_outside_interval") or 0,
        largest_logit=_number(one, "largest_logit"),
        seconds=float(one["seconds"]),
    )


def _step(one: dict[str, Any]) -> StepFacts | None:
    number, loss = _count(one, "step"), _number(one, "loss_of_twin")
    if number is None or loss is None:
        return None
    return StepFacts(
        number=number,
        twin_loss=loss,
        interval=_number(one, "interval"),
        outside=_count(one, "logits_outside_interval") or 0,
        largest_logit=_number(one, "largest_logit"),
    )


def _point(one: dict[str, Any]) -> DesignPoint | None:
    ring, levels = _count(one, "ring"), _count(one, "levels")
    steps, modulus = _count(one, "steps_from_one_upload"), _number(one, "log2_q")
    if ring is None or levels is None or steps is None or modulus is None:
        return None
    if max(levels, steps) > MOST_LEVELS:
        return None
    return DesignPoint(
        name=str(one.get("parameter_set", "")),
        ring=ring,
        log2_q=modulus,
        levels=levels,
        steps=steps,
        refreshes=_count(one, "refreshes_for_these_steps"),
        keys_bytes=_number(one, "keys_bytes"),
        data_bytes=_number(one, "data_bytes"),
        server_bytes=_number(one, "server_bytes"),
        key_switches=_number(one, "key_switches"),
        chosen=one.get("chosen") is True,
    )


def _dicts(recorded: Any) -> tuple[dict[str, Any], ...]:
    listed = recorded if isinstance(recorded, list) else []
    return tuple(one for one in listed if isinstance(one, dict))


def _number(recorded: Any, name: str) -> float | None:
    value = recorded.get(name) if isinstance(recorded, dict) else None
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in NO_NUMBERS):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond every float: nothing that was measured
        return None


def _count(recorded: Any, name: str) -> int | None:
    value = _number(recorded, name)
    return int(value) if value is not None and math.isfinite(value) and value >= 0 else None
