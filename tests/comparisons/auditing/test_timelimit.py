"""The time limit of an attack, in the main thread and in a thread as workers have it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from he_compare.comparisons.auditing.timelimit import OverTimeError, time_limit


def here(work: Callable[[], Any]) -> Any:
    return work()


def in_a_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result(timeout=60)


@pytest.fixture(params=[here, in_a_thread], ids=["main thread", "other thread"])
def runs(request: pytest.FixtureRequest) -> Any:
    return request.param


def busy(seconds: float) -> int:
    steps, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        np.linalg.svd(np.ones((8, 8)))
        steps += 1
    return steps


def test_work_that_takes_too_long_is_ended_and_says_the_limit(runs: Any) -> None:
    def work() -> float:
        begin = time.monotonic()
        with pytest.raises(OverTimeError, match=r"^over its limit of 0\.2 s$"), time_limit(0.2):
            busy(30)
        return time.monotonic() - begin

    assert runs(work) < 10


def test_work_in_time_gives_its_result_and_nothing_is_raised_later(runs: Any) -> None:
    def work() -> int:
        with time_limit(0.3):
            found = busy(0.01)
        busy(0.6)
        return found

    assert runs(work) > 0


def test_what_the_work_itself_raises_is_passed_on(runs: Any) -> None:
    def work() -> None:
        with time_limit(5):
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        runs(work)


def test_a_limit_in_one_thread_does_not_end_the_work_of_another() -> None:
    ended = []

    def limited() -> None:
        try:
            with time_limit(0.2):
                busy(30)
        except OverTimeError:
            ended.append("limited")

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(limited), threads.submit(busy, 0.8)
        assert second.result(timeout=60) > 0
        first.result(timeout=60)
    assert ended == ["limited"]


def test_limits_that_run_out_as_the_work_ends_leave_no_error_and_no_thread_behind() -> None:
    def work() -> list[bool]:
        ended = []
        for _ in range(300):
            try:
                with time_limit(0.002):
                    busy(0.002)
                ended.append(False)
            except OverTimeError:
                ended.append(True)
        busy(0.1)
        return ended

    before = threading.active_count()
    assert len(in_a_thread(work)) == 300
    assert threading.active_count() <= before
