"""What the driver does with what workers answer, and when it takes workers in: without Dask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from he_compare.common.errors import CellError, UsageError
from he_compare.common.kept import STORAGE_LOG, Kept
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.cluster import dask_executor, latency_turn, worker_tasks
from he_compare.comparisons.cluster.crew import Hand
from he_compare.comparisons.cluster.dask_executor import MOST_LOSSES, DaskExecutor
from he_compare.comparisons.cluster.reply import WANTS, CellReply
from he_compare.comparisons.cluster.worker_tasks import measure_cell, prepare_worker
from he_compare.comparisons.measuring.phases import MeasuredCell
from he_compare.comparisons.measuring.plan import PlannedCell
from he_compare.comparisons.progress import ProgressReporter
from tests.comparisons.cluster.test_dispatch import FAR, ONE, TWO, cell

QUIET = ProgressReporter(quiet=True)


@dataclass
class Task:
    """A task that was given to a worker; the test says how it ends."""

    key: str
    task: Callable[..., Any]
    arguments: tuple[Any, ...]
    workers: list[str]
    status: str = "pending"
    answer: object = None
    told: list[Callable[[Any], None]] = field(default_factory=list)

    def add_done_callback(self, told: Callable[[Any], None]) -> None:
        self.told.append(told)

    def end(self, answer: object) -> None:
        self.status, self.answer = "finished", answer
        for told in self.told:
            told(self)

    def done(self) -> bool:
        return self.status != "pending"

    def result(self) -> object:
        return self.answer

    def release(self) -> None:
        pass

    def cancel(self) -> None:
        self.status = "cancelled"


@dataclass
class Workers:
    """A client of Dask that keeps what it is asked."""

    tasks: list[Task] = field(default_factory=list)

    def submit(
        self, task: Callable[..., Any], *arguments: Any, workers: list[str], **_: Any
    ) -> Task:
        self.tasks.append(Task(str(len(self.tasks)), task, arguments, workers))
        if task is not measure_cell:
            self.tasks[-1].end("")
        return self.tasks[-1]

    @property
    def cells(self) -> list[Task]:
        return [one for one in self.tasks if one.task is measure_cell]


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def log(tmp_path: Path) -> Any:
    places: list[Any] = []
    return SimpleNamespace(
        folder=RunFolder(tmp_path),
        progress=QUIET,
        plan=None,
        start=lambda one, where: one,
        title=lambda one: one.identity,
        places=places,
        end=lambda _cell, done, _title: places.append(done.record),
    )


@dataclass
class Gathered:
    """The workers that are there; ``coming``: those that join when they are let in."""

    client: Workers
    hands: dict[str, Hand]
    coming: list[Hand] = field(default_factory=list)
    gone: list[Hand] = field(default_factory=list)
    progress: ProgressReporter = QUIET
    refused: dict[str, str] = field(default_factory=dict)
    own: bool = True
    outside: list[Hand] = field(default_factory=list)

    def addresses(self) -> dict[str, str]:
        return dict.fromkeys(self.hands, "")

    def wait_for_workers(self, seconds: float) -> None:
        """They are there."""

    def refuse(self, hand: Hand, problem: str) -> None:
        del self.hands[hand.address]
        self.refused[hand.address] = f"{hand.address}: {problem}"

    def has(self, hand: Hand) -> bool:
        return hand.address in self.hands

    def outside_on(self, machine: int) -> bool:
        return any(one.machine == machine for one in self.outside)

    def update(self, order: object, *, admit: bool = True) -> tuple[list[Hand], list[Hand]]:
        lost, self.gone = self.gone, []
        for one in lost:
            del self.hands[one.address]
        self.outside = [] if admit else self.coming
        new, self.coming = (self.coming, []) if admit else ([], self.coming)
        self.hands |= {one.address: one for one in new}
        return new, lost


@pytest.fixture
def executor(workers: Workers) -> DaskExecutor:
    order: Any = SimpleNamespace(model_dump_json=lambda: "{}", token="t")
    crew: Any = Gathered(workers, {one.address: one for one in (ONE, TWO)})
    return DaskExecutor(crew, order, wait_seconds=1.0)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every answer be read as a record that ended ok."""
    record = SimpleNamespace(status=Status.OK, model_copy=lambda update: update["place"])
    measured = MeasuredCell(cast(Any, record))
    monkeypatch.setattr(dask_executor, "read_reply", lambda *_: CellReply(measured))


