"""What pipelines can read keys every cell; what they cannot read keys none."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common import plugins
from he_compare.common.contracts import RunSettings, TrainingData
from he_compare.common.types import Phase
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.measuring.plan import KEYED_APART, RunPlan
from he_compare.comparisons.measuring.planned import Planned
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


def plan(settings: RunSettings = SETTINGS, **overrides: object) -> RunPlan:
    manifest = three_pipelines().manifest
    return RunPlan(
        config=load_config("smoke", overrides),
        dataset_spec="chestxray",
        summary=manifest.dataset,
        backbone=manifest.backbone,
        pipelines=[],
        data=TrainingData(NOTHING, NOTHING, (), ""),
        test=NOTHING,
        settings=settings,
        key_file=Path("client.key"),
    )


def key(one: RunPlan, phase: Phase) -> str:
    pipeline = plugins.load("pipelines", "plaintext")
    planned = Planned(PipelineSpec("plaintext", {}), pipeline, pipeline.parameters())
    return one._cell(planned, phase, 0).identity


@pytest.mark.parametrize("name", sorted(set(asdict(SETTINGS)) - KEYED_APART))
def test_every_setting_that_pipelines_read_keys_every_cell(name: str) -> None:
    value = getattr(SETTINGS, name)
    other = "deit_small_patch16_224" if isinstance(value, str) else value * 2
    changed = plan(replace(SETTINGS, **{name: other}))
    for phase in Phase:
        assert key(changed, phase) != key(plan(), phase)


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"pictures": 2}, set()),
        ({"call_seconds": 5}, set()),
        ({"audit": "full"}, set()),
        ({"latency_images": 3}, {Phase.LATENCY}),
        ({"robustness_images": 3}, {Phase.ROBUSTNESS}),
        ({"infer_batch": 3}, {Phase.ACCURACY, Phase.ROBUSTNESS}),
        ({"seed": 3}, set(Phase)),
    ],
)
def test_a_setting_runs_only_those_cells_again_that_it_can_change(
    overrides: dict[str, object], changed: set[Phase]
) -> None:
    found = {one for one in Phase if key(plan(**overrides), one) != key(plan(), one)}
    assert found == changed
