"""What an interval says against a margin, what holds on all data sets, and how attacks are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.run.protection import ProtectionMark, ProtectionStanding
from he_compare.common.run.records import AttackOutcome, Interval, PairedDifference, Verdict
from he_compare.common.study.study_rules import (
    ACCURACY,
    AUC,
    NO_HARM,
    SHOWN_LOSS,
    AcrossSets,
    AttackState,
    DifferenceState,
    across_sets,
    attack_state,
    difference_state,
    is_protection,
)
from he_compare.common.study.study_view import read_study
from he_compare.common.types import Aim
from tests.support.samplerun.first_pages import BLOCKS, HEAD, LOGISTIC, outcome_on
from tests.support.samplestudy import sample_study

MARGIN = 0.03


def difference(low: float, high: float) -> PairedDifference:
    return PairedDifference(
        metric="accuracy",
        pipeline="a",
        reference="b",
        difference=(low + high) / 2,
        interval=Interval(low=low, high=high, method="invented"),
        p_value=None,
        n=100,
    )


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [
        (-0.02, 0.02, DifferenceState.EQUAL),
        (0.0, 0.0, DifferenceState.EQUAL),
        (-0.029, -0.001, DifferenceState.EQUAL),
        (-0.02, 0.05, DifferenceState.NO_LOSS),
        (0.04, 0.09, DifferenceState.NO_LOSS),
        (-0.30, -0.031, DifferenceState.LOSS),
        (-0.05, -0.01, DifferenceState.SOME_LOSS),
        (-0.05, 0.01, DifferenceState.OPEN),
        (-0.5, 0.5, DifferenceState.OPEN),
        (-0.03, 0.01, DifferenceState.OPEN),
    ],
)
def test_an_interval_is_held_against_the_margin(
    low: float, high: float, state: DifferenceState
) -> None:
    assert difference_state(difference(low, high), MARGIN) is state


@given(st.floats(-1, 1, allow_nan=False), st.floats(0, 1, allow_nan=False), st.floats(0.001, 0.999))
def test_no_interval_is_both_harmless_and_a_loss_above_the_margin(
    low: float, width: float, margin: float
) -> None:
    found = difference(low, low + width)
    state = difference_state(found, margin)
    assert (state in NO_HARM) is (low > -margin)
    assert (state is DifferenceState.LOSS) is (low + width < -margin)
    wider = difference_state(difference(low - 0.1, low + width + 0.1), margin)
    assert not (state is DifferenceState.OPEN and wider in (*NO_HARM, *SHOWN_LOSS))


def test_without_a_result_or_an_interval_nothing_is_claimed() -> None:
    known = difference(0.0, 0.0)
    assert difference_state(None, MARGIN) is DifferenceState.MISSING
    undefined = known.model_copy(update={"difference": None})
    assert difference_state(undefined, MARGIN) is DifferenceState.MISSING
    bare = known.model_copy(update={"interval": None})
    assert difference_state(bare, MARGIN) is DifferenceState.OPEN


def across(*states: DifferenceState) -> AcrossSets:
    differences = {str(n): {ACCURACY: one, AUC: one} for n, one in enumerate(states)}
    return AcrossSets("a", differences, dict.fromkeys(differences, AttackState.RESISTS))


def test_what_holds_on_all_data_sets_holds_on_each() -> None:
    assert across(DifferenceState.EQUAL, DifferenceState.NO_LOSS).holds(ACCURACY)
    for other in set(DifferenceState) - set(NO_HARM):
        assert not across(DifferenceState.EQUAL, other).holds(ACCURACY)
    assert not across().holds(ACCURACY)


def test_one_other_answer_takes_everywhere_away() -> None:
    found = across(DifferenceState.EQUAL, DifferenceState.EQUAL)
    assert found.everywhere(AttackState.RESISTS)
    for state in set(AttackState) - {AttackState.RESISTS}:
        mixed = AcrossSets("a", found.differences, {"0": AttackState.RESISTS, "1": state})
        assert not mixed.everywhere(AttackState.RESISTS)
        assert mixed.everywhere(AttackState.RESISTS, state)


def outcome(verdict: Verdict) -> AttackOutcome:
    return outcome_on("a", "attack", "An attack", verdict, Aim.IMAGE)


@pytest.mark.parametrize(
    ("mark", "verdicts", "state"),
    [
        ("broken", ["broken"], AttackState.BROKEN),
        ("partly", ["partial"], AttackState.PARTLY),
        ("not promised", ["broken"], AttackState.NOT_PROMISED),
        ("held", ["resists within budget"], AttackState.RESISTS),
        ("not tested", ["unreadable"], AttackState.UNREAD),
        ("not tested", ["not applicable"], AttackState.NOT_APPLICABLE),
        ("does not apply", ["not applicable"], AttackState.NOT_APPLICABLE),
        ("not tested", ["unreliable"], AttackState.INCONCLUSIVE),
        ("not tested", ["unreadable", "not run"], AttackState.NOT_TESTED),
        ("not tested", [], AttackState.NOT_TESTED),
    ],
)
def test_four_answers_of_attacks_are_never_merged(
    mark: ProtectionMark, verdicts: list[Verdict], state: AttackState
) -> None:
    standing = ProtectionStanding(mark, "words", tuple(map(outcome, verdicts)))
    assert attack_state(standing) is state


def test_a_study_is_held_together_by_labels(tmp_path: Path) -> None:
    study = read_study(sample_study(tmp_path))
    assert [one.row.name for one, _ in study.read] == ["chest", "mri", "histology"]
    assert {one.why.partition(":")[0] for one in study.sets if one.view is None} == {
        "unavailable",
        "not started",
    }
    found = across_sets(study, BLOCKS.label)
    assert found.attacks["chest"] is AttackState.BROKEN
    assert found.attacks["histology"] is AttackState.RESISTS
    # Nothing is claimed of a data set without a run.
    assert set(found.attacks) == set(found.states(ACCURACY)) == {"chest", "mri", "histology"}
    assert is_protection(study, HEAD.label) and not is_protection(study, LOGISTIC.label)
    assert not is_protection(study, "nobody")


def test_a_damaged_run_is_a_row_with_its_reason(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    (folder.run("chest").path / "manifest.json").write_text("{}")
    study = read_study(folder)
    assert study.sets[0].view is None and "manifest.json" in study.sets[0].why
    assert len(study.read) == 2
