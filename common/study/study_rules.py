"""What holds on all data sets of a study and what does not: rules on intervals, said plainly.

A difference to the twin is held against a margin that the study file named before any result: the
loss that is of no weight. With a 95% interval from low to high and a margin m it is

- *equal within the margin* where -m < low and high < m: the two one-sided tests of equivalence
  (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15:657-680, 1987), each at 2.5%;
- *no loss above the margin* where -m < low only: not inferior, and perhaps better;
- *a loss above the margin* where high < -m;
- *a loss, above the margin or not* where high < 0 else;
- *not settled* otherwise: the interval holds both no loss and one above the margin.

A claim on all data sets holds where it holds on each of them (an intersection-union test: it needs
no correction for their number; Berger, Technometrics 24:295-300, 1982). What is claimed of some
data sets only has no such guard, and is said of those by name.

What attackers got is told in words that are never merged: that nothing applies, that nothing here
reads such messages, that what ran was resisted, and that it was never promised are four different
things, and only one of them is evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.protection import (
    ProtectionStanding,
    is_control_pipeline,
    secrecy_of,
)
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.study.study_view import StudyView

ACCURACY, AUC = "accuracy", "auc"
DIFFERENCE_KINDS = (ACCURACY, AUC)


class DifferenceState(StrEnum):
    """What an interval of a difference to the twin says, held against a margin."""

    EQUAL = "equal within the margin"
    NO_LOSS = "no loss above the margin"
    LOSS = "a loss above the margin"
    SOME_LOSS = "a loss, above the margin or not"
    OPEN = "not settled"
    MISSING = "no result"


NO_HARM = (DifferenceState.EQUAL, DifferenceState.NO_LOSS)
SHOWN_LOSS = (DifferenceState.LOSS, DifferenceState.SOME_LOSS)


class AttackState(StrEnum):
    """What attacks showed of the secrecy of images; evidence is the first, second and fifth."""

    BROKEN = "broken"
    PARTLY = "partly broken"
    NOT_PROMISED = "not promised"
    OPEN = "open by design"
    RESISTS = "resists what ran"
    UNREAD = "nothing here reads this"
    NOT_APPLICABLE = "not applicable"
    INCONCLUSIVE = "tested, inconclusive"
    NOT_TESTED = "not tested"


_OF_MARKS = {
    "broken": AttackState.BROKEN,
    "partly": AttackState.PARTLY,
    "not protected": AttackState.BROKEN,
    "not promised": AttackState.NOT_PROMISED,
    "open by design": AttackState.OPEN,
    "held": AttackState.RESISTS,
    "no server": AttackState.NOT_APPLICABLE,
    "does not apply": AttackState.NOT_APPLICABLE,
    "control": AttackState.NOT_APPLICABLE,
}


def twin_difference(view: RunView, pipeline: PipelineView, kind: str) -> PairedDifference | None:
    """Return the difference to the twin in a leading metric. ``kind``: accuracy or auc."""
    leading, ranking = leading_metrics(view)
    return pipeline.difference(ranking if kind == AUC else leading)


def difference_state(found: PairedDifference | None, margin: float) -> DifferenceState:
    """Say what a difference shows against a margin, a loss that is of no weight."""
    if found is None or found.difference is None:
        return DifferenceState.MISSING
    if found.interval is None:
        return DifferenceState.OPEN
    low, high = found.interval.low, found.interval.high
    if high < -margin:
        return DifferenceState.LOSS
    if low > -margin:
        return DifferenceState.EQUAL if high < margin else DifferenceState.NO_LOSS
    return DifferenceState.SOME_LOSS if high < 0 else DifferenceState.OPEN


def attack_state(standing: ProtectionStanding) -> AttackState:
    """Say what attacks showed, from the one answer on secrecy that the whole house gives."""
    if standing.mark in _OF_MARKS:
        return _OF_MARKS[standing.mark]
    verdicts = {one.verdict for one in standing.outcomes}
    if verdicts == {"not applicable"}:
        return AttackState.NOT_APPLICABLE
    if verdicts == {"unreadable"}:
        return AttackState.UNREAD
    return AttackState.INCONCLUSIVE if verdicts == {"unreliable"} else AttackState.NOT_TESTED


@dataclass(frozen=True)
class AcrossSets:
    """One protection over the data sets that ask for it and have a run, in the order of the study.

    ``differences``: by name of the data set, by kind. ``attacks``: by name of the data set. A data
    set without a run is not among them: nothing is claimed of it.
    """

    label: str
    differences: Mapping[str, Mapping[str, DifferenceState]]
    attacks: Mapping[str, AttackState]

    def states(self, kind: str) -> dict[str, DifferenceState]:
        """Return what is known of a kind by name of the data set."""
        return {name: found[kind] for name, found in self.differences.items()}

    def holds(self, kind: str) -> bool:
        """Say whether no loss above the margin is left open on any data set that asks for it."""
        states = self.states(kind).values()
        return bool(states) and all(one in NO_HARM for one in states)

    def everywhere(self, *wanted: AttackState) -> bool:
        """Say whether attacks showed one of some states on every data set."""
        return bool(self.attacks) and set(self.attacks.values()) <= set(wanted)


def across_sets(study: StudyView, label: str) -> AcrossSets:
    """Hold one pipeline against the margins on every data set that asks for it and has a run."""
    margins = study.record.margins
    differences: dict[str, dict[str, DifferenceState]] = {}
    attacks: dict[str, AttackState] = {}
    for one, view in study.read:
        if label not in one.row.pipelines:
            continue
        pipeline = one.pipeline(label)
        found = {
            kind: twin_difference(view, pipeline, kind) if pipeline else None
            for kind in DIFFERENCE_KINDS
        }
        differences[one.row.name] = {
            kind: difference_state(found[kind], margins[kind]) for kind in DIFFERENCE_KINDS
        }
        attacks[one.row.name] = (
            attack_state(secrecy_of(view, pipeline)) if pipeline else AttackState.NOT_TESTED
        )
    return AcrossSets(label, differences, attacks)


def is_protection(study: StudyView, label: str) -> bool:
    """Say whether a pipeline claims to hide something from a server, or should have a twin."""
    found = study.first(label)
    if found is None:
        return False
    pipeline = found[1]
    protects = pipeline.protected or bool(pipeline.planned.twin_wanted)
    return protects and not is_control_pipeline(pipeline)
