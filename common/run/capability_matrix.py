"""Outcomes of attacks laid out as a matrix: rows by knowledge, columns by target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import LADDER, gravest
from he_compare.common.types import Knowledge


@dataclass(frozen=True)
class MatrixRow:
    """One attack, on its rung of the capability ladder: the most that it takes on any target.

    ``name``: of the row; an attack has one for each set of public images it was given.
    """

    rung: Knowledge
    attack: str
    title: str
    name: str


@dataclass(frozen=True)
class CapabilityMatrix:
    """Targets, attacks from the weakest adversary to the strongest, and an outcome per cell.

    ``targets``: labels, controls last. ``cells``: by (row, target); the latest outcome counts.
    """

    targets: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    cells: Mapping[tuple[str, str], AttackOutcome]

    def cell(self, row: MatrixRow, target: str) -> AttackOutcome | None:
        """Return what an attack achieved against a target; None where it was not tried."""
        return self.cells.get((row.name, target))

    def rungs(self) -> Iterator[tuple[Knowledge, list[MatrixRow]]]:
        """Yield the rungs of the ladder with their rows."""
        for rung, rows in groupby(self.rows, key=lambda row: row.rung):
            yield rung, list(rows)

    def worst(self, target: str) -> AttackOutcome | None:
        """Return the outcome that is worst for a target's owner; None where no promise was tried.

        Of equal verdicts the one that takes the least knowledge counts.
        """
        return gravest(outcome for (_, of), outcome in self.cells.items() if of == target)


def matrix_of(outcomes: Sequence[AttackOutcome], first: Sequence[str] = ()) -> CapabilityMatrix:
    """Lay out outcomes; targets named in ``first`` lead in that order, controls come last."""
    control = {outcome.target: outcome.target_kind == "control" for outcome in outcomes}
    place = {target: number for number, target in enumerate(first)}
    targets = sorted(control, key=lambda one: (control[one], place.get(one, len(place))))
    rungs: dict[str, Knowledge] = {}
    for outcome in outcomes:
        known = (outcome.rung, rungs.get(outcome.row, outcome.rung))
        rungs[outcome.row] = max(known, key=LADDER.index)
    rows = {
        outcome.row: MatrixRow(
            rungs[outcome.row], outcome.attack, outcome.title or outcome.attack, outcome.row
        )
        for outcome in outcomes
    }
    return CapabilityMatrix(
        tuple(targets),
        tuple(sorted(rows.values(), key=lambda row: (LADDER.index(row.rung), row.title))),
        {(outcome.row, outcome.target): outcome for outcome in outcomes},
    )


def controls_failed(outcomes: Sequence[AttackOutcome]) -> list[AttackOutcome]:
    """Return the outcomes that a control makes unreliable.

    Not those of an attack whose controls are right with other public images: it works, these images
    do not serve it here, and its row says so.
    """
    right = {(o.attack, o.target) for o in outcomes if o.metric and not o.controls_failed}
    return [
        outcome
        for outcome in outcomes
        if outcome.controls_failed
        and not (outcome.reference and (outcome.attack, outcome.target) in right)
    ]
