"""What a reader is told of the workers of a run: which machine timed, and what ran beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from he_compare.common.run.records import RunRecord
from he_compare.common.run.view import RunView
from he_compare.common.types import Phase, Status

ALONE = "Latency cells have their machine to themselves."


def timed_records(view: RunView) -> list[RunRecord]:
    """Return the latency cells of a run that ended ok."""
    return [record for pipeline in view.pipelines for record in pipeline.timed]


def latency_machines_words(records: Sequence[RunRecord]) -> str:
    """Say that latency was measured on several machines; '' where that is not known."""
    known = {one.place.host for one in records if one.place and one.place.host}
    if len(known) < 2:
        return ""
    return f"Latency was measured on {len(known)} machines: {len(records)} cells in all."


def untold_machines_words(records: Sequence[RunRecord]) -> str:
    """Say that some latency cells do not tell their machine while others do; '' otherwise."""
    told = [one for one in records if one.place and one.place.host]
    if not told or len(told) == len(records):
        return ""
    return (
        f"{len(records) - len(told)} of {len(records)} latency cells do not say on which machine "
        "they were measured: the run went on in another way than it began."
    )


def latency_notes(records: Sequence[RunRecord]) -> list[str]:
    """Say what makes times of latency cells those of several machines, or of unknown ones."""
    machines, servers = timed_on(records), _server_hosts(records)
    words = [latency_machines_words(records), untold_machines_words(records)]
    if len(machines) > 1:
        words.append(f"Latency was measured on machines of several kinds: {'; '.join(machines)}.")
    if len(servers) > 1:
        words.append(f"Servers ran in {len(servers)} places while latency was measured.")
    return [one for one in words if one]


def timed_on(records: Iterable[RunRecord]) -> list[str]:
    """Return the kinds of machines that latency was measured on, clients and servers, as recorded.

    Two machines of one kind are one: which machine it was is told within a run only.
    """
    found = [one.environment for one in records if one.environment]
    found += [one.server_host.environment for one in records if one.server_host]
    return sorted({f"{one.cpu}, {one.logical_cores} cores, {one.platform}" for one in found})


def _server_hosts(records: Iterable[RunRecord]) -> set[str]:
    with_server = [one for one in records if not one.no_server and one.server_on]
    return {one.server_host.machine if one.server_host else "" for one in with_server}


def disturbed_records(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Return the latency cells beside which a worker ended or started on their machine."""
    return [one for one in records if one.place and one.place.disturbed]


def beside_words(view: RunView) -> str:
    """Say how many cells were measured at a time where it was more than one; '' where it was not.

    Fits and batches are measured in such cells: other work of the run slows them.
    """
    most = max(
        (
            one.place.at_once
            for one in view.records
            if one.place and one.status is Status.OK and one.cell.phase is not Phase.LATENCY
        ),
        default=1,
    )
    if most < 2:
        return ""
    return (
        f"Fits and batches: up to {most} cells of the run were measured at a time, on one or more "
        f"machines, so these times are with other work beside them. {ALONE}"
    )
