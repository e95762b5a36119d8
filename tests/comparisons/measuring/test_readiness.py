"""The first lines of `compare data check` say whether a dataset can be run, and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.comparisons.cli import app


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["compare", "data", "check", *words])
        with pytest.raises(SystemExit) as stop:
            app.main()
        return int(str(stop.value.code)), capsys.readouterr().out

    return run


Check = Callable[..., tuple[int, str]]


def write_classes(root: Path, *names: str, n: int = 30) -> Path:
    for label, name in enumerate(names):
        for number in range(n):
            write_example_picture(root / name / f"{number:02d}.png", label, number)
    return root


def test_the_first_line_is_the_command_that_runs_it(tmp_path: Path, check: Check) -> None:
    folder = write_classes(tmp_path / "d", "a", "b")
    code, told = check(f"folder:{folder}", "--copies", "keep")
    assert code == 0
    first = told.splitlines()[0]
    assert first == "can be run as it is: compare run --dataset folder:PATH --copies keep"


def test_a_dataset_that_cannot_be_opened_says_what_to_do(tmp_path: Path, check: Check) -> None:
    folder = write_classes(tmp_path / "d", "a")
    code, told = check(f"folder:{folder}")
    assert code == 2
    lines = told.splitlines()
    assert lines[0].startswith("CANNOT BE RUN AS IT IS: ")
    assert lines[1].startswith("  what to do: ")


def test_broken_images_are_all_named_and_the_code_says_so(tmp_path: Path, check: Check) -> None:
    folder = write_classes(tmp_path / "d", "a", "b")
    for name in ("a/03.png", "b/04.png"):
        data = (folder / name).read_bytes()
        # The header stays whole: what is wrong shows only when pixels are decoded.
        (folder / name).write_bytes(data[:60] + bytes(len(data) - 60))
    code, told = check(f"folder:{folder}", "--json")
    assert code == 2
    answer = json.loads(told)
    assert not answer["ready"]
    assert "a/03.png" in answer["problem"]
    assert "b/04.png" in answer["problem"]


def test_it_is_json_with_the_advice(tmp_path: Path, check: Check) -> None:
    folder = write_classes(tmp_path / "d", "a", "b")
    code, told = check(f"folder:{folder}", "--json")
    assert code == 0
    answer = json.loads(told)
    assert answer["ready"]
    assert any("patients are not known" in one["text"] for one in answer["advice"])
    assert answer["smallest_class"]["images"] == 3
