"""Which latency cells of a run stand: those of one place of the servers, each round once.

A run may have gone on with its servers on another machine. Single images timed there are other
cells, and times of two machines in one median are of none. So the place that has most of them
stands, the latest where several have as many, and of a round that was timed twice the later one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from he_compare.common.run.records import RunRecord
from he_compare.common.types import Phase, Status


def server_machine(record: RunRecord) -> str:
    """Return the word of the machine whose servers were timed through a host; '' without one."""
    return record.server_host.machine if record.server_host is not None else ""


def standing_latency(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the latency cells that stand, of all pipelines, in the order of their rounds.

    ``records``: all of a run, oldest first. What did not end ok stands until its round ends ok
    later; what has no server stands wherever the others' were.
    """
    timed = [one for one in records if one.cell.phase is Phase.LATENCY]
    place = _place_of(timed)
    found: dict[tuple[str, int], list[RunRecord]] = {}
    for one in timed:
        round_ = found.setdefault((one.cell.label, one.cell.round), [])
        if one.status is not Status.OK:
            round_[:] = [*(before for before in round_ if before.status is Status.OK), one]
        elif one.no_server or server_machine(one) == place:
            round_[:] = [one]
    every = [one for records_of_round in found.values() for one in records_of_round]
    return sorted(every, key=lambda one: one.cell.round)


def _place_of(timed: Sequence[RunRecord]) -> str:
    served = [one for one in timed if one.status is Status.OK and not one.no_server]
    if not served:
        return ""
    counts = Counter(server_machine(one) for one in served)
    most = max(counts.values())
    return next(
        server_machine(one) for one in reversed(served) if counts[server_machine(one)] == most
    )


def latency_elsewhere(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the latency cells that ended ok with their servers at another place than stands."""
    standing = {one.identity for one in standing_latency(records)}
    place = _place_of([one for one in records if one.cell.phase is Phase.LATENCY])
    return [
        one
        for one in records
        if one.cell.phase is Phase.LATENCY
        and one.status is Status.OK
        and one.identity not in standing
        and not one.no_server
        and server_machine(one) != place
    ]
