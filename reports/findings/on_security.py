"""Findings on security: what attacks took, who enforces parameters, what a server can tell.

"pass" is for what was executed; what a pipeline or its library only says is "stated".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import (
    ProtectionMark,
    ProtectionStanding,
    integrity_of,
    leaked_decryptions_of,
    secrecy_of,
)
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.cards import card
from he_compare.reports.document.nodes import FindingCard, Inline, Severity, inline
from he_compare.reports.naming import SHORT_ID, record_ids, short_id, short_title

HARDNESS = "reduction to a hardness assumption"
MOST_SHOWN = 3
# A mark that is in none of these says that there was nothing to find.
SEVERITY_OF: dict[ProtectionMark, Severity] = {
    "broken": "fail",
    "partly": "warn",
    "not promised": "warn",
    "not protected": "warn",
    "held": "pass",
    "not tested": "unknown",
}
ONE_AT_LEAST = "An attack that was not thought of, or a larger budget, may do more."
QUESTIONS: tuple[tuple[str, Callable[[RunView, PipelineView], ProtectionStanding]], ...] = (
    ("Secrecy from the server", secrecy_of),
    ("Integrity", integrity_of),
    ("If decrypted values leak", leaked_decryptions_of),
)


def shown_by(record: RunRecord) -> str:
    """Return the command that shows a record."""
    return f"compare show RUN {record.identity[:SHORT_ID]}"


def titles_of(view: RunView, pipelines: Sequence[PipelineView]) -> str:
    """Return the names of pipelines in a row."""
    return "; ".join(short_title(view, pipeline) for pipeline in pipelines)


def first_records(pipelines: Sequence[PipelineView]) -> Inline:
    """Return the identity of the accuracy cell of each pipeline."""
    parts = [record_ids(pipeline.cells[:1]) for pipeline in pipelines]
    return inline(*[inline(", " if index else "", part) for index, part in enumerate(parts)])


def kept_and_lost(view: RunView) -> Iterator[FindingCard]:
    """Say of each protection what attacks took of secrecy, integrity and leaked decryptions.

    Set-ups of one cipher are one protection; protections with the same answer share a finding.
    """
    for question, answer in QUESTIONS:
        alike: dict[str, tuple[list[PipelineView], list[AttackOutcome], ProtectionMark]] = {}
        for pipelines in _protections(view):
            found = [answer(view, one) for one in pipelines]
            worst = min(found, key=lambda one: _gravity(one.mark))
            mine, outcomes, _ = alike.setdefault(worst.words, ([], [], worst.mark))
            mine += pipelines
            outcomes += worst.outcomes
        for words, (mine, outcomes, mark) in alike.items():
            severity = SEVERITY_OF.get(mark)
            if severity is not None:
                yield card(
                    severity,
                    f"{question}: {words} ({titles_of(view, mine)}).",
                    _outcome_ids(outcomes),
                    _limits(outcomes) + _fitted_anew(_command(mine, outcomes)),
                    reproduce=_command(mine, outcomes),
                )


def _protections(view: RunView) -> list[tuple[PipelineView, ...]]:
    """Return what claims protection and was measured or attacked, one cipher as one."""
    groups = [group.pipelines for group in cipher_groups(view)]
    grouped = {one.label for group in groups for one in group}
    rest = [(one,) for one in view.pipelines if one.protected and one.label not in grouped]
    found = [*groups, *rest]
    kept = [
        group for group in found if any(one.measured or outcomes_of(view, one) for one in group)
    ]
    return sorted(kept, key=lambda group: group[0].number)


def _gravity(mark: ProtectionMark) -> int:
    order = list(SEVERITY_OF)
    return order.index(mark) if mark in order else len(order)


def _outcome_ids(outcomes: Sequence[AttackOutcome]) -> Inline:
    if not outcomes:
        return inline("no attack record")
    rest = f" + {len(outcomes) - MOST_SHOWN}" if len(outcomes) > MOST_SHOWN else ""
    parts = [short_id(one.identity) for one in outcomes[:MOST_SHOWN]]
    titles = ", ".join(dict.fromkeys(one.title or one.attack for one in outcomes[:MOST_SHOWN]))
    shown = [inline(", " if index else "", part) for index, part in enumerate(parts)]
    return inline(f"{titles}: ", *shown, rest)


def _limits(outcomes: Sequence[AttackOutcome]) -> str:
    first = next((limit for one in outcomes for limit in one.limits), "")
    return f"{first[:1].upper()}{first[1:]}." if first else ONE_AT_LEAST


def _command(pipelines: Sequence[PipelineView], outcomes: Sequence[AttackOutcome]) -> str:
    ran = (one.reproduce for one in outcomes if one.verdict != "not run" and one.reproduce)
    return next(ran, shown_by(pipelines[0].cells[0]) if pipelines[0].cells else "")


def _fitted_anew(command: str) -> str:
    """Say that a command of an audit fits a pipeline of its own; '' for any other command."""
    if not command.startswith("compare audit run") or "--pipeline" not in command:
        return ""
    return " The command fits the pipeline anew, on few images: its figures can differ from these."


def separate_processes(view: RunView) -> Iterator[FindingCard]:
    """Say whether every server half ran in a process of its own."""
    measured = [one for one in view.pipelines if one.measured and not one.no_server]
    states: tuple[tuple[Severity, bool | None, str], ...] = (
        ("fail", False, "The server half ran in the client's process"),
        ("unknown", None, "It was not recorded whether the server half ran in its own process"),
        ("pass", True, "The server half ran in a separate process, started with public material"),
    )
    with_one = " with a server" if any(one.no_server for one in view.pipelines) else ""
    for severity, state, words in states:
        found = [
            pipeline
            for pipeline in measured
            if (_worst_separation([one.server_pid_separate for one in pipeline.cells]) is state)
        ]
        if found:
            yield card(
                severity,
                f"{words}: {len(found)} of {len(measured)} pipelines{with_one} "
                f"({titles_of(view, found)}).",
                first_records(found),
                "The operating system of one machine separates the memory; its administrator sees "
                "both.",
                reproduce="compare show RUN --json",
            )


def _worst_separation(states: list[bool | None]) -> bool | None:
    if False in states:
        return False
    return True if True in states else None


def enforced_parameters(view: RunView) -> Iterator[FindingCard]:
    """Ask of every claim that rests on a hardness assumption who enforces its parameters.

    No run tries parameters that must be refused, so that enforcement is at most stated.
    """
    for pipeline in view.pipelines:
        claims = pipeline.claims
        if claims is None or claims.claim_type != HARDNESS:
            continue
        severity: Severity = "unknown"
        words = "it is not stated who enforces its parameters"
        if claims.insecure:
            severity, words = "fail", "; ".join(claims.insecure)
        elif claims.enforced_by:
            severity, words = "stated", f"parameters are enforced: {claims.enforced_by}"
        yield card(
            severity,
            f"{short_title(view, pipeline)}, {claims.scheme}: {words}.",
            record_ids(pipeline.cells[:1]),
            f"Holds if {claims.assumption or 'its assumption'} is hard, the server follows the "
            "protocol and the library is correct; the library was not audited here.",
            reproduce=shown_by(pipeline.cells[0]),
        )


def repetitions(view: RunView) -> Iterator[FindingCard]:
    """Say whether the server can tell that an image was sent before: tested where freshness ran."""
    protected = [pipeline for pipeline in view.pipelines if pipeline.protected]
    fresh = {one.label for one in protected if _seen_fresh(view, one)}
    states: tuple[tuple[Severity, bool | None, str], ...] = (
        ("warn", True, "Equal images give equal ciphertexts, so the server sees repetitions"),
        ("unknown", None, "It is not stated whether equal images give equal ciphertexts"),
        ("stated", False, "Equal images give different ciphertexts, as the pipeline states"),
        ("pass", False, "Equal images gave different ciphertexts when encrypted again"),
    )
    for severity, state, words in states:
        found = [
            one
            for one in protected
            if one.claims
            and one.claims.deterministic is state
            and (state is not False or (one.label in fresh) == (severity == "pass"))
        ]
        if found:
            yield card(
                severity,
                f"{words}: {titles_of(view, found)}.",
                first_records(found),
                "The server always sees the number and time of requests.",
                reproduce=shown_by(found[0].cells[0]),
            )


def _seen_fresh(view: RunView, pipeline: PipelineView) -> bool:
    """Say whether the check of fresh ciphertexts ran on a pipeline and held."""
    return any(
        one.attack == "freshness" and one.verdict == "resists within budget"
        for one in outcomes_of(view, pipeline)
    )
