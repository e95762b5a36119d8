"""How many workers a machine bears, and how its cores are shared among them."""

from __future__ import annotations

import pytest

from he_compare.common.environment import usable_cores
from he_compare.common.errors import UsageError
from he_compare.comparisons.cluster.capacity import KEPT_BYTES, WORKER_BYTES, capacity_of
from he_compare.comparisons.cluster.who_runs import WhoRuns, workers_wanted
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.threads import ThreadShare, share_threads
from he_compare.comparisons.progress import ProgressReporter

GIGABYTE = 1_000_000_000


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [
        (2, 64 * GIGABYTE, 2),
        (32, KEPT_BYTES + 3 * WORKER_BYTES, 3),
        (8, KEPT_BYTES + WORKER_BYTES - 1, 1),
        (1, 0, 1),
    ],
)
def test_cores_and_memory_bound_the_workers(cores: int, memory: int, workers: int) -> None:
    assert capacity_of(cores, memory).workers == workers


def test_what_bounds_them_is_said() -> None:
    assert "bounded by its cores" in capacity_of(2, 64 * GIGABYTE).reason
    assert "bounded by its memory" in capacity_of(16, 6 * GIGABYTE).reason


def test_cores_are_shared_for_training_and_latency_has_them_all() -> None:
    assert share_threads(0, 2, cores=8) == ThreadShare(4, 8)
    assert share_threads(0, 16, cores=8) == ThreadShare(1, 8)
    assert share_threads(0, 1, cores=8) == ThreadShare(8, 8)
    assert share_threads(3, 2, cores=8) == ThreadShare(3, 3)


def test_a_resumed_run_keeps_its_threads_with_any_number_of_workers() -> None:
    for workers in (1, 2, 5):
        known = {"threads": 4, "latency_threads": 8}
        assert share_threads(0, workers, known, cores=16) == ThreadShare(4, 8)
        assert share_threads(0, workers, {"threads": 4}, cores=16) == ThreadShare(4, 4)


def test_more_workers_than_cores_are_allowed_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    many = usable_cores() + 3
    who = WhoRuns(count=many)
    who.check()
    assert workers_wanted(who, load_config("smoke", {}), ProgressReporter()) == many
    assert f"more than the {usable_cores()} cores" in capsys.readouterr().err


def test_one_pipeline_has_one_worker(capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config("smoke", {"pipelines": ["plaintext"]})
    assert workers_wanted(WhoRuns(count=None), config, ProgressReporter()) == 1
    assert "1 worker on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, -1, 5000])
def test_no_worker_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"--workers {count} is not 1 to"):
        WhoRuns(count=count).check()
