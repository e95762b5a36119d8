"""From the metric, its floor and its ceiling to an advantage and a verdict: pure functions.

advantage = (metric - floor) / (ceiling - floor), cut to [0, 1]. The floor is the best of what is
had without winning anything: the same attack on uniform noise (or an exact chance level), the
ciphertext as it is, the mean public picture. The ceiling is the same attack on unprotected images
(or the best possible). A verdict holds for the budget it was reached with and no further.
ADR 15 has the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.common.attack import AuditStep
from he_compare.common.attack_score import AS_IT_IS, AttackMetric
from he_compare.common.audit_budget import BUDGETS, AttackBudget
from he_compare.common.run.records import Interval, Verdict
from he_compare.common.scheme import OPEN_CONTROL
from he_compare.comparisons.auditing.floors import EXACT_CHANCE, NOISE

# Whole interval above: the attack gets nearly all there is. Whole interval below: next to nothing.
BROKEN_FROM, RESISTS_BELOW = 0.8, 0.1
# Of what lies between the floor and the best that the metric can be (of a picture: the picture
# itself), what an attack must win on unprotected images, to be the scale of a verdict.
LEAST_OF_ROOM = 0.5
CHANCE_ERRORS = 3.0


@dataclass(frozen=True)
class Judgement:
    """Verdict and reason; ``unreliable``: what is against it, ``controls_failed`` by name."""

    verdict: Verdict
    reason: str = ""
    unreliable: tuple[str, ...] = ()
    controls_failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControlProblem:
    """A control, by name, and the sentence that says how its answer is wrong."""

    control: str
    sentence: str


def too_small(step: AuditStep, budget: AttackBudget) -> str:
    """Say why a budget cannot carry an attack's ``least_seconds`` or ``least_images``; or ''.

    It is then not run at all: a pass within a budget in which nothing could be won says nothing.
    """
    wants = []
    if budget.seconds < step.least_seconds:
        wants.append(
            f"it needs {step.least_seconds:g} s per key, the {budget.name} budget has "
            f"{budget.seconds:g}"
        )
    if budget.with_images(step.wants_images).images < step.least_images:
        wants.append(
            f"it needs {step.least_images} ciphertexts per key, the {budget.name} budget has "
            f"{budget.images}"
        )
    if not wants:
        return ""
    enough = large_enough(step, budget)
    advice = f"; run it with --budget {enough}" if enough != budget.name else ""
    return f"the budget is too small: {', and '.join(wants)}{advice}"


def large_enough(step: AuditStep, budget: AttackBudget) -> str:
    """Name the budget that carries an attack: this one, or else the first that does."""
    carry = [
        one.name
        for one in (budget, *BUDGETS.values())
        if one.seconds >= step.least_seconds
        and one.with_images(step.wants_images).images >= step.least_images
    ]
    return carry[0] if carry else budget.name


def advantage(value: float, floor: float, ceiling: float) -> float:
    """Return where ``value`` lies between floor (0) and ceiling (1); 0 where they coincide."""
    if ceiling == floor:
        return 0.0
    return float(np.clip((value - floor) / (ceiling - floor), 0.0, 1.0))


@dataclass(frozen=True)
class AdvantageScale:
    """What an advantage is measured on.

    ``floor_from``: which of the floors it is. ``short``: why the attack cannot be a scale, ''
    where it can; the ceiling is then the best that is possible.
    """

    floor: float
    floor_from: str
    ceiling: float
    short: str = ""


def scale_of(
    metric: AttackMetric, floors: Mapping[str, float], noise: float, identity: float
) -> AdvantageScale:
    """Return the scale of a verdict.

    ``floors``: what is had without attacking, by name; ``noise``, ``identity``: the same attack on
    uniform noise and on unprotected images.

    The floor is the best of all of them; an exact chance level stands in for noise. What the
    ciphertext gives as it is counts as a floor only where it leaves something to win: a cipher that
    gives nearly everything away is broken, whoever looks.
    """
    direction = 1.0 if metric.higher_is_worse else -1.0
    known = dict(floors)
    if EXACT_CHANCE not in known:
        known[NOISE] = noise
    as_it_is = known.pop(AS_IT_IS, None)
    source = max(known, key=lambda name: direction * known[name])
    floor = known[source]
    if as_it_is is not None and direction * (as_it_is - floor) > 0:
        top, _ = _ceiling(metric, floor, identity)
        if advantage(as_it_is, floor, top) < BROKEN_FROM:
            floor, source = as_it_is, AS_IT_IS
    ceiling, enough = _ceiling(metric, floor, identity)
    if enough:
        return AdvantageScale(floor, source, ceiling)
    short = (
        f"the attack reaches {metric.name} {identity:.3g} on unprotected images, where {floor:.3g} "
        f"is had without it ({source}): less than half of what there is to win, so that a failure "
        "says nothing"
    )
    return AdvantageScale(floor, source, ceiling, short)


def _ceiling(metric: AttackMetric, floor: float, identity: float) -> tuple[float, bool]:
    """Return the ceiling above a floor, and whether the attack wins enough to be a scale.

    A metric without a known best or end has no top but what the attack reaches itself.
    """
    top = metric.high if metric.higher_is_worse else metric.low
    if metric.best is not None and not metric.of_pictures:
        return metric.best, True
    best = identity if metric.best is None else metric.best
    if math.isinf(top):
        return best, True
    direction = 1.0 if metric.higher_is_worse else -1.0
    enough = direction * (best - floor) >= LEAST_OF_ROOM * direction * (top - floor) > 0
    return (best if enough else top), enough


def control_problems(
    metric: AttackMetric,
    floor: float,
    ceiling: float,
    controls: Mapping[str, float],
    error: float = 0.0,
    *,
    short: bool = False,
) -> tuple[ControlProblem, ...]:
    """Say which controls misbehave: the attack must win on the identity and nowhere else.

    ``controls``: the metric by name of control; the one on noise is the floor. ``error``: standard
    error of the metric at chance level; what lies within three of it says nothing. ``short``: that
    the attack wins too little on the identity is known and told apart.
    """
    direction = 1.0 if metric.higher_is_worse else -1.0
    if not short and direction * (ceiling - floor) < metric.resolution:
        words = f"does not win on unprotected images ({metric.name} {ceiling:.3g}"
        return (_problem(OPEN_CONTROL, f"{words}, {floor:.3g} without it)"),)
    problems = []
    for name, value in controls.items():
        share = advantage(value, floor, ceiling)
        if name == OPEN_CONTROL and share < BROKEN_FROM and not short:
            words = f"reaches only {share:.2f} of the possible advantage on unprotected images"
            problems.append(_problem(name, words))
        beyond_chance = abs(value - floor) > CHANCE_ERRORS * math.sqrt(2) * error
        if name != OPEN_CONTROL and share > RESISTS_BELOW and beyond_chance:
            words = f"wins where nothing can be won ({metric.name} {value:.3g}"
            problems.append(_problem(name, f"{words}, the floor is {floor:.3g})"))
    return tuple(problems)


def _problem(control: str, words: str) -> ControlProblem:
    return ControlProblem(control, f"control {control}: the attack {words}")


def judge(
    value: float,
    interval: Interval | None,
    problems: Sequence[ControlProblem] = (),
    advice: str = "",
    short: str = "",
) -> Judgement:
    """Turn an advantage and its interval into a verdict.

    An attack that wins where nothing can be won says nothing. One that fails on unprotected
    images, or wins too little there to be a scale (``short``), says nothing by failing; what it won
    was won, and counts. An interval too wide to decide is reported as such, not as a pass;
    ``advice``: what to do then.
    """
    sentences = (*(problem.sentence for problem in problems), *filter(None, (short,)))
    failed = tuple(problem.control for problem in problems)
    low, high = (interval.low, interval.high) if interval else (value, value)
    false_wins = any(problem.control != OPEN_CONTROL for problem in problems)
    if sentences and (false_wins or low <= RESISTS_BELOW):
        return Judgement("unreliable", sentences[0], sentences, failed)
    if low >= BROKEN_FROM:
        return Judgement("broken", "", sentences, failed)
    if low > RESISTS_BELOW:
        return Judgement("partial", "", sentences, failed)
    if high <= RESISTS_BELOW:
        return Judgement("resists within budget")
    between = f"the advantage lies between {low:.2f} and {high:.2f}"
    reason = f"the budget is too small to conclude{advice and f'; {advice}'}"
    return Judgement("unreliable", reason, (f"{between}, so both a break and a pass are possible",))


def larger(budget: AttackBudget) -> str:
    """Say with which budget to run again; '' where there is no larger one."""
    return "run it with --budget full" if budget.name == "quick" else ""
