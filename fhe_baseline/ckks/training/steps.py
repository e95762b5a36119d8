"""The steps of a training and their division into stretches between two visits to the client.

A step from zero weights needs no forward pass, and takes one level. Every other one takes
``depth_of`` levels: forward, weighting beside squaring, polynomial, backward. Momentum takes none:
the weights of the step before are still under enough primes to be multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.ckks.training.sigmoid import SigmoidPolynomial

# As many as a pipeline asks for; what a server computes first grows with their number.
MAX_STEPS = 200


@dataclass(frozen=True)
class Step:
    """W' = V - length * gradient(V), then V' = W' + momentum * (W' - W).

    ``sigmoid``: the polynomial that stands for the logistic function in this step's gradient.
    """

    length: float
    momentum: float
    sigmoid: SigmoidPolynomial


@dataclass(frozen=True)
class Stretch:
    """Steps that the server runs without the client: ``count`` of them after the ``first``.

    ``first``: how many steps came before. The stretch that begins with the training begins from
    zero weights.
    """

    first: int
    count: int

    @property
    def from_zero(self) -> bool:
        """Whether it begins with zero weights, which nobody has to send."""
        return self.first == 0

    @property
    def end(self) -> int:
        """How many steps are done after it."""
        return self.first + self.count

    def levels(self, degree: int) -> int:
        """Return the levels it takes with a sigmoid of that degree."""
        return self.count * depth_of(degree) - (depth_of(degree) - 1 if self.from_zero else 0)


def depth_of(degree: int) -> int:
    """Return the levels of a step with a sigmoid of that degree, unless it begins from zero."""
    return 4 if degree == 3 else 5


def steps_from_zero(levels: int, degree: int) -> int:
    """Return how many steps from zero weights so many levels hold."""
    return 1 + (levels - 1) // depth_of(degree) if levels >= 1 else 0


def refreshes_needed(count: int, levels: int, degree: int) -> int | None:
    """Return the fewest refreshes for so many steps; None where no later step fits at all."""
    first, later = steps_from_zero(levels, degree), levels // depth_of(degree)
    if first >= count:
        return 0
    if not later:
        return None
    return math.ceil((count - first) / later)


def divide(count: int, refreshes: int, levels: int, degree: int) -> tuple[Stretch, ...]:
    """Divide steps evenly into stretches with so many refreshes between them.

    Raises UsageError where they do not fit.
    """
    if not 1 <= count <= MAX_STEPS:
        raise UsageError(f"{count} steps are out of range: 1 to {MAX_STEPS}")
    if not 0 <= refreshes < count:
        raise UsageError(
            f"{refreshes} refresh rounds cannot stand between {count} steps",
            fix=f"use at most {count - 1}",
        )
    room = [steps_from_zero(levels, degree)] + [levels // depth_of(degree)] * refreshes
    if sum(room) < count or not all(room):
        raise UsageError(
            f"{levels} levels hold {room[0]} step{'s' * (room[0] != 1)} from zero weights"
            + (f" and {room[1]} between two refreshes" if refreshes else "")
            + f"; {count} steps with {refreshes} refresh rounds do not fit"
        )
    counts = [0] * len(room)
    for _ in range(count):
        free = [place for place in range(len(room)) if counts[place] < room[place]]
        counts[min(free, key=lambda place: counts[place])] += 1
    stretches, done = [], 0
    for number in counts:
        stretches.append(Stretch(done, number))
        done += number
    return tuple(stretches)


def plain_steps(count: int, length: float, sigmoid: SigmoidPolynomial) -> tuple[Step, ...]:
    """Return plain gradient descent: equal steps without momentum."""
    return (Step(length, 0.0, sigmoid),) * count


def nesterov_steps(count: int, length: float, sigmoid: SigmoidPolynomial) -> tuple[Step, ...]:
    """Return Nesterov's accelerated gradient: equal steps whose momentum grows."""
    steps, now = [], 1.0
    for _ in range(count):
        following = (1 + math.sqrt(1 + 4 * now * now)) / 2
        steps.append(Step(length, round((now - 1) / following, 4), sigmoid))
        now = following
    return tuple(steps)


def longest(steps: Sequence[Step]) -> float:
    """Return the longest step's length."""
    return max(step.length for step in steps)
