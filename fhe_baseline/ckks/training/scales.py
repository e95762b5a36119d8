"""Scales of the training circuit: chosen once by client and server alike, exact at every addition.

A ciphertext holds scale times value plus noise, so precision is what the scales leave above the
noise. All constants of a step (the polynomial's leading coefficient, the step's length, 1 / rows,
one plus momentum) are folded into what a scale is said to be: they cost no level. With V at scale
a, features at f, sample weights at o and the dropped primes q1, q2 ...::

    z = 2 a f / q1    u = z^2 / q2    t = z o / q2    p = t u / (q3 |c3|)
    W = p f rows / (q4 length)        the next V's a = W / (1 + momentum)

The scale of the last W is the largest that the last prime holds. From there the chain is walked
backwards, which a power of ``degree`` makes stable; f and o are what is left to choose, and the
pair of the smallest predicted error is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.ckks.training.steps import Step, Stretch, depth_of

# Weights (in units of prepared features) must stay below this.
WEIGHT_BOUND = 16.0
# Largest absolute value of a logit that no ciphertext on the way may overflow at.
LOGIT_BOUND = 64.0
# Predicted errors of a weight above this are refused: nobody could tell them from tampering.
LARGEST_PREDICTED_ERROR = 0.05
# log2 of five deviations of a fresh slot's error over sqrt(N), and of a rescale's over N.
FRESH_BITS, RESULT_BITS = 4.0, -2.1
# Bits of the penalties' scale above a prime: their error is not averaged over rows.
PENALTY_BITS = 8
# Deviations that a predicted error stands for.
ERROR_DEVIATIONS = 5.0
# log2 of the scales that are tried: every fourth bit first, then around the best.
COARSE, FINE = range(16, 61, 4), [bits / 2 for bits in range(-6, 7)]


@dataclass(frozen=True)
class StepScales:
    """One step: ``primes`` under which V comes in, ``after`` under which W leaves; the scales.

    A step from zero weights has no V: ``residual`` is the scale of its targets, all scales before
    are 0.
    """

    primes: int
    after: int
    ahead: float
    logits: float
    square: float
    weighted: float
    raw: float
    residual: float
    result: float


@dataclass(frozen=True)
class TrainingScales:
    """Scales of what the client encrypts under ``top`` primes, and of every stretch's steps.

    ``error``: predicted size of the encryption's error in a weight, absolute.
    """

    top: int
    features: float
    sample_weights: float
    targets: float
    penalties: float
    result: float
    stretches: tuple[tuple[StepScales, ...], ...]
    error: float


def choose_scales(
    primes: Sequence[int],
    steps: Sequence[Step],
    stretches: Sequence[Stretch],
    rows: int,
    columns: int,
    ring: int,
) -> TrainingScales:
    """Choose all scales. ``primes``: those of the data, the last one left first; ``rows``: of a
    batch. Raises UsageError where no choice keeps every ciphertext within its modulus, and where
    the smallest error is above LARGEST_PREDICTED_ERROR."""
    frame = _Frame(primes, steps, stretches, rows, columns, ring)
    best = frame.best((f, o) for f in COARSE for o in COARSE)
    if best is not None:
        f, o = math.log2(best.features), math.log2(best.sample_weights)
        best = frame.best((f + df, o + do) for df in FINE for do in FINE) or best
    if best is None or best.error > LARGEST_PREDICTED_ERROR:
        raise UsageError(
            f"primes of {math.log2(primes[-1]):.0f} bits leave no precision for these steps",
            fix="use a parameter set with larger primes, or fewer steps",
        )
    return best


@dataclass(frozen=True)
class _Frame:
    """What the scales are chosen for."""

    primes: Sequence[int]
    steps: Sequence[Step]
    stretches: Sequence[Stretch]
    rows: int
    columns: int
    ring: int

    def best(self, pairs: Iterable[tuple[float, float]]) -> TrainingScales | None:
        """Return the scales of the smallest error; None where every pair overflows."""
        found = (self.scales(2.0**features, 2.0**samples) for features, samples in pairs)
        return min((one for one in found if one), key=lambda one: one.error, default=None)

    def scales(self, features: float, samples: float) -> TrainingScales | None:
        """Return the scales that follow from two of them; None where something overflows."""
        result = 2.0 ** math.floor(math.log2(self.primes[0] / 2 / WEIGHT_BOUND))
        chains, error = [], 0.0
        for stretch in self.stretches:
            chain = self._chain(stretch, features, samples, result)
            chains.append(chain)
            targets = chains[0][0].residual
            steps = self.steps[stretch.first : stretch.end]
            for step, one in zip(steps, chain, strict=True):
                if not self._fits(step, one, features, samples):
                    return None
                error += self._error(step, one, features, samples, targets)
        return TrainingScales(
            top=max(chain[0].primes for chain in chains),
            features=features,
            sample_weights=samples,
            targets=chains[0][0].residual,
            penalties=float(self.primes[-1]) * 2.0**PENALTY_BITS,
            result=result,
            stretches=tuple(chains),
            error=error,
        )

    def _chain(
        self, stretch: Stretch, features: float, samples: float, result: float
    ) -> tuple[StepScales, ...]:
        """Walk a stretch from its end to its beginning."""
        found: list[StepScales] = []
        for number in range(stretch.end - 1, stretch.first - 1, -1):
            step, after = self.steps[number], found[0].primes if found else 1
            if found:
                result = found[0].ahead * (1 + step.momentum)
            if number == 0:
                found.insert(0, self._first(step, after, features, result))
            else:
                found.insert(0, self._later(step, after, features, samples, result))
        return tuple(found)

    def _residual(self, step: Step, after: int, features: float, result: float) -> float:
        return result * self.primes[after] * step.length / (self.rows * features)

    def _first(self, step: Step, after: int, features: float, result: float) -> StepScales:
        residual = self._residual(step, after, features, result)
        return StepScales(after + 1, after, 0, 0, 0, 0, 0, residual, result)

    def _later(
        self, step: Step, after: int, features: float, samples: float, result: float
    ) -> StepScales:
        degree = step.sigmoid.degree
        left = after + depth_of(degree)
        residual = self._residual(step, after, features, result)
        raw = residual * abs(step.sigmoid.leading)
        unit = self._raw(1.0, samples, left, degree)
        logits = (raw / unit) ** (1 / degree)
        return StepScales(
            primes=left,
            after=after,
            ahead=logits * self.primes[left - 1] / (2 * features),
            logits=logits,
            square=logits**2 / self.primes[left - 2],
            weighted=logits * samples / self.primes[left - 2],
            raw=raw,
            residual=residual,
            result=result,
        )

    def _raw(self, logits: float, samples: float, left: int, degree: int) -> float:
        """Return the scale of sample weight times z times the monic polynomial in z^2."""
        primes = self.primes
        square = logits**2 / primes[left - 2]
        weighted = logits * samples / primes[left - 2]
        if degree == 3:
            return weighted * square / primes[left - 3]
        if degree == 5:
            return weighted * square**2 / primes[left - 3] / primes[left - 4]
        return weighted * square**3 / primes[left - 3] ** 2 / primes[left - 4]

    def _fits(self, step: Step, one: StepScales, features: float, samples: float) -> bool:
        """Say whether every ciphertext of a step stays within the modulus that is left."""
        grown = WEIGHT_BOUND * self.rows / step.length
        held = [
            (one.residual * features, grown, one.after + 1),
            (one.residual, 16.0, one.after + 1),
        ]
        if one.ahead:
            z, left = LOGIT_BOUND, one.primes
            held += [
                (one.ahead, 4 * WEIGHT_BOUND, left),
                (one.ahead * features, z, left),
                (one.logits**2, z * z, left - 1),
                (one.logits * samples, 8 * z, left - 1),
                (one.square, z * z, left - 2),
                (one.weighted * one.square, 16 / abs(step.sigmoid.leading), left - 2),
            ]
        for scale, value, primes in held:
            room = sum(math.log2(prime) for prime in self.primes[:primes]) - 1
            if scale < 2.0 or math.log2(scale * value) > room:
                return False
        return True

    def _error(
        self, step: Step, one: StepScales, features: float, samples: float, targets: float
    ) -> float:
        """Return the predicted error that a step adds to a weight, five deviations."""
        fresh = 2.0**FRESH_BITS * math.sqrt(self.ring)
        result = 2.0**RESULT_BITS * self.ring
        per_row = [result / one.residual, fresh / features / 2, fresh / targets]
        if one.ahead:
            z = math.hypot(
                4 * fresh / features,
                math.sqrt(self.columns) * result / one.ahead,
                result / one.logits,
            )
            per_row += [z / 4, result / one.weighted / 4, fresh / samples / 2]
            cubic = abs(step.sigmoid.coefficients[1]) * step.sigmoid.interval
            per_row += [cubic * result / one.square]
        of_rows = step.length * math.hypot(*per_row) / math.sqrt(self.rows)
        return math.hypot(of_rows, result / one.result)
