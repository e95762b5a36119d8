"""`compare run` on two classes with and without a positive one, and old runs that took the second.

The images are those of a public report: half of the test images of the diseased look healthy. Right
are a sensitivity of 0.5 and a specificity of 1, whichever name comes first in the alphabet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.run.positive import note_none_named, positive_scored
from he_compare.common.run.store import MANIFEST, SCORES, RunFolder
from he_compare.common.run.view import read_run
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.scoring import score_run
from he_compare.comparisons.judging.show import table
from he_compare.comparisons.judging.verify import verify_run
from he_compare.reports.build import build_document
from he_compare.reports.render.markdown import markdown
from tests.support.samplerun.kinds import FHE, PLAIN
from tests.support.samplerun.runs import SampleRun, build
from tests.support.sealing import seal

DARK, BRIGHT = 60, 190
ILL, WELL = "CT_COVID", "CT_NonCOVID"
OF_THE_POSITIVE = {"sensitivity", "specificity"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The ill are dark, the well bright, as the echo pipeline tells the first class by."""
    generator = np.random.default_rng(0)
    for label, usual in ((ILL, DARK), (WELL, BRIGHT)):
        for split, n in (("train", 6), ("val", 4), ("test", 10)):
            for i in range(n):
                level = BRIGHT if label == ILL and split == "test" and i < 5 else usual
                pixels = np.clip(generator.normal(level, 12, (32, 32)), 0, 255).astype(np.uint8)
                place = tmp_path / "pictures" / split / label / f"{i}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place)
    return tmp_path / "pictures"


@pytest.fixture
def run(
    echo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunFolder]:
    def start(*words: str) -> RunFolder:
        out = tmp_path / "run"
        options = ["--dataset", f"folder:{folder}", "--profile", "smoke", "--image-size", "32"]
        options += ["--pipeline", echo, "--no-audit", "--format", "md", "--out", str(out)]
        options += ["--latency-images", "0", "--quiet", *words]
        monkeypatch.setattr(sys, "argv", ["compare", "run", *options])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert not stop.value.code
        return RunFolder(out)

    return start


def two_pipelines(*classes: str) -> SampleRun:
    return build((PLAIN, FHE), classes=classes, n=60, untrained=False, rounds=1)


def values_of(folder: RunFolder) -> dict[str, float | None]:
    return {one.name: one.value for one in folder.scores().cells[0].metrics}


def test_unasked_no_class_is_positive(run: Callable[..., RunFolder]) -> None:
    folder = run()
    values = values_of(folder)
    assert not OF_THE_POSITIVE & set(values)
    assert (values[f"recall[{ILL}]"], values[f"recall[{WELL}]"]) == (0.5, 1.0)
    dataset = folder.manifest().dataset
    assert dataset.card.positive_class == "" and dataset.splits["test"].prevalence is None
    told = note_none_named(dataset.card)
    assert f"--positive {ILL!r}" in told and told in dataset.notes
    report = (folder.path / "report" / "report.md").read_text(encoding="utf-8")
    assert "o class was said to be positive" in report
    said = report.replace("for sensitivity and specificity", "").lower()
    assert not [word for word in (*OF_THE_POSITIVE, "prevalence") if word in said]
    assert "o class was said to be positive" in table(read_run(folder))
    assert verify_run(folder) == []


@pytest.mark.parametrize(("positive", "expected"), [(ILL, (0.5, 1.0)), (WELL, (1.0, 0.5))])
def test_the_class_that_is_named_is_the_positive_one(
    run: Callable[..., RunFolder], positive: str, expected: tuple[float, float]
) -> None:
    folder = run("--positive", positive)
    values = values_of(folder)
    assert (values["sensitivity"], values["specificity"]) == expected
    report = (folder.path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Sensitivity" in report and "was said to be positive" not in report
    assert verify_run(folder) == []


def test_a_run_of_a_version_that_took_the_second_class_is_read_as_what_it_is(
    tmp_path: Path,
) -> None:
    folder = RunFolder(two_pipelines("a", "b").write(tmp_path / "run"))
    score_run(folder)  # with a positive class, the second: so older versions wrote without one
    manifest = json.loads((folder.path / MANIFEST).read_text(encoding="utf-8"))
    second = manifest["dataset"]["card"]["positive_class"]
    manifest["dataset"]["card"]["positive_class"] = ""
    (folder.path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    seal(folder.path)
    assert verify_run(folder) == []
    view = read_run(folder)
    assert view.positive == second
    report = markdown(build_document(folder))
    assert f"{second!r} was taken as the positive class unasked" in report
    assert "Sensitivity" in report


def test_empty_values_of_positives_that_older_versions_wrote_are_no_difference(
    tmp_path: Path,
) -> None:
    folder = RunFolder(two_pipelines("a", "b", "c").write(tmp_path / "run"))
    score_run(folder)
    sheet = json.loads((folder.path / SCORES).read_text(encoding="utf-8"))
    for cell in sheet["cells"]:
        empty = cell["metrics"][0] | {"value": None, "interval": None, "note": "none is named"}
        cell["metrics"].insert(3, empty | {"name": "sensitivity"})
    (folder.path / SCORES).write_text(json.dumps(sheet), encoding="utf-8")
    seal(folder.path)
    assert verify_run(folder) == []
    assert positive_scored(folder.manifest().dataset.card, folder.scores()) == ""
