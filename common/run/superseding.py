"""Which outcomes of a folder stand: one that came later takes the place of what it makes stale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from he_compare.common.run.records import AttackOutcome

Spot: TypeAlias = tuple[str, str, str, bool]


def standing_outcomes(written: Iterable[AttackOutcome]) -> list[AttackOutcome]:
    """Return the outcomes that stand, in the order of the audit. ``written``: oldest first.

    What was not run is superseded by any later outcome of its attack, public images and target,
    whatever changed in between. A control that was attacked beside a target is superseded by a
    later one of its attack. A result is superseded by nothing else: results under two budgets or
    two versions of the source both stand.
    """
    standing: dict[str, AttackOutcome] = {}
    by_spot: dict[Spot, list[str]] = {}
    for outcome in written:
        here = by_spot.setdefault(_spot(outcome), [])
        for identity in list(here):
            before = standing[identity]
            if before.verdict == "not run" or before.beside:
                here.remove(identity)
                del standing[identity]
        here.append(outcome.identity)
        standing[outcome.identity] = outcome
    return sorted(standing.values(), key=lambda one: one.place)


def _spot(outcome: AttackOutcome) -> Spot:
    return outcome.row, outcome.target, outcome.target_kind, bool(outcome.beside)
