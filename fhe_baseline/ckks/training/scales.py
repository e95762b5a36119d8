"""Scales of the training circuit: chosen once by client and server alike, exact at every addition.

A ciphertext holds scale times value plus noise of a fixed size (fresh about 2^8, after a rescale or
key switch about 2^11, for N = 8192), so precision is what the scales leave above the noise. All
constants of the step (the polynomial's leading coefficient, learning rate, 1 / rows) are folded
into what a scale is said to be: they cost no level. With V at scale a, features at f forward and h
backward, sample weights at o and the dropped primes q1, q2 ...::

    z = 2 a f / q1    u = z^2 / q2    t = z o / q2    p = t u / (q3 |c3|)
    W = p h rows / (q4 rate)

W gets the largest scale its last prime holds; the rest follows from spreading the precision evenly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.fhe_baseline.ckks.training.sigmoid import SigmoidPolynomial

# Bits after the point of a momentum factor.
MOMENTUM_BITS = 8
# Weights (in units of whitened or standardised features) must stay below this.
WEIGHT_BOUND = 16.0
# Noise of an operation's result over that of fresh encryption, log2: how precision is spread.
RESULT_OVER_FRESH_BITS = 3


@dataclass(frozen=True)
class StepScales:
    """One iteration: ``primes`` under which V comes in, and the scales on the way."""

    primes: int
    weights: float
    logits: float
    square: float
    weighted: float
    raw: float
    residual: float


@dataclass(frozen=True)
class TrainingScales:
    """Scales of what the client encrypts, and of each iteration of a round."""

    forward: float
    sample_weights: float
    backward: float
    result: float
    steps: tuple[StepScales, ...]


def depth_of(degree: int) -> int:
    """Levels one iteration takes: forward, weighting, polynomial, backward."""
    return 4 if degree == 3 else 5


def iterations_per_round(primes: int, degree: int) -> int:
    """Return how many iterations fit between two refreshes; 0 where none does.

    Between two of them the momentum takes a level of its own.
    """
    return primes // (depth_of(degree) + 1)


def choose_scales(
    primes: Sequence[int], sigmoid: SigmoidPolynomial, rows: int, rate: float
) -> TrainingScales:
    """Choose all scales. ``primes``: those of the data, the last one left first."""
    depth = depth_of(sigmoid.degree)
    top = (depth + 1) * iterations_per_round(len(primes), sigmoid.degree)
    result = 2.0 ** (math.floor(math.log2(primes[0] / 2 / WEIGHT_BOUND)) - MOMENTUM_BITS)
    product = result * primes[top - depth] * rate / rows
    spread = 2.0**RESULT_OVER_FRESH_BITS
    backward = math.sqrt(product / spread)
    unit = _raw(1.0, 1.0, primes, top, sigmoid.degree)
    wanted = product / backward * abs(sigmoid.leading) / unit
    logits = (wanted * spread) ** (1 / (sigmoid.degree + 1))
    samples = logits / spread
    forward = logits * primes[top - 1] / (2 * result)
    steps = []
    for position in range(iterations_per_round(len(primes), sigmoid.degree)):
        left = top - position * (depth + 1)
        weights = result
        for _ in range(2):
            step = _step(weights, forward, samples, primes, left, sigmoid)
            ends_at = step.residual * backward / primes[left - depth] * rows / rate
            weights *= (result / ends_at) ** (1 / sigmoid.degree)
        steps.append(_step(weights, forward, samples, primes, left, sigmoid))
    return TrainingScales(forward, samples, backward, result, tuple(steps))


def _step(
    weights: float,
    forward: float,
    samples: float,
    primes: Sequence[int],
    left: int,
    sigmoid: SigmoidPolynomial,
) -> StepScales:
    logits = 2 * weights * forward / primes[left - 1]
    raw = _raw(logits, samples, primes, left, sigmoid.degree)
    return StepScales(
        primes=left,
        weights=weights,
        logits=logits,
        square=logits**2 / primes[left - 2],
        weighted=logits * samples / primes[left - 2],
        raw=raw,
        residual=raw / abs(sigmoid.leading),
    )


def _raw(logits: float, samples: float, primes: Sequence[int], left: int, degree: int) -> float:
    """Return the scale of sample weight times z times the monic polynomial in z^2."""
    square = logits**2 / primes[left - 2]
    weighted = logits * samples / primes[left - 2]
    if degree == 3:
        return weighted * square / primes[left - 3]
    if degree == 5:
        return weighted * square**2 / primes[left - 3] / primes[left - 4]
    return weighted * square**3 / primes[left - 3] ** 2 / primes[left - 4]
