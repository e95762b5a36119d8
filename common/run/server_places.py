"""What a reader is told of where servers ran: beside the client, or on a host, and how far away."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from he_compare.common.machine import is_clock_off
from he_compare.common.run.records import RunRecord, ServerHost
from he_compare.common.run.spelling import milliseconds, size
from he_compare.common.run.view import RunView
from he_compare.common.types import Status

LOOPBACK, TO_HOST = "loopback", "the network to the host"
TO_ITSELF = "the connection to a host on the client's machine"
SAME_MACHINE, OTHER_MACHINE = "same machine", "another machine"


def served_records(view: RunView) -> list[RunRecord]:
    """Return the cells that ended ok and had a server."""
    return [one for one in view.records if one.status is Status.OK and not one.no_server]


def remote_records(view: RunView) -> list[RunRecord]:
    """Return those whose server was reached through a host."""
    return [one for one in served_records(view) if one.server_host is not None]


def hosts_of(records: Sequence[RunRecord]) -> list[ServerHost]:
    """Return the hosts of cells, each machine once, as its first cell has it."""
    found: dict[str, ServerHost] = {}
    for one in records:
        if one.server_host is not None:
            found.setdefault(one.server_host.machine, one.server_host)
    return list(found.values())


def wire_words(view: RunView) -> str:
    """Name the way between client and server, while single images were timed where they were."""
    timed = [one for pipeline in view.pipelines for one in pipeline.timed if not one.no_server]
    timed = timed or served_records(view)
    ways = {_way(one) for one in timed} or {LOOPBACK}
    return " or ".join(sorted(ways, key=(LOOPBACK, TO_ITSELF, TO_HOST).index))


def _way(record: RunRecord) -> str:
    if record.server_host is None:
        return LOOPBACK
    return TO_ITSELF if record.server_on == SAME_MACHINE else TO_HOST


def wire_is_loopback(view: RunView) -> bool:
    """Say whether no cell of a run crossed a network."""
    return wire_words(view) == LOOPBACK


def server_place_words(view: RunView) -> str:
    """Say on which machine the servers ran, and what is not known of it; '' without servers."""
    records = served_records(view)
    if not records:
        return ""
    by_place: Counter[str] = Counter(one.server_on for one in records)
    if set(by_place) == {""}:
        return "On which machine the servers ran is not recorded."
    remote = remote_records(view)
    if set(by_place) == {SAME_MACHINE} and not remote:
        return "All servers ran on the client's machine."
    told = []
    if by_place[OTHER_MACHINE]:
        told.append(
            f"on another machine than the client in {_of(by_place[OTHER_MACHINE], records)}"
        )
    if by_place[SAME_MACHINE]:
        told.append(f"on the client's machine in {_of(by_place[SAME_MACHINE], records)}")
    if by_place[""]:
        told.append(f"where it is not recorded in {_of(by_place[''], records)}")
    hosts = "; ".join(map(_host_words, hosts_of(remote)))
    return f"Servers ran {', '.join(told)}." + (f" {hosts}." if hosts else "")


def _of(count: int, records: Sequence[RunRecord]) -> str:
    return f"{count} of {len(records)} measured cells"


def _host_words(host: ServerHost) -> str:
    there = host.environment
    trips = host.round_trip_seconds
    way = f", round trip {milliseconds(statistics.median(trips))} ms" if trips else ""
    over = "over TLS" if host.certificate else "without TLS, on loopback"
    return (
        f"Host {host.machine[:8]}: {there.cpu}, {there.logical_cores} cores, "
        f"{size(there.memory_bytes)}, reached {over}{way}"
    )


def clock_is_off(host: ServerHost) -> bool:
    """Say whether the clock of a host differed by more than the round trip explains."""
    return is_clock_off(host.clock_offset_seconds, host.clock_uncertainty_seconds)


def clock_offset_words(records: Sequence[RunRecord]) -> str:
    """Say by how much the clock of a host was off, the most; '' where none was."""
    off = [
        one.server_host.clock_offset_seconds
        for one in records
        if one.server_host is not None and clock_is_off(one.server_host)
    ]
    if not off:
        return ""
    most = max(off, key=abs)
    side = "ahead of" if most > 0 else "behind"
    return f"The clock of the host was {abs(most):.1f} s {side} the client's."
