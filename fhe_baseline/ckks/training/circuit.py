"""What the server computes: shapes, polynomial, step size and CKKS parameters, as JSON.

Everything here is public: the server gets it with the evaluation keys and learns nothing else in
the clear. Scales, slots and levels follow from it, at the client and at the server alike.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from he_compare.common.backbones.head import MAX_CLASSES, MAX_FEATURES
from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.ckks.context import data_primes, insecure_seal_context, seal_context
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.diagonals import DiagonalLayout, plan_layout
from he_compare.fhe_baseline.ckks.training.scales import (
    MOMENTUM_BITS,
    TrainingScales,
    choose_scales,
    depth_of,
    iterations_per_round,
)
from he_compare.fhe_baseline.ckks.training.sigmoid import DEGREES, SigmoidPolynomial

MAX_ROWS = 1 << 22
MAX_BATCHES = 64
FIELDS = (
    "parameters",
    "rows",
    "columns",
    "classifiers",
    "coefficients",
    "interval",
    "rate",
    "shrink",
    "batches",
    "allow_insecure",
)


def momentum(iterations: int) -> list[float]:
    """Return eta_1 .. eta_iterations, each rounded to MOMENTUM_BITS bits after the point."""
    step = 1.0
    etas = []
    for _ in range(iterations):
        following = (1 + math.sqrt(1 + 4 * step * step)) / 2
        etas.append(round((1 - step) / following * 2**MOMENTUM_BITS) / 2**MOMENTUM_BITS)
        step = following
    return etas


@dataclass(frozen=True)
class Circuit:
    """One training task, without its data.

    ``columns``: features and the constant, which comes last. ``classifiers``: one for two classes,
    else one per class (one against the rest). ``rate``: learning rate. ``shrink``: what a step of
    the L2 penalty leaves of a weight, 1 - rate * penalty; the constant's weight is not penalised.
    ``batches``: the rows are cut into as many stretches, and iterations take them in turn.
    Raises UsageError where the parameters cannot hold the task.
    """

    parameters: CkksParameters
    rows: int
    columns: int
    classifiers: int
    sigmoid: SigmoidPolynomial
    rate: float
    shrink: float
    batches: int = 1
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        pairs = (self.columns + 1) // 2
        if not 2 <= self.columns <= MAX_FEATURES + 1:
            raise UsageError(f"{self.columns - 1} features are out of range: 1 to {MAX_FEATURES}")
        if 1 << (pairs - 1).bit_length() > self.parameters.slot_count:
            raise UsageError(
                f"{self.columns - 1} features and a constant do not fit into "
                f"{self.parameters.slot_count} slots, two in a slot",
                fix="enlarge the ring or whiten to fewer features",
            )
        if not 1 <= self.rows <= MAX_ROWS:
            raise UsageError(f"{self.rows} rows are out of range: 1 to {MAX_ROWS}")
        if not 1 <= self.batches <= min(MAX_BATCHES, self.rows):
            raise UsageError(
                f"{self.batches} batches are out of range: 1 to {min(MAX_BATCHES, self.rows)}"
            )
        if self.classifiers != 1 and not 3 <= self.classifiers <= MAX_CLASSES:
            raise UsageError(f"{self.classifiers} classifiers: 1 for two classes, or 3 to 11")
        if not (0 < self.rate < 1e4 and 0 < self.shrink <= 1):
            raise UsageError(
                f"rate {self.rate} and shrink {self.shrink} give no step downhill",
                fix="regularise less",
            )
        if self.sigmoid.degree not in DEGREES or not self.per_round:
            raise UsageError(
                f"{self.parameters.depth} levels are too few for an iteration with a sigmoid of "
                f"degree {self.sigmoid.degree}, which takes {depth_of(self.sigmoid.degree)}",
                fix="choose parameters with more primes or degree 3",
            )

    @property
    def data_primes(self) -> int:
        """Primes a fresh ciphertext can live under."""
        return len(self.parameters.modulus_bits) - 1

    @property
    def depth(self) -> int:
        """Levels one iteration takes."""
        return depth_of(self.sigmoid.degree)

    @property
    def per_round(self) -> int:
        """Iterations between two refreshes."""
        return iterations_per_round(self.data_primes, self.sigmoid.degree)

    @cached_property
    def layout(self) -> DiagonalLayout:
        """Where the numbers lie."""
        return plan_layout(self.rows, self.columns, self.parameters.slot_count, self.batches)

    @cached_property
    def scales(self) -> TrainingScales:
        """The scales of everything."""
        return choose_scales(self.primes, self.sigmoid, self.layout.batch_rows, self.rate)

    @cached_property
    def primes(self) -> list[int]:
        """The primes ciphertexts live under, the last one left first."""
        return data_primes(self.context)

    @cached_property
    def context(self) -> Any:
        """SEAL's context. Raises UsageError below 128 bits, unless ``allow_insecure``."""
        make = insecure_seal_context if self.allow_insecure else seal_context
        return make(self.parameters)

    def batch_of(self, iteration: int) -> int:
        """Return which batch an iteration takes, counted from 1."""
        return (iteration - 1) % self.batches

    def residual_primes(self, step: int) -> int:
        """Primes left under p of a step, and under its targets."""
        return self.scales.steps[step].primes - self.depth + 1

    def result_primes(self, step: int) -> int:
        """Primes left under the weights a step ends with."""
        return self.scales.steps[step].primes - self.depth

    def server_bytes(self) -> int:
        """Return what the server holds: data and keys, two polynomials of 8-byte residues each."""
        layout, polynomial = self.layout, 8 * self.parameters.degree
        diagonals = layout.groups * layout.period * (self.data_primes + self.residual_primes(0))
        per_row = layout.groups * self.classifiers
        samples = per_row * (self.data_primes - 1 + self.residual_primes(0) * self.per_round)
        keys = (len(layout.rotations()) + 2) * self.data_primes * (self.data_primes + 1)
        return 2 * polynomial * (diagonals + samples + keys)

    def to_json(self) -> str:
        """Return the circuit as JSON."""
        return json.dumps(
            {
                "parameters": self.parameters.to_json(),
                "rows": self.rows,
                "columns": self.columns,
                "classifiers": self.classifiers,
                "coefficients": list(self.sigmoid.coefficients),
                "interval": self.sigmoid.interval,
                "rate": self.rate,
                "shrink": self.shrink,
                "batches": self.batches,
                "allow_insecure": self.allow_insecure,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """Parse what ``to_json`` wrote; ValueError or UsageError on anything else."""
        fields = json.loads(text)
        if not isinstance(fields, dict) or sorted(fields) != sorted(FIELDS):
            raise ValueError("not a training circuit")
        counts = [fields[name] for name in ("rows", "columns", "classifiers", "batches")]
        numbers = [fields[name] for name in ("interval", "rate", "shrink")]
        coefficients = fields["coefficients"]
        if not (isinstance(coefficients, list) and 2 <= len(coefficients) <= 4):
            raise ValueError("a sigmoid needs two to four coefficients")
        if not all(type(count) is int for count in counts):
            raise ValueError("counts must be whole numbers")
        for number in [*numbers, *coefficients]:
            if type(number) not in (int, float) or not math.isfinite(number) or number == 0:
                raise ValueError("coefficients and rates must be finite numbers other than zero")
        if type(fields["allow_insecure"]) is not bool or not isinstance(fields["parameters"], str):
            raise ValueError("not a training circuit")
        return cls(
            parameters=CkksParameters.from_json(fields["parameters"]),
            rows=fields["rows"],
            columns=fields["columns"],
            classifiers=fields["classifiers"],
            sigmoid=SigmoidPolynomial(tuple(map(float, coefficients)), float(fields["interval"])),
            rate=float(fields["rate"]),
            shrink=float(fields["shrink"]),
            batches=fields["batches"],
            allow_insecure=fields["allow_insecure"],
        )
