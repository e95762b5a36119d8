"""What the client chooses in the clear: step lengths, intervals, momentum and components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import UsageError
from he_compare.common.types import IntArray
from he_compare.fhe_baseline.ckks.training import choosing, preparing
from he_compare.fhe_baseline.ckks.training.choosing import (
    LEAST_PER_CLASS,
    TOLERANCE,
    USUAL_COMPONENTS,
    Candidate,
    PreparedTask,
    StepSearch,
    Task,
    choose_plan,
    choose_steps,
    enough_to_choose,
    options,
    prepared_scores,
    ranking,
)
from he_compare.fhe_baseline.ckks.training.clear_references import fit_optimum, loss, run_twin
from he_compare.fhe_baseline.ckks.training.preparing import (
    LabelledFeatures,
    Prepared,
    Wish,
    prepare,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import nesterov_steps, plain_steps
from tests.support.encrypted_training import separable, small_task

CHOSEN = Wish("preconditioned", 0, 3, 3, 0.0, 0.1, True, 1, None, 0)


def labelled(rows: int, width: int, classes: int = 2, seed: int = 0) -> LabelledFeatures:
    """Features of which the first few tell the classes; the others are noise of less variance."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int64) % classes
    features = generator.normal(size=(rows, width)) * np.geomspace(3, 0.5, width)
    features[:, :classes] += 2 * np.eye(classes)[labels]
    return LabelledFeatures(features.astype(np.float32), labels)


@pytest.fixture
def few_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "COMPONENTS", (3, 7, 15))


# Steps


def test_the_chosen_steps_end_lower_than_equal_ones_and_no_logit_leaves_an_interval() -> None:
    _, problem = small_task(300, 7, 3)
    steps, entry = choose_steps(problem, Task(3, 3, None))
    chosen = run_twin(problem, steps)
    assert [step.outside for step in chosen] == [0, 0, 0]
    assert entry["logits_outside_interval"] == 0
    reached = loss(problem, chosen[-1].weights)
    assert entry["training_loss"] == pytest.approx(reached, abs=1e-6)
    safe = problem.safe_length()
    for interval in choosing.INTERVALS:
        for make in (plain_steps, nesterov_steps):
            equal = run_twin(problem, make(3, safe, fit_sigmoid(3, interval)))
            assert reached < loss(problem, equal[-1].weights)
    assert reached > loss(problem, fit_optimum(problem))


def test_what_the_record_says_of_the_steps_is_what_they_are() -> None:
    _, problem = small_task(300, 7)
    steps, entry = choose_steps(problem, Task(3, 3, None))
    assert [entry[f"length_{n}"] for n in (1, 2, 3)] == [step.length for step in steps]
    assert {step.momentum for step in steps} == {entry["momentum"]}
    assert entry["interval_2"] == pytest.approx(steps[1].sigmoid.interval, abs=1e-3)
    assert "interval_1" not in entry  # the first step has no logits
    assert entry["candidates"] > 50
    assert entry["safe_length"] == problem.safe_length()


def test_an_interval_that_is_named_is_kept() -> None:
    _, problem = small_task(300, 7)
    steps, _ = choose_steps(problem, Task(3, 5, 9.0))
    assert [step.sigmoid for step in steps] == [fit_sigmoid(5, 9.0)] * 3


@pytest.mark.parametrize("count", [1, 2])
def test_few_steps_are_chosen_too(count: int) -> None:
    _, problem = small_task(200, 5, 3)
    steps, entry = choose_steps(problem, Task(count, 3, None))
    assert len(steps) == count
    assert loss(problem, run_twin(problem, steps)[-1].weights) == pytest.approx(
        entry["training_loss"], abs=1e-6
    )
    if count == 1:
        assert steps[0].momentum == 0


