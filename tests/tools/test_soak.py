"""The soak counts what goes wrong: on runs, processes and verdicts in which something does."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from he_compare.common.run.record_lines import line_of
from he_compare.common.run.store import RunFolder
from he_compare.common.run.stored_arrays import load_arrays, save_arrays
from tests.support.sealing import seal
from tools.soak.aftermath import (
    Aftermath,
    compare_runs,
    files_left,
    finished_lines,
    kinds_of_files,
)
from tools.soak.campaign import Conditions, Part, Tried, go_through
from tools.soak.figures import Line, Report, all_of, no_more_than, printed
from tools.soak.ledger import Outcome, Stopped, code_digest


class Counting(Part):
    """A part that remembers which units were tried."""

    name = "counting"

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        super().__init__(folder, seed)
        self.count, self.tried = count, []  # type: ignore[var-annotated]

    @property
    def units(self) -> int:
        return self.count

    def try_one(self, unit: int) -> Outcome:
        self.tried.append(unit)
        return {"unit": unit}

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        return Report((Line("things", len(outcomes), "done"),), ())


def through(
    part: Part, state: Path, deadline: float = math.inf, code: str = "a", carry_over: bool = False
) -> Tried:
    return go_through(part, Conditions(state, code, deadline, carry_over=carry_over))


def test_a_stopped_soak_goes_on_and_tries_only_the_rest(tmp_path: Path) -> None:
    state = tmp_path / "state"
    late = Counting(tmp_path, 1, 3)
    assert through(late, state, -1.0).left == 3 and late.tried == []
    first = Counting(tmp_path, 1, 3)
    assert through(first, state).left == 0 and first.tried == [0, 1, 2]
    with (state / "counting.jsonl").open("a") as stream:
        stream.write('{"unit": 3, "outco')  # the soak was killed while it wrote
    more = Counting(tmp_path, 1, 5)
    assert through(more, state).report.lines[0].count == 5
    assert more.tried == [3, 4]
    fewer = Counting(tmp_path, 1, 2)
    assert through(fewer, state).report.lines[0].count == 2
    again = Counting(tmp_path, 1, 5)
    through(again, state)
    assert again.tried == []  # those beyond a smaller count were kept
    with pytest.raises(Stopped, match="another seed"):
        through(Counting(tmp_path, 2, 5), state)


def test_outcomes_of_other_code_are_kept_apart_or_counted_and_said(tmp_path: Path) -> None:
    state = tmp_path / "state"
    through(Counting(tmp_path, 1, 3), state, code="before")
    carried = Counting(tmp_path, 1, 4)
    found = through(carried, state, code="after", carry_over=True)
    assert carried.tried == [3] and found.carried == 3 and found.report.lines[0].count == 4
    anew = Counting(tmp_path, 1, 4)
    found = through(anew, state, code="after")
    assert anew.tried == [0, 1, 2] and found.carried == 0 and found.report.lines[0].count == 4
    aside = (state / "counting-of-before.jsonl").read_text()
    assert len(aside.splitlines()) == 5
    other = Counting(tmp_path, 7, 2)  # another seed, of other code: nothing of it counts
    assert through(other, state, code="last").carried == 0 and other.tried == [0, 1]
    assert (state / "counting-of-after.jsonl").is_file()


def test_code_is_told_by_its_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = code_digest()
    assert len(whole) == 64 and code_digest() == whole
    from tools.soak import ledger

    code_digest.cache_clear()
    monkeypatch.setattr(ledger, "FLOORS", {"common": frozenset()})
    assert code_digest() != whole
    code_digest.cache_clear()


def test_the_tables_tell_counts_figures_and_faults() -> None:
    figures = (no_more_than("lost", 0, 1), all_of("found", 2, 2))
    text = printed([Report((Line("edits", 1000, "998 found"),), figures, ("byte 7",))])
    assert "| edits | 1,000 | 998 found |" in text and "- byte 7" in text
    assert [one.held for one in figures] == [False, True]
    assert not all_of("found", 0, 0).held  # what was never tried is not reached
    assert [line.split("|")[-2].strip() for line in text.splitlines() if "lost" in line] == [
        "missed"
    ]


@pytest.fixture
def other(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def against(whole: Path, other: Path, before: Counter[str] | None = None) -> Aftermath:
    seal(other)
    found = Aftermath()
    compare_runs(whole, finished_lines(whole) if before is None else before, other, found)
    return found


def test_a_run_that_is_the_same_has_nothing_wrong(whole: Path, other: Path) -> None:
    assert against(whole, other).good


def test_cells_that_are_lost_redone_or_doubled_are_counted(whole: Path, other: Path) -> None:
    lines = (whole / "records.jsonl").read_text().splitlines(keepends=True)
    (other / "records.jsonl").write_text("".join([*lines[1:], lines[-1]]))
    found = against(whole, other)
    assert (found.lost, found.redone, found.doubled) == (1, 1, 1)
    assert "1 cells missing" in found.words and "1 lost" in found.words
    begun = against(whole, other, Counter())  # killed before anything was finished
    assert (begun.lost, begun.redone, begun.doubled) == (0, 0, 1)


def test_other_predictions_are_seen_and_so_is_a_run_that_does_not_verify(
    whole: Path, other: Path
) -> None:
    record = next(one for one in RunFolder(other).records() if one.predictions)
    arrays = load_arrays(other / record.predictions)
    save_arrays(other / record.predictions, arrays | {"labels": 1 - arrays["labels"]})
    found = against(whole, other)
    assert any(line.startswith("verify: ") for line in found.problems)
    changed = [
        one.model_copy(update={"predictions_sha256": "0" * 64}) if one == record else one
        for one in RunFolder(whole).records()
    ]
    (other / "records.jsonl").write_bytes(b"".join(map(line_of, changed)))
    assert against(whole, other).differing == 1
    damaged = (other / "records.jsonl").read_bytes().replace(b"0" * 64, b"1" * 64)
    (other / "records.jsonl").write_bytes(damaged)
    assert "digest" in against(whole, other).words


def test_files_that_an_undisturbed_run_does_not_leave_are_named(whole: Path, other: Path) -> None:
    known = kinds_of_files(whole)
    assert files_left(known, other) == []
    for name in ("predictions/.0123456789abcdef.npz.x7q_", "records.torn", "tmp/empty/"):
        place = other / name
        place.mkdir(parents=True) if name.endswith("/") else place.write_bytes(b"")
    shutil.copy(next((other / "predictions").iterdir()), other / "predictions/fedcba9876543210.npz")
    assert files_left(known, other) == ["predictions/.0123456789abcdef.npz.x7q_", "tmp/empty"]
