"""The probe measures real pipelines, in a process of its own, and its prices are kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.contracts import RunSettings, TrainingData
from he_compare.common.costs import RunSizes
from he_compare.common.errors import CellError
from he_compare.common.kept import Kept, KeptResults
from he_compare.common.run.store import RunFolder
from he_compare.common.sources import FORECASTS, sources_of
from he_compare.common.types import ImageBatch
from he_compare.comparisons.estimating import estimate
from he_compare.comparisons.estimating.estimate_words import (
    estimate_as_json,
    estimate_text,
    in_one_line,
)
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.pipeline_spec import parse_spec, resolve_parameters
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planned import Planned
from tests.support.samplerun import three_pipelines

BACKBONE = "deit_tiny_patch16_224"
SETTINGS = RunSettings(
    image_size=32,
    backbone=BACKBONE,
    weights="untrained",
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    threads=1,
    infer_batch=8,
)


def batch(count: int) -> ImageBatch:
    names = tuple(map(str, range(count)))
    labels = np.arange(count, dtype=np.int64) % 2
    return ImageBatch(names, np.zeros((count, 32, 32, 3), np.uint8), labels, names)


def plan(*pipelines: str, train: int = 40, **overrides: Any) -> RunPlan:
    manifest = three_pipelines().manifest
    found = []
    for text in pipelines:
        spec = parse_spec(text)
        pipeline = plugins.load("pipelines", spec.name)
        found.append(Planned(spec, pipeline, resolve_parameters(pipeline, spec)))
    return RunPlan(
        config=load_config("smoke", {"image_size": 32} | overrides),
        dataset_spec="chestxray",
        summary=manifest.dataset,
        backbone=manifest.backbone.model_copy(update={"feature_width": 192}),
        pipelines=found,
        data=TrainingData(batch(train), batch(10), ("a", "b"), "0" * 64),
        test=batch(20),
        settings=SETTINGS,
        key_file=Path("client.key"),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def found(cache: Path) -> estimate.RunForecast:
    """A real probe of two pipelines: one with a server, one without."""
    asked = plan("plaintext[model=logistic]", "local")
    return estimate.forecast(asked, RunFolder(cache / "none"), cache)


def test_every_figure_of_a_probed_run_is_measured(found: estimate.RunForecast) -> None:
    assert not found.not_known
    accuracy = {one.work.label: one for one in found.cells if one.work.phase.value == "accuracy"}
    for one in accuracy.values():
        assert one.seconds is not None and one.seconds > 0
        assert one.driver_bytes > 100e6
    served, local = accuracy["plaintext[logistic]"], accuracy["local"]
    assert served.server_bytes > 100e6 and local.server_bytes == 0
    # 20 test images of 32 px as they are, and a network of 5.5 million numbers of four bytes.
    assert 20 * 3 * 32**2 + 20e6 < served.sent_bytes < 20 * 3 * 32**2 + 25e6
    assert local.sent_bytes == 0


def test_a_second_estimate_needs_no_probe(
    found: estimate.RunForecast, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("probed again")

    monkeypatch.setattr(estimate, "measure_prices", refuse)
    more = plan("plaintext[model=logistic]", "local", train=4000)
    again = estimate.forecast(more, RunFolder(cache / "none"), cache)
    assert again.prices == found.prices
    assert again.measuring_seconds > found.measuring_seconds
    kept = estimate.forecast_by_kept_prices(more, RunFolder(cache / "none"), cache)
    assert kept == again


def test_other_pipelines_or_threads_are_other_prices(
    found: estimate.RunForecast, cache: Path
) -> None:
    nothing = RunFolder(cache / "none")
    other = plan("local")
    assert estimate.forecast_by_kept_prices(other, nothing, cache) is None
    same = plan("plaintext[model=logistic]", "local")
    threads = dataclasses.replace(same, settings=dataclasses.replace(SETTINGS, threads=2))
    assert estimate.forecast_by_kept_prices(threads, nothing, cache) is None
    assert estimate.forecast_by_kept_prices(same, nothing, cache) is not None


def test_damaged_prices_are_measured_anew(found: estimate.RunForecast, tmp_path: Path) -> None:
    asked = plan("plaintext[model=logistic]", "local")
    name = estimate.name_of_prices(asked, estimate.sizes_of(asked))
    kept = KeptResults(tmp_path / estimate.PROBES)
    assert kept.keep(name, Kept(b"{}"))
    assert estimate.kept_prices(asked, estimate.sizes_of(asked), tmp_path) is None
    for damaged in (
        b"",
        b"{}",
        b'{"units": 1}',
        b"\xff\xfe",
        found.prices.model_dump_json()[:-9].encode(),
    ):
        kept.place(name).write_bytes(damaged)
        assert (
            estimate.forecast_by_kept_prices(asked, RunFolder(tmp_path / "none"), tmp_path) is None
        )


def test_the_words_fit_a_terminal_and_json_says_the_same(found: estimate.RunForecast) -> None:
    text = estimate_text(found, 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "plaintext" in text and "measured by a probe" in text
    told = json.loads(json.dumps(estimate_as_json(found)))
    assert len(told["cells"]) == len(found.cells)
    assert told["memory_bytes"] == told["driver_bytes"] + told["servers_bytes"]
    assert in_one_line(found).startswith("estimate: ")


def test_a_probe_that_dies_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "PROBE", "he_compare.no_such_probe")
    with pytest.raises(CellError, match=r"the probe failed \(exit code 1\): .*no_such_probe"):
        estimate.forecast(plan("local"), RunFolder(tmp_path / "none"), tmp_path)


def test_too_little_memory_or_disk_is_said_with_the_figures() -> None:
    warned = estimate.warnings_of(10**15, 10**18, RunFolder(Path("not/there/yet")))
    assert [one.split(":")[0] for one in warned] == ["memory", "disk"]
    assert "1,000,000 GB" in warned[0] and "are free" in warned[1]
    assert estimate.warnings_of(1, 1, RunFolder(Path("not/there/yet"))) == ()


@pytest.mark.parametrize(
    "text",
    [
        "plaintext",
        "plaintext[model=logistic]",
        "local",
        "convnet",
        "block-scramble[cipher=vit_block]",
        "block-scramble[cipher=vit_block,mode=adapted]",
        "block-scramble[cipher=orthogonal]",
        "block-scramble-convnet",
        "fhe-head",
        "fhe-head[packing=batched]",
        "fhe-train",
        "fhe-train[rounds=2]",
        "fhe-tfhe",
    ],
)
def test_pipelines_of_the_house_say_what_they_take(text: str) -> None:
    spec = parse_spec(text)
    pipeline = plugins.load("pipelines", spec.name)
    parameters = resolve_parameters(pipeline, spec)
    few, many = (
        pipeline.costs(parameters, dataclasses.replace(sizes(), train=train))
        for train in (1000, 100_000)
    )
    assert [step.unit.name for step in few.fit] == [step.unit.name for step in many.fit]
    assert sum(step.items for step in few.fit) < sum(step.items for step in many.fit)
    assert few.untrained.name == many.untrained.name


def sizes() -> RunSizes:
    return dataclasses.replace(estimate.sizes_of(plan("local")), image_size=112, weights="shipped")


def test_what_only_forecasts_changes_no_result() -> None:
    for name in ("plaintext", "fhe-head", "block-scramble", "fhe-train"):
        module = type(plugins.load("pipelines", name)).__module__
        assert not FORECASTS & set(sources_of(module))
