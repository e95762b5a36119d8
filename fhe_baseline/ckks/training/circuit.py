"""What the server computes: shapes, steps and CKKS parameters, as JSON.

Everything here is public: the server gets it before keys and data, and learns nothing else in the
clear. Scales, slots and levels follow from it, at the client and at the server alike.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from he_compare.common.backbones.head import MAX_FEATURES
from he_compare.common.errors import UsageError
from he_compare.common.service.parsing import strict_json
from he_compare.common.types import MAX_CLASSES, Float64Array
from he_compare.fhe_baseline.ckks.context import data_primes, insecure_seal_context, seal_context
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.diagonals import DiagonalLayout, plan_layout
from he_compare.fhe_baseline.ckks.training.scales import (
    ERROR_DEVIATIONS,
    TrainingScales,
    choose_scales,
)
from he_compare.fhe_baseline.ckks.training.sigmoid import DEGREES, SigmoidPolynomial
from he_compare.fhe_baseline.ckks.training.steps import MAX_STEPS, Step, Stretch, divide

MAX_ROWS = 1 << 22
MAX_BATCHES = 64
MAX_DOUBLINGS = 8
COUNTS = ("rows", "columns", "classifiers", "refreshes", "batches", "doublings")
FIELDS = ("parameters", *COUNTS, "steps", "allow_insecure")


@dataclass(frozen=True)
class Circuit:
    """One training task, without its data.

    ``columns``: features and the constant, which comes last. ``classifiers``: one for two classes,
    else one per class (one against the rest). ``refreshes``: how often the client refreshes the
    weights between steps; 0: it sends data once and gets weights once. ``batches``: the rows are
    cut into as many stretches, and steps take them in turn. ``doublings``: folds that one rotation
    key serves. Raises UsageError where the parameters cannot hold the task.
    """

    parameters: CkksParameters
    rows: int
    columns: int
    classifiers: int
    steps: tuple[Step, ...]
    refreshes: int = 0
    batches: int = 1
    doublings: int = 2
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        pairs = (self.columns + 1) // 2
        if not 2 <= self.columns <= MAX_FEATURES + 1:
            raise UsageError(f"{self.columns - 1} features are out of range: 1 to {MAX_FEATURES}")
        if 1 << (pairs - 1).bit_length() > self.parameters.slot_count:
            raise UsageError(
                f"{self.columns - 1} features and a constant do not fit into "
                f"{self.parameters.slot_count} slots, two in a slot",
                fix="enlarge the ring or keep fewer components",
            )
        if not 1 <= self.rows <= MAX_ROWS:
            raise UsageError(f"{self.rows} rows are out of range: 1 to {MAX_ROWS}")
        if not 1 <= self.batches <= min(MAX_BATCHES, self.rows):
            raise UsageError(
                f"{self.batches} batches are out of range: 1 to {min(MAX_BATCHES, self.rows)}"
            )
        if self.classifiers != 1 and not 3 <= self.classifiers <= MAX_CLASSES:
            raise UsageError(
                f"{self.classifiers} classifiers: 1 for two classes, or 3 to {MAX_CLASSES}"
            )
        if not 1 <= self.doublings <= MAX_DOUBLINGS:
            raise UsageError(f"{self.doublings} folds per key are out of range: 1 to 8")
        for step in self.steps:
            if not (0 < step.length < 1e4 and 0 <= step.momentum < 1):
                raise UsageError(
                    f"a step of length {step.length} with momentum {step.momentum} does not go "
                    "downhill",
                    fix="regularise less",
                )
            if step.sigmoid.degree != self.steps[0].sigmoid.degree:
                raise UsageError("all steps must have a sigmoid of the same degree")
        if not self.steps or self.degree not in DEGREES:
            raise UsageError("a training needs steps, with a sigmoid of degree 3, 5 or 7")
        divide(len(self.steps), self.refreshes, self.levels, self.degree)

    @property
    def degree(self) -> int:
        """The degree of the sigmoid polynomials."""
        return self.steps[0].sigmoid.degree

    @property
    def levels(self) -> int:
        """Multiplications with rescaling that the parameters allow."""
        return self.parameters.depth

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """Steps between two visits to the client."""
        return divide(len(self.steps), self.refreshes, self.levels, self.degree)

    @cached_property
    def layout(self) -> DiagonalLayout:
        """Where the numbers lie."""
        slots = self.parameters.slot_count
        return plan_layout(
            self.rows, self.columns, self.classifiers, slots, self.batches, self.doublings
        )

    @property
    def passes(self) -> int:
        """Ciphertexts that hold one V of all classifiers."""
        return -(-self.classifiers // self.layout.lanes)

    def classifiers_of(self, number: int) -> slice:
        """Return which classifiers lie in ciphertext ``number`` of V."""
        lanes = self.layout.lanes
        return slice(number * lanes, min((number + 1) * lanes, self.classifiers))

    @cached_property
    def scales(self) -> TrainingScales:
        """The scales of everything. Raises UsageError where there are none."""
        return choose_scales(
            self.primes,
            self.steps,
            self.stretches,
            self.layout.batch_rows,
            self.columns,
            self.parameters.degree,
        )

    @cached_property
    def primes(self) -> list[int]:
        """The primes ciphertexts live under, the last one left first."""
        return data_primes(self.context)

    @cached_property
    def context(self) -> Any:
        """SEAL's context. Raises UsageError below 128 bits, unless ``allow_insecure``."""
        make = insecure_seal_context if self.allow_insecure else seal_context
        return make(self.parameters)

    def relative_error(self, weights: Float64Array) -> float:
        """Return the predicted distance of encrypted weights to these, over their norm."""
        spread = self.scales.error / ERROR_DEVIATIONS * math.sqrt(weights.size)
        return spread / max(float(np.linalg.norm(weights)), 1e-300)

    def batch_of(self, step: int) -> int:
        """Return which batch a step takes, counted from 0."""
        return step % self.batches

    def needs_weights(self, stretch: Stretch) -> bool:
        """Say whether W has to come with V: momentum within a stretch wants the weights before."""
        inner = self.steps[stretch.first : stretch.end - 1]
        return not stretch.from_zero and any(step.momentum for step in inner[:1])

    def returns_weights_before(self, stretch: Stretch) -> bool:
        """Say whether the W of the step before the last goes back too: the client's momentum."""
        last = stretch.end == len(self.steps)
        return not last and stretch.count > 1 and self.steps[stretch.end - 1].momentum > 0

    def to_json(self) -> str:
        """Return the circuit as JSON."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in COUNTS}
        return json.dumps(
            fields
            | {
                "parameters": self.parameters.to_json(),
                "steps": [
                    [s.length, s.momentum, s.sigmoid.interval, list(s.sigmoid.coefficients)]
                    for s in self.steps
                ],
                "allow_insecure": self.allow_insecure,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """Parse what ``to_json`` wrote; MessageError, ValueError or UsageError on anything else."""
        fields = strict_json(text, "a training circuit")
        if not isinstance(fields, dict) or sorted(fields) != sorted(FIELDS):
            raise ValueError("not a training circuit")
        if not all(type(fields[name]) is int for name in COUNTS):
            raise ValueError("counts must be whole numbers")
        if type(fields["allow_insecure"]) is not bool or not isinstance(fields["parameters"], str):
            raise ValueError("not a training circuit")
        steps = fields["steps"]
        if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
            raise ValueError(f"a training circuit has 1 to {MAX_STEPS} steps")
        return cls(
            parameters=CkksParameters.from_json(fields["parameters"]),
            steps=tuple(_parse_step(step) for step in steps),
            allow_insecure=fields["allow_insecure"],
            **{name: fields[name] for name in COUNTS},
        )


def _parse_step(found: Any) -> Step:
    if not isinstance(found, list) or len(found) != 4 or not isinstance(found[3], list):
        raise ValueError("a step of a training circuit is length, momentum, interval, coefficients")
    length, momentum, interval, coefficients = found
    if not 2 <= len(coefficients) <= 4:
        raise ValueError("a sigmoid needs two to four coefficients")
    for number in (length, momentum, interval, *coefficients):
        if type(number) not in (int, float) or not math.isfinite(number):
            raise ValueError("coefficients and lengths must be finite numbers")
    if interval <= 0 or not all(coefficients):
        raise ValueError("a sigmoid needs an interval and coefficients other than zero")
    polynomial = SigmoidPolynomial(tuple(map(float, coefficients)), float(interval))
    return Step(float(length), float(momentum), polynomial)
