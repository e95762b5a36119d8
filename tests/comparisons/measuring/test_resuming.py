"""Which cells a changed setting runs again, and how a folder with another plan is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common import plugins
from he_compare.common.contracts import RunSettings, TrainingData
from he_compare.common.errors import UsageError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.measuring.resuming import explain_cells, require_same_plan
from he_compare.comparisons.measuring.threads import share_threads
from tests.support.samplerun import three_pipelines

SETTINGS = RunSettings(
    image_size=32,
    backbone="deit_tiny_patch16_224",
    weights="shipped",
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    threads=1,
    infer_batch=4,
)
NOTHING: Any = None


def plan(*pipelines: str, **overrides: object) -> RunPlan:
    manifest = three_pipelines().manifest
    found = [plugins.load("pipelines", name) for name in pipelines or ("plaintext",)]
    return RunPlan(
        config=load_config("smoke", overrides),
        dataset_spec="chestxray",
        summary=manifest.dataset,
        backbone=manifest.backbone,
        pipelines=[Planned(PipelineSpec(one.name, {}), one, one.parameters()) for one in found],
        data=TrainingData(NOTHING, NOTHING, (), ""),
        test=NOTHING,
        settings=SETTINGS,
        key_file=Path("client.key"),
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of the plan that has no record yet."""
    made = RunFolder(tmp_path / "run")
    made.create(manifest_of(plan()))
    return made


def record(made: RunPlan, cell: PlannedCell, status: Status) -> RunRecord:
    return RunRecord(
        identity=cell.identity,
        cell=made.cell_record(cell),
        status=status,
        started_at="2025-03-01T09:30:00Z",
    )


def accuracy_line(made: RunPlan, folder: RunFolder) -> str:
    (line,) = [one for one in explain_cells(made, folder).splitlines() if "fit and test" in one]
    return line


def test_every_cell_of_a_new_run_is_explained_in_the_order_of_the_plan(tmp_path: Path) -> None:
    made = plan()
    lines = explain_cells(made, RunFolder(tmp_path / "none")).splitlines()
    assert [line.split()[0] for line in lines] == [cell.identity for cell in made.cells()]
    assert all(line.endswith("run: no record of it") for line in lines)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.OK, "fit and test: kept: finished 2025-03-01T09:30:00Z"),
        (Status.FAILED, "fit and test: run again: its status was failed"),
        (Status.INTERRUPTED, "fit and test: run again: its status was interrupted"),
    ],
)
def test_only_a_finished_cell_is_kept(folder: RunFolder, status: Status, words: str) -> None:
    made = plan()
    folder.append(record(made, made.cells()[0], status))
    assert accuracy_line(made, folder).endswith(words)


def test_a_changed_setting_runs_again_what_it_can_change_and_keeps_the_rest(
    folder: RunFolder,
) -> None:
    made = plan()
    for cell in made.cells():
        folder.append(record(made, cell, Status.OK))
    changed = plan(latency_images=made.config.latency_images + 1)
    for cell, line in zip(
        changed.cells(), explain_cells(changed, folder).splitlines(), strict=True
    ):
        again = "settings changed since" in line
        assert again == (cell.phase is Phase.LATENCY)
        assert again != ("kept" in line)


def test_the_same_plan_is_accepted_whatever_changes_no_cell(folder: RunFolder) -> None:
    require_same_plan(folder, plan())
    require_same_plan(folder, plan(call_seconds=5, audit="full"))


def other_data() -> RunPlan:
    made = plan()
    return replace(made, summary=made.summary.model_copy(update={"fingerprint": "0" * 64}))


def other_weights() -> RunPlan:
    made = plan()
    return replace(made, backbone=made.backbone.model_copy(update={"weights_sha256": "0" * 64}))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (other_data(), "its images have the fingerprint 5a5a5a5a5a5a, these have "),
        (plan("plaintext", "fhe-head"), "its pipelines were plaintext"),
        (plan(seed=3), "its seed was 0, now 3"),
        (other_weights(), "its weights were c3c3c3c3c3c3"),
    ],
)
def test_another_plan_is_refused_and_the_difference_is_named(
    folder: RunFolder, other: RunPlan, difference: str
) -> None:
    with pytest.raises(UsageError, match="holds another plan") as refused:
        require_same_plan(folder, other)
    assert difference in str(refused.value)
    assert "repeat the command of that run: compare run --dataset chestxray" in str(refused.value)


def test_the_recorded_command_says_the_threads_and_brings_back_the_same_cells(
    tmp_path: Path,
) -> None:
    automatic = replace(plan(), settings=replace(SETTINGS, threads=3), latency_threads=6)
    command = manifest_of(automatic).command
    words = command.split()
    asked = {
        name: int(words[words.index(f"--{name.replace('_', '-')}") + 1])
        for name in ("threads", "latency_threads")
    }
    share = share_threads(asked["threads"], 1, cores=64, latency=asked["latency_threads"])
    repeated = replace(
        plan(**asked),
        settings=replace(SETTINGS, threads=share.training),
        latency_threads=share.latency,
    )
    assert repeated.cells() == automatic.cells()
    folder = RunFolder(tmp_path / "run")
    folder.create(manifest_of(automatic))
    require_same_plan(folder, repeated)
    assert manifest_of(repeated).command == command
    with pytest.raises(UsageError, match="latency_threads was 6, now 3"):
        require_same_plan(folder, replace(repeated, latency_threads=3))
    assert "--latency-threads" not in manifest_of(plan()).command