def test_a_logit_outside_is_worse_than_any_loss_and_overflow_is_worst() -> None:
    _, problem = small_task(300, 7)
    search = StepSearch(problem, Task(3, 3, None))
    safe = problem.safe_length()
    inside = search.judge(Candidate((safe / 100,) * 3, (12.0,) * 3))
    outside = search.judge(Candidate((safe,) * 3, (12.0, 0.5, 12.0)))
    overflow = search.judge(Candidate((safe * 1e200,) * 3, (12.0,) * 3))
    assert [judged[0] for judged in (inside, outside, overflow)] == [False, True, True]
    assert outside[1] < inside[1]
    assert inside < outside < overflow == (True, np.inf)


def test_the_search_is_the_same_every_time() -> None:
    _, problem = small_task(200, 5, 3)
    assert choose_steps(problem, Task(3, 3, None)) == choose_steps(problem, Task(3, 3, None))


def test_mini_batches_are_searched_as_they_will_be_trained() -> None:
    _, problem = small_task(200, 5)
    steps, entry = choose_steps(problem, Task(2, 3, None, 2))
    reached = loss(problem, run_twin(problem, steps, 2)[-1].weights)
    assert entry["training_loss"] == pytest.approx(reached, abs=1e-6)


# Components


@pytest.mark.usefixtures("few_options")
@pytest.mark.parametrize("classes", [2, 3])
def test_the_fewest_components_within_the_tolerance_are_kept(classes: int) -> None:
    prepared = prepare(labelled(200, 15, classes), labelled(90, 15, classes, 1), classes, CHOSEN)
    grid = prepared.choice["grid"]
    assert [entry["components"] for entry in grid] == [3, 7, 15]
    best = max(entry["validation_auc"] for entry in grid)
    chosen = prepared.choice["chosen"]
    for entry in grid:
        enough = entry["validation_auc"] >= best - TOLERANCE - 1e-5
        assert entry["components"] >= chosen["components"] or not enough
    assert chosen["validation_auc"] >= best - TOLERANCE - 1e-5
    assert prepared.plan.preparation.width == chosen["components"]
    assert prepared.warnings == []
    assert "validation split" in prepared.choice["measured_on"]
    assert "fewest components" in prepared.choice["rule"]


@pytest.mark.usefixtures("few_options")
def test_steps_are_chosen_with_the_components_the_fewest_first() -> None:
    train, validation = labelled(200, 15), labelled(90, 15, seed=1)
    prepared = prepare(train, validation, 2, CHOSEN, (2, 3))
    grid = prepared.choice["grid"]
    numbers = [(entry["steps"], entry["components"]) for entry in grid]
    assert numbers == [(2, 3), (2, 7), (2, 15), (3, 3), (3, 7), (3, 15)]
    best = max(entry["validation_auc"] for entry in grid)
    enough = [entry for entry in grid if entry["validation_auc"] >= best - TOLERANCE]
    assert prepared.choice["chosen"] == enough[0]
    assert len(prepared.plan.steps) == enough[0]["steps"]
    named = prepare(train, validation, 2, replace(CHOSEN, components=5), (2, 3)).choice["grid"]
    assert [(entry["steps"], entry["components"]) for entry in named] == [(2, 5), (3, 5)]


def test_steps_are_not_chosen_on_a_validation_split_that_tells_nothing() -> None:
    few = labelled(3, 15)
    for components, kept in ((5, 5), (0, 15)):
        wish = replace(CHOSEN, components=components)
        prepared = prepare(labelled(100, 15), few, 2, wish, (3, 4))
        assert (len(prepared.plan.steps), prepared.plan.preparation.width) == (3, kept)
        (warning,) = prepared.warnings
        assert warning.startswith(choosing.TOO_FEW)


@pytest.mark.parametrize(
    ("scores", "place"),
    [((0.9, 0.9, 0.9), 0), ((0.9, 0.95, 0.951), 1), ((0.5, 0.6, 0.7), 2), ((0.9, 0.8, 0.7), 0)],
)
def test_a_plan_is_chosen_by_tolerance(scores: tuple[float, ...], place: int) -> None:
    plans: list[Any] = [replace(a_plan(), entry={"place": n}) for n in range(3)]
    assert choose_plan(plans, scores).entry["place"] == place


def a_plan() -> PreparedTask:
    return prepare(labelled(60, 5), labelled(6, 5), 2, replace(CHOSEN, components=3)).plan


