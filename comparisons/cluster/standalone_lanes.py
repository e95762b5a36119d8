"""Workers of this machine as lanes of an audit without a run, started when an attack waits.

This process alone writes the audit's folder. Files that it shares with its workers lie in a private
folder inside, which goes when the audit ends; what a killed process left there goes first.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.run.folder_claim import SHARED_FILES
from he_compare.common.run.store import RunFolder
from he_compare.common.software import software_here
from he_compare.comparisons.auditing.audit_cells import AuditCell, Setup, control_identities
from he_compare.comparisons.auditing.cell_attack import Finished
from he_compare.comparisons.auditing.standalone import StandaloneAudit
from he_compare.comparisons.cluster import standalone_tasks
from he_compare.comparisons.cluster.audit_order import order_of, read_outcomes
from he_compare.comparisons.cluster.crew import WORKER_SECONDS, Crew, Hand, workers_here
from he_compare.comparisons.cluster.lane_answer import answer_of
from he_compare.comparisons.cluster.reply import artefacts_in
from he_compare.comparisons.cluster.run_order import TOKEN_FILE
from he_compare.comparisons.cluster.standalone_tasks import StandaloneOrder
from he_compare.comparisons.cluster.who_runs import folder_of_workers, tell_workers
from he_compare.comparisons.measuring.threads import share_threads
from he_compare.comparisons.progress import ProgressReporter


@dataclass
class StandaloneLane:
    """One worker that attacks. It holds nothing: what it deploys, its cells keep to it for."""

    hand: Hand
    crew: Crew
    setup: Setup
    folder: RunFolder
    order_text: str
    holds: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name of the worker, as the audit counts them."""
        return self.hand.title

    def attack(
        self, cell: AuditCell, late: str, controls: bool, stop: threading.Event
    ) -> list[Finished]:
        """Have the worker attack one cell. Raises LaneLostError, and CellError for its problems."""
        order = order_of(cell, self.setup.budget.name, late, controls, None)
        future = self.crew.client.submit(
            standalone_tasks.attack_alone,
            self.order_text,
            order.model_dump_json(),
            self.folder.artefacts.names(),
            workers=[self.hand.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        answer: Any = answer_of(future, self.hand, self.crew.has, stop)
        found = read_outcomes(answer, cell, control_identities(self.setup, cell))
        for name, artefact in artefacts_in(answer).items():
            if self.folder.artefacts.stored(name) is None:
                self.folder.artefacts.store(name, artefact)
        return found


class StandaloneLanes:
    """So many workers as lanes. ``start``: starts them, at the first look that finds work."""

    wait_seconds = WORKER_SECONDS

    def __init__(
        self,
        count: int,
        audit: StandaloneAudit,
        folder: RunFolder,
        start: Callable[[], tuple[Crew, StandaloneOrder]],
    ) -> None:
        self.count = count
        self._setup, self._folder, self._start = audit.setup, folder, start
        self._started: tuple[Crew, StandaloneOrder] | None = None

    def newcomers(self, serving: Collection[str]) -> list[StandaloneLane]:
        """Return a lane for every worker that serves in none. Raises UsageError: none can."""
        if self._started is None:
            self._started = self._start()
        crew, order = self._started
        crew.update(order)
        if crew.refused and not crew.hands:
            raise UsageError(" | ".join(crew.refused.values()))
        self.count = len(crew.hands) or self.count
        text = order.model_dump_json()
        return [
            StandaloneLane(hand, crew, self._setup, self._folder, text)
            for hand in crew.hands.values()
            if hand.title not in serving
        ]


@contextmanager
def standalone_lanes(
    count: int, audit: StandaloneAudit, folder: RunFolder, progress: ProgressReporter
) -> Iterator[StandaloneLanes | None]:
    """Have ``count`` workers attack beside each other; None where this process does it alone."""
    if count == 1:
        yield None
        return
    with ExitStack() as stack:

        def start() -> tuple[Crew, StandaloneOrder]:
            tell_workers(count, progress)
            files = stack.enter_context(folder_of_workers(folder.path / SHARED_FILES))
            threads = share_threads(0, count).training
            order = _order(audit, folder, files, threads)
            crew = stack.enter_context(workers_here(count, threads, progress, files))
            crew.wait_for_workers(WORKER_SECONDS)
            return crew, order

        yield StandaloneLanes(count, audit, folder, start)


def _order(audit: StandaloneAudit, folder: RunFolder, files: Path, threads: int) -> StandaloneOrder:
    token = secrets.token_hex(32)
    (files / TOKEN_FILE).write_text(token)
    return StandaloneOrder(
        token=token,
        software=software_here(),
        request=audit.request,
        threads=threads,
        files=str(files.resolve()),
        audit_folder=str(folder.path.resolve()),
    )
