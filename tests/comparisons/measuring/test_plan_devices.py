"""Pipelines of a run are measured on one device, which keys every cell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from he_compare.common import plugins
from he_compare.common.backbones import device
from he_compare.common.backbones.device import Device
from he_compare.common.errors import UsageError
from he_compare.common.types import Phase
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planned import Planned
from tests.comparisons.measuring.test_plan_identity import SETTINGS, key, plan

FOUND = (
    Device("cpu", "Some CPU", 8 << 30),
    Device("cuda:0", "Some GPU", 16 << 30, "bfloat16"),
    Device("cuda:1", "Some GPU", 16 << 30, "bfloat16"),
    Device("cuda:2", "Other GPU", 8 << 30, "float16"),
)


@pytest.fixture(autouse=True)
def _gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "devices", lambda: FOUND)


def planned(name: str) -> Planned:
    pipeline = plugins.load("pipelines", name)
    return Planned(PipelineSpec(name, {}), pipeline, pipeline.parameters())


def on(name: str, *pipelines: str) -> RunPlan:
    made = plan(replace(SETTINGS, device=name))
    return replace(made, pipelines=[planned(one) for one in pipelines])


def test_networks_alone_are_measured_where_they_are_trained() -> None:
    made = on("cuda:0", "plaintext", "local", "convnet", "block-scramble", "block-scramble-convnet")
    trained, measured = made.device_facts()
    assert trained == measured
    assert (measured.name, measured.model, measured.memory_bytes) == (
        "cuda:0",
        "Some GPU",
        16 << 30,
    )


@pytest.mark.parametrize("encrypted", ["fhe-head", "fhe-train", "fhe-tfhe", "fhe-tfhe-train"])
def test_beside_encryption_for_the_cpu_all_are_measured_on_it(encrypted: str) -> None:
    """A plain network on a GPU is never timed beside an encrypted head on the CPU."""
    trained, measured = on("cuda:0", "plaintext", encrypted).device_facts()
    assert (trained.name, measured.name) == ("cuda:0", "cpu")


def test_no_cell_of_another_device_is_taken_for_this_one() -> None:
    for phase in Phase:
        keys = {name: key(on(name, "plaintext"), phase) for name in ("cpu", "cuda:0", "cuda:2")}
        assert len(set(keys.values())) == 3
        assert key(on("cuda:1", "plaintext"), phase) == keys["cuda:0"]


def test_a_run_is_not_resumed_on_another_device() -> None:
    plans = [on(name, "plaintext").plan_key() for name in ("cpu", "cuda:0", "cuda:1", "cuda:2")]
    assert plans[1] == plans[2]
    assert len(set(plans)) == 3


def test_measuring_elsewhere_keys_a_cell_as_well() -> None:
    alone, beside = on("cuda:0", "plaintext"), on("cuda:0", "plaintext", "fhe-head")
    assert key(alone, Phase.LATENCY) != key(beside, Phase.LATENCY)


def test_a_setting_that_names_no_device_is_refused() -> None:
    with pytest.raises(UsageError, match="gpu"):
        load_config("smoke", {"device": "gpu"})
    assert load_config("smoke", {}).device == "auto"