def latency(number: int) -> PlannedCell:
    return cell("p", Phase.LATENCY, number)


def end_last(executor: DaskExecutor, workers: Workers, waiting: list[Any], log: Any) -> None:
    workers.cells[-1].end({})
    executor._land(workers.cells[-1].key, waiting, log)


def test_nobody_is_taken_in_while_latency_is_measured(
    executor: DaskExecutor, workers: Workers, log: Any, answered: None
) -> None:
    waiting = [latency(1), latency(2)]
    executor._start_alone(waiting, log)
    cast(Any, executor.crew).coming = [FAR]
    executor._look(waiting, log, now=True)
    assert [one.task for one in workers.tasks] == [measure_cell] and not executor.crew.has(FAR)
    end_last(executor, workers, waiting, log)
    executor._look(waiting, log, now=True)
    assert executor.crew.has(FAR) and workers.tasks[-1].task is prepare_worker
    assert [place.disturbed for place in log.places] == [False]


def test_a_lost_workers_latency_waits_until_the_worker_is_back(
    executor: DaskExecutor, workers: Workers, log: Any
) -> None:
    waiting = [latency(1)]
    executor._start_alone(waiting, log)
    had = next(one for one in (ONE, TWO) if one.address in workers.cells[0].workers)
    cast(Any, executor.crew).gone = [had]
    executor._look(waiting, log, now=True)
    executor._start_alone(waiting, log)
    assert len(waiting) == 1 and len(workers.cells) == 1
    cast(Any, executor.crew).coming = [Hand("d", 4, 1, True)]
    executor._look(waiting, log, now=True)
    assert workers.tasks[-1].task is prepare_worker
    executor._start_alone(waiting, log)
    assert not waiting and len(workers.cells) == 2


def test_latency_goes_on_without_a_worker_that_does_not_come_back(
    executor: DaskExecutor, workers: Workers, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_turn, "RESTART_SECONDS", 0.0)
    waiting = [latency(1), latency(2)]
    executor._start_alone(waiting, log)
    cast(Any, executor.crew).gone = [ONE]
    executor._look(waiting, log, now=True)
    executor._flights.clear()
    executor._start_alone(waiting, log)
    assert workers.cells[-1].workers == [TWO.address]


def test_latency_beside_a_worker_that_ended_is_measured_again_and_told_at_last(
    executor: DaskExecutor, workers: Workers, log: Any, answered: None
) -> None:
    """Each time a worker restarts on the machine: at the third the figure stays, and says so."""
    waiting, crew = [latency(1)], cast(Any, executor.crew)
    for turn in range(MOST_LOSSES):
        executor._start_alone(waiting, log)
        assert len(workers.cells) == turn + 1
        crew.coming = [Hand(f"new {turn}", 5 + turn, 1, True)]
        end_last(executor, workers, waiting, log)
        executor._look(waiting, log, now=True)
    assert not waiting and [place.disturbed for place in log.places] == [True]


def test_a_worker_on_another_machine_disturbs_nothing(
    executor: DaskExecutor, workers: Workers, log: Any, answered: None
) -> None:
    cast(Any, executor.crew).hands[FAR.address] = FAR
    waiting = [latency(1)]
    executor._start_alone(waiting, log)
    cast(Any, executor.crew).gone = [FAR]
    end_last(executor, workers, waiting, log)
    assert not waiting and [place.disturbed for place in log.places] == [False]


