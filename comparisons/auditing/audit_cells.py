"""What an audit is to do, before anything is opened: cells in their order, each with its identity.

A cell is one attack or check on one target, with the public images it is given. Cells that may
share work carry one mark and run in one process, so that nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from he_compare.common.adversary import Need
from he_compare.common.attack import AuditStep
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.identity import key_of, source_digest
from he_compare.common.references.reference import Public
from he_compare.common.run.records import AttackOutcome
from he_compare.common.scheme import CONTROLS
from he_compare.common.sources import sources_of
from he_compare.comparisons.auditing import trial
from he_compare.comparisons.auditing.pool import PlainPool, training_images
from he_compare.comparisons.auditing.targets import Target, control_modules
from he_compare.comparisons.auditing.verdicts import large_enough

# What runs over keys, scores and judges, beside the attack and what it attacks. What chooses cells,
# keeps the folder and reports progress is none of it.
JUDGES = (trial.__name__,)


@dataclass(frozen=True)
class Setup:
    """What all cells of one audit share. ``command``: reproduces it, up to target and attack.

    ``run``: what else of a run can change an outcome (backbone and weights). ``key_seed``: what
    attacked keys are derived from, for debugging; None for keys of the operating system, of which
    scores hang within their intervals and which identify no outcome. ``seconds``: after
    which no other cell is begun. ``pictures``: whether images and reconstructions may be kept.
    ``references``: public images, each a row of its own for an attack that needs some; none: the
    pool's training images, said to be in-domain.
    """

    pool: PlainPool
    budget: AttackBudget
    seed: int
    command: str
    run: Mapping[str, Any] = field(default_factory=dict)
    key_seed: int | None = None
    pictures: bool = True
    control_keys: int = 2
    seconds: float | None = None
    references: tuple[Public, ...] = ()

    def given(self) -> tuple[Public, ...]:
        """Return the public images that attacks are given, those tried first in front."""
        return self.references or (training_images(self.pool),)

    def command_of(self, attack: AuditStep, public: Public | None) -> str:
        """Return the command that repeats an attack under a budget that is large enough for it."""
        enough = large_enough(attack, self.budget)
        command = self.command.replace(f"--budget {self.budget.name}", f"--budget {enough}")
        shown = f" --public {public.argument}" if public else ""
        return f"{command}{shown} --attack {attack.name}"


@dataclass(frozen=True)
class AuditCell:
    """One attack or check on one target. ``place``: in the order of the audit, from 1.

    ``turn``: number of the public images among those given; 0 as well where it needs none.
    """

    place: int
    attack: AuditStep
    target: Target
    turn: int
    public: Public | None
    identity: str

    @property
    def row(self) -> str:
        """Name of its row of the matrix."""
        return row_of(self.attack, self.public)

    @property
    def shares(self) -> tuple[str, str]:
        """Return what cells have in common that belong into one process: they may meet the same
        messages and controls, or what is deployed stays in the process that deployed it."""
        family = self.target.family
        return (self.row, family) if family else ("", self.target.label)


def row_of(attack: AuditStep, public: Public | None) -> str:
    """Name the row of the matrix, as ``AttackOutcome.row`` does."""
    return f"{attack.name}@{public.reference.name}" if public else attack.name


def cells_of(
    setup: Setup, targets: Sequence[Target], attacks: Sequence[AuditStep]
) -> list[AuditCell]:
    """Return all cells in their order: fast attacks first, each on every target."""
    ordered = [
        (attack, turn, public, target)
        for attack, turn, public in _steps(setup, attacks)
        for target in targets
    ]
    return [
        AuditCell(place, attack, target, turn, public, identity_of(setup, attack, target, public))
        for place, (attack, turn, public, target) in enumerate(ordered, start=1)
    ]


def _steps(
    setup: Setup, attacks: Sequence[AuditStep]
) -> list[tuple[AuditStep, int, Public | None]]:
    """Every attack, once for each reference if it needs public images.

    Rows of the first reference come before those of the others, which end where time does.
    """
    references = setup.given()
    steps: list[tuple[AuditStep, int, Public | None]] = []
    for attack in attacks:
        given = references if Need.AUXILIARY in attack.needs else (None,)
        steps += [(attack, turn, public) for turn, public in enumerate(given)]
    return sorted(steps, key=lambda step: (step[1] > 0, step[0].slow))


def identity_of(
    setup: Setup, attack: AuditStep, target: Target, public: Public | None, control: str = ""
) -> str:
    """Return the key of an outcome: everything that can change it.

    A deployment is named by its tape and by the sources of its pipeline. The controls count as
    well: floor and ceiling come from them.
    """
    modules = (*JUDGES, *control_modules(), *target.modules, type(attack).__module__)
    if public is not None:
        modules += (type(public.reference).__module__,)
    return key_of(
        attack=attack.name,
        target=target.label,
        control=control,
        pipeline=target.pipeline,
        parameters=dict(target.parameters),
        shape=list(target.shape),
        tape=target.tape_digest,
        data=setup.pool.fingerprint,
        budget=setup.budget.as_record(),
        control_keys=setup.control_keys,
        seed=setup.seed,
        key_seed=setup.key_seed,
        run=dict(setup.run),
        reference=public.facts().model_dump() if public else None,
        source=source_digest(*sources_of(*modules)),
    )


def control_identities(setup: Setup, cell: AuditCell) -> dict[str, str]:
    """Return the keys of the outcomes of the controls that run beside a cell, by control."""
    attack, target, public = cell.attack, cell.target, cell.public
    return {name: identity_of(setup, attack, target, public, name) for name in CONTROLS}


class ControlsTold:
    """Which cell the outcomes of the controls come from, for every row: the first that has any.

    Controls run beside every target, and are recorded beside the first one in the order of the
    audit. Where a later cell ends before an earlier one, those of the earlier one take over.
    """

    def __init__(self, setup: Setup, cells: Sequence[AuditCell], done: Mapping[str, Any]) -> None:
        """``done``: what the folder holds already, by identity."""
        rows = {one.row for one in done.values() if one.target_kind == "control"}
        self._places: dict[str, int] = {}
        for cell in cells:
            if cell.row not in rows or cell.row in self._places:
                continue
            if all(one in done for one in control_identities(setup, cell).values()):
                self._places[cell.row] = cell.place

    def wanted(self, cell: AuditCell) -> bool:
        """Say whether the controls beside this cell are to be recorded, if it has any."""
        return cell.place <= self._places.get(cell.row, cell.place)

    def note(self, cell: AuditCell, outcomes: Sequence[AttackOutcome]) -> None:
        """Take note of what a cell gave."""
        if any(one.target_kind == "control" for one in outcomes) and self.wanted(cell):
            self._places[cell.row] = cell.place
