"""Which published parameter set holds a training: asked before anything is encrypted."""

from __future__ import annotations

from he_compare.common.errors import UsageError
from he_compare.common.run.security_tables import STANDARD_2018
from he_compare.fhe_baseline.ckks.parameters import (
    TRAINING_SETS,
    CkksParameters,
    training_set,
    verdict,
)
from he_compare.fhe_baseline.ckks.training.steps import refreshes_needed

AUTO = "auto"


def choose_set(name: str, steps: int, refreshes: int, degree: int) -> CkksParameters:
    """Return the named set, or for ``auto`` the cheapest that holds so many steps.

    Raises UsageError, naming the sets that do, where the steps do not fit.
    """
    return sets_to_try(name, steps, refreshes, degree)[0]


def sets_to_try(name: str, steps: int, refreshes: int, degree: int) -> list[CkksParameters]:
    """Return the named set alone, or for ``auto`` those that hold the steps, the cheapest first.

    A larger ring than the cheapest one's is not worth its cost for precision, and left out.

    Raises UsageError as ``choose_set``.
    """
    if refreshes >= steps:
        raise UsageError(
            f"{refreshes} refresh rounds cannot stand between {steps} steps",
            fix=f"use at most {steps - 1}, or take more steps",
        )
    holding = [one for one in secure_sets() if holds(training_set(one), steps, refreshes, degree)]
    if name != AUTO and holds(training_set(name), steps, refreshes, degree):
        return [training_set(name)]
    if name == AUTO and holding:
        found = [training_set(one) for one in holding]
        return [one for one in found if one.degree == found[0].degree]
    asked = f"{steps} steps with {refreshes} refresh rounds and a sigmoid of degree {degree}"
    if name != AUTO:
        needed = refreshes_needed(steps, training_set(name).depth, degree)
        more = f", or {needed} refresh rounds" if needed is not None and needed < steps else ""
        raise UsageError(
            f"{name} has {training_set(name).depth} levels, too few for {asked}",
            fix=f"use {' or '.join(holding)}{more}" if holding else _fewer(steps, degree),
        )
    raise UsageError(f"no parameter set holds {asked}", fix=_fewer(steps, degree))


def holds(parameters: CkksParameters, steps: int, refreshes: int, degree: int) -> bool:
    """Say whether the levels of a set hold so many steps with so many refreshes."""
    needed = refreshes_needed(steps, parameters.depth, degree)
    return needed is not None and needed <= refreshes < steps


def secure_sets() -> list[str]:
    """Return the names of the sets of at least 128 bits, the cheapest first."""
    return [
        name
        for name, parameters in TRAINING_SETS.items()
        if verdict(parameters)[STANDARD_2018].level is not None
    ]


def _fewer(steps: int, degree: int) -> str:
    needed = [
        (refreshes_needed(steps, training_set(name).depth, degree), name) for name in secure_sets()
    ]
    possible = [(count, name) for count, name in needed if count is not None and count < steps]
    if not possible:
        return "take fewer steps"
    count, name = min(possible, key=lambda one: one[0])  # of several the one that is preferred
    return f"take fewer steps, or {count} refresh round{'s' * (count != 1)} with {name}"