def test_a_damaged_artefact_that_a_worker_asks_for_is_made_anew(
    executor: DaskExecutor, workers: Workers, log: Any
) -> None:
    """As in a run of one process: otherwise its cell fails for good."""
    kept = log.folder.artefacts
    kept.store("head-1", Kept(b"whole", 1.0))
    kept.store("head-2", Kept(b"whole", 1.0))
    kept.results.place("head-1").write_bytes(b"damaged")
    executor._start(cell("p"), FAR, log, at_once=1)
    for name in ("head-1", "head-2"):
        workers.cells[-1].end({WANTS: name.encode()})
        executor._land(workers.cells[-1].key, [], log)
    held = [one.arguments[3] for one in workers.cells]
    assert held == [["head-1", "head-2"], ["head-2"], ["head-2"]]
    assert workers.cells[-1].arguments[4] == {"head-2": (b"whole", 1.0)}


@pytest.mark.parametrize("stays", [True, False])
def test_a_worker_lost_while_it_gets_the_key_is_lost_and_not_refused(
    executor: DaskExecutor, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is refused is named as left out; one that is lost may come back."""
    monkeypatch.setattr(dask_executor, "SEEN_SECONDS", 0.0)

    def no_key(hand: Hand) -> str:
        if not stays:
            del executor.crew.hands[hand.address]
        raise CellError("lost before it had the key")

    executor._keys = no_key
    crew = cast(Any, executor.crew)
    crew.refuse = lambda hand, problem: crew.refused.update({hand.address: problem})
    executor._prepare([ONE])
    assert list(crew.refused) == ([ONE.address] if stays else [])


def without_keys(executor: DaskExecutor, *lacking: Hand) -> list[str]:
    """Let workers lack the key; return what is said from then on."""

    def key_for(hand: Hand) -> str:
        if hand in lacking:
            raise CellError(f"no key for {hand.number}")
        return ""

    executor._keys = key_for
    said: list[str] = []
    crew = cast(Any, executor.crew)
    crew.progress = SimpleNamespace(say=said.append, line=said.append)
    return said


def test_a_worker_that_cannot_take_part_is_named_once_and_the_others_go_on(
    executor: DaskExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "SEEN_SECONDS", 0.0)
    said = without_keys(executor, ONE)
    executor.gather_workers()
    assert said == [f"note: left out: {ONE.address}: no key for {ONE.number}"]
    assert [*executor.crew.hands.values()] == [TWO]
    executor.meet_workers()
    assert len(said) == 1


def test_without_any_worker_that_can_take_part_the_run_ends_with_all_reasons(
    executor: DaskExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_executor, "SEEN_SECONDS", 0.0)
    without_keys(executor, ONE, TWO)
    with pytest.raises(UsageError, match=f"no key for {ONE.number} .*no key for {TWO.number}"):
        executor.gather_workers()


def test_what_a_worker_notes_is_said_on_one_line_and_a_strangers_is_not(
    executor: DaskExecutor, log: Any
) -> None:
    said: list[str] = []
    log.progress = SimpleNamespace(say=said.append)
    told = {worker_tasks.NOTE: "features.npz is not used,\nit is damaged", "worker": ONE.address}
    executor._told((0.0, told), log)
    executor._told((0.0, told | {"worker": "tcp://elsewhere:1"}), log)
    executor._told((0.0, told | {worker_tasks.NOTE: 7}), log)
    executor._told((0.0, told | {worker_tasks.NOTE: "x" * 10_000}), log)
    assert len(said) == 2 and said[0].startswith(f"note: {ONE.title}: features.npz is not used,")
    assert "\n" not in said[0] and len(said[1]) < 600


def test_only_the_run_at_hand_hears_what_is_said_of_stored_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(
        worker_tasks.ToDriver, "note", lambda self, text: heard.append((self._topic, text))
    )
    monkeypatch.setattr(STORAGE_LOG, "handlers", [])
    for token in ("first", "second"):
        worker_tasks.NotesToDriver(worker_tasks.ToDriver(token)).take_over()
    STORAGE_LOG.warning("%s is not used", "features.npz")
    assert heard == [("he-compare-second", "features.npz is not used")]
