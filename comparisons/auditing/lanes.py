"""Attacks cells beside each other: one lane per process, each with its own part of the cells.

Cells go out in the order of the audit; those that may share work keep to the lane that took the
first of them. A pipeline whose key is only in the memory of one process is attacked there, and
first, so that nothing is left at the end that one process alone may do; when that process is lost,
the pipeline is opened again elsewhere, with its key gone. A cell whose process was lost waits until
the others are done, and is given up when it takes a second one along.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from he_compare.common.errors import CellError, CompareError
from he_compare.comparisons.auditing.audit_cells import AuditCell
from he_compare.comparisons.auditing.cell_attack import Finished

# Processes that one cell may take along.
MOST_LANES_LOST = 2
LOOK_SECONDS_LANES = 2.0
GIVEN_UP = (
    f"{MOST_LANES_LOST} workers were lost while they had this attack: it may end its process, or "
    "need more memory than a worker has"
)


class LaneLostError(Exception):
    """The process of a lane is gone: what it was doing is done by another."""


class Lane(Protocol):
    """One process that attacks. ``holds``: labels of pipelines that were deployed in it."""

    @property
    def name(self) -> str: ...

    @property
    def holds(self) -> frozenset[str]: ...

    def attack(
        self, cell: AuditCell, late: str, controls: bool, stop: threading.Event
    ) -> list[Finished]:
        """Attack one cell and wait for what it gives, or until ``stop`` is set.

        Raises LaneLostError, and CompareError for what is wrong with the cell or its answer.
        """
        ...


class LaneSource(Protocol):
    """Where lanes come from. ``wait_seconds``: how long to wait for one where all are lost."""

    @property
    def wait_seconds(self) -> float: ...

    @property
    def count(self) -> int:
        """How many there are now."""
        ...

    def newcomers(self, serving: Collection[str]) -> Sequence[Lane]:
        """Return the lanes there are besides those that serve already, by name."""
        ...


@dataclass(frozen=True)
class LostLane:
    """A lane that is gone, and the cell that it had."""

    lane: Lane
    cell: AuditCell
    why: str


class CellQueue:
    """Hands out cells in their order, to each lane what it may take: what it holds comes first.

    For use by many threads.
    """

    def __init__(self, cells: Sequence[AuditCell]) -> None:
        self._waiting = list(cells)
        self._holder: dict[str, str] = {}
        self._owner: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def join(self, lane: Lane) -> None:
        """Take note of what a lane holds: nobody else attacks that."""
        with self._lock:
            self._holder |= dict.fromkeys(lane.holds, lane.name)

    def take(self, lane: Lane) -> AuditCell | None:
        """Return the next cell for a lane; None where none of what waits is for it."""
        with self._lock:
            mine = [n for n, cell in enumerate(self._waiting) if self._may(lane.name, cell)]
            if not mine:
                return None
            held = [n for n in mine if self._held_by(self._waiting[n]) == lane.name]
            cell = self._waiting.pop((held or mine)[0])
            self._owner[cell.shares] = lane.name
            return cell

    def has_for(self, lane: Lane) -> bool:
        """Say whether a cell waits that a lane may take."""
        with self._lock:
            return any(self._may(lane.name, cell) for cell in self._waiting)

    def leave(self, lane: Lane) -> None:
        """Note that a lane is lost: its cells are for anybody now."""
        with self._lock:
            self._holder = {k: v for k, v in self._holder.items() if v != lane.name}
            self._owner = {k: v for k, v in self._owner.items() if v != lane.name}

    def again(self, cell: AuditCell) -> None:
        """Take back what a lost lane was doing. It comes last: it may be why the lane was lost."""
        with self._lock:
            self._waiting.append(cell)

    def left(self) -> int:
        """Return how many cells wait."""
        with self._lock:
            return len(self._waiting)

    def _may(self, name: str, cell: AuditCell) -> bool:
        holder = self._held_by(cell)
        return self._owner.get(cell.shares, name) == name if holder is None else holder == name

    def _held_by(self, cell: AuditCell) -> str | None:
        """Return the lane that holds what a cell attacks; None where any may attack it."""
        return None if cell.target.family else self._holder.get(cell.target.label)


class LaneTeam:
    """The lanes of one audit, each a thread that waits for its process. One thread steers it.

    ``late`` says, when a cell is taken, why it is not begun any more. ``controls``: whether those
    beside it are wanted.
    """

    def __init__(
        self,
        cells: Sequence[AuditCell],
        source: LaneSource,
        late: Callable[[], str],
        controls: Callable[[AuditCell], bool],
    ) -> None:
        self.waiting = CellQueue(cells)
        self.results: queue.Queue[
            tuple[AuditCell, list[Finished] | CompareError] | Lane | LostLane | BaseException
        ] = queue.Queue()
        self.stop = threading.Event()
        self.busy: dict[str, Lane] = {}
        self.idle: dict[str, Lane] = {}
        self._source, self._late, self._controls = source, late, controls
        self._threads: list[threading.Thread] = []
        self._looked: float | None = None

    def start_lanes(self) -> None:
        """Take in newcomers where cells wait, and start every lane that has something to do."""
        now = time.monotonic()
        if self.waiting.left() and (
            self._looked is None or now - self._looked > LOOK_SECONDS_LANES
        ):
            for lane in self._source.newcomers({*self.busy, *self.idle}):
                self.waiting.join(lane)
                self.idle[lane.name] = lane
            self._looked = time.monotonic()
        for lane in [lane for lane in self.idle.values() if self.waiting.has_for(lane)]:
            self.busy[lane.name] = self.idle.pop(lane.name)
            thread = threading.Thread(target=self._serve, args=(lane,), name=f"audit {lane.name}")
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Stop the lanes; what they wait for is left behind."""
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _serve(self, lane: Lane) -> None:
        try:
            while not self.stop.is_set() and (cell := self.waiting.take(lane)) is not None:
                try:
                    late, controls = self._late(), self._controls(cell)
                    self.results.put((cell, lane.attack(cell, late, controls, self.stop)))
                except LaneLostError as error:
                    self.results.put(LostLane(lane, cell, str(error)))
                    return
                except CompareError as error:
                    self.results.put((cell, error))
        except BaseException as error:
            self.results.put(error)
        else:
            self.results.put(lane)


