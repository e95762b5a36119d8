"""The workers of a run as lanes of its audit: each attacks what it deployed, and ciphers of files.

A lane waits for its worker and nothing else. When the worker is gone, or the scheduler, it says so,
and what it was doing is done by another lane.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from he_compare.common.errors import CellError
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder, inside
from he_compare.comparisons.auditing.audit import setup_of_run
from he_compare.comparisons.auditing.audit_cells import AuditCell, Setup, control_identities
from he_compare.comparisons.auditing.cell_attack import Finished
from he_compare.comparisons.auditing.deployments import deployed_cells
from he_compare.comparisons.cluster import audit_tasks
from he_compare.comparisons.cluster.audit_order import order_of, read_outcomes
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.cluster.dask_executor import DaskExecutor
from he_compare.comparisons.cluster.lane_answer import answer_of
from he_compare.comparisons.cluster.reply import wanted_artefact
from he_compare.comparisons.measuring.plan import RunPlan

# Of artefacts that one cell of an audit is sent: a pipeline has a handful.
MOST_SENT = 32


@dataclass
class WorkerLane:
    """One worker that attacks. ``submit``: gives it a task; ``is_there``: whether it still is.

    ``records``: of the cells that deployed, by label. ``holds``: labels of what it deployed.
    """

    hand: Hand
    holds: frozenset[str]
    setup: Setup
    folder: RunFolder
    records: Mapping[str, RunRecord]
    submit: Callable[..., Any]
    is_there: Callable[[Hand], bool]
    _tapes: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Name of the worker, as the run counts them."""
        return self.hand.title

    def attack(
        self, cell: AuditCell, late: str, controls: bool, stop: threading.Event
    ) -> list[Finished]:
        """Have the worker attack one cell. Raises LaneLostError, and CellError for its problems."""
        record = self.records.get(cell.target.label)
        order = order_of(cell, self.setup.budget.name, late, controls, record)
        text, given = order.model_dump_json(), dict[str, tuple[bytes, float | None]]()
        tapes = self._tapes_for(cell, record)
        for _ in range(MOST_SENT):
            held = self.folder.artefacts.names()
            asked = self.submit(audit_tasks.attack_cell, self.hand, text, held, given, tapes)
            answer = answer_of(asked, self.hand, self.is_there, stop)
            wanted = wanted_artefact(answer)
            artefact = self.folder.artefacts.stored_intact(wanted) if wanted else None
            if artefact is None or wanted in given:
                break
            given[wanted] = (artefact.data, artefact.seconds)
        self._tapes |= set(tapes)
        return read_outcomes(answer, cell, control_identities(self.setup, cell))

    def _tapes_for(self, cell: AuditCell, record: RunRecord | None) -> dict[str, bytes]:
        """Return the files of a tape that the worker neither recorded nor sees nor was sent."""
        tape = record.tape if record is not None else None
        if tape is None or not tape.file or self.hand.sees_files:
            return {}
        if cell.target.label in self.holds or tape.file in self._tapes:
            return {}
        names = (tape.file, tape.public_file)
        return {name: _content(self.folder.path, name) for name in names if name}


class CrewLanes:
    """The workers of a run as lanes, those that come while it audits included.

    Raises UsageError where none can take part.
    """

    def __init__(self, executor: DaskExecutor, plan: RunPlan, folder: RunFolder) -> None:
        self._executor, self._folder = executor, folder
        self._setup, self._records = setup_of_run(plan), deployed_cells(plan, folder)
        self._served: set[str] = set()
        self.wait_seconds = executor.wait_seconds
        self.count = len(executor.settle_workers())

    def newcomers(self, serving: Collection[str]) -> list[WorkerLane]:
        """Return a lane for every worker that serves in none."""
        hands = self._executor.meet_workers()
        self.count = len(hands)
        return [self._lane(hand) for hand in hands if hand.title not in serving]

    def _lane(self, hand: Hand) -> WorkerLane:
        # A worker that was lost and is there again, at its old address, is another process.
        if hand.title in self._served:
            self._executor.homes.lose(hand)
        self._served.add(hand.title)
        return WorkerLane(
            hand=hand,
            holds=self._executor.homes.deployed_by(hand),
            setup=self._setup,
            folder=self._folder,
            records=self._records,
            submit=self._executor.ask,
            is_there=self._executor.crew.has,
        )


def _content(folder: Path, name: str) -> bytes:
    try:
        return inside(folder, name).read_bytes()
    except OSError as error:
        raise CellError(f"{name} of the run folder does not read: {error.strerror}") from None
