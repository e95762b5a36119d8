"""Runs cells on workers: beside each other, but for latency, which has a machine to itself.

Each worker has one cell at a time, given to it by name; the next is chosen when one is free. A
worker that is lost takes its cell with it: another one runs it again, three times at most. What
comes back for a cell that has ended is dropped.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from he_compare.common.disk_errors import stops_a_run
from he_compare.common.errors import CompareError, MessageError, UsageError
from he_compare.common.memory_limits import oom_kills
from he_compare.common.run.records import ErrorInfo, RunRecord, WorkPlace
from he_compare.common.types import Phase, Status
from he_compare.common.visible_text import visible
from he_compare.comparisons.cluster import worker_tasks
from he_compare.comparisons.cluster.crew import Crew, Hand
from he_compare.comparisons.cluster.dispatch import (
    Homes,
    SharedWork,
    by_phase,
    next_alone,
    next_beside,
)
from he_compare.comparisons.cluster.latency_turn import LatencyTurn, latency_turn
from he_compare.comparisons.cluster.reply import read_reply, wanted_artefact
from he_compare.comparisons.cluster.run_order import RunOrder
from he_compare.comparisons.estimating.estimate import shared_work
from he_compare.comparisons.measuring.measurer import describe_error, ended
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell
from he_compare.comparisons.measuring.runner import CellLog

MOST_LOSSES = 3
LOOK_SECONDS = 0.5
SEEN_SECONDS = 2.0
MOST_NOTE = 500
Given = dict[str, tuple[bytes, float | None]]


@dataclass
class Flight:
    """A cell that a worker has. ``given``: artefacts that were sent along, of those ``asked``.

    ``disturbed``: a worker ended or started on its machine.
    """

    cell: PlannedCell
    hand: Hand
    started: RunRecord
    begin: float
    at_once: int
    future: Any = None
    given: Given = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    disturbed: bool = False

    @property
    def alone(self) -> bool:
        """Whether nothing else of the run may be under way on its machine."""
        return self.cell.phase is Phase.LATENCY


def is_loss(error: object) -> bool:
    """Say whether an error of Dask means that the worker is gone, and nothing about the task."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


