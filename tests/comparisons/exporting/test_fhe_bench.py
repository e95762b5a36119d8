"""A run as files of the FHE benchmarking suite: its keys and units; what is left out is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.run.store import RunFolder
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import FheMode, Side, Stage
from he_compare.comparisons.exporting.fhe_bench import bench_file, executed, write_bench_files
from he_compare.comparisons.judging.scoring import score_run
from tests.support.samplerun import PLAIN, SampleRun, audited, build, ten_pipelines


def _view(run: SampleRun, path: Path) -> RunView:
    folder = RunFolder(run.write(path))
    score_run(folder)
    return read_run(folder)


def test_the_file_has_the_keys_and_units_of_the_suite(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path)
    pipeline = view.by_label["fhe-head"]
    found = bench_file(view, pipeline)
    assert list(found) == [
        "model_name", "dataset_name", "Timing", "Bandwidth", "Quality", "Server Reported", "Notes",
    ]  # fmt: skip
    assert found["model_name"] == "fhe-head" and found["dataset_name"] == "sample-binary"
    seconds = {name: float(text.removesuffix("s")) for name, text in found["Timing"].items()}
    assert seconds.pop("Total") == pytest.approx(sum(seconds.values()), abs=1e-5)
    latency = latency_of(pipeline)
    assert latency is not None
    server = sum(
        one.spread.p50
        for one in latency.stages
        if one.side is Side.SERVER and one.stage is not Stage.TRANSPORT
    )
    assert seconds["Encrypted computation"] == pytest.approx(server, abs=1e-6)
    traffic = pipeline.measured.traffic if pipeline.measured else None
    assert traffic is not None
    assert found["Bandwidth"]["Public and evaluation keys"] == "2.5M"
    quality = found["Quality"]["Encrypted model quality"]
    assert quality["total_samples"] == 400
    assert quality["correct_predictions"] / 400 == quality["accuracy"] == pipeline.value("accuracy")
    twin = view.by_label["plaintext[logistic]"].value("accuracy")
    assert found["Quality"]["Harness model quality"]["accuracy"] == twin


def test_what_is_not_measured_is_left_out_and_said(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path)
    found = bench_file(view, view.by_label["fhe-head"])
    assert "Input generation" not in found["Timing"]
    told = " ".join(found["Notes"])
    for name in ("Test dataset generation", "Input generation", "transport"):
        assert name in told
    assert None not in found["Timing"].values()


def test_one_file_per_executed_pipeline_and_none_for_a_simulated_one(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path / "run")
    labels = [one.label for one in executed(view.pipelines)]
    assert labels and all(label.startswith("fhe-") for label in labels)
    paths = write_bench_files(view, view.pipelines, tmp_path / "out")
    assert [json.loads(path.read_text())["model_name"] for path in paths] == labels
    assert paths[0].name == "fhe-head.json"
    run = audited()
    records = tuple(
        one.model_copy(update={"fhe_mode": FheMode.SIMULATE})
        if one.cell.label == "fhe-head"
        else one
        for one in run.records
    )
    simulated = _view(replace(run, records=records), tmp_path / "simulated")
    assert [one.label for one in executed(simulated.pipelines)] == labels[1:]


def test_long_names_become_files_that_can_be_told_apart(tmp_path: Path) -> None:
    view = _view(ten_pipelines(), tmp_path / "run")
    paths = write_bench_files(view, view.pipelines, tmp_path / "out")
    assert len({path.name for path in paths}) == len(paths) >= 2
    assert all(set(path.stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") for path in paths)


def test_several_pipelines_do_not_go_into_one_file(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path / "run")
    with pytest.raises(UsageError, match="--pipeline"):
        write_bench_files(view, view.pipelines, tmp_path / "x.json")
    (path,) = write_bench_files(view, [view.by_label["fhe-head"]], tmp_path / "x.json")
    assert json.loads(path.read_text())["model_name"] == "fhe-head"


def test_a_run_without_ciphertexts_is_refused(tmp_path: Path) -> None:
    run = build((PLAIN,), classes=("a", "b"), n=40, untrained=False, rounds=1)
    with pytest.raises(UsageError, match="computed on ciphertexts"):
        write_bench_files(view := _view(run, tmp_path), view.pipelines, tmp_path / "out")
