"""What a run takes in all: cores bound workers, memory is counted once, and what is done is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Split
from he_compare.comparisons.estimating import estimate
from he_compare.comparisons.estimating.announcing import estimate_run
from he_compare.comparisons.estimating.estimate import RunForecast
from he_compare.comparisons.estimating.estimate_words import estimate_text, in_one_line
from he_compare.comparisons.estimating.forecast import CellForecast, CellWork, Forecaster
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.threads import Lanes, lanes_here, lanes_of
from tests.comparisons.estimating.test_forecast import HEAD, NETWORK, PRICES, forecaster
from tests.comparisons.estimating.test_probe import plan

GIGABYTE = 1_000_000_000


def test_workers_beyond_the_cores_add_nothing() -> None:
    assert lanes_here(2, 1, cores=2) == Lanes(2, 2)
    assert lanes_here(8, 1, cores=2) == Lanes(8, 2)
    assert lanes_here(8, 2, cores=2) == Lanes(8, 1)
    assert lanes_here(1, 4, cores=2) == Lanes(1, 1)


def test_workers_of_a_scheduler_count_by_the_threads_that_they_report() -> None:
    assert lanes_of((8, 8), 8) == Lanes(2, 2, elsewhere=True)
    assert lanes_of((4, 4, 8), 8) == Lanes(3, 2, elsewhere=True)
    assert lanes_of((2,), 8) == Lanes(1, 1, elsewhere=True)


def cell(label: str, seed: int, seconds: float, **values: Any) -> CellForecast:
    work = CellWork(label, seed, Phase.ACCURACY, 0, again=seed > 0)
    return CellForecast(work, seconds, **values)


def found(cells: Sequence[CellForecast], lanes: Lanes, folder: Path, **costs: Any) -> RunForecast:
    asked = plan("plaintext", audit="none")
    forecasts: Forecaster = forecaster(**costs)
    return estimate._sum(asked, RunFolder(folder), cells, costs, forecasts, PRICES, lanes)


def test_eight_workers_on_two_cores_take_as_long_as_two(tmp_path: Path) -> None:
    cells = [cell(label, seed, 60.0) for label in "ab" for seed in (0, 1, 2)]
    two, eight = (
        found(cells, lanes_here(workers, 1, cores=2), tmp_path / "none").measuring_seconds
        for workers in (2, 8)
    )
    assert two == eight == 180.0 + estimate.REPORT_SECONDS


def test_memory_is_that_of_the_driver_of_a_cell_per_worker_and_of_servers_at_once(
    tmp_path: Path,
) -> None:
    cells = [
        cell(
            label,
            seed,
            60.0,
            driver_bytes=9 * GIGABYTE,
            worker_bytes=GIGABYTE,
            stays_bytes=0 if seed else 3,
            server_bytes=100,
            trainer_bytes=700 if label == "a" else 0,
        )
        for label in "ab"
        for seed in (0, 1, 2)
    ]
    idle = forecaster().idle_bytes
    eight = found(cells, Lanes(8, 2), tmp_path / "none")
    # Six tasks for eight workers: two of them have nothing to do.
    assert eight.driver_bytes == idle + estimate.SCORING_BYTES
    assert eight.workers_bytes == 6 * GIGABYTE + 2 * idle + 2 * 3
    # Those of the first seed stay; three train, and three answer for a cell that is under way.
    assert eight.servers_bytes == 2 * 100 + 3 * 700 + 2 * 100
    assert eight.memory_bytes == eight.driver_bytes + eight.workers_bytes + eight.servers_bytes
    two = found(cells, Lanes(2, 2), tmp_path / "none")
    assert two.workers_bytes == 2 * GIGABYTE + 2 * 3
    assert two.servers_bytes == 2 * 100 + 2 * 700
    alone = found(cells, Lanes(), tmp_path / "none")
    assert (alone.driver_bytes, alone.workers_bytes) == (9 * GIGABYTE, 0)
    assert alone.servers_bytes == 2 * 100 + 700
    assert "upper value" in estimate_text(eight, None)


def finished(done: CellForecast) -> CellForecast:
    return CellForecast(replace(done.work, kept=40.0), 0.0)


class Ended(RunFolder):
    """A folder of a run that ended, whose attacks had these verdicts."""

    def __init__(self, path: Path, *verdicts: str) -> None:
        super().__init__(path)
        self.verdicts = verdicts
        self.sums: Any = SimpleNamespace(exist=lambda: True)

    def exists(self) -> bool:
        return True

    def outcomes(self) -> Any:
        return [SimpleNamespace(verdict=one) for one in self.verdicts]


@pytest.mark.parametrize(
    ("audit", "verdicts", "left"),
    [
        ("none", (), 0.0),
        ("quick", ("stands", "broken"), 0.0),
        ("quick", ("stands", "not run"), 300.0),
        ("quick", (), 300.0),
    ],
)
def test_a_finished_run_takes_nothing_but_what_is_left(
    tmp_path: Path, audit: str, verdicts: tuple[str, ...], left: float
) -> None:
    cells = [finished(cell("a", 0, 60.0))]
    told = estimate._sum(
        plan("plaintext", audit=audit),
        Ended(tmp_path, *verdicts),
        cells,
        {"a": HEAD},
        forecaster(a=HEAD),
        PRICES,
        Lanes(8, 2),
    )
    assert told.audit_seconds == left
    assert told.memory_bytes == told.servers_bytes == 0
    if left == 0:
        assert told.measuring_seconds == told.disk_bytes == told.store_bytes == 0
        assert "nothing is left to be done" in estimate_text(told, None)


def test_a_resumed_run_adds_no_features_that_are_kept(tmp_path: Path) -> None:
    costs = {"a": HEAD, "b": HEAD, "c": NETWORK}
    fresh = [cell(label, 0, 60.0, disk_bytes=5) for label in "abc"]
    whole = found(fresh, Lanes(), tmp_path / "none", **costs)
    features = (40 + 10) * 192 * 4
    assert whole.disk_bytes == 15 + features + estimate.REPORT_BYTES
    resumed = found([finished(fresh[0]), *fresh[1:]], Lanes(), tmp_path / "none", **costs)
    assert resumed.disk_bytes == 10 + estimate.REPORT_BYTES
    of_network = found([finished(fresh[2]), *fresh[:2]], Lanes(), tmp_path / "none", **costs)
    assert of_network.disk_bytes == 10 + features + estimate.REPORT_BYTES


class Grey:
    """Forty grey images for training, twenty for each other split."""

    card = SimpleNamespace(name="grey", classes=["a", "b"])
    subset = ""
    notes: list[str] = []

    def index(self, split: Split) -> Any:
        count = 40 if split is Split.TRAIN else 20
        names = tuple(f"{split}-{number}" for number in range(count))
        return SimpleNamespace(ids=names, groups=names, labels=np.arange(count) % 2)

    def read(self, split: Split, positions: Any, size: int) -> Any:
        grey = np.arange(len(positions) * size * size, dtype=np.uint8)
        return np.repeat(grey.reshape(-1, size, size, 1), 3, axis=3)


def test_decoded_images_count_as_the_file_that_holds_them_and_are_there_already(
    tmp_path: Path,
) -> None:
    dataset: Any = Grey()
    chosen = {split: np.arange(len(dataset.index(split).ids), dtype=np.int64) for split in Split}
    stored = decoded_images(dataset, chosen, StoreWish(tmp_path, 32), looks=True)
    few = {split: np.arange(3, dtype=np.int64) for split in Split}
    asked: RunPlan = plan("plaintext", audit="none")
    train, test = (
        replace(
            batch,
            ids=batch.ids[:3],
            groups=batch.groups[:3],
            labels=batch.labels[:3],
            images=stored.pictures(dataset, split, few[split]),
        )
        for batch, split in ((asked.data.train, Split.TRAIN), (asked.test, Split.TEST))
    )
    limited = replace(asked, data=replace(asked.data, train=train), test=test)
    size = next((tmp_path / "images").glob("*.pictures")).stat().st_size
    assert 80 * 32 * 32 < size < 80 * 32 * 32 * 3
    told = estimate._sum(
        limited, RunFolder(tmp_path / "none"), [], {}, forecaster(), PRICES, Lanes()
    )
    assert told.store_bytes == size
    # Of the pixels nothing is held, of each image its look and three digests.
    assert estimate._held_bytes(limited) == 80 * (1024 + 96) + asked.data.val.images.array.nbytes
    assert told.disk_bytes == estimate.REPORT_BYTES
    assert "of decoded images lie in the cache already" in estimate_text(told, None)


def test_prices_of_this_machine_are_said_to_be_such_for_workers_of_a_scheduler(
    tmp_path: Path,
) -> None:
    cells = [cell("a", 0, 60.0, worker_bytes=10**15)]
    told = found(cells, Lanes(4, 3, elsewhere=True), tmp_path / "none")
    assert "times are those of this machine" in estimate_text(told, None)
    assert "on 4 workers, with threads for 3 cells at a time" in estimate_text(told, None)
    assert "by prices of this machine" in in_one_line(told)
    # Memory of a worker is not this machine's.
    assert not told.warnings
    assert found(cells, Lanes(4, 3), tmp_path / "none").warnings


def test_a_probe_is_announced_only_where_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, lines = plan("local", audit="none"), []
    progress: Any = SimpleNamespace(line=lines.append)
    monkeypatch.setattr(estimate, "measure_prices", lambda *_: PRICES)
    folder = RunFolder(tmp_path / "none")
    estimate_run(asked, folder, tmp_path, progress, Lanes())
    assert [line for line in lines if "probed" in line] == [
        "estimating: this machine is probed once, which takes a minute or two"
    ]
    lines.clear()
    estimate_run(asked, folder, tmp_path, progress, Lanes())
    assert lines == []
