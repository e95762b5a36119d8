"""An estimate is counts times prices: who pays, what is kept, what is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from he_compare.common.costs import Costs, RunSizes, Untrained, WorkStep, WorkUnit
from he_compare.common.types import Phase
from he_compare.comparisons.estimating.forecast import (
    CELL_SECONDS,
    WARMUP_IMAGES,
    CellWork,
    Forecaster,
    RunScale,
    in_parallel,
)
from he_compare.comparisons.estimating.price_list import DeploymentPrice, PipelinePrice, Prices

SIZES = RunSizes(
    train=100,
    val=20,
    test=50,
    classes=2,
    width=192,
    image_size=112,
    backbone="deit_tiny_patch16_224",
    weights="shipped",
    epochs=3,
    batch_size=16,
    infer_batch=32,
    threads=1,
)
FEATURES = WorkUnit("features", lambda context, data: 0.0)
TRAINING = WorkUnit("training", lambda context, data: 0.0)
HEAD = Costs(
    (WorkStep(FEATURES, 100, "features", of_seed=False),), Untrained("head", lambda c, d: None)
)
NETWORK = Costs(
    (WorkStep(TRAINING, 100, "network", passes=3),), Untrained("network", lambda c, d: None)
)
AT_SERVER = Costs(
    (WorkStep(TRAINING, 100, passes=3),),
    Untrained("network", lambda c, d: None),
    trains_at_server=True,
    training_up=7_000_000,
)
PRICE = DeploymentPrice(
    start_seconds=2.0,
    batch_seconds=0.01,
    single_seconds=0.05,
    check_seconds=0.0,
    server_bytes=600_000_000,
    public_bytes=20_000_000,
    up_bytes=1000,
    down_bytes=100,
    executes_fhe=False,
)
PRICES = Prices(
    units={"features": 0.02, "training": 0.1},
    deployments={"head": PRICE, "network": PRICE},
    pipelines={
        "a": PipelinePrice(library_seconds=1.0, library_bytes=100, working_bytes=50),
        "b": PipelinePrice(library_bytes=10, working_bytes=5),
        "broken": PipelinePrice(reason="there is no library"),
    },
    driver_bytes=1000,
    seconds=9.0,
    cpu="a processor",
    threads=1,
    versions={},
)


def forecaster(taped: int = 0, **costs: Costs | None) -> Forecaster:
    return Forecaster(RunScale(SIZES, 20, 10, taped, 0), costs, PRICES)


def accuracy(label: str, seed: int = 0, kept: float | None = None) -> CellWork:
    return CellWork(label, seed, Phase.ACCURACY, 0, kept)


# Test and validation images and the first ones, each at the price of a batch, and the server.
ASKED = (50 + 20 + WARMUP_IMAGES) * 0.01 + 2.0 + CELL_SECONDS


def test_a_cell_takes_its_libraries_its_fit_and_its_images() -> None:
    found = forecaster(a=NETWORK).cell(accuracy("a"))
    assert found.seconds == pytest.approx(1.0 + 100 * 3 * 0.1 + ASKED)
    assert found.sent_bytes == 50 * 1100 + 20_000_000


def test_what_pipelines_share_is_paid_by_the_first() -> None:
    both = forecaster(a=NETWORK, b=NETWORK)
    both.cell(accuracy("a"))
    assert both.cell(accuracy("b")).seconds == pytest.approx(ASKED)


def test_another_seed_trains_again_and_extracts_no_features_again() -> None:
    trained, head = forecaster(b=NETWORK), forecaster(b=HEAD)
    assert [trained.cell(accuracy("b", seed)).seconds for seed in (0, 1)] == [
        pytest.approx(30 + ASKED)
    ] * 2
    assert [head.cell(accuracy("b", seed)).seconds for seed in (0, 1)] == [
        pytest.approx(2 + ASKED),
        pytest.approx(ASKED),
    ]


def test_a_kept_cell_takes_nothing_and_what_it_made_is_there() -> None:
    both = forecaster(a=NETWORK, b=NETWORK)
    assert both.cell(accuracy("a", kept=40.0)).seconds == 0
    assert both.cell(accuracy("b")).seconds == pytest.approx(ASKED)


def test_training_at_a_server_starts_one_more_and_uploads() -> None:
    found = forecaster(b=AT_SERVER).cell(accuracy("b"))
    assert found.seconds == pytest.approx(30 + ASKED + 2.0)
    assert found.sent_bytes == 50 * 1100 + 20_000_000 + 7_000_000
    assert found.trainer_bytes > found.server_bytes == 600_000_000


@pytest.mark.parametrize("phase", list(Phase))
def test_a_pipeline_that_does_not_say_is_not_guessed(phase: Phase) -> None:
    found = forecaster(b=None).cell(CellWork("b", 0, phase, 0))
    assert found.seconds is None
    assert found.reason == "no estimate: the pipeline does not say what it takes"


def test_what_cannot_be_probed_says_why() -> None:
    found = forecaster(broken=HEAD).cell(accuracy("broken"))
    assert (found.seconds, found.reason) == (None, "no estimate: there is no library")


def test_later_phases_count_their_own_images() -> None:
    one = forecaster(b=HEAD)
    latency = one.cell(CellWork("b", 0, Phase.LATENCY, 1)).seconds
    assert latency == pytest.approx((20 + WARMUP_IMAGES) * 0.05 + CELL_SECONDS)
    disturbed = one.cell(CellWork("b", 0, Phase.ROBUSTNESS, 0)).seconds
    assert disturbed == pytest.approx(10 * 28 * 0.01 + CELL_SECONDS)


def test_memory_of_the_driver_grows_by_what_sessions_keep() -> None:
    both = forecaster(taped=10, a=NETWORK, b=NETWORK)
    first, second = both.cell(accuracy("a")), both.cell(accuracy("b"))
    assert first.driver_bytes == 1000 + 100 + 50 + 20_000_000
    assert second.driver_bytes - first.driver_bytes == 10 + 2 * 20_000_000 + 10 * 1100


def test_a_further_seed_leaves_nothing_and_loads_no_library_again() -> None:
    both = forecaster(taped=10, a=NETWORK, b=NETWORK)
    first = both.cell(accuracy("a"))
    assert first.stays_bytes == 2 * 20_000_000 + 10 * 1100
    seeds = [both.cell(replace(accuracy("b", seed), again=True)) for seed in (1, 2, 3)]
    assert {one.driver_bytes for one in seeds} == {first.driver_bytes + 10 + first.stays_bytes}
    assert {one.stays_bytes for one in seeds} == {0}


def test_a_worker_holds_a_cell_at_a_time_however_many_came_before() -> None:
    both = forecaster(taped=10, a=NETWORK, b=NETWORK)
    found = [both.cell(accuracy(label)) for label in ("a", "b")]
    # The process, all libraries, the most that the probe worked with, and what is handed over.
    assert {one.worker_bytes for one in found} == {1000 + 110 + 50 + 20_000_000}


def test_memory_of_fitting_counts_in_its_own_cell_only() -> None:
    both = forecaster(a=replace(HEAD, fit_bytes=5_000_000_000), b=NETWORK)
    first, second = both.cell(accuracy("a")), both.cell(accuracy("b"))
    assert first.driver_bytes > 5_000_000_000 > second.driver_bytes


def test_tasks_are_begun_in_order_by_the_first_free_worker() -> None:
    assert in_parallel([3, 1, 1, 1], 2) == 3
    assert in_parallel([1, 1, 1, 3], 2) == 4
    assert in_parallel([3, 1, 1, 1], 1) == 6
    assert in_parallel([], 2) == 0
