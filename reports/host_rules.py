"""Rules about servers that ran on a host: which machine, whose times, and its clock."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.latency_cells import latency_elsewhere
from he_compare.common.run.server_places import OTHER_MACHINE, clock_offset_words, remote_records
from he_compare.common.run.view import RunView
from he_compare.reports.cards import card
from he_compare.reports.document.nodes import FindingCard
from he_compare.reports.naming import record_ids


def host_findings(view: RunView) -> Iterator[FindingCard]:
    """Yield what a reader must know of servers that ran elsewhere than the client."""
    remote = remote_records(view)
    away = [one for one in remote if one.server_on == OTHER_MACHINE]
    if away:
        yield card(
            "warn",
            f"Servers ran on another machine than the client in {len(away)} cells.",
            record_ids(away),
            "Times of the hospital and of the server are those of two machines. What one image "
            "takes has the network in it.",
        )
    if passed := latency_elsewhere(view.records):
        yield card(
            "warn",
            f"{len(passed)} latency cells are left out: their servers ran elsewhere than those of "
            "the others.",
            record_ids(passed),
            "The run went on with its servers on another machine; times of two are not pooled.",
        )
    if words := clock_offset_words(remote):
        yield card("warn", words, record_ids(remote), "Times of day differ; durations do not.")
    changed = [
        one for one in remote if one.server_host and one.server_host.environment.source_dirty
    ]
    if changed:
        yield card(
            "warn",
            f"In {len(changed)} cells the host ran from a checkout with uncommitted changes.",
            record_ids(changed),
            "The commit alone does not reproduce them. Its code of server halves was that of the "
            "client.",
        )