def test_the_options_are_no_more_than_there_are_features() -> None:
    assert options(1000) == [31, 63, 127, 255]
    assert options(100) == [31, 63, 100]
    assert options(8) == [8]


def test_an_area_is_that_of_the_positive_class_or_the_mean_over_all() -> None:
    labels = np.array([0, 0, 1, 1])
    two = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.1, 0.9]])
    assert ranking(two, labels) == pytest.approx(0.75)
    labels = np.array([0, 1, 2])
    assert ranking(np.eye(3), labels) == 1
    assert ranking(np.eye(3)[[1, 0, 2]], labels) < 1


def test_scores_of_two_classes_are_plus_and_minus_half_the_logit() -> None:
    plan = a_plan()
    weights = np.arange(4.0)[None]
    features = labelled(5, 5).features
    scores = prepared_scores(plan.preparation, weights, features)
    logit = plan.preparation.apply(features) @ weights[0, :-1] + weights[0, -1]
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], logit)
    np.testing.assert_allclose(scores.sum(axis=1), 0)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros(200, np.int64),  # one class
        np.ones(200, np.int64),
        np.array([0, 1, 1]),  # three images
        np.zeros(0, np.int64),
        np.array([0] * (LEAST_PER_CLASS - 1) + [1] * 100),
    ],
)
def test_a_validation_split_that_tells_nothing_is_not_asked(labels: IntArray) -> None:
    assert not enough_to_choose(labels, 2)
    features = labelled(len(labels) or 1, 80).features[: len(labels)]
    prepared = prepare(labelled(100, 80), LabelledFeatures(features, labels), 2, CHOSEN)
    assert prepared.warnings == [
        f"{choosing.TOO_FEW}, {USUAL_COMPONENTS} components and 3 steps are used"
    ]
    assert prepared.plan.preparation.width == USUAL_COMPONENTS
    assert len(prepared.choice["grid"]) == 1
    assert prepared.choice["measured_on"] == "the training rows, in the clear"
    assert "fewest components" not in prepared.choice["rule"]


@pytest.mark.parametrize(
    ("asked", "coordinates", "kept"),
    [(5, "preconditioned", 5), (0, "preconditioned", 20), (0, "standardised", 20)],
)
def test_the_warning_of_a_small_validation_split_names_what_is_used(
    asked: int, coordinates: Any, kept: int
) -> None:
    wish = replace(CHOSEN, components=asked, coordinates=coordinates)
    prepared = prepare(labelled(100, 20), labelled(3, 20), 2, wish, (3, 4))
    assert prepared.warnings == [f"{choosing.TOO_FEW}, {kept} components and 3 steps are used"]
    assert prepared.plan.preparation.width == kept


@pytest.mark.usefixtures("few_options")
def test_a_training_that_diverges_is_refused_and_not_ranked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, validation = labelled(200, 15), labelled(60, 15, seed=1)
    apart = train.features + 3 * train.labels[:, None].astype(np.float32)
    train = LabelledFeatures(apart, train.labels)
    wish = replace(CHOSEN, momentum=False, interval=0.2, steps=12)
    with pytest.raises(UsageError, match="the training diverges in the clear"):
        prepare(train, validation, 2, wish)
    scores = iter((np.nan, 0.7, 0.9))
    monkeypatch.setattr(preparing, "_validation_auc", lambda *_: next(scores))
    choice = prepare(train, validation, 2, replace(CHOSEN, momentum=False)).choice
    assert [entry["validation_auc"] for entry in choice["grid"]] == ["diverged", 0.7, 0.9]
    assert choice["chosen"]["components"] == 15


def test_a_batch_without_rows_takes_part_as_a_step_of_the_penalty() -> None:
    """Four rows in three batches leave none to the third."""
    _, problem = small_task(4, 2)
    steps = plain_steps(3, 0.5, fit_sigmoid(3, 12))
    *_, second, third = run_twin(problem, steps, 3)
    np.testing.assert_allclose(third.weights, second.weights * (1 - 0.5 * problem.penalties))
    assert (third.outside, third.largest_logit) == (0, 0)


