"""What is done and left of a study, and what the rest is priced by; hostile records of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.run.records import RunRecord
from he_compare.common.study.study_folder import STUDY, StudyFolder
from he_compare.common.study.study_progress import progress_of, study_progress
from he_compare.common.study.study_records import StudyRow
from he_compare.common.types import Phase, Status
from tests.support.samplerun.first_pages import two_classes
from tests.support.samplestudy import row_of, sample_study


def of_row(
    seconds: float = 10.0, estimate: float | None = 2.0, audit: float | None = 0.0
) -> tuple[StudyRow, list[RunRecord]]:
    """Return a row that is under way, and the records of its accuracy cells, that took so long."""
    run = two_classes()
    row = row_of("chest", run, ended=False, audit_seconds=audit)
    cells = [one.model_copy(update={"seconds": estimate}) for one in row.cells]
    records = [
        one.model_copy(update={"seconds": seconds})
        for one in run.records
        if one.cell.phase is Phase.ACCURACY
    ]
    return row.model_copy(update={"cells": cells}), records


def test_what_is_left_is_priced_by_estimates_corrected_by_what_was_measured() -> None:
    row, records = of_row()
    (found,) = progress_of([row], {"chest": records}).rows
    assert found.done == len(records) and found.left == len(row.cells) - len(records)
    # Cells took five times as long as estimated: so do, as far as is known, those that are left.
    assert found.seconds_left == pytest.approx(10.0 * found.left) and not found.unpriced


def test_without_an_estimate_other_data_sets_give_the_price_or_it_is_not_known() -> None:
    row, records = of_row(estimate=None)
    study = progress_of([row], {"chest": records})
    assert study.rows[0].unpriced == study.left > 0 and not study.bounded
    run = two_classes()
    other = row_of("mri", run)
    known = {"chest": records, "mri": [r.model_copy(update={"seconds": 3.0}) for r in run.records]}
    study = progress_of([row, other], known)
    assert study.bounded and study.seconds_left == pytest.approx(3.0 * study.left)


def test_attacks_count_until_the_row_ended_and_may_have_no_limit() -> None:
    row, records = of_row(audit=300.0)
    assert progress_of([row], {"chest": records}).rows[0].audit_left == 300.0
    ended = row.model_copy(update={"ended": True})
    assert progress_of([ended], {"chest": records}).rows[0].audit_left == 0.0
    unbounded = row.model_copy(update={"audit_seconds": None})
    assert not progress_of([unbounded], {"chest": records}).bounded


def test_failed_cells_are_left_and_unavailable_ones_are_not() -> None:
    row, records = of_row()
    states = [Status.FAILED, Status.UNAVAILABLE, *[Status.OK] * len(records)]
    changed = [
        one.model_copy(update={"status": state})
        for one, state in zip(records, states, strict=False)
    ]
    (found,) = progress_of([row], {"chest": changed}).rows
    assert (found.failed, found.other, found.done) == (1, 1, len(records) - 2)
    assert found.left == found.planned - found.done - 1


def test_records_that_do_not_hold_are_a_problem_of_their_row(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    path = folder.run("mri").path / "records.jsonl"
    path.write_bytes(b"{}\n" + path.read_bytes())
    rows = {one.row.name: one for one in study_progress(folder).rows}
    assert "records.jsonl" in rows["mri"].problem and rows["mri"].done == 0
    assert rows["chest"].done == rows["chest"].planned and not rows["chest"].problem


def test_a_folder_without_a_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no study \(no study.json\)"):
        StudyFolder(tmp_path).record()
    (tmp_path / "other").write_text("mine")
    with (
        pytest.raises(UsageError, match="is not empty and holds no study"),
        StudyFolder(tmp_path).claimed(),
    ):
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff\xfe", b'{"digest": 1}', b"[" * 100_000, b'{"rows": [{"name": "../x"}]}'],
    ids=["empty", "list", "no text", "other", "deep", "lacks fields"],
)
def test_a_damaged_record_of_a_study_is_named(tmp_path: Path, content: bytes) -> None:
    folder = sample_study(tmp_path)
    (tmp_path / STUDY).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"study.json in .* is not valid"):
        folder.record()


def test_rows_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    told = json.loads((tmp_path / STUDY).read_text())
    told["rows"][0]["name"] = "../../elsewhere"
    (tmp_path / STUDY).write_text(json.dumps(told))
    with pytest.raises(IntegrityError, match="name"):
        folder.record()
