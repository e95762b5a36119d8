"""Every numeric library has the threads that a cell's record says, whatever a fit sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import sklearn.linear_model  # noqa: F401  (brings an OpenMP library)
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from he_compare.common.environment import THREAD_VARIABLES
from he_compare.common.errors import IntegrityError
from he_compare.common.numeric_threads import change_threads, use_threads
from he_compare.common.types import Phase, Status
from he_compare.comparisons.measuring import measurer as measuring
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.threads import ThreadShare, share_threads
from tests.support.samplerun import three_pipelines


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the process as it was."""
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    before = torch.get_num_threads()
    with threadpool_limits():
        yield
    torch.set_num_threads(before)


def numbers() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {one["num_threads"] for one in threadpool_info()} | {torch.get_num_threads()}


def test_all_numeric_libraries_are_pinned_and_those_that_are_loaded_later() -> None:
    kinds = {one["user_api"] for one in threadpool_info()}
    assert kinds == {"blas", "openmp"}
    for threads in (1, 2):
        use_threads(threads)
        assert numbers() == {threads}
        assert {os.environ[name] for name in THREAD_VARIABLES} == {str(threads)}


def test_threads_are_changed_in_place_unless_a_library_has_read_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil.Process, "children", lambda self: [])
    for name in [one for one in sys.modules if one.partition(".")[0] == "concrete"]:
        monkeypatch.delitem(sys.modules, name)
    for threads in (1, 2):
        assert change_threads(threads)
        assert numbers() == {threads}
    monkeypatch.setitem(sys.modules, "concrete", SimpleNamespace())
    assert not change_threads(1)
    assert numbers() == {2}


class Opened:
    """A session whose fit has set the threads of training, as every fit does."""

    def __init__(self) -> None:
        self.fit = None
        self.opened_with = numbers()
        self.server = 1
        torch.set_num_threads(1)

    def set_threads(self, threads: int) -> None:
        self.server = threads


def test_the_first_round_after_a_resume_has_the_threads_of_latency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_threads(2)
    seen: list[set[int]] = []
    record = next(one for one in three_pipelines().records if one.cell.phase is Phase.LATENCY)

    def measure_latency(at: Any, session: Opened) -> MeasuredCell:
        seen.append(numbers() | {session.server})
        return MeasuredCell(record.model_copy(update={"status": Status.OK}))

    sessions: list[Opened] = []
    monkeypatch.setattr(
        measuring, "open_session", lambda *_: sessions.append(Opened()) or sessions[0]
    )
    monkeypatch.setattr(measuring, "measure_latency", measure_latency)
    plan: Any = SimpleNamespace(
        settings=SimpleNamespace(threads=1), not_run={}, threads_of=lambda phase: 2
    )
    cell: Any = SimpleNamespace(
        planned=SimpleNamespace(label="plaintext"), seed=0, phase=Phase.LATENCY, again=False
    )
    own = CellMeasurer(plan, SimpleNamespace(progress=print))  # type: ignore[arg-type]
    for _ in range(2):
        assert own.measure(cell, record).record.status is Status.OK
    assert sessions[0].opened_with == {1}
    assert seen == [{2}, {2}]


@pytest.mark.parametrize("name", ["threads", "latency_threads"])
@pytest.mark.parametrize("value", [10**12, 1025, -1, True, "4", 2.0, None])
def test_threads_of_a_manifest_that_are_none_are_refused_by_value(name: str, value: object) -> None:
    known = {"threads": 1, "latency_threads": 1} | {name: value}
    with pytest.raises(IntegrityError) as refused:
        share_threads(0, 1, known)
    assert f"{name} {value!r}" in str(refused.value) and "restore" in str(refused.value)


def test_threads_of_latency_can_be_asked_for() -> None:
    assert share_threads(1, 2, cores=8, latency=4) == ThreadShare(1, 4)
    assert share_threads(0, 2, cores=8, latency=3) == ThreadShare(4, 3)
    assert share_threads(0, 2, {}, cores=8) == ThreadShare(4, 8)
