"""`compare verify` finds every edit, every missing and every added file, and ends with 4."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.run.store import RunFolder
from he_compare.common.run.sums import SUMS
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.scoring import score_run
from he_compare.comparisons.judging.verify import verification, verify_run
from he_compare.reports.build import write_report
from tests.support.samplerun import FHE, PLAIN, SCRAMBLE, build

EDITS = 40


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = build((PLAIN, SCRAMBLE, FHE), classes=("a", "b"), n=60, untrained=False, rounds=2)
    path = run.write(tmp_path_factory.mktemp("verified") / "run")
    folder = RunFolder(path)
    score_run(folder)
    folder.artefacts.get_or_make("head", {"seed": 1}, lambda: b"weights of a head" * 50)
    folder.write_model(
        "manifest.json", folder.manifest().model_copy(update={"sums_cover_all": True})
    )
    folder.write_sums()
    write_report(path, ["md", "html", "json"])
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _compare(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0)


def _files(run: Path) -> list[Path]:
    return sorted(one for one in run.rglob("*") if one.is_file())


def test_a_run_with_its_report_holds(run: Path) -> None:
    assert verification(RunFolder(run)) == verification(RunFolder(run))
    assert verify_run(RunFolder(run)) == []
    listed = {line.partition("  ")[2] for line in (run / SUMS).read_text().splitlines()[1:]}
    assert listed == {one.relative_to(run).as_posix() for one in _files(run)} - {SUMS}


@pytest.mark.parametrize("seed", [0, 1])
def test_single_edited_bytes_of_any_file_are_found(
    run: Path, seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(seed)
    files = [one for one in _files(run) if one.stat().st_size]
    for number in range(EDITS):
        file = files[number % len(files)] if number < len(files) else random.choice(np.array(files))
        whole = file.read_bytes()
        edited = bytearray(whole)
        place = int(random.integers(len(whole)))
        edited[place] = (edited[place] + int(random.integers(1, 256))) % 256
        file.write_bytes(edited)
        assert _compare("verify", str(run), monkeypatch=monkeypatch) == 4, (file, place)
        told = capsys.readouterr()
        assert "internal error" not in told.out + told.err
        file.write_bytes(whole)
    assert verify_run(RunFolder(run)) == []


def test_missing_and_added_files_are_found(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in _files(run):
        whole = file.read_bytes()
        file.unlink()
        assert _compare("verify", str(run), monkeypatch=monkeypatch) == 4, file
        assert file.name in capsys.readouterr().out
        file.write_bytes(whole)
    for folder in [run, *(one for one in run.rglob("*") if one.is_dir())]:
        added = folder / "added.txt"
        added.write_bytes(b"")
        assert _compare("verify", str(run), monkeypatch=monkeypatch) == 4
        added.unlink()
    assert verify_run(RunFolder(run)) == []


def test_a_report_written_again_renews_its_own_sums_and_launders_nothing(run: Path) -> None:
    page = run / "report" / "report.html"
    page.write_text("edited")
    assert verify_run(RunFolder(run)) == ["SHA256SUMS: report/report.html was changed"]
    write_report(run, ["html"])
    assert verify_run(RunFolder(run)) == []
    (kept,) = (run / "artefacts").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    write_report(run, ["md"])
    assert verify_run(RunFolder(run)) == [f"SHA256SUMS: artefacts/{kept.name} was changed"]


def test_scores_written_again_renew_their_own_sum_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "scores.json").unlink()
    (run / "tape").mkdir()
    (run / "tape" / "added.tape").write_bytes(b"")
    assert _compare("score", str(run), monkeypatch=monkeypatch) == 0
    assert verify_run(RunFolder(run)) == ["SHA256SUMS: tape/added.tape was added"]


def test_a_report_elsewhere_leaves_the_run_as_it_is(run: Path, tmp_path: Path) -> None:
    before = {one: one.read_bytes() for one in _files(run)}
    write_report(run, ["md"], tmp_path / "elsewhere")
    assert {one: one.read_bytes() for one in _files(run)} == before
