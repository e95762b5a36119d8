"""Processes of a server that were replaced: told once per cell, whatever server they were of."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from he_compare.common.errors import ServerReplacedError, ServiceError
from he_compare.common.run.records import RunRecord
from he_compare.comparisons.measuring import measurer
from he_compare.comparisons.measuring.fitting import StartedServers
from he_compare.comparisons.measuring.session import ServedSession


@dataclass
class CountingServer:
    """Knows how many processes were replaced."""

    replaced: int = 0
    is_separate: bool = True

    def close(self) -> None:
        pass


@dataclass
class FitOf:
    servers_replaced: int


def test_each_replaced_process_is_told_to_one_cell() -> None:
    servers = [CountingServer(1), CountingServer(2)]
    session = ServedSession(
        planned=None,  # type: ignore[arg-type]
        fit=FitOf(3),  # type: ignore[arg-type]
        classes=2,
        server=servers[0],  # type: ignore[arg-type]
        start=lambda threads: servers[1],  # type: ignore[arg-type, return-value]
        threads=1,
    )
    assert session.server_facts() == {"server_pid_separate": True, "servers_replaced": 4}
    assert session.server_facts()["servers_replaced"] == 0
    servers[0].replaced = 6
    session.restart()
    assert session.server_facts()["servers_replaced"] == 5 + 2
    servers[1].replaced = 3
    assert session.server_facts()["servers_replaced"] == 1


def test_a_restart_that_fails_counts_nothing_twice() -> None:
    def cannot(threads: int) -> Any:
        raise ServiceError("no process could be started")

    session = ServedSession(
        planned=None,  # type: ignore[arg-type]
        fit=FitOf(1),  # type: ignore[arg-type]
        classes=2,
        server=CountingServer(2),  # type: ignore[arg-type]
        start=cannot,
        threads=1,
    )
    with pytest.raises(ServiceError):
        session.restart()
    assert session.server_facts()["servers_replaced"] == 3


def test_servers_are_counted_also_where_one_ends_at_its_start() -> None:
    started = StartedServers()
    assert not started.any and started.replaced == 0

    def ends() -> Any:
        raise ServerReplacedError("the server was lost while it loaded the public material")

    with pytest.raises(ServerReplacedError):
        started.start(ends)
    started.start(lambda: CountingServer(2))  # type: ignore[arg-type, return-value]
    assert started.any and started.replaced == 3


@pytest.mark.parametrize("replaced", [0, 4])
def test_a_fit_that_fails_tells_what_its_servers_lost(
    monkeypatch: pytest.MonkeyPatch, replaced: int
) -> None:
    def opened(planned: Any, ground: Any, servers: StartedServers) -> Any:
        servers.start(lambda: CountingServer(replaced))  # type: ignore[arg-type, return-value]
        raise ServiceError("the training failed")

    plan: Any = SimpleNamespace(
        settings=SimpleNamespace(threads=1), not_run={}, threads_of=lambda phase: 1
    )
    planned = SimpleNamespace(label="fhe-train")
    cell: Any = SimpleNamespace(planned=planned, seed=0, phase=None, again=False)
    monkeypatch.setattr(measurer, "open_session", opened)
    own = measurer.CellMeasurer(plan, SimpleNamespace(artefacts=SimpleNamespace(folder=None)))  # type: ignore[arg-type]
    started = RunRecord.model_construct(identity="0" * 16)
    assert own.measure(cell, started).record.servers_replaced == replaced
    again = own.measure(cell, started).record
    assert again.servers_replaced is None, "told once: nothing was started for this one"


def test_a_negative_count_is_no_record() -> None:
    field = RunRecord.model_fields["servers_replaced"]
    assert [one.ge for one in field.metadata] == [0]