def test_ten_images_of_each_class_are_enough() -> None:
    labels = np.arange(2 * LEAST_PER_CLASS) % 2
    assert enough_to_choose(labels, 2)
    assert not enough_to_choose(labels, 3)


@pytest.mark.parametrize("momentum", [False, True])
def test_a_named_schedule_computes_nothing_in_the_clear(
    momentum: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("trained in the clear")

    for module in (choosing, preparing):
        monkeypatch.setattr(module, "run_twin", forbidden)
    monkeypatch.setattr(choosing, "loss", forbidden)
    wish = replace(CHOSEN, components=4, momentum=momentum)
    prepared = prepare(labelled(60, 8), labelled(60, 8, seed=1), 2, wish)
    assert [bool(step.momentum) for step in prepared.plan.steps] == [False, momentum, momentum]
    assert {step.length for step in prepared.plan.steps} == {prepared.plan.problem.safe_length()}
    assert {step.sigmoid.interval for step in prepared.plan.steps} == {preparing.USUAL_INTERVAL}
    assert prepared.choice["rule"] == "nothing was chosen: everything was named"
    assert prepared.choice["measured_on"] == ""


@pytest.mark.usefixtures("few_options")
def test_labels_of_the_validation_split_choose_components_and_nothing_else() -> None:
    """Lengths, intervals and coordinates of an entry depend on the training rows alone."""
    train = labelled(200, 15)
    grids = []
    for seed in (1, 2):
        other = labelled(60, 15, seed=seed)
        prepared = prepare(
            train, LabelledFeatures(other.features, other.labels[::-1].copy()), 2, CHOSEN
        )
        grids.append(
            [{k: v for k, v in e.items() if k != "validation_auc"} for e in prepared.choice["grid"]]
        )
    assert grids[0] == grids[1]


@pytest.mark.usefixtures("few_options")
def test_choosing_is_the_same_every_time() -> None:
    first, again = (
        prepare(labelled(120, 15), labelled(60, 15, seed=1), 2, CHOSEN) for _ in range(2)
    )
    assert first.choice == again.choice
    assert first.plan.steps == again.plan.steps
    np.testing.assert_array_equal(first.plan.problem.matrix, again.plan.problem.matrix)


def test_mini_batches_are_shuffled_by_the_seed() -> None:
    def matrix(seed: int, batches: int = 2) -> Problem:
        wish = replace(CHOSEN, components=3, momentum=False, batches=batches, seed=seed)
        return prepare(labelled(60, 5), labelled(6, 5), 2, wish).plan.problem

    np.testing.assert_array_equal(matrix(1).matrix, matrix(1).matrix)
    assert not np.array_equal(matrix(1).matrix, matrix(2).matrix)
    np.testing.assert_array_equal(matrix(1, 1).matrix, matrix(2, 1).matrix)


@pytest.mark.parametrize("coordinates", ["whitened", "standardised"])
def test_other_coordinates_are_chosen_for_too(coordinates: Any) -> None:
    wish = replace(CHOSEN, coordinates=coordinates, components=0)
    prepared: Prepared = prepare(labelled(80, 6), labelled(60, 6, seed=1), 2, wish)
    assert prepared.plan.preparation.width == 6
    assert len(set(prepared.plan.problem.penalties[:-1])) == 1
    by_validation = coordinates == "whitened"
    assert ("validation split" in prepared.choice["measured_on"]) is by_validation


def test_the_chosen_steps_decide_as_the_optimum_does() -> None:
    features, labels = separable(200, 6, 3)
    train = LabelledFeatures(features.astype(np.float32), labels)
    plan = prepare(train, LabelledFeatures(train.features[:0], labels[:0]), 3, CHOSEN).plan
    decisions = [
        prepared_scores(plan.preparation, weights, features).argmax(axis=1)
        for weights in (run_twin(plan.problem, plan.steps)[-1].weights, fit_optimum(plan.problem))
    ]
    assert (decisions[0] == decisions[1]).mean() > 0.95
