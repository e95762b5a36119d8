"""Runs of several seeds are scored as means over trainings, and verified as such."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.errors import IntegrityError
from he_compare.common.identity import array_digest
from he_compare.common.run.store import SCORES, RunFolder
from he_compare.common.run.view import read_run
from he_compare.comparisons.judging.scoring import compute_scores, score_run
from he_compare.comparisons.judging.verify import verify_run
from tests.support.samplerun import SampleRun
from tests.support.samplerun.first_pages import several_seeds


def trained_apart(*, other_images: bool = False) -> SampleRun:
    """Three trainings of every pipeline, whose answers differ."""
    run = several_seeds()
    stored, records = dict(run.predictions), []
    for record in run.records:
        arrays = run.predictions.get(record.identity)
        if arrays is not None and record.cell.seed != run.manifest.seed:
            random = np.random.default_rng(record.cell.seed + 100 * len(record.cell.label))
            chances = arrays["probabilities"] + random.normal(size=(len(arrays["ids"]), 1)) * 0.1
            chances = np.clip(chances, 0.01, 1)
            arrays = arrays | {"probabilities": chances / chances.sum(axis=1, keepdims=True)}
            if other_images:
                arrays = arrays | {"ids": arrays["ids"][::-1].copy()}
            stored[record.identity] = arrays
            digest = array_digest(*(arrays[name] for name in sorted(arrays)))
            record = record.model_copy(update={"predictions_sha256": digest})
        records.append(record)
    return replace(run, predictions=stored, records=tuple(records))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Three trainings, scored."""
    made = RunFolder(trained_apart().write(tmp_path / "run"))
    score_run(made)
    made.write_sums()
    return made


def test_a_mean_is_that_of_the_trainings_and_its_interval_holds_it(folder: RunFolder) -> None:
    sheet = folder.scores()
    seeds = [folder.manifest().seed, 8, 9]
    assert [one.seeds for one in sheet.means] == [seeds] * len(sheet.cells)
    for mean, cell in zip(sheet.means, sheet.cells, strict=True):
        again = [one for one in sheet.repeats if one.label == mean.label]
        for place, metric in enumerate(mean.metrics):
            values = [one.metrics[place].value for one in (cell, *again)]
            assert metric.by_training == values
            assert metric.value == pytest.approx(np.mean(values))
            assert metric.interval is not None
            assert metric.interval.low <= metric.value <= metric.interval.high


def test_differences_are_means_over_seeds_paired_by_seed(folder: RunFolder) -> None:
    sheet = folder.scores()
    assert len(sheet.mean_differences) == len(sheet.differences) > 0
    for mean, first in zip(sheet.mean_differences, sheet.differences, strict=True):
        assert (mean.pipeline, mean.reference) == (first.pipeline, first.reference)
        assert mean.by_training[0] == pytest.approx(first.difference)
        assert len(mean.by_training) == 3
        assert mean.difference == pytest.approx(np.mean(mean.by_training))
        assert mean.p_value is None and mean.interval is not None


def test_readers_see_means_and_can_ask_for_the_first_training(folder: RunFolder) -> None:
    view = read_run(folder)
    pipeline = view.pipelines[0]
    mean, first = pipeline.metric("auc"), pipeline.first_metric("auc")
    assert mean is not None and len(mean.of_trainings) == 3
    assert first is not None and first.of_trainings == () and mean.of_trainings[0] == first.value
    protected = next(one for one in view.pipelines if one.planned.twin)
    found = protected.difference("auc")
    assert found is not None and len(found.of_trainings) == 3


def test_a_run_of_several_seeds_is_verified_down_to_its_means(folder: RunFolder) -> None:
    assert [line for line in verify_run(folder) if "scores.json" in line] == []
    sheet = json.loads((folder.path / SCORES).read_text())
    sheet["means"][0]["metrics"][0]["value"] += 0.01
    (folder.path / SCORES).write_text(json.dumps(sheet))
    (line,) = [one for one in verify_run(folder) if one.startswith("scores.json")]
    assert "means" in line and "predictions give" in line


def test_trainings_on_other_images_are_refused_by_seed(tmp_path: Path) -> None:
    made = RunFolder(trained_apart(other_images=True).write(tmp_path / "run"))
    with pytest.raises(IntegrityError, match="answered other images under seed 8 than under"):
        compute_scores(made)
    assert any("seed 8: ids differ from those of" in line for line in verify_run(made))


def test_a_sheet_without_means_of_an_older_version_holds(folder: RunFolder) -> None:
    older = {"means": [], "mean_differences": [], "over_trainings": ""}
    folder.write_model(SCORES, folder.scores().model_copy(update=older))
    folder.write_sums()
    assert [line for line in verify_run(folder) if "scores.json" in line] == []


def test_a_seed_that_failed_leaves_the_means_of_those_in_common(tmp_path: Path) -> None:
    run = trained_apart()
    label = run.manifest.pipelines[-1].label
    kept = [one for one in run.records if (one.cell.label, one.cell.seed) != (label, 9)]
    made = RunFolder(replace(run, records=tuple(kept)).write(tmp_path / "run"))
    sheet = compute_scores(made)
    assert {len(one.seeds) for one in sheet.means if one.label == label} == {2}
    assert {len(one.seeds) for one in sheet.means if one.label != label} == {3}
    assert {len(one.by_training) for one in sheet.mean_differences if one.pipeline == label} == {2}
