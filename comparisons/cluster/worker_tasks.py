"""What runs on a worker: text and bytes in, bytes out.

A worker keeps the plan of a run, its fitted pipelines and their servers from one cell to the next.
One cell at a time: a second waits. A worker serves one run at a time: what one
left here whose driver is gone ends with the order of the next.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.errors import CompareError
from he_compare.common.kept import STORAGE_LOG, Kept
from he_compare.common.software import software_here
from he_compare.common.temporary_folders import TemporaryFolder
from he_compare.comparisons.cluster.key_delivery import forget_keys
from he_compare.comparisons.cluster.lent_artefacts import ArtefactElsewhere, LentArtefacts
from he_compare.comparisons.cluster.plan_files import read_plan
from he_compare.comparisons.cluster.reply import WANTS, Reply, pack_reply
from he_compare.comparisons.cluster.run_order import (
    SAME_EVERYWHERE,
    TOKEN_FILE,
    RunOrder,
    read_order,
    what_differs,
)
from he_compare.comparisons.measuring.data_access import data_policy
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.planning import make_plan
from he_compare.comparisons.measuring.runner import started_record
from he_compare.comparisons.measuring.threads import ThreadShare
from he_compare.comparisons.progress import ProgressReporter

TOPIC = "he-compare-{token}"
NOTE = "note"
TOLD_SECONDS = 1.0
OUTPUT = "output.log"


@dataclass
class Bench:
    """What a worker keeps of a run. ``scratch``: its own folder, which ends with it.

    ``key_file``: where the client's key was put, '' where it is read at the driver's. ``kept``:
    what an audit keeps from one cell to the next, by its budget.
    """

    order: RunOrder
    plan: RunPlan
    measurer: CellMeasurer
    artefacts: LentArtefacts
    scratch: TemporaryFolder
    key_file: str = ""
    kept: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, PlannedCell] = field(default_factory=dict)

    def close(self) -> None:
        """Stop the servers, and remove what was written and the keys."""
        self.kept.clear()
        self.measurer.close()
        self.measurer.fits.clear()
        self.measurer.tapes.clear()
        self.scratch.cleanup()
        forget_keys(self.key_file)


_BENCHES: dict[str, Bench] = {}
_ONE_CELL = threading.RLock()
_LEAVING = threading.Event()


class ToDriver:
    """Tells the driver what this worker is at, about once a second."""

    def __init__(self, token: str) -> None:
        self._topic = TOPIC.format(token=token)
        self._last = 0.0
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == self._what and done < total and now - self._last < TOLD_SECONDS:
            return
        self._what, self._last = what, now
        self._tell({"what": what, "done": done, "total": total})

    def note(self, text: str) -> None:
        """Tell what a person is to know, as of a stored result that is damaged."""
        self._tell({NOTE: text})

    def _tell(self, told: dict[str, Any]) -> None:
        with contextlib.suppress(ValueError, ImportError):  # no thread of a worker: tell nothing
            from distributed import get_worker

            worker = get_worker()
            worker.log_event(self._topic, told | {"worker": worker.address})


class NotesToDriver(logging.Handler):
    """Hands notes on stored results to the driver of the run that this worker is at."""

    def __init__(self, driver: ToDriver) -> None:
        super().__init__(logging.WARNING)
        self._driver = driver

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the driver a message."""
        self._driver.note(record.getMessage())

    def take_over(self) -> None:
        """Be the one that hands notes on, in place of that of an earlier run."""
        for one in [one for one in STORAGE_LOG.handlers if isinstance(one, NotesToDriver)]:
            STORAGE_LOG.removeHandler(one)
        STORAGE_LOG.addHandler(self)


def introduce(files: str, token: str) -> str:
    """Say what this worker runs with, whether it sees the driver's files, and on which machine."""
    sees = False
    with contextlib.suppress(OSError):
        sees = (Path(files) / TOKEN_FILE).read_text() == token
    told = {"software": software_here().model_dump(), "sees_files": sees, "host": platform.node()}
    return json.dumps(told)


