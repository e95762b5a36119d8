"""Deviations of the cells of a run, its machines and its attacks, each found by a rule."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.load import WHAT_IT_SHOWS, loaded_cells, loaded_words
from he_compare.common.run.outcomes import by_reason, name_attacks
from he_compare.common.run.records import RunRecord
from he_compare.common.run.replaced_servers import cells_of_replaced_servers, replaced_servers_words
from he_compare.common.run.spelling import scientific
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.run.work_places import (
    disturbed_records,
    latency_machines_words,
    timed_records,
    untold_machines_words,
)
from he_compare.common.types import FheMode, Status
from he_compare.reports.cards import Rule, card
from he_compare.reports.document.nodes import FindingCard, inline
from he_compare.reports.naming import outcome_ids, record_ids, short_title

ENOUGH_AGREEMENT = 50
_MANIFEST = inline("manifest.json")


def insecure_instances(view: RunView) -> Iterator[FindingCard]:
    """Name what must not protect real data. It comes first."""
    for pipeline in view.pipelines:
        if pipeline.protected and pipeline.claims and pipeline.claims.insecure:
            yield card(
                "fail",
                f"{short_title(view, pipeline)} must not protect real data: "
                + "; ".join(pipeline.claims.insecure),
                record_ids(pipeline.cells),
                "Its timings and accuracy are valid; its claim is not.",
            )


def _unfinished(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        if pipeline.trouble:
            bad = [record for record in pipeline.cells if record.status is not Status.OK]
            yield card(
                "fail" if not pipeline.measured else "warn",
                f"{short_title(view, pipeline)}: {pipeline.trouble}",
                record_ids(bad) if bad else _MANIFEST,
                "The cell has no numbers; its row is kept in every table.",
            )


def _not_scored(view: RunView) -> Iterator[FindingCard]:
    if view.scores is None:
        yield card(
            "warn",
            "The run has no scores.",
            inline("scores.json is missing"),
            "Accuracy, intervals and differences are absent; `compare score` computes them.",
        )


def _not_executed(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        modes = {record.fhe_mode for record in pipeline.cells} & {FheMode.SIMULATE, FheMode.CLEAR}
        if modes:
            names = ", ".join(sorted(mode.value for mode in modes))
            yield card(
                "warn",
                f"{short_title(view, pipeline)} has cells in FHE mode {names}, not executed.",
                record_ids([one for one in pipeline.cells if one.fhe_mode in modes]),
                "Timings of such a cell are not those of encryption.",
            )


def _agreement(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        found = pipeline.measured.agreement if pipeline.measured else None
        if found is None or (found.holds and found.compared >= ENOUGH_AGREEMENT):
            continue
        yield card(
            "warn" if found.holds else "fail",
            f"{short_title(view, pipeline)}: {found.agree} of {found.compared} executed "
            f"predictions equal those of the {found.reference}; largest score difference "
            f"{scientific(found.max_abs_score_difference)}{found.noise_words}.",
            record_ids(pipeline.cells[:1]),
            f"Fewer than {ENOUGH_AGREEMENT} compared images or any disagreement limit how far the "
            "clear model represents the encrypted one.",
        )


def _shared_process(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        shared = [one for one in pipeline.cells if one.server_pid_separate is False]
        if shared:
            yield card(
                "fail",
                f"The server half of {short_title(view, pipeline)} ran in the client's process.",
                record_ids(shared),
                "The trust boundary was not enforced by the operating system.",
            )


def _replaced_servers(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        if cells := cells_of_replaced_servers(pipeline):
            yield card(
                "warn",
                f"{short_title(view, pipeline)}: {replaced_servers_words(cells)}.",
                record_ids(cells),
                "A message that ended a process got no answer. A new process loaded the same "
                "public material; its start may be in the times of these cells.",
            )


def _machine(view: RunView) -> Iterator[FindingCard]:
    if loaded := loaded_words(view):
        yield card("warn", loaded, record_ids(loaded_cells(view)), WHAT_IT_SHOWS)
    yield from _latency_machines(view)
    if len(view.environments) > 1:
        yield card(
            "warn",
            f"Cells ran in {len(view.environments)} environments.",
            record_ids(view.records),
            "Timings of different environments are not comparable.",
        )
    dirty = [one for one in view.records if one.environment and one.environment.source_dirty]
    if dirty:
        yield card(
            "warn",
            f"{len(dirty)} of {len(view.records)} cells ran from a checkout with uncommitted "
            "changes.",
            record_ids(dirty),
            "The commit alone does not reproduce them.",
        )


def _latency_machines(view: RunView) -> Iterator[FindingCard]:
    timed = timed_records(view)
    if words := latency_machines_words(timed):
        told = "Their times are pooled and compared. Differences between machines are in them."
        yield card("warn", words, record_ids(timed), told)
    if words := untold_machines_words(timed):
        yield card("unknown", words, record_ids(timed), "It may be one machine, or several.")
    if disturbed := disturbed_records(timed):
        yield card(
            "warn",
            f"{len(disturbed)} of {len(timed)} latency cells had a worker of the run end or start "
            "on their machine meanwhile, each time that they were tried.",
            record_ids(disturbed),
            "Loading libraries and preparing the data beside them makes their times longer.",
        )


def _warnings(view: RunView) -> Iterator[FindingCard]:
    for pipeline in view.pipelines:
        for warning, records in _warnings_of(pipeline).items():
            yield card(
                "warn",
                f"{short_title(view, pipeline)}: {warning}",
                record_ids(records),
                "Recorded while the cell ran.",
            )


def _warnings_of(pipeline: PipelineView) -> dict[str, list[RunRecord]]:
    found: dict[str, list[RunRecord]] = {}
    for record in pipeline.cells:
        for warning in record.warnings:
            found.setdefault(warning, []).append(record)
    return found


def _attacks(view: RunView) -> Iterator[FindingCard]:
    if not view.outcomes:
        yield card(
            "unknown",
            "No attack was run on this run's pipelines.",
            inline("no attack record in the run folder"),
            "Whether a claim holds is unknown; unknown is not a pass.",
        )
    for reason, outcomes in by_reason(view, "unreliable").items():
        for title in dict.fromkeys(one.title for one in outcomes):
            mine = [one for one in outcomes if one.title == title]
            yield card(
                "unknown",
                f"{name_attacks(mine)}: unreliable",
                outcome_ids(mine),
                f"{reason}; not a pass.",
            )


CELL_RULES: tuple[Rule, ...] = (
    _unfinished,
    _not_scored,
    _not_executed,
    _agreement,
    _shared_process,
    _replaced_servers,
    _machine,
)
LAST_RULES: tuple[Rule, ...] = (_warnings, _attacks)