class DaskExecutor:
    """Runs cells on a crew. ``keys``: gives the client's key to a worker that lacks it."""

    def __init__(
        self,
        crew: Crew,
        order: RunOrder,
        *,
        wait_seconds: float,
        keys: Callable[[Hand], str] = lambda hand: "",
    ) -> None:
        self.crew = crew
        self.order = order
        self.homes = Homes()
        self.key_files: dict[str, str] = {}
        self._text = order.model_dump_json()
        self.wait_seconds = wait_seconds
        self._keys = keys
        self._flights: dict[str, Flight] = {}
        self._landed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._losses: Counter[str] = Counter()
        self._disturbed: Counter[str] = Counter()
        self._turn = LatencyTurn()
        self._shared = SharedWork()
        self._looked = 0.0
        self._named: set[str] = set()
        self._kills = oom_kills()

    def run(self, cells: Sequence[PlannedCell], log: CellLog) -> None:
        """Run cells: those that may be beside each other first, then latency."""
        if not cells:
            return
        from distributed.client import ClosedClientError

        self._turn = latency_turn(log.folder)
        topic = worker_tasks.TOPIC.format(token=self.order.token)
        self.crew.client.subscribe_topic(topic, lambda event: self._told(event, log))
        try:
            self.gather_workers()
            self._shared = SharedWork(shared_work(log.plan))
            beside, alone = by_phase(cells)
            self._run_all(beside, log, self._start_beside)
            self._run_all(alone, log, self._start_alone)
        except BaseException as error:
            self._abandon(log, error)
            raise
        finally:
            # The error that counts is the one of the run: without a scheduler nothing is left.
            with contextlib.suppress(ClosedClientError):
                self.crew.client.unsubscribe_topic(topic)

    def gather_workers(self) -> None:
        """Wait for workers and let each make the plan. Raises UsageError where none can."""
        self.crew.wait_for_workers(self.wait_seconds)
        self.crew.update(self.order)
        self._prepare([*self.crew.hands.values()])
        if self.crew.refused and not self.crew.hands:
            raise UsageError(" | ".join(self.crew.refused.values()))
        self._say_refused()

    def _say_refused(self) -> None:
        """Name each worker that is left out, once."""
        for address, problem in self.crew.refused.items():
            if address not in self._named:
                self._named.add(address)
                self.crew.progress.say(f"note: left out: {problem}")

    def settle_workers(self) -> list[Hand]:
        """Return the workers that take part from here on, those included that came meanwhile.

        Raises UsageError where there are none.
        """
        if not self.crew.hands:
            self.gather_workers()
        return self.meet_workers()

    def meet_workers(self) -> list[Hand]:
        """Return the workers that are there and can take part. Raises CellError: no scheduler."""
        new, lost = self.crew.update(self.order)
        for hand in lost:
            self._note_lost(hand)
        self._prepare(new)
        self._say_refused()
        return [*self.crew.hands.values()]

    def _prepare(self, hands: Sequence[Hand]) -> None:
        import json

        made = {}
        for hand in hands:
            try:
                self.key_files[hand.address] = self._keys(hand)
            except CompareError as error:
                if self._stays(hand):
                    self.crew.refuse(hand, str(error))
                else:
                    self._note_lost(hand)
                continue
            made[hand.address] = hand, self._submit(worker_tasks.prepare_worker, hand, self._text)
        for hand, future in made.values():
            while not future.done():
                if hand.address not in self.crew.addresses():
                    break
                time.sleep(0.05)
            if future.done() and future.status == "error" and not is_loss(future.exception()):
                self.crew.refuse(hand, describe_error(future.exception()))
                continue
            if not future.done() or future.status != "finished":
                self._note_lost(hand)
                continue
            told = future.result()
            if told:
                problem = json.loads(told)
                self.crew.refuse(hand, f"{problem['problem']} ({problem['fix']})")

    def ask(self, task: Callable[..., Any], hand: Hand, *arguments: Any) -> Any:
        """Give a worker a task about this run; return the future. Its own worker alone runs it."""
        return self._submit(task, hand, self._text, *arguments)

    def _stays(self, hand: Hand) -> bool:
        """Say whether a worker is still there a moment later: its loss may not be known at once."""
        end = time.monotonic() + SEEN_SECONDS
        while self.crew.has(hand):
            if time.monotonic() > end:
                return True
            time.sleep(0.05)
        return False

    def _submit(self, task: Callable[..., Any], hand: Hand, *arguments: Any) -> Any:
        text, *rest = arguments
        return self.crew.client.submit(
            task,
            text,
            self.key_files.get(hand.address, ""),
            *rest,
            workers=[hand.address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )

    def _run_all(
        self,
        waiting: list[PlannedCell],
        log: CellLog,
        start: Callable[[list[PlannedCell], CellLog], None],
    ) -> None:
        without_since: float | None = None
        while waiting or self._flights:
            self._look(waiting, log)
            if self.crew.hands:
                without_since = None
                start(waiting, log)
            else:
                without_since = without_since or time.monotonic()
                if time.monotonic() - without_since > self.wait_seconds:
                    raise UsageError(
                        f"{self.crew.address} has no workers any more",
                        fix="start some and run the same command again: finished cells are kept",
                    )
            try:
                key = self._landed.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            self._land(key, waiting, log)

    def _start_beside(self, waiting: list[PlannedCell], log: CellLog) -> None:
        for hand in self._idle():
            under_way = [flight.cell for flight in self._flights.values()]
            cell = next_beside(hand, waiting, under_way, self.homes, self._shared)
            if cell is not None:
                waiting.remove(cell)
                self._start(cell, hand, log, at_once=len(self.crew.hands))

    def _start_alone(self, waiting: list[PlannedCell], log: CellLog) -> None:
        if self._flights or not waiting:
            return
        hands = [*self.crew.hands.values()]
        if self._turn.machine is not None and not self._turn.settled(hands):
            return
        if said := self._turn.choose(hands, waiting, self.homes):
            log.progress.say(said)
        if self._turn.machine is None or not self._turn.settled(hands):
            return
        hand = next_alone(waiting[0], hands, self._turn.machine, self.homes)
        self._start(waiting.pop(0), hand, log, at_once=1)

    def _idle(self) -> list[Hand]:
        busy = {flight.hand.address for flight in self._flights.values()}
        return [hand for hand in self.crew.hands.values() if hand.address not in busy]

    def _start(self, cell: PlannedCell, hand: Hand, log: CellLog, *, at_once: int) -> None:
        self.homes.settle(cell, hand)
        started = log.start(cell, f", on {hand.title}")
        self._send(Flight(cell, hand, started, time.perf_counter(), at_once), log)

    def _send(self, flight: Flight, log: CellLog) -> None:
        held = log.folder.artefacts.names()
        flight.future = self._submit(
            worker_tasks.measure_cell,
            flight.hand,
            self._text,
            flight.cell.identity,
            held,
            flight.given,
        )
        self._flights[flight.future.key] = flight
        flight.future.add_done_callback(lambda future: self._landed.put(future.key))

    def _land(self, key: str, waiting: list[PlannedCell], log: CellLog) -> None:
        if key in self._flights and self._flights[key].alone:
            self._look(waiting, log, now=True)
        flight = self._flights.pop(key, None)
        if flight is None:
            return
        log.progress.end_step(flight.hand.title)
        future = flight.future
        if future.status != "finished":
            self._landed_badly(flight, waiting, log)
            return
        reply = future.result()
        future.release()
        if (name := wanted_artefact(reply)) and name not in flight.asked:
            flight.asked.add(name)
            # What is damaged is dropped here: then it is no longer held, and made anew.
            artefact = log.folder.artefacts.stored(name)
            if artefact is not None:
                flight.given[name] = (artefact.data, artefact.seconds)
            self._send(flight, log)
            return
        try:
            answer = read_reply(reply, flight.cell, log.plan)
        except MessageError as error:
            self._fail(flight, error, log)
            return
        ok = answer.measured.record.status is Status.OK
        if ok and flight.disturbed and self._once_more(flight, waiting, log):
            return
        for name, artefact in answer.artefacts.items():
            if log.folder.artefacts.stored(name) is None:
                log.folder.artefacts.store(name, artefact)
        place = WorkPlace(
            worker=flight.hand.number,
            machine=flight.hand.machine,
            at_once=flight.at_once,
            losses=self._losses[flight.cell.identity],
            host=self._turn.mark(flight.hand),
            disturbed=flight.disturbed,
        )
        measured = answer.measured
        record = measured.record.model_copy(update={"place": place})
        self.homes.note_deployed(flight.cell, flight.hand)
        if ok:
            self._shared.note_made(flight.cell)
        done = MeasuredCell(record, measured.files, measured.view, measured.trace)
        log.end(flight.cell, done, f"{log.title(flight.cell)}: ")

    def _landed_badly(self, flight: Flight, waiting: list[PlannedCell], log: CellLog) -> None:
        if flight.future.status == "error":
            error = flight.future.exception()
            if isinstance(error, Exception) and not is_loss(error):
                if flight.hand.sees_files and stops_a_run(error, log.folder.path):
                    raise error
                self._fail(flight, error, log)
                return
        self._flights[flight.future.key] = flight
        self._look(waiting, log, now=True)
        if self._flights.pop(flight.future.key, None) is not None:
            self._again(flight, waiting, log)

    def _fail(self, flight: Flight, error: Exception, log: CellLog) -> None:
        record = ended(flight.started, Status.FAILED, describe_error(error), flight.begin)
        what = ErrorInfo(kind=type(error).__name__, message=describe_error(error))
        record = record.model_copy(update={"error": what})
        log.end(flight.cell, MeasuredCell(record), f"{log.title(flight.cell)}: ")

    def _look(self, waiting: list[PlannedCell], log: CellLog, *, now: bool = False) -> None:
        """See who joined and who was lost; what a lost worker had waits again."""
        if not now and time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        alone = next((one for one in self._flights.values() if one.alone), None)
        new, lost = self.crew.update(self.order, admit=alone is None)
        left = [one for one in self.crew.hands.values() if one not in new]
        self._turn.note_lost(lost, left)
        if alone is not None:
            machine = alone.hand.machine
            alone.disturbed |= self.crew.outside_on(machine)
            alone.disturbed |= any(one.machine == machine for one in lost)
        for hand in lost:
            self._note_lost(hand)
            log.progress.end_step(hand.title)
            for flight in [one for one in self._flights.values() if one.hand == hand]:
                del self._flights[flight.future.key]
                self._again(flight, waiting, log)
        if new:
            self._prepare(new)
        self._say_refused()

    def _note_lost(self, hand: Hand) -> None:
        self.crew.hands.pop(hand.address, None)
        self.homes.lose(hand)
        self.crew.progress.say(f"note: {hand.title} was lost{self._why_lost(hand)}")

    def _why_lost(self, hand: Hand) -> str:
        """Say that a worker of this machine was ended for lack of memory; '' where it was not."""
        kills = oom_kills()
        if not hand.sees_files or kills <= self._kills:
            return ""
        self._kills = kills
        return ": the system ended a process for lack of memory; pass fewer --workers"

    def _again(self, flight: Flight, waiting: list[PlannedCell], log: CellLog) -> None:
        flight.future.cancel()
        identity = flight.cell.identity
        self._losses[identity] += 1
        if self._losses[identity] < MOST_LOSSES:
            log.progress.say(f"note: {log.title(flight.cell)} starts again on another worker")
            waiting.insert(0, flight.cell)
            return
        reason = (
            f"{MOST_LOSSES} workers were lost while they had this cell: it may need more memory "
            "than a worker has"
        )
        record = ended(flight.started, Status.FAILED, reason, flight.begin)
        error = ErrorInfo(kind="WorkerLost", message=reason)
        record = record.model_copy(update={"error": error})
        log.end(flight.cell, MeasuredCell(record), f"{log.title(flight.cell)}: ")

    def _once_more(self, flight: Flight, waiting: list[PlannedCell], log: CellLog) -> bool:
        """Let a cell wait again that was not alone on its machine; False where that was enough."""
        identity = flight.cell.identity
        self._disturbed[identity] += 1
        if self._disturbed[identity] >= MOST_LOSSES:
            return False
        title = log.title(flight.cell)
        log.progress.say(f"note: {title} is measured again: a worker ended or started beside it")
        waiting.insert(0, flight.cell)
        return True

    def _abandon(self, log: CellLog, error: BaseException) -> None:
        from distributed.client import ClosedClientError

        for flight in self._flights.values():
            if isinstance(error, KeyboardInterrupt):
                log.interrupt(flight.started, flight.begin, error)
            with contextlib.suppress(ClosedClientError):
                flight.future.cancel()
        self._flights.clear()

    def _told(self, event: Any, log: CellLog) -> None:
        """Show what a worker is at. Whatever it sends, it is only shown."""
        told = event[1] if isinstance(event, tuple) and len(event) == 2 else None
        if not isinstance(told, dict):
            return
        hand = self.crew.hands.get(str(told.get("worker", "")))
        done, total = told.get("done"), told.get("total")
        note = told.get(worker_tasks.NOTE)
        if hand is not None and isinstance(note, str):
            log.progress.say(f"note: {hand.title}: {visible(note[:MOST_NOTE])}")
        if hand is not None and isinstance(done, int) and isinstance(total, int):
            log.progress.step(hand.title, str(told.get("what", ""))[:60], done, total)
