"""Costs step by step: the steps add up, patients stay together, and what is undefined is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from he_compare.common.run.records import ClearTwinFacts, CostRung, DatasetCard
from he_compare.common.statistics.paired import paired_difference
from he_compare.common.statistics.rungs import EXECUTED, cost_rungs

TWINS = [
    ClearTwinFacts(name="clear head", cost=""),
    ClearTwinFacts(name="same preparation", cost="preparation"),
    ClearTwinFacts(name="clear twin", cost="polynomial"),
]
SKILLS = (2.0, 1.6, 0.8, 0.8)


def card(classes: int) -> DatasetCard:
    return DatasetCard(
        name="a", title="a", description="", source="", licence="", citation="",
        classes=[f"class {i}" for i in range(classes)],
    )  # fmt: skip


def stored(classes: int, n: int = 240) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    labels, noise = rng.integers(0, classes, n), rng.normal(size=(n, classes))
    truth = np.eye(classes)[labels]
    scores = np.exp(np.stack([noise + skill * truth for skill in SKILLS]))
    made = scores / scores.sum(axis=2, keepdims=True)
    return {
        "ids": np.arange(n).astype(str),
        "groups": (np.arange(n) // 4).astype(str),
        "labels": labels,
        "scores": np.log(made[-1]),
        "probabilities": made[-1],
        "twin_probabilities": made[:-1],
    }


def rungs_of(arrays: dict[str, Any], classes: int) -> list[CostRung]:
    return cost_rungs(TWINS, arrays, card(classes), seed=5, threshold=0.5, draws=300)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_steps_add_up_to_the_whole_way(classes: int) -> None:
    arrays = stored(classes)
    rungs = rungs_of(arrays, classes)
    assert [one.cost for one in rungs] == ["", "preparation", "polynomial", EXECUTED.cost]
    assert rungs[0].differences == []
    for number, metric in enumerate(("accuracy", "auc")):
        values = [getattr(one, metric) for one in rungs]
        steps = [one.differences[number] for one in rungs[1:]]
        assert [one.metric for one in steps] == [metric] * 3
        assert sum(one.difference or 0.0 for one in steps) == pytest.approx(values[-1] - values[0])
        assert values[0] > values[1] > values[2] == values[3]
        # Nothing distinguishes the last two: the encryption costs nothing, without any doubt.
        last = steps[-1].interval
        assert last is not None and last.low == last.high == 0.0
        lost = steps[1].interval
        assert lost is not None and lost.high < 0


def test_differences_are_those_of_the_run_in_the_same_draws() -> None:
    arrays = stored(3)
    step = rungs_of(arrays, 3)[1].differences[1]
    first, second = arrays["twin_probabilities"][:2]
    difference, interval = paired_difference(
        arrays["labels"], list(arrays["groups"]), second, first, "auc",
        classes=card(3).classes, positive_class="", seed=5, draws=300,
    )  # fmt: skip
    assert (step.difference, step.interval) == (difference, interval)
    assert (step.pipeline, step.reference) == ("same preparation", "clear head")


def test_intervals_are_over_patients() -> None:
    """Four equal images of each patient say no more than one."""
    arrays = stored(2, n=60)
    repeated = {name: np.repeat(array, 4, axis=0) for name, array in arrays.items()}
    repeated["twin_probabilities"] = np.repeat(arrays["twin_probabilities"], 4, axis=1)
    repeated["groups"] = np.repeat(np.arange(60), 4).astype(str)
    once = arrays | {"groups": np.arange(60).astype(str)}
    one, four = (rungs_of(each, 2)[2].differences[1].interval for each in (once, repeated))
    assert one is not None and four is not None
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.25)


def test_a_model_that_diverged_has_no_value_and_hides_nothing_of_the_others() -> None:
    arrays = stored(2)
    arrays["twin_probabilities"][1] = np.nan
    rungs = rungs_of(arrays, 2)
    assert (rungs[1].accuracy, rungs[1].auc) == (None, None)
    assert {one.difference for rung in rungs[1:3] for one in rung.differences} == {None}
    assert None not in (rungs[0].auc, rungs[2].auc, rungs[3].differences[1].difference)


def test_without_clear_models_there_are_no_rungs() -> None:
    assert cost_rungs([], stored(2), card(2), seed=0, threshold=0.5) == []
