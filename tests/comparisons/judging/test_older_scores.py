"""Sheets of older versions are verified in their own way, and newer ones are not let off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.identity import array_digest
from he_compare.common.run.store import RECORDS, SCORES, RunFolder
from he_compare.common.statistics.evaluation import PROPORTIONS, WILSON, WILSON_BY_GROUP, as_wilson
from he_compare.comparisons.judging.older_scores import in_the_way_of
from he_compare.comparisons.judging.scoring import compute_scores, score_run
from he_compare.comparisons.judging.verify import verify_run
from tests.support.samplerun import SampleRun, three_pipelines


def by_patient() -> SampleRun:
    """A run in which every patient has four images."""
    run = three_pipelines()
    stored, records = {}, []
    for record in run.records:
        arrays = run.predictions.get(record.identity)
        if arrays is not None:
            groups = np.array([f"p{number // 4}" for number in range(len(arrays["ids"]))])
            arrays = arrays | {"groups": groups}
            stored[record.identity] = arrays
            digest = array_digest(*(arrays[name] for name in sorted(arrays)))
            record = record.model_copy(update={"predictions_sha256": digest})
        records.append(record)
    return replace(run, predictions=stored, records=tuple(records))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(by_patient().write(tmp_path / "run"))
    score_run(made)
    made.write_sums()
    return made


def test_a_sheet_says_how_intervals_of_proportions_were_made(folder: RunFolder) -> None:
    sheet = folder.scores()
    assert sheet.proportions == PROPORTIONS
    methods = {m.name: m.interval.method for m in sheet.cells[0].metrics if m.interval}
    assert methods["accuracy"] == methods["sensitivity"] == WILSON_BY_GROUP
    assert verify_run(folder) == []


def test_an_older_sheet_with_independent_images_holds(folder: RunFolder) -> None:
    sheet = folder.scores()
    cells = [
        cell.model_copy(update={"metrics": [as_wilson(one) for one in cell.metrics]})
        for cell in sheet.cells
    ]
    older = sheet.model_copy(update={"cells": cells, "proportions": ""})
    folder.write_model(SCORES, older)
    folder.write_sums()
    methods = {m.name: m.interval.method for m in older.cells[0].metrics if m.interval}
    assert methods["accuracy"] == WILSON
    assert verify_run(folder) == []


def test_a_newer_sheet_with_independent_images_does_not(folder: RunFolder) -> None:
    sheet = folder.scores()
    first = sheet.cells[0]
    metrics = [as_wilson(one) for one in first.metrics]
    cells = [first.model_copy(update={"metrics": metrics}), *sheet.cells[1:]]
    folder.write_model(SCORES, sheet.model_copy(update={"cells": cells}))
    folder.write_sums()
    assert any("interval" in line for line in verify_run(folder))


def test_what_is_computed_again_is_left_alone_for_a_newer_sheet(folder: RunFolder) -> None:
    again = compute_scores(folder)
    assert in_the_way_of(folder.scores(), again) == again


def ended_the_other_way_round(folder: RunFolder) -> None:
    """Write the lines of a run's records in the opposite order."""
    path = folder.path / RECORDS
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))


def test_a_sheet_is_the_same_whatever_ended_first(folder: RunFolder) -> None:
    before = compute_scores(folder)
    planned = [one.label for one in folder.manifest().pipelines]
    assert [one.label for one in before.cells] == planned and len(planned) > 1
    ended_the_other_way_round(folder)
    assert compute_scores(folder) == before


def test_an_older_sheet_in_the_order_in_which_cells_ended_holds(folder: RunFolder) -> None:
    sheet = folder.scores()
    older = sheet.model_copy(
        update={
            "cells": sheet.cells[::-1],
            "differences": sorted(sheet.differences, key=lambda one: one.pipeline, reverse=True),
        }
    )
    assert older != sheet
    folder.write_model(SCORES, older)
    folder.write_sums()
    assert verify_run(folder) == []
