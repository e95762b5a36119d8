"""An estimate as lines for a terminal, as JSON, and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from he_compare.common.run.spelling import size
from he_compare.common.types import Phase
from he_compare.comparisons.estimating.estimate import RunForecast
from he_compare.comparisons.estimating.forecast import CellForecast
from he_compare.comparisons.measuring.threads import Lanes
from he_compare.comparisons.terminal import NO_VALUE, TextTable, fold_text, laid_out

HEADINGS = ("pipeline", "fit and test", "latency", "disturbed", "client", "server", "sent", "disk")
DONE = "done"


def estimate_text(found: RunForecast, columns: int | None) -> str:
    """Return the estimate as a table with its sums, notes and warnings."""
    lines = laid_out(
        TextTable(HEADINGS, [_row(cells, found.lanes) for cells in _by_pipeline(found.cells)]),
        columns,
    )
    lines.append("")
    for sentence in (*_sums(found), *_remarks(found)):
        lines += fold_text(sentence, columns, "  ")
    return "\n".join(lines)


def in_one_line(found: RunForecast) -> str:
    """Return time, memory and disk of a run in one sentence."""
    where = ", by prices of this machine" if found.lanes.elsewhere else ""
    return (
        f"estimate: {rounded_time(found.measuring_seconds)}{_attacks(found)}{where}, at most about "
        f"{size(found.memory_bytes)} of memory, {size(found.disk_bytes)} of disk"
    )


def estimate_as_json(found: RunForecast) -> dict[str, Any]:
    """Return the estimate as JSON values; seconds and bytes, null where not known."""
    told = asdict(found)
    told.pop("prices")
    told |= told.pop("lanes")
    told["cells"] = [
        asdict(one.work) | {name: value for name, value in asdict(one).items() if name != "work"}
        for one in found.cells
    ]
    return told | {
        "memory_bytes": found.memory_bytes,
        "disk_bytes": found.disk_bytes,
        "prices": found.prices.model_dump(mode="json"),
    }


def rounded_time(seconds: float) -> str:
    """Return seconds in the unit that people would use, without more digits than are known."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _by_pipeline(cells: Sequence[CellForecast]) -> list[list[CellForecast]]:
    found: dict[tuple[str, int], list[CellForecast]] = {}
    for one in cells:
        found.setdefault((one.work.label, one.work.seed), []).append(one)
    return list(found.values())


def _row(cells: Sequence[CellForecast], lanes: Lanes) -> tuple[str, ...]:
    first = cells[0].work
    several = f", seed {first.seed}" if first.seed else ""
    times = [_phase([one for one in cells if one.work.phase is phase]) for phase in Phase]
    return (
        first.label + several,
        *times,
        _most(_client(one, lanes) for one in cells if one.work.phase is Phase.ACCURACY),
        _most(max(one.server_bytes, one.trainer_bytes) for one in cells),
        _most([sum(one.sent_bytes for one in cells)]),
        _most([sum(one.disk_bytes for one in cells)]),
    )


def _client(cell: CellForecast, lanes: Lanes) -> int:
    """Return the peak of the process that measures a cell: a worker, where there are some."""
    return cell.driver_bytes if lanes.alone else cell.worker_bytes


def _phase(cells: Sequence[CellForecast]) -> str:
    seconds = [one.seconds for one in cells]
    if not cells:
        return NO_VALUE
    if all(one.work.kept is not None for one in cells):
        return DONE
    if any(one is None for one in seconds):
        return "not known"
    return rounded_time(sum(one for one in seconds if one is not None))


def _most(values: Any) -> str:
    largest = max(values, default=0)
    return size(largest) if largest else NO_VALUE


def _attacks(found: RunForecast) -> str:
    if found.audit_seconds is None:
        return " and the attacks, whose time has no limit in all"
    return (
        f" and at most {rounded_time(found.audit_seconds)} of attacks"
        if found.audit_seconds
        else ""
    )


def _sums(found: RunForecast) -> list[str]:
    if found.finished:
        return [f"nothing is left to be done{_decoded(found)}"]
    return [
        f"time: {rounded_time(found.measuring_seconds)}{_lanes(found.lanes)}{_attacks(found)}; "
        "less where a training stops early",
        f"memory, an upper value: {size(found.memory_bytes)}: {_processes(found)}, "
        f"{size(found.servers_bytes)} of servers",
        f"sent: {size(found.sent_bytes)}",
        f"disk: {size(found.disk_bytes)} in the run folder{_decoded(found)}",
    ]


def _lanes(lanes: Lanes) -> str:
    if lanes.workers == 1:
        return ""
    if lanes.at_once == lanes.workers:
        return f" on {lanes.workers} workers"
    what = "threads" if lanes.elsewhere else "cores"
    return f" on {lanes.workers} workers, with {what} for {lanes.at_once} cells at a time"


def _decoded(found: RunForecast) -> str:
    if not found.store_bytes:
        return ""
    return f"; {size(found.store_bytes)} of decoded images lie in the cache already"


def _processes(found: RunForecast) -> str:
    if found.lanes.alone:
        return f"{size(found.driver_bytes)} of the process that measures"
    count = found.lanes.workers
    workers = "one worker" if count == 1 else f"{count} workers"
    return f"{size(found.driver_bytes)} of the driver, {size(found.workers_bytes)} of {workers}"


def _remarks(found: RunForecast) -> list[str]:
    told = [f"{label}: {reason}" for label, reason in found.not_known.items()]
    told += [f"note: {note}" for note in found.notes]
    told += [f"warning: {warning}" for warning in found.warnings]
    prices = found.prices
    told.append(
        f"measured by a probe of {rounded_time(prices.seconds)} on this machine ({prices.cpu}, "
        f"{prices.threads} threads per process), with one process"
    )
    if found.lanes.elsewhere:
        told.append(
            "note: the workers are on other machines: their times are those of this machine; "
            "memory of workers and servers is needed where they run"
        )
    return told
