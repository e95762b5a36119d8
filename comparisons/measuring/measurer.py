"""Measures cells in this process, and keeps what they share: fitted, deployed, servers running.

Nothing is written into a run folder but artefacts: a cell gives a record and the bytes of files.
Whatever happens in a cell, it ends in a record.
"""

from __future__ import annotations

import time
from traceback import format_exception

from he_compare.common.contracts import LocalPipeline
from he_compare.common.disk_errors import stops_a_run
from he_compare.common.errors import CellError, CompareError, ServiceTimeoutError, UnavailableError
from he_compare.common.memory_errors import lacks_memory, memory_error
from he_compare.common.numeric_threads import use_threads
from he_compare.common.run.records import ErrorInfo, RunRecord
from he_compare.common.run.tape import Tape
from he_compare.common.types import IntArray, Phase, Status
from he_compare.comparisons.measuring.fitting import Fit, Ground, StartedServers
from he_compare.comparisons.measuring.phases import (
    MeasuredCell,
    Occasion,
    measure_accuracy,
    measure_latency,
    measure_robustness,
)
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.session import Session, open_session


class CellMeasurer:
    """Measures the cells of one plan. ``fits`` and ``tapes``: of what ran here, by label."""

    def __init__(self, plan: RunPlan, ground: Ground, taped: IntArray | None = None) -> None:
        """``taped``: test images, sorted, whose messages are kept for the audit; None for none."""
        self.plan = plan
        self.ground = ground
        self.taped = taped
        self.fits: dict[str, Fit] = {}
        self.tapes: dict[str, Tape] = {}
        self._sessions: dict[tuple[str, int], Session] = {}
        self._servers: dict[tuple[str, int], StartedServers] = {}
        self._broken: dict[tuple[str, int], Exception] = {}

    def measure(self, cell: PlannedCell, started: RunRecord) -> MeasuredCell:
        """Measure a cell. An error becomes a record, unless it would be that of every cell.

        What asks the command to end is raised, and an OSError where no more files can be written.
        """
        begin = time.perf_counter()
        try:
            measured = self._measured(cell, started)
        except UnavailableError as error:
            return self._broken_cell(cell, started, Status.UNAVAILABLE, error, begin)
        except ServiceTimeoutError as error:
            return self._broken_cell(cell, started, Status.TIMEOUT, error, begin)
        except Exception as error:  # one cell's failure must not take the others with it
            if stops_a_run(error, self.ground.artefacts.folder):
                raise
            if lacks_memory(error):
                error = memory_error(error, f"this cell of {cell.planned.label}")
            return self._broken_cell(cell, started, Status.FAILED, error, begin)
        record = measured.record.model_copy(update={"seconds": time.perf_counter() - begin})
        if cell.again:
            self._close_session(cell)
        return MeasuredCell(record, measured.files, measured.view)

    def close(self) -> None:
        """Stop the servers."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _measured(self, cell: PlannedCell, started: RunRecord) -> MeasuredCell:
        use_threads(self.plan.settings.threads)  # what is opened may train, and that is keyed by it
        session = self._session(cell)
        threads = self.plan.threads_of(cell.phase)
        session.set_threads(threads)
        use_threads(threads)  # last: fitting set its own
        taped = None if cell.again else self.taped
        at = Occasion(self.plan, cell, started, self.ground.progress, taped)
        if cell.phase is Phase.LATENCY:
            return measure_latency(at, session)
        if cell.phase is Phase.ROBUSTNESS:
            return measure_robustness(at, session)
        measured, tape = measure_accuracy(at, session)
        if tape is not None:
            self.tapes[cell.planned.label] = tape
        return measured

    def _close_session(self, cell: PlannedCell) -> None:
        """Stop what runs for a cell; of a further seed nothing else is measured."""
        session = self._sessions.pop((cell.planned.label, cell.seed), None)
        if session is not None:
            session.close()

    def _session(self, cell: PlannedCell) -> Session:
        planned, name = cell.planned, (cell.planned.label, cell.seed)
        if reason := self.plan.not_run.get(planned.label):
            raise UnavailableError(reason)
        before = self._broken.get(name)
        if isinstance(before, UnavailableError):
            raise before
        if before is not None:
            raise CellError(f"its pipeline already failed: {describe_error(before)}")
        if name not in self._sessions:
            servers = self._servers[name] = StartedServers()
            session = open_session(planned, self._ground_of(cell), servers)
            self._sessions[name] = session
            if not cell.again:
                self.fits[planned.label] = session.fit
        return self._sessions[name]

    def _ground_of(self, cell: PlannedCell) -> Ground:
        own = self.ground
        if not cell.again:
            return own
        return self.plan.ground(own.artefacts, own.cache_dir, own.progress, seed=cell.seed)

    def _broken_cell(
        self,
        cell: PlannedCell,
        started: RunRecord,
        status: Status,
        error: Exception,
        begin: float,
    ) -> MeasuredCell:
        name = cell.planned.label, cell.seed
        session, servers = self._sessions.get(name), self._servers.pop(name, None)
        facts = session.server_facts() if session else {}
        if session is None and servers is not None and servers.any:
            facts = {"servers_replaced": servers.replaced}
        self._close_session(cell)
        trace = "" if isinstance(error, CompareError) else "".join(format_exception(error))
        skipped = name in self._broken and not isinstance(error, UnavailableError)
        message = describe_error(error)
        self._broken.setdefault(name, error)
        record = ended(started, Status.SKIPPED if skipped else status, message, begin)
        what = ErrorInfo(kind=type(error).__name__, message=message)
        return MeasuredCell(record.model_copy(update=facts | {"error": what}), trace=trace)


def describe_error(error: Exception) -> str:
    """Describe an error on one line, with its type where it is none of the project's."""
    words, kind = " ".join(str(error).split()), type(error).__name__
    if isinstance(error, CompareError):
        return words or kind
    return f"{kind}: {words}" if words else kind


def ended(started: RunRecord, status: Status, reason: str, begin: float) -> RunRecord:
    """Return the record of a cell that ended otherwise than well."""
    return started.model_copy(
        update={"status": status, "reason": reason, "seconds": time.perf_counter() - begin}
    )


def describe_cell(cell: PlannedCell) -> str:
    """Name a cell for a person."""
    if cell.phase is Phase.ACCURACY:
        seed = f", seed {cell.seed}" if cell.again else ""
        return f"{cell.planned.label}: fit and test{seed}"
    if cell.phase is Phase.ROBUSTNESS:
        local = isinstance(cell.planned.pipeline, LocalPipeline)
        none = " (none: it sends nothing)" if local else ""
        return f"{cell.planned.label}: disturbed messages{none}"
    return f"{cell.planned.label}: latency, round {cell.round}"
