"""`compare run` on images of which some training ones are test images: table, resume, diff."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common.run.copies_table import LEFT_OUT, read_copies_table
from he_compare.common.run.store import COPIES_TABLE, RunFolder
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.diff import diff_runs, render
from he_compare.comparisons.judging.verify import verify_run
from tests.support.imagefolders import write_tree
from tests.support.sealing import seal

SMALL_SIZES = "--image-size 32 --train-limit 20 --val-limit 4 --infer-batch 4 --latency-images 0"


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Write 40 training, 8 validation and 12 test images; three test images are in training."""
    folder = tmp_path / "images"
    write_tree(folder, {"train": 20}, seed=1, classes=("cat", "dog"))
    write_tree(folder, {"val": 4}, seed=2, classes=("cat", "dog"))
    write_tree(folder, {"test": 6}, seed=3, classes=("cat", "dog"))
    for number, label in enumerate(("cat", "cat", "dog")):
        source = sorted((folder / "test" / label).iterdir())[number]
        shutil.copy(source, folder / "train" / label / f"again{number}.png")
    return folder


@pytest.fixture
def compare(
    echo: str, leaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run `compare run` on the leaking images and return its exit code."""

    def run(policy: str, *extra: str) -> int:
        options = ["--dataset", f"folder:{leaking}", "--profile", "smoke", "--no-audit", "--quiet"]
        options += [*SMALL_SIZES.split(), "--pipeline", "echo", "--format", "md", "--pictures", "0"]
        options += ["--copies", policy, "--out", str(tmp_path / policy), *extra]
        monkeypatch.setattr(sys, "argv", ["compare", "run", *options])
        with pytest.raises(SystemExit) as stop:
            app.main()
        return int(stop.value.code or 0)

    return run


def test_what_was_left_out_is_in_the_records_in_a_table_and_in_the_report(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    assert compare("drop") == 0
    folder = RunFolder(tmp_path / "drop")
    facts = folder.manifest().dataset.copies
    assert facts is not None
    assert (facts.policy, facts.copies["train"]) == ("drop", {"cat": 2, "dog": 1})
    assert (facts.test_images, facts.test_share) == (3, 0.25)
    lines = read_copies_table(folder.path)
    assert {(line.id, line.other) for line in lines if line.done == LEFT_OUT} == {
        (f"train/{label}/again{i}.png", sorted_test(tmp_path, label, i))
        for i, label in enumerate(("cat", "cat", "dog"))
    }
    assert COPIES_TABLE in (folder.path / "SHA256SUMS").read_text()
    assert verify_run(folder) == []
    report = (folder.path / "report" / "report.md").read_text()
    assert "3 images that equal one of a later split were left out: 3 train" in report
    assert "25.0% of the test split" in report


def sorted_test(tmp_path: Path, label: str, number: int) -> str:
    names = sorted(file.name for file in (tmp_path / "images/test" / label).iterdir())
    return f"test/{label}/{names[number]}"


def test_a_run_that_goes_on_rewrites_no_table(compare: Callable[..., int], tmp_path: Path) -> None:
    assert compare("drop") == 0
    table = tmp_path / "drop" / COPIES_TABLE
    before = table.stat().st_mtime_ns, table.read_bytes()
    assert compare("drop") == 0
    assert (table.stat().st_mtime_ns, table.read_bytes()) == before
    table.unlink()
    assert compare("drop") == 0
    assert table.read_bytes() == before[1]


def test_another_policy_is_another_plan(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("drop") == 0
    assert compare("keep", "--out", str(tmp_path / "drop")) == 2
    assert "holds another plan" in capsys.readouterr().err


def test_a_table_that_names_fewer_is_found_out(compare: Callable[..., int], tmp_path: Path) -> None:
    assert compare("drop") == 0
    folder = RunFolder(tmp_path / "drop")
    table = folder.path / COPIES_TABLE
    lines = table.read_text().splitlines(keepends=True)
    kept = [line for line in lines if "again0" not in line or LEFT_OUT not in line]
    table.write_text("".join(kept))
    seal(folder.path)
    assert verify_run(folder) == [
        "copies.csv: 1 train images of class 'cat' were left out, the manifest says 2"
    ]
    table.write_text("no table\n")
    seal(folder.path)
    assert verify_run(folder) == ["copies.csv cannot be read"]


def test_runs_with_and_without_the_copies_are_compared_part_by_part(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    assert compare("keep") == 0 and compare("drop") == 0
    found = diff_runs(
        RunFolder(tmp_path / "keep"), RunFolder(tmp_path / "drop"), allow_other_environment=False
    )
    (pipeline,) = found["pipelines"]
    assert pipeline["paired"]
    assert "copies: keep and drop" in found["settings"]
    sizes = {part["part"]: part["n"] for part in pipeline["parts"]}
    assert (sizes["with a copy"], sizes["without a copy"]) == (3, 9)
    halves = pipeline["parts"][:2]
    right = sum(part["n"] * part["accuracy"]["b"]["value"] for part in halves)
    assert right / 12 == pytest.approx(pipeline["accuracy"]["b"])
    assert "test images with a copy, n 3:" in render(found)


def test_under_keep_the_report_fails_the_accuracy_and_under_error_nothing_runs(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("keep", "--train-limit", "43") == 0
    report = (tmp_path / "keep" / "report" / "report.md").read_text()
    assert "3 test images, 25.0% of the test split (2 cat, 1 dog)" in report
    assert "must not be read as accuracy on unseen ones" in report
    assert compare("error") == 2
    assert "3 images equal one of a later split: 'train/cat/again0.png'" in capsys.readouterr().err
    assert not (tmp_path / "error").exists()
