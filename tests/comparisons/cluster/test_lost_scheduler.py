"""Whatever Dask says when its scheduler is lost, a run says it in one way, and ends as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm import CommClosedError

from he_compare.common.errors import CellError
from he_compare.comparisons.cluster.crew import Crew
from he_compare.comparisons.cluster.dask_executor import DaskExecutor
from he_compare.comparisons.progress import ProgressReporter

QUIET = ProgressReporter(quiet=True)


def crew(status: str) -> Crew:
    """A crew whose client of Dask has a status, and nothing more to say."""

    def refuse(*_: object) -> None:
        raise ClosedClientError("Client is closed. Can't send unsubscribe-topic message.")

    client = SimpleNamespace(
        status=status,
        subscribe_topic=lambda topic, told: None,
        unsubscribe_topic=refuse,
        nthreads=dict,
    )
    return Crew(cast(Any, client), QUIET, own=False, address="tls://vm:8786")


@pytest.mark.parametrize(
    "error",
    [
        ClosedClientError("Client is closed. Can't send unsubscribe-topic message."),
        FutureCancelledError("measure_cell", "scheduler-connection-lost"),
        CommClosedError("in <TLS (closed) ConnectionPool.broadcast>: Stream is closed"),
    ],
)
def test_a_lost_scheduler_is_one_error_with_its_fix(error: Exception) -> None:
    with pytest.raises(CellError, match=r"tls://vm:8786 is gone") as told, crew("closed").reached():
        raise error
    assert "run the same command again" in told.value.fix


def test_a_task_that_was_cancelled_under_a_scheduler_is_no_lost_one() -> None:
    error = FutureCancelledError("measure_cell", "lost dependencies")
    with pytest.raises(FutureCancelledError), crew("running").reached():
        raise error


def test_a_run_that_lost_its_scheduler_says_so_and_not_what_dask_says(tmp_path: Any) -> None:
    order = SimpleNamespace(model_dump_json=lambda: "{}", token="0" * 64)
    executor = DaskExecutor(crew("closed"), cast(Any, order), wait_seconds=1)
    manifest = SimpleNamespace(plan="p", created_at="then")
    folder = SimpleNamespace(records=list, path=tmp_path, manifest=lambda: manifest)
    log = cast(Any, SimpleNamespace(folder=folder))
    with pytest.raises(CellError, match=r"tls://vm:8786 is gone"):
        executor.run([cast(Any, object())], log)
