"""What an interval says against a margin, what holds on all data sets, and how attacks are told."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.run.protection import ProtectionMark, ProtectionStanding
from he_compare.common.run.records import AttackOutcome, Interval, PairedDifference, Verdict
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import PipelineView, RunView, read_run
from he_compare.common.study.equal_answers import exact_limits, largest_mean_share
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
    limits_of,
    twin_state,
)
from he_compare.common.study.study_view import read_study
from he_compare.common.types import Aim
from tests.support.samplerun.first_pages import BLOCKS, HEAD, LOGISTIC, outcome_on, two_classes
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


def test_the_exact_limit_of_nothing_seen_is_that_of_the_binomial() -> None:
    for n in (1, 10, 30, 680):
        assert largest_mean_share([n]) == pytest.approx(1 - 0.025 ** (1 / n))
    assert largest_mean_share([30]) == pytest.approx(0.116, abs=5e-4)
    assert largest_mean_share([]) == 1.0


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_a_class_with_few_images_widens_the_limit_and_nothing_excludes_more(
    counts: list[int],
) -> None:
    most = largest_mean_share(counts)
    # Every point that agrees with nothing seen is below: each class alone, and all classes alike.
    alone = max((1 - 0.025 ** (1 / n)) / len(counts) for n in counts)
    alike = 1 - 0.025 ** (1 / sum(counts))
    assert max(alone, alike) - 1e-9 <= most <= 1
    generator = np.random.default_rng(sum(counts))
    for _ in range(20):
        weight = generator.dirichlet(np.ones(len(counts)))
        shares = [1 - 0.025 ** (w / n) for w, n in zip(weight, counts, strict=True)]
        assert sum(shares) / len(counts) <= most + 1e-9


def equal_run(n: int, *, classes: tuple[int, int] | None = None) -> tuple[RunView, PipelineView]:
    """Return a run of n images whose encrypted head answers as its twin does, and that head."""
    run = two_classes()
    dataset = run.manifest.dataset
    per_class = dict(zip(dataset.card.classes, classes or (n // 2, n - n // 2), strict=True))
    test = dataset.splits["test"].model_copy(update={"n": n, "groups": n, "per_class": per_class})
    summary = dataset.model_copy(update={"splits": {**dataset.splits, "test": test}})
    run = replace(run, manifest=run.manifest.model_copy(update={"dataset": summary}))
    with tempfile.TemporaryDirectory() as folder:
        run.write(Path(folder))
        view = read_run(RunFolder(Path(folder)))
    return view, view.by_label[HEAD.label]


@pytest.mark.parametrize(("n", "state"), [(30, DifferenceState.OPEN), (680, DifferenceState.EQUAL)])
def test_equal_answers_are_held_against_what_so_few_images_can_miss(
    n: int, state: DifferenceState
) -> None:
    view, head = equal_run(n)
    margins = {ACCURACY: MARGIN, AUC: MARGIN}
    found = head.difference("accuracy")
    assert found is not None and found.interval is not None and found.interval.high == 0
    assert twin_state(view, head, ACCURACY, margins) is state
    # The AUC has no limits of its own: it follows.
    assert limits_of(view, head, AUC) is None
    assert twin_state(view, head, AUC, margins) is state


def test_balanced_accuracy_and_patients_have_wider_limits() -> None:
    even = limits_of(*equal_run(680), ACCURACY)
    assert even is not None and even.high == pytest.approx(1 - 0.025 ** (1 / 680))
    view, _ = equal_run(680, classes=(660, 20))
    uneven = exact_limits(view, "balanced_accuracy")
    assert uneven is not None and uneven.high > 10 * even.high
    split = view.manifest.dataset.splits["test"]
    fewer = split.model_copy(update={"groups": 68})
    view.manifest.dataset.splits["test"] = fewer
    by_patient = exact_limits(view, "accuracy")
    assert by_patient is not None
    assert by_patient.high == pytest.approx(1 - 0.025 ** (1 / 68))


def test_a_data_set_without_a_run_leaves_open_what_holds_elsewhere() -> None:
    found = across(DifferenceState.EQUAL)
    assert found.holds(ACCURACY)
    some = replace(found, without=("late",))
    assert some.holds_where_run(ACCURACY) and not some.holds(ACCURACY)
