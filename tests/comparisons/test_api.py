"""`from comparisons import run, load_run`: the same run as by the command, and the same records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from he_compare.common.errors import CellError, UsageError
from he_compare.comparisons import load_run, run
from tests.support.imagefolders import write_chestxray_like

pytestmark = pytest.mark.slow
SMALL = {
    "subset": "published",
    "image_size": 32,
    "train_limit": 8,
    "val_limit": 4,
    "test_limit": 12,
    "infer_batch": 4,
    "latency_images": 2,
    "latency_rounds": 1,
    "pictures": 2,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "chestxray"
    write_chestxray_like(folder, per_class_train=12, per_class_test=8, size=32)
    return folder


def test_a_run_from_python_gives_the_run_that_is_loaded(
    echo: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    view = run("chestxray", out=out, profile="smoke", data_dir=data, pipelines=["echo"], **SMALL)
    assert [pipeline.state for pipeline in view.pipelines] == ["ok"]
    assert not (out / "report").exists()
    assert load_run(out).records == view.records
    assert capsys.readouterr().out == ""
    assert view.to_frame().loc[0, "label"] == "echo"


def test_the_name_stays_the_function_whatever_was_imported_before() -> None:
    """A module of the same name took its place in the package once a run had imported it."""
    code = (
        "import he_compare.comparisons.api, he_compare.comparisons.one_run, pkgutil\n"
        "import he_compare.comparisons as package\n"
        "names = {one.name for one in pkgutil.iter_modules(package.__path__)}\n"
        "assert not names & set(package.__all__), names\n"
        "assert callable(package.run) and callable(package.load_run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_in_which_nothing_ended_ok_is_an_error(echo: str, data: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "pipelines": ["echo[behaviour=raise]"]}
    with pytest.raises(CellError, match="no pipeline ended ok"):
        run("chestxray", out=tmp_path / "run", profile="smoke", data_dir=data, **settings)


def test_an_unknown_setting_is_refused_before_anything_runs(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="epoch_count"):
        run("chestxray", out=tmp_path / "run", profile="smoke", data_dir=data, epoch_count=3)
    assert not (tmp_path / "run").exists()