def silence(files: str) -> None:
    """Send what this process prints into a file of the run: the terminal is the driver's."""
    path = Path(files) / f"{os.getpid()}-{OUTPUT}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def prepare_worker(order_text: str, key_file: str) -> str:
    """Make the plan of a run here. Return "" or what is in the way, as JSON.

    ``key_file``: where the client's key was put on this worker; "" where it reads the driver's.
    """
    with _ONE_CELL:
        try:
            bench = bench_of(order_text, key_file)
        except CompareError as error:
            forget_keys(key_file)
            return json.dumps({"problem": error.problem, "fix": error.fix})
        differing = what_differs(bench.plan, bench.order)
        if differing:
            return json.dumps({"problem": "; ".join(differing), "fix": SAME_EVERYWHERE})
        return ""


def measure_cell(
    order_text: str, key_file: str, identity: str, held: list[str], given: dict[str, Any]
) -> Reply:
    """Measure one cell. ``held``: artefacts of the run; ``given``: those that are sent along."""
    with alone_at_bench(order_text, key_file) as bench:
        bench.artefacts.begin(held, {k: Kept(data, s) for k, (data, s) in given.items()})
        cell = bench.cells[identity]
        try:
            measured = bench.measurer.measure(cell, started_record(bench.plan, cell))
        except ArtefactElsewhere as elsewhere:
            return {WANTS: elsewhere.name.encode()}
        return pack_reply(measured, bench.artefacts.to_hand_over())


@contextlib.contextmanager
def alone_at_bench(order_text: str, key_file: str) -> Iterator[Bench]:
    """Give what is kept of a run to one cell at a time. Raises CompareError."""
    with _ONE_CELL, _left_afterwards():
        yield bench_of(order_text, key_file)


def leave() -> None:
    """End what is kept of all runs: at once, or when the cell that is under way is done."""
    _LEAVING.set()
    if _ONE_CELL.acquire(blocking=False):
        try:
            _leave_if_asked()
        finally:
            _ONE_CELL.release()


def _leave_if_asked() -> None:
    if _LEAVING.is_set():
        _LEAVING.clear()
        close_benches()


def close_benches() -> None:
    """End what is kept of all runs."""
    with _ONE_CELL:
        while _BENCHES:
            _BENCHES.popitem()[1].close()


@contextlib.contextmanager
def _left_afterwards() -> Iterator[None]:
    try:
        yield
    finally:
        _leave_if_asked()


def bench_of(order_text: str, key_file: str = "") -> Bench:
    """Return what is kept of a run, made at its first cell. Raises CompareError."""
    order = read_order(order_text)
    if order.token not in _BENCHES:
        close_benches()
        _BENCHES[order.token] = _new_bench(order, key_file)
    return _BENCHES[order.token]


def _new_bench(order: RunOrder, key_file: str) -> Bench:
    atexit.register(close_benches)
    seen = order.sees_files()
    scratch = TemporaryFolder("worker", Path(order.files) if seen else None)
    progress = ToDriver(order.token)
    NotesToDriver(progress).take_over()
    own = scratch.path
    plan = _plan(order, Path(key_file or (order.key_file if seen else own / "client.key")), seen)
    artefacts = LentArtefacts(
        Path(order.files) / "artefacts" if seen else own / "artefacts",
        Path(order.run_folder) / "artefacts" if seen else None,
    )
    cache = Path(order.cache_dir) if seen else _own_cache()
    ground = plan.ground(artefacts, cache, progress)
    taped = None if order.taped is None else np.array(order.taped, np.int64)
    bench = Bench(order, plan, CellMeasurer(plan, ground, taped), artefacts, scratch, key_file)
    bench.cells = {cell.identity: cell for cell in plan.cells()}
    return bench


def _plan(order: RunOrder, key_file: Path, seen: bool) -> RunPlan:
    threads = ThreadShare(order.threads, order.latency_threads)
    config = order.run_config()
    if seen:
        return read_plan(Path(order.files), config, key_file, threads)
    with data_policy(order.offline, order.require_real, ProgressReporter(quiet=True)):
        return make_plan(config, order.dataset, _own_data(order), key_file, threads=threads)


def _own_data(order: RunOrder) -> Path | None:
    """Return the folder of the data here: the driver's path where there is one, or COMPARE_DATA."""
    given = Path(order.data_dir) if order.data_dir else None
    return given if given is not None and given.exists() else None


def _own_cache() -> Path:
    from he_compare.comparisons.user_folders import default_cache_dir

    return default_cache_dir()
