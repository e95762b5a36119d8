"""The clinical reading: counts at a threshold of validation images, predictive values, fitness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.clinical import (
    NO_THRESHOLD,
    PREVALENCES,
    clinical_reading,
    negative_predictive_value,
    positive_predictive_value,
    predictive_values,
)
from he_compare.common.run.fitness import NEEDED, fitness_of
from he_compare.common.run.records import CopiesFacts, Interval, MetricValue, NearCopiesFacts
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from tests.support.samplerun import SampleRun, ten_pipelines, three_pipelines
from tests.support.samplerun.thresholds import share, with_a_threshold


def view_of(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def test_counts_are_those_at_the_threshold_of_the_validation_split(tmp_path: Path) -> None:
    view = view_of(with_a_threshold(three_pipelines()), tmp_path)
    reading = clinical_reading(view, view.pipelines[0])
    assert reading is not None and reading.validated and reading.threshold == 0.37
    assert reading.counts == (
        "Of 100 NORMAL images 34 were called PNEUMONIA; of 100 PNEUMONIA images 4 were missed"
    )
    assert reading.sensitivity == share("sensitivity", 0.96, 100)
    assert reading.threshold_words == "fixed on 40 validation images: a rule"
    assert [one.prevalence for one in reading.predictive] == [value for value, _ in PREVALENCES]


def test_a_run_without_validation_scores_is_read_at_its_sheet_and_says_so(tmp_path: Path) -> None:
    view = view_of(three_pipelines(), tmp_path)
    reading = clinical_reading(view, view.pipelines[0])
    assert reading is not None and not reading.validated and reading.threshold == 0.5
    assert reading.threshold_words == f"not fixed: {NO_THRESHOLD}"
    (healthy, called), (missed, sick) = reading.confusion
    assert reading.counts.startswith(f"Of {healthy + called} NORMAL images {called} were called")
    assert reading.counts.endswith(f"of {missed + sick} PNEUMONIA images {missed} were missed")


def test_why_no_threshold_could_be_fixed_is_told(tmp_path: Path) -> None:
    run = with_a_threshold(three_pipelines(), threshold=None, note="the split lacks a class")
    view = view_of(run, tmp_path)
    reading = clinical_reading(view, view.pipelines[0])
    assert reading is not None and not reading.validated
    assert reading.threshold_words == "not fixed: the split lacks a class"
    assert sum(map(sum, reading.confusion)) == 200


def test_without_a_positive_class_recalls_and_the_worst_class_are_read(tmp_path: Path) -> None:
    view = view_of(ten_pipelines(), tmp_path)
    reading = clinical_reading(view, view.pipelines[0])
    assert reading is not None and reading.positive == "" and reading.predictive == ()
    assert reading.threshold is None and reading.sensitivity is None
    classes = view.manifest.dataset.card.classes
    assert [name for name, _ in reading.recalls] == classes
    assert reading.worst is not None
    name, recall = reading.worst
    assert recall.value == min(one.value or 0 for _, one in reading.recalls)
    row = reading.confusion[classes.index(name)]
    right = row[classes.index(name)]
    assert reading.counts == (
        f"The class recognised least is {name}: {right} of its {sum(row)} images were called right"
    )


def test_a_pipeline_without_scores_has_no_reading(tmp_path: Path) -> None:
    view = view_of(ten_pipelines(), tmp_path)
    lost = next(one for one in view.pipelines if one.scores is None)
    assert clinical_reading(view, lost) is None
    bare = replace(view, scores=None)
    assert clinical_reading(bare, bare.pipelines[0]) is None


@pytest.mark.parametrize("prevalence", [0.01, 0.1, 0.5])
def test_predictive_values_are_what_counting_people_gives(prevalence: float) -> None:
    people = 100_000
    sick, healthy = people * prevalence, people * (1 - prevalence)
    found, alarms = 0.96 * sick, 0.34 * healthy
    got = positive_predictive_value(0.96, 0.66, prevalence)
    assert got == pytest.approx(found / (found + alarms))
    cleared, missed = 0.66 * healthy, 0.04 * sick
    got = negative_predictive_value(0.96, 0.66, prevalence)
    assert got == pytest.approx(cleared / (cleared + missed))


def test_the_number_of_the_review_is_had_at_ten_percent() -> None:
    """192 of 200 sick and 132 of 200 healthy called right: a PPV of about 0.24."""
    assert positive_predictive_value(192 / 200, 132 / 200, 0.1) == pytest.approx(0.239, abs=0.001)


def test_limits_of_predictive_values_hold_the_value_and_are_none_without_intervals() -> None:
    both = share("sensitivity", 0.9, 50), share("specificity", 0.8, 50)
    for one in predictive_values(*both):
        assert one.positive is not None and one.positive_interval is not None
        assert one.positive_interval[0] < one.positive < one.positive_interval[1]
        assert one.negative is not None and one.negative_interval is not None
        assert one.negative_interval[0] < one.negative < one.negative_interval[1]
    bare = [one.model_copy(update={"interval": None}) for one in both]
    assert all(one.positive_interval is None for one in predictive_values(*bare))
    nothing = MetricValue(name="specificity", value=None, interval=None, n=0, note="none")
    assert predictive_values(both[0], nothing) == () == predictive_values(None, both[1])


def test_where_nobody_is_called_positive_there_is_no_predictive_value() -> None:
    end = Interval(low=0.0, high=0.0, method="x")
    none = MetricValue(name="sensitivity", value=0.0, interval=end, n=5)
    every = MetricValue(
        name="specificity",
        value=1.0,
        interval=end.model_copy(update={"low": 1.0, "high": 1.0}),
        n=5,
    )
    first = predictive_values(none, every)[0]
    assert first.positive is None and first.positive_interval is None
    assert first.negative == pytest.approx(0.99)


def changed(
    view: RunView, *, copies: CopiesFacts | None = None, **parts: dict[str, Any]
) -> RunView:
    """Return a run with some facts of its manifest changed."""
    manifest = view.manifest
    card = manifest.dataset.card.model_copy(update=parts.get("card", {}))
    dataset = manifest.dataset.model_copy(update={"card": card, "copies": copies})
    backbone = manifest.backbone.model_copy(update=parts.get("backbone", {}))
    facts = {"dataset": dataset, "backbone": backbone} | parts.get("manifest", {})
    return replace(view, manifest=manifest.model_copy(update=facts))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"card": {"synthetic": True}}, "The images are synthetic"),
        ({"backbone": {"untrained": True}}, "weights are random"),
        ({"manifest": {"profile": "quick"}}, "This was a quick run"),
        ({"manifest": {"profile": "smoke"}}, "This was a smoke run"),
    ],
    ids=["synthetic", "untrained", "quick", "smoke"],
)
def test_no_such_run_is_ever_fit(tmp_path: Path, parts: dict[str, Any], reason: str) -> None:
    full = {"manifest": {"profile": "full"}}
    fit = fitness_of(changed(view_of(three_pipelines(), tmp_path), **(full | parts)))
    assert fit.verdict == "Not fit for a clinic"
    assert any(reason in one for one in fit.reasons)


def test_the_best_run_is_not_shown_to_be_fit_and_told_what_is_needed(tmp_path: Path) -> None:
    view = changed(view_of(three_pipelines(), tmp_path), manifest={"profile": "full"})
    fit = fitness_of(view)
    assert fit.words == (
        "Not shown to be fit for a clinic. All images come from one data set; no other hospital "
        f"was tested. {NEEDED}."
    )


def test_what_test_images_share_with_training_images_is_a_reason(tmp_path: Path) -> None:
    view = view_of(three_pipelines(), tmp_path)
    copies = CopiesFacts(
        policy="keep",
        compared="pixels",
        copies={"train": {"NORMAL": 3}},
        test_images=3,
        test_per_class={"NORMAL": 3},
        test_share=0.015,
        conflicting=0,
        near=NearCopiesFacts(test_images=7, bits=255, threshold=32),
    )
    same = {"backbone": {"pretrained_on": ["a"]}, "card": {"collections": ["a"]}}
    reasons = fitness_of(changed(view, copies=copies, **same)).reasons
    assert "The network learnt from training images of the same collection" in reasons
    assert "3 of 200 test images equal a training image" in reasons
    assert "7 of 200 test images look almost like a training image" in reasons
    dropped = copies.model_copy(update={"policy": "drop"})
    reasons = fitness_of(changed(view, copies=dropped, **same)).reasons
    assert not any("equal a training image" in one for one in reasons)
