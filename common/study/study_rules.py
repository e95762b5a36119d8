"""What holds on all data sets of a study and what does not: rules on intervals, said plainly.

A difference to the twin is held against a margin that the study file named before any result: the
loss that is of no weight. With a 95% interval from low to high and a margin m it is

- *equal within the margin* where -m < low and high < m: the two one-sided tests of equivalence
  (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15:657-680, 1987), each at 2.5%;
- *no loss above the margin* where -m < low only: not inferior, and perhaps better;
- *a loss above the margin* where high < -m;
- *a loss, above the margin or not* where high < 0 else;
- *not settled* otherwise: the interval holds both no loss and one above the margin.

Where no answer differs, the bootstrap's interval is [0, 0] however few images there are. For
accuracy the exact limits for nothing seen stand in its place (``equal_answers``). For AUC there are
no such limits: that scores rank alike on these images says nothing of others by itself. So there
the answer of accuracy is followed: where all answers are equal, no loss of AUC is excluded unless
one of accuracy is.

Against a twin that is not shown to be above chance nothing holds: who has learnt nothing has
nothing to lose. Its interval in that metric must begin above 1/classes for (balanced) accuracy, and
above 0.5 for AUC. A loss that is shown is told all the same.

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
from he_compare.common.run.records import Interval, PairedDifference
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.study.equal_answers import answered_alike, exact_limits, is_degenerate
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
    UNLEARNT = "the twin is not shown to be above chance"
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


def limits_of(view: RunView, pipeline: PipelineView, kind: str) -> Interval | None:
    """Return the limits of a difference to the twin: the stored interval, or the exact limits.

    None where there is no interval, and for an AUC that is equal on these images: no limits of that
    are known.
    """
    found = twin_difference(view, pipeline, kind)
    if found is None or not is_degenerate(found):
        return found.interval if found is not None else None
    return None if kind == AUC else exact_limits(view, found.metric)


def twin_state(
    view: RunView, pipeline: PipelineView, kind: str, margins: Mapping[str, float]
) -> DifferenceState:
    """Say what the difference of a pipeline to its twin shows in one kind, by all rules above."""
    found = twin_difference(view, pipeline, kind)
    if is_degenerate(found) and found is not None and kind == ACCURACY:
        found = found.model_copy(update={"interval": limits_of(view, pipeline, kind)})
    state = difference_state(found, margins[kind])
    if state in (*SHOWN_LOSS, DifferenceState.MISSING):
        return state
    if twin_at_chance(view, pipeline, kind):
        return DifferenceState.UNLEARNT
    follows = is_degenerate(found) or answered_alike(pipeline)
    if kind == AUC and state in NO_HARM and follows:
        of_answers = twin_state(view, pipeline, ACCURACY, margins)
        return state if of_answers in NO_HARM else DifferenceState.OPEN
    return state


def chance_of(view: RunView, kind: str) -> float:
    """Return what guessing reaches in a leading metric: 1/classes, or 0.5 of AUC."""
    return 0.5 if kind == AUC else 1 / max(1, len(view.manifest.dataset.card.classes))


def twin_at_chance(view: RunView, pipeline: PipelineView, kind: str) -> bool:
    """Say whether a twin was scored and its interval in a leading metric holds chance."""
    twin = view.twin_of(pipeline)
    leading, ranking = leading_metrics(view)
    metric = twin.metric(ranking if kind == AUC else leading) if twin is not None else None
    if metric is None or metric.interval is None:
        return False
    return metric.interval.low <= chance_of(view, kind)


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
    set without a run is not among them: nothing is claimed of it. ``without``: the names of those
    that ask for it and have no run.
    """

    label: str
    differences: Mapping[str, Mapping[str, DifferenceState]]
    attacks: Mapping[str, AttackState]
    without: tuple[str, ...] = ()

    def states(self, kind: str) -> dict[str, DifferenceState]:
        """Return what is known of a kind by name of the data set."""
        return {name: found[kind] for name, found in self.differences.items()}

    def holds(self, kind: str) -> bool:
        """Say whether no loss above the margin is left open on any data set that asks for it.

        A data set without a result leaves it open.
        """
        return not self.without and self.holds_where_run(kind)

    def holds_where_run(self, kind: str) -> bool:
        """Say whether it holds on every data set that has a result."""
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
        differences[one.row.name] = {
            kind: twin_state(view, pipeline, kind, margins) if pipeline else DifferenceState.MISSING
            for kind in DIFFERENCE_KINDS
        }
        attacks[one.row.name] = (
            attack_state(secrecy_of(view, pipeline)) if pipeline else AttackState.NOT_TESTED
        )
    without = tuple(
        one.row.name for one in study.sets if one.view is None and label in one.row.pipelines
    )
    return AcrossSets(label, differences, attacks, without)


def is_protection(study: StudyView, label: str) -> bool:
    """Say whether a pipeline claims to hide something from a server, or should have a twin."""
    found = study.first(label)
    if found is None:
        return False
    pipeline = found[1]
    protects = pipeline.protected or bool(pipeline.planned.twin_wanted)
    return protects and not is_control_pipeline(pipeline)
