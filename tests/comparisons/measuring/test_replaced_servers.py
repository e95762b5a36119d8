"""Processes of a server that were replaced: told once per cell, whatever server they were of."""

from __future__ import annotations

from dataclasses import dataclass

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
