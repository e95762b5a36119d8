"""The real pipelines on a small learnable dataset, through the real command and servers."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import FheMode, Phase, Status
from tests.support.imagefolders import write_chestxray_like

PIPELINES = (
    "plaintext",
    "plaintext[model=logistic]",
    "block-scramble[cipher=vit_block]",
    "block-scramble[cipher=vit_block,mode=adapted]",
    "block-scramble[cipher=al_amin]",
    "block-scramble[cipher=noise]",
    "fhe-head",
)


def run_compare(data: Path, out: Path, key: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    options = f"""--dataset chestxray --data-dir {data} --profile smoke --subset published
        --image-size 32 --epochs 2 --test-limit 24 --latency-images 3 --latency-rounds 1
        --out {out} --key {key} --weights untrained --threads 1""".split()
    pipelines = [word for name in PIPELINES for word in ("--pipeline", name)]
    return subprocess.run(
        [sys.executable, "-m", "comparisons", "run", *options, *pipelines, *extra],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A run of every pipeline: (run folder, data folder, key file)."""
    base = tmp_path_factory.mktemp("real")
    data = base / "data" / "chestxray"
    write_chestxray_like(data, per_class_train=40, per_class_test=16, size=32)
    done = run_compare(data, base / "run", base / "client.key")
    assert done.returncode == 0, done.stderr[-3000:]
    return base / "run", data, base / "client.key"


def accuracy_records(run: Path) -> dict[str, RunRecord]:
    records = RunFolder(run).records()
    return {r.cell.label: r for r in records if r.cell.phase is Phase.ACCURACY}


@pytest.mark.slow
def test_every_pipeline_ends_ok_with_bytes_stages_and_environment(
    finished: tuple[Path, Path, Path],
) -> None:
    run = finished[0]
    records = RunFolder(run).records()
    assert len(records) == 2 * len(PIPELINES)
    for record in records:
        assert record.status is Status.OK, record.reason
        assert record.traffic and record.traffic.payload_upload_bytes > 0
        assert record.measurements and record.environment and record.server_pid_separate
    assert all(r.claims for r in accuracy_records(run).values())


@pytest.mark.slow
def test_every_metric_has_an_interval_and_every_pipeline_a_paired_difference(
    finished: tuple[Path, Path, Path],
) -> None:
    scores = RunFolder(finished[0]).scores()
    assert scores.reference == "plaintext"
    assert len(scores.cells) == len(PIPELINES)
    for cell in scores.cells:
        for metric in cell.metrics:
            assert metric.interval is not None or metric.note, (cell.label, metric.name)
    twins = {one.label: one.twin for one in RunFolder(finished[0]).manifest().pipelines}
    expected = {
        (label, other, metric)
        for label, twin in twins.items()
        for other in {twin, scores.reference} - {label, ""}
        for metric in ("accuracy", "balanced_accuracy", "auc")
    }
    found = [(one.pipeline, one.reference, one.metric) for one in scores.differences]
    assert set(found) == expected and len(found) == len(expected)
    assert twins["fhe-head"] == "plaintext[logistic]" and scores.against_twins


@pytest.mark.slow
def test_the_adapted_vit_is_the_plain_vit(finished: tuple[Path, Path, Path]) -> None:
    run = finished[0]
    record = accuracy_records(run)["block-scramble[vit_block,adapted]"]
    assert record.agreement and record.agreement.agree == record.agreement.compared == 24
    assert record.agreement.max_abs_score_difference < 1e-4
    cells = {cell.label: cell for cell in RunFolder(run).scores().cells}
    assert cells["block-scramble[vit_block,adapted]"].confusion == cells["plaintext"].confusion


@pytest.mark.slow
def test_encrypted_predictions_equal_the_clear_heads(finished: tuple[Path, Path, Path]) -> None:
    run = finished[0]
    record = accuracy_records(run)["fhe-head"]
    assert record.fhe_mode is FheMode.EXECUTE
    assert record.agreement and record.agreement.agree == record.agreement.executed == 24
    assert record.agreement.max_abs_score_difference < 1e-2
    cells = {cell.label: cell for cell in RunFolder(run).scores().cells}
    assert cells["fhe-head"].confusion == cells["plaintext[logistic]"].confusion


@pytest.mark.slow
def test_no_key_material_is_anywhere_in_the_run_folder(finished: tuple[Path, Path, Path]) -> None:
    run, _, key_file = finished
    assert key_file.stat().st_mode & 0o777 == 0o600
    content = json.loads(key_file.read_text())
    encoded = next(v for k, v in content.items() if isinstance(v, str) and k == "key")
    secret = base64.b64decode(encoded)
    assert len(secret) == 32
    needles = [secret, secret.hex().encode(), encoded.encode()]
    for path in run.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(needle in data for needle in needles), path


@pytest.mark.slow
def test_the_same_seed_and_key_give_the_same_predictions(
    finished: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run, data, key = finished
    again = run_compare(data, tmp_path / "again", key, "--format", "")
    assert again.returncode == 0, again.stderr[-3000:]
    first, second = accuracy_records(run), accuracy_records(tmp_path / "again")
    for label, record in first.items():
        if "noise" in label:
            continue  # noise is drawn anew for every image, by definition
        with (
            np.load(run / record.predictions) as a,
            np.load(tmp_path / "again" / second[label].predictions) as b,
        ):
            assert np.array_equal(
                a["probabilities"].argmax(axis=1), b["probabilities"].argmax(axis=1)
            ), label


@pytest.mark.slow
def test_reports_are_written_and_flag_the_untrained_backbone(
    finished: tuple[Path, Path, Path],
) -> None:
    report = finished[0] / "report"
    markdown = (report / "report.md").read_text()
    assert "untrained" in markdown
    for label in accuracy_records(finished[0]):
        assert label.split("[")[0] in markdown
    assert (report / "report.pdf").read_bytes().startswith(b"%PDF-")
