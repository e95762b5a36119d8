"""Runs the cells of a plan into a run folder: the only writer of it.

A record is appended as soon as its cell is done, so a killed run resumes where it stopped. A cell
that failed is recorded and the next one begins. Latency rounds interleave the pipelines, so that a
machine that slows down slows all of them.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from he_compare.common.environment import fingerprint_environment
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.tape import PUBLIC_SUFFIX
from he_compare.common.stopping import as_stop_signal
from he_compare.common.types import Status
from he_compare.comparisons.measuring.measurer import CellMeasurer, describe_cell, ended
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.resuming import kept_cells
from he_compare.comparisons.measuring.sample_pictures import store_sample_view
from he_compare.comparisons.progress import ProgressReporter


@dataclass
class CellCounts:
    """How the cells of a run ended, by kind."""

    executed: int = 0
    reused: int = 0
    failed: int = 0
    unavailable: int = 0

    def count(self, record: RunRecord) -> None:
        """Count a cell that was measured."""
        self.executed += record.status is Status.OK
        self.unavailable += record.status is Status.UNAVAILABLE
        self.failed += record.status in (Status.FAILED, Status.TIMEOUT, Status.SKIPPED)


class CellLog:
    """Writes cells into the run folder and tells the user: each starts, and ends, once."""

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        progress: ProgressReporter,
        told: Callable[[RunRecord], None] | None = None,
    ) -> None:
        """``told``: is given the record of every cell that ends."""
        self._told = told
        self.plan = plan
        self.folder = folder
        self.progress = progress
        self.cells = plan.cells()
        self.counts = CellCounts()
        self._ended: set[str] = set()
        self._numbers = {cell.identity: n for n, cell in enumerate(self.cells, start=1)}

    def to_do(self) -> list[PlannedCell]:
        """Return the cells without a finished record, in the order of the plan; tell the others."""
        kept = kept_cells(self.folder)
        for cell in self.cells:
            if cell.identity in kept.done:
                self.progress.line(f"{self.title(cell)}: already done, reused")
                self.counts.reused += 1
            elif cell.identity in kept.damaged:
                why = kept.damaged[cell.identity]
                self.progress.say(f"note: {self.title(cell)} runs again: {why}")
        return [cell for cell in self.cells if cell.identity not in kept.done]

    def title(self, cell: PlannedCell) -> str:
        """Name a cell with its number."""
        return f"[{self._numbers[cell.identity]}/{len(self.cells)}] {describe_cell(cell)}"

    def start(self, cell: PlannedCell, where: str = "") -> RunRecord:
        """Record that a cell starts. ``where``: said behind its title."""
        self.progress.line(self.title(cell) + where)
        started = started_record(self.plan, cell)
        self.folder.append(started)
        return started

    def end(self, cell: PlannedCell, measured: MeasuredCell, title: str = "") -> bool:
        """Write what a cell gave: its files first, then its record. ``title``: said before.

        A cell ends once: what comes again for it is dropped, and False returned.
        """
        if cell.identity in self._ended:
            return False
        self._ended.add(cell.identity)
        digests = {
            # What is named after its content is written once, and again where it was damaged.
            name: (self.folder.put_once if name.endswith(PUBLIC_SUFFIX) else self.folder.put)(
                name, content
            )
            for name, content in measured.files.items()
        }
        record = measured.record.model_copy(update={"files_sha256": digests})
        if measured.trace:
            self.progress.say(measured.trace.rstrip())
        if self.plan.config.pictures and record.predictions and not cell.again:
            store_sample_view(self.folder, self.plan, cell, measured.view)
        self.folder.append(record)
        self.counts.count(record)
        if record.predictions:
            for warning in record.warnings:
                self.progress.line(f"    warning: {warning}")
        if record.status is Status.OK:
            self.progress.line(f"    {title}ok in {record.seconds:.1f} s")
        else:
            self.progress.line(f"    {title}{record.status.value}: {record.reason}")
        if self._told is not None:
            self._told(record)
        return True

    def interrupt(self, started: RunRecord, begin: float, stop: KeyboardInterrupt) -> None:
        """Record that a cell was stopped by the user or the system."""
        reason = f"stopped by {as_stop_signal(stop).name}"
        self.folder.append(ended(started, Status.INTERRUPTED, reason, begin))


class CellExecutor(Protocol):
    """Who runs cells, in this process or elsewhere."""

    def run(self, cells: Sequence[PlannedCell], log: CellLog) -> None:
        """Run cells; each is started and ended in the log."""
        ...


class HereExecutor:
    """Runs cells one after another in this process."""

    def __init__(self, measurer: CellMeasurer) -> None:
        self.measurer = measurer

    def run(self, cells: Sequence[PlannedCell], log: CellLog) -> None:
        """Run cells in their order."""
        for cell in cells:
            started, begin = log.start(cell), time.perf_counter()
            try:
                measured = self.measurer.measure(cell, started)
            except KeyboardInterrupt as stop:
                log.interrupt(started, begin, stop)
                raise
            log.end(cell, measured)


def started_record(plan: RunPlan, cell: PlannedCell) -> RunRecord:
    """Return the record of a cell that starts now, on this machine."""
    trained_on, measured_on = plan.device_facts()
    return RunRecord(
        identity=cell.identity,
        cell=plan.cell_record(cell),
        status=Status.STARTED,
        reason="the run ended before this cell was done",
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        environment=fingerprint_environment(plan.threads_of(cell.phase)),
        trained_on=trained_on,
        measured_on=measured_on,
    )
