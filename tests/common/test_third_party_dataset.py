"""A dataset of a third party, as the how-to writes it: one file, run by name, its path kept out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common import plugins
from he_compare.common.dataset import DatasetFamily, is_path
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.cli import app
from he_compare.comparisons.measuring.dataset_spec import default_folder_name, shown_dataset

HOWTO = Path(__file__).parents[2] / "docs" / "how-to" / "own-dataset.md"
SMALL = ["--image-size", "32", "--latency-images", "0", "--pictures", "0", "--quiet", "--no-audit"]
SILENT = "    takes_path = True\n"


def howto_file(name: str) -> str:
    """Return the file of that name as the how-to prints it."""
    text = HOWTO.read_text(encoding="utf-8")
    found = re.search(rf"`{re.escape(name)}`[^`]*.*?```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def entry_of_howto() -> dict[str, str]:
    """Return the entry point of the how-to's ``pyproject.toml``."""
    found = re.search(
        r'entry-points\."he_compare\.(\w+)"\]\n(\w+) = "(\w+)"', howto_file("pyproject.toml")
    )
    assert found is not None
    return {f"{found.group(1)}/{found.group(2)}": found.group(3)}


@pytest.fixture(params=["says", "does not say"])
def patient_folder(
    request: pytest.FixtureRequest, install: Callable[..., Path], tmp_path: Path
) -> Path:
    """Install the how-to's dataset, and write its example under a folder named after a patient."""
    source = howto_file("my_lungs.py")
    if request.param == "does not say":
        assert SILENT in source
        source = source.replace(SILENT, "")
    install("my_data", entry_of_howto(), my_lungs=source)
    folder = tmp_path / "st_mary" / "Doe_Jane"
    folder.mkdir(parents=True)
    assert plugins.load("datasets", "lungs").example(folder) == ""
    return folder


def compare(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0)


def test_a_run_on_a_path_leaves_no_trace_of_the_path(
    patient_folder: Path,
    echo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "--dataset", f"lungs:{patient_folder}", "--profile", "smoke", *SMALL]
    assert compare(monkeypatch, *words, "--pipeline", "echo", "--format", "json,md") == 0
    assert [folder.name for folder in Path("runs").iterdir()] == ["lungs-smoke"]
    run = RunFolder(Path("runs") / "lungs-smoke")
    assert "--dataset lungs:PATH " in run.manifest().command
    files = [file for file in run.path.rglob("*") if file.is_file()]
    assert len(files) > 4
    for file in files:
        assert b"st_mary" not in file.read_bytes() and "Doe" not in file.as_posix()


def test_an_audit_on_a_path_leaves_no_trace_of_the_path(
    patient_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["audit", "run", "--dataset", f"lungs:{patient_folder}", "--image-size", "32"]
    words += ["--cipher", "np", "--attack", "key_space", "--quiet"]
    assert compare(monkeypatch, *words) in (0, 3)
    assert [folder.name for folder in Path("runs").iterdir()] == ["audit-lungs-quick"]
    files = [file for file in Path("runs").rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert b"st_mary" not in file.read_bytes()


def test_it_is_listed_and_checked_by_name(
    patient_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(monkeypatch, "list", "datasets", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["datasets"]
    row = next(row for row in rows if row["name"] == "lungs")
    assert row["summary"] == "Chest X-rays of our department, ill or healthy."
    assert row["card"]["title"] == "Chest X-rays of our department"
    assert compare(monkeypatch, "data", "check", f"lungs:{patient_folder}") == 0
    assert "groups in more than one split: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "argument", "hidden"),
    [
        (True, "Smith", True),
        (False, "Smith/224", False),
        (None, "224", False),
        (None, "pneumonia,64", False),
        (None, "/data/Smith", True),
        (None, r"C:\data", True),
        (None, "~smith", True),
        (None, "Smith", True),
        (None, "elsewhere", True),
        (None, "x" * 5000, True),
    ],
)
def test_what_looks_like_a_path_is_kept_out_unless_the_family_says_it_is_none(
    said: bool | None,
    argument: str,
    hidden: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here" / "Smith").mkdir(parents=True)
    (tmp_path / "data" / "elsewhere").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    family = plugins.load("datasets", "chestxray")
    monkeypatch.setattr(type(family), "takes_path", said)
    assert is_path(family, argument, tmp_path / "data") is hidden


def test_a_family_that_derives_from_nothing_is_taken_to_be_silent(tmp_path: Path) -> None:
    class Foreign:
        name = "foreign"

    assert is_path(Foreign(), "/data/Smith", None)  # type: ignore[arg-type]
    assert not is_path(Foreign(), "224", None)  # type: ignore[arg-type]
    assert DatasetFamily.takes_path is None


@pytest.mark.parametrize(
    ("spec", "shown", "folder"),
    [
        ("chestxray", "chestxray", "chestxray"),
        ("pneumoniamnist:224", "pneumoniamnist:224", "pneumoniamnist-224"),
        ("chestmnist:pneumonia,64", "chestmnist:pneumonia,64", "chestmnist-pneumonia,64"),
        ("folder:/data/Smith", "folder:PATH", "folder"),
        ("dicom:Smith", "dicom:PATH", "dicom"),
        ("nih-cxr14:../up", "nih-cxr14:../up", "nih-cxr14-..-up"),
    ],
)
def test_how_a_dataset_is_written_down(spec: str, shown: str, folder: str) -> None:
    assert shown_dataset(spec, None) == shown
    assert default_folder_name(spec, None) == folder
