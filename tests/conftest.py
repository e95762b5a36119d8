"""Fixtures that every room of the test house may use."""

from __future__ import annotations

import gc
import os
import sys

# Before anything imports numpy or torch: many small models run faster on one thread each, above all
# on a machine that does other things as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait for each other would keep the cores busy that other tests could use.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Of several processes that test beside each other each has its share of the cores: what is started
# in one of them (servers, workers, threads) settles for that, instead of waiting in line with all.
if hasattr(os, "sched_setaffinity") and (_own := os.environ.get("PYTEST_XDIST_WORKER", "")):
    _cores = sorted(os.sched_getaffinity(0))
    _beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.sched_setaffinity(0, _cores[int(_own.removeprefix("gw")) % len(_cores) :: _beside])

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.echo_runs import HOMES, echo_installed, own_signals_kept

# A loaded machine is slow to draw examples: that says nothing of the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: else one process is left with them at the end."""
    slow = {one.path for one in items if one.get_closest_marker("slow")}
    items.sort(key=lambda one: one.path not in slow)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder that holds ``chestxray`` and ``pneumoniamnist``; skips where it is not named."""
    named = os.environ.get("COMPARE_DATA")
    if not named or not (Path(named) / "chestxray").is_dir():
        pytest.skip("COMPARE_DATA names no folder with chestxray in it")
    return Path(named)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[str]:
    """Install the echo pipeline, as another distribution would."""
    with echo_installed(tmp_path) as name:
        yield name


@pytest.fixture(autouse=True)
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep cache, configuration and keys of the tests out of the user's own folders."""
    for variable in HOMES:
        monkeypatch.setenv(variable, str(tmp_path / "home" / variable.lower()))


@pytest.fixture(autouse=True, scope="module")
def settled_memory() -> None:
    """Leave out of every collection of garbage what earlier modules have loaded for good."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Leave signals as they were before a test."""
    with own_signals_kept():
        yield


# What does not change while tests run: weights that ship with the package, and random ones.
FIXED_WEIGHTS = ("shipped", "untrained")
_SUMMARIES: dict[tuple[str, int, str, int], Any] = {}


@pytest.fixture(autouse=True)
def one_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe each backbone once in a process: every plan would build its network anew."""
    deit: Any = sys.modules.get("he_compare.common.backbones.deit")
    if deit is None:
        return
    describe = deit.summarise_backbone

    def kept(name: str, *, image_size: int, weights: str, seed: int) -> Any:
        key = name, image_size, weights, seed
        if weights not in FIXED_WEIGHTS or key not in _SUMMARIES:
            _SUMMARIES[key] = describe(name, image_size=image_size, weights=weights, seed=seed)
        return _SUMMARIES[key]

    monkeypatch.setattr(deit, "summarise_backbone", kept)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in the process of the test, unless it asks for workers."""
    monkeypatch.setenv("COMPARE_WORKERS", "1")