def attack_beside(
    cells: Sequence[AuditCell],
    source: LaneSource,
    late: Callable[[], str],
    controls: Callable[[AuditCell], bool],
    failed: Callable[[AuditCell, str], Finished],
    lost: Callable[[str], None],
) -> Iterator[tuple[AuditCell, list[Finished]]]:
    """Yield each cell with what it gave, as soon as it is done. Only the caller writes.

    ``late``, ``controls``: see LaneTeam. ``failed`` makes the outcome of a cell that gave none.
    ``lost`` is told which lane is gone, and why. Raises CellError where all are gone and none comes
    in time, and what ``attack`` of a lane raises besides LaneLostError and CompareError.
    """
    team = LaneTeam(cells, source, late, controls)
    losses: Counter[int] = Counter()
    without_since: float | None = None
    try:
        while True:
            team.start_lanes()
            if not team.busy and not team.waiting.left():
                return
            if team.busy:
                without_since = None
            else:
                without_since = without_since or time.monotonic()
                if time.monotonic() - without_since >= source.wait_seconds:
                    break
            try:
                found = team.results.get(timeout=LOOK_SECONDS_LANES / 2)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            if isinstance(found, tuple):
                cell, given = found
                yield cell, given if isinstance(given, list) else [failed(cell, str(given))]
            elif isinstance(found, LostLane):
                del team.busy[found.lane.name]
                team.waiting.leave(found.lane)
                lost(f"{found.lane.name} is lost: {found.why}")
                losses[found.cell.place] += 1
                if losses[found.cell.place] < MOST_LANES_LOST:
                    team.waiting.again(found.cell)
                else:
                    yield found.cell, [failed(found.cell, GIVEN_UP)]
            else:
                team.idle[found.name] = team.busy.pop(found.name)
    finally:
        team.end()
    raise CellError(
        f"all workers were lost, with {team.waiting.left()} attacks to go",
        fix="run the same command again: what was done is kept",
    )
