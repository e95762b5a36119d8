"""Waits for what a worker answers to an attack: until it is there, or the worker is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from he_compare.common.disk_errors import is_full
from he_compare.common.errors import CellError
from he_compare.comparisons.auditing.lanes import LaneLostError
from he_compare.comparisons.cluster.crew import Hand

LOOK_SECONDS_ANSWER = 1.0


def answer_of(
    future: Any, hand: Hand, is_there: Callable[[Hand], bool], stop: threading.Event
) -> object:
    """Return the answer to a task of a worker.

    Raises LaneLostError where its worker is gone or ``stop`` is set, CellError where it failed, and
    what a full disk raised there if it is this machine's.
    """
    from distributed import KilledWorker

    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    try:
        while not done.wait(LOOK_SECONDS_ANSWER):
            if stop.is_set():
                raise LaneLostError("the audit was stopped")
            if not is_there(hand):
                raise LaneLostError("it is not among the workers of the scheduler any more")
        if future.status != "finished":
            error = future.exception() if future.status == "error" else None
            if error is None or isinstance(error, KilledWorker):
                raise LaneLostError(f"its task is {future.status}")
            if hand.sees_files and is_full(error):
                raise error
            raise CellError(f"{hand.title} failed: {type(error).__name__}: {error}")
        return future.result()
    finally:
        future.cancel()
        future.release()
