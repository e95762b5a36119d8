"""Processes of servers that ended while a run was measured, and were replaced, in words."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.records import RunRecord
from he_compare.common.run.view import PipelineView
from he_compare.common.types import Phase


def cells_of_replaced_servers(pipeline: PipelineView) -> list[RunRecord]:
    """Return the cells of a pipeline in which a server's process ended and was replaced."""
    return [record for record in pipeline.cells if record.servers_replaced]


def replaced_servers_words(records: Sequence[RunRecord]) -> str:
    """Say how many processes of a server ended in these cells, and that others took their place."""
    count = sum(record.servers_replaced or 0 for record in records)
    some = (
        "a process of its server ended and was"
        if count == 1
        else (f"{count:,} processes of its server ended and were")
    )
    disturbed = {record.cell.phase for record in records} == {Phase.ROBUSTNESS}
    why = ", by messages that were disturbed on purpose" if disturbed else ""
    return f"{some} replaced{why}"
