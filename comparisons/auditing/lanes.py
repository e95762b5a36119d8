"""Attacks cells beside each other: one lane per process, each with its own part of the cells.

Cells go out in the order of the audit. Those that may share work keep to the lane that took the
first of them. A pipeline whose key is only in the memory of one process is attacked there; when
that process is lost, the pipeline is opened again elsewhere, with its key gone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from he_compare.common.errors import CellError
from he_compare.comparisons.auditing.audit_cells import AuditCell
from he_compare.comparisons.auditing.cell_attack import Finished


class LaneLostError(Exception):
    """The process of a lane is gone: what it was doing is done by another."""


class Lane(Protocol):
    """One process that attacks. ``holds``: labels of pipelines that were deployed in it."""

    @property
    def name(self) -> str: ...

    @property
    def holds(self) -> frozenset[str]: ...

    def attack(self, cell: AuditCell, late: str, controls: bool) -> list[Finished]:
        """Attack one cell and wait for what it gives. Raises LaneLostError."""
        ...


class CellQueue:
    """Hands out cells in their order, each to a lane that may take it. For use by many threads."""

    def __init__(self, cells: Sequence[AuditCell], lanes: Sequence[Lane]) -> None:
        self._waiting = list(cells)
        self._lanes = {lane.name for lane in lanes}
        self._holder = {label: lane.name for lane in lanes for label in lane.holds}
        self._owner: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def take(self, lane: Lane) -> AuditCell | None:
        """Return the next cell for a lane; None where none of what waits is for it."""
        with self._lock:
            for number, cell in enumerate(self._waiting):
                if self._may(lane.name, cell):
                    self._owner[cell.shares] = lane.name
                    return self._waiting.pop(number)
        return None

    def give_back(self, cell: AuditCell, lane: Lane) -> None:
        """Take back what a lost lane was doing; its other cells are for anybody now."""
        with self._lock:
            self._lanes.discard(lane.name)
            self._holder = {k: v for k, v in self._holder.items() if v != lane.name}
            self._owner = {k: v for k, v in self._owner.items() if v != lane.name}
            self._waiting.append(cell)
            self._waiting.sort(key=lambda one: one.place)

    def left(self) -> int:
        """Return how many cells wait."""
        with self._lock:
            return len(self._waiting)

    def _may(self, name: str, cell: AuditCell) -> bool:
        if not cell.target.family:
            holder = self._holder.get(cell.target.label)
            if holder is not None:
                return holder == name
        return self._owner.get(cell.shares, name) == name


def attack_beside(
    cells: Sequence[AuditCell],
    lanes: Sequence[Lane],
    late: Callable[[], str],
    controls: Callable[[AuditCell], bool],
    lost: Callable[[str], None],
) -> Iterator[tuple[AuditCell, list[Finished]]]:
    """Yield each cell with what it gave, as soon as it is done. Only the caller writes.

    ``late`` says, when a cell is taken, why it is not begun any more. ``controls``: whether those
    beside it are wanted. ``lost`` is told which lane is gone, and why. Raises CellError where all
    are gone, and what ``attack`` of a lane raises besides LaneLostError.
    """
    waiting = CellQueue(cells, lanes)
    results: queue.Queue[tuple[AuditCell, list[Finished]] | str | BaseException | None]
    results = queue.Queue()
    stop = threading.Event()
    running = len(lanes)
    idle: list[Lane] = []

    def serve(lane: Lane) -> None:
        try:
            while not stop.is_set() and (cell := waiting.take(lane)) is not None:
                try:
                    results.put((cell, lane.attack(cell, late(), controls(cell))))
                except LaneLostError as error:
                    waiting.give_back(cell, lane)
                    results.put(f"{lane.name} is lost: {error}")
                    return
        except BaseException as error:
            results.put(error)
        else:
            idle.append(lane)
            results.put(None)

    with ThreadPoolExecutor(max(len(lanes), 1), thread_name_prefix="audit lane") as threads:
        try:
            for lane in lanes:
                threads.submit(serve, lane)
            while running:
                found = results.get()
                if isinstance(found, BaseException):
                    raise found
                if isinstance(found, tuple):
                    yield found
                    continue
                running -= 1
                if found is not None:
                    lost(found)
                # What a lost lane leaves behind is for those that had nothing to do any more.
                while waiting.left() and idle and found is not None:
                    running += 1
                    threads.submit(serve, idle.pop())
        finally:
            stop.set()
    if waiting.left():
        raise CellError(
            f"all workers were lost, with {waiting.left()} attacks to go",
            fix="run the same command again: what was done is kept",
        )
