"""What the driver does with what workers answer, and when it takes workers in: without Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from he_compare.common.run.store import Artefact, RunFolder
from he_compare.comparisons.cluster.dask_executor import DaskExecutor
from he_compare.comparisons.cluster.reply import WANTS
from he_compare.comparisons.cluster.worker_tasks import measure_cell
from he_compare.comparisons.progress import ProgressReporter
from tests.comparisons.cluster.test_dispatch import FAR, cell

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
    return SimpleNamespace(
        folder=RunFolder(tmp_path),
        progress=QUIET,
        plan=None,
        start=lambda one, where: one,
        title=lambda one: one.identity,
        end=lambda *_: True,
    )


@pytest.fixture
def executor(workers: Workers) -> Iterator[DaskExecutor]:
    order: Any = SimpleNamespace(model_dump_json=lambda: "{}", token="t")
    crew: Any = SimpleNamespace(client=workers, progress=QUIET, hands={}, refused={}, own=True)
    yield DaskExecutor(crew, order, wait_seconds=1.0)


def test_a_damaged_artefact_that_a_worker_asks_for_is_made_anew(
    executor: DaskExecutor, workers: Workers, log: Any
) -> None:
    """As in a run of one process: otherwise its cell fails for good."""
    kept = log.folder.artefacts
    kept.store("head-1", Artefact(b"whole", 1.0))
    kept.store("head-2", Artefact(b"whole", 1.0))
    (kept.folder / "head-1").write_bytes(b"damaged")
    executor.crew.hands = {FAR.address: FAR}
    executor._start(cell("p"), FAR, log, at_once=1)
    for name in ("head-1", "head-2"):
        workers.cells[-1].end({WANTS: name.encode()})
        executor._land(workers.cells[-1].key, [], log)
    held = [one.arguments[3] for one in workers.cells]
    assert held == [["head-1", "head-2"], ["head-2"], ["head-2"]]
    assert workers.cells[-1].arguments[4] == {"head-2": (b"whole", 1.0)}
