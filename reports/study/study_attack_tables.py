"""What attackers got from each protection on each data set, and how much was tried."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.protection import integrity_of, leaked_decryptions_of, secrecy_of
from he_compare.common.run.spelling import (
    MISSING,
)
from he_compare.common.run.view import PipelineView
from he_compare.common.study.study_rules import (
    AttackState,
    attack_state,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.document.nodes import (
    Column,
    Inline,
    Row,
    Table,
    inline,
)
from he_compare.reports.study.study_answer import TAKEN, Question, budgets_of, standing_over
from he_compare.reports.study.study_layout import (
    caption_of_part,
    labels_by_side,
    parts_beside,
    rows_under_titles,
    why_none,
)
from he_compare.reports.study.study_titles import (
    protections,
    run_link,
    where_it_leads,
)


def attack_tables(study: StudyView) -> list[Table]:
    """Return what attackers got from each protection on each data set."""
    labels = protections(study)
    tables, parts = [], parts_beside(study)
    for number, part in enumerate(parts, start=1):
        groups = [
            (
                title,
                [
                    Row((inline(label), *(secrecy_cell(one, label) for one in part)))
                    for label in mine
                ],
            )
            for title, mine in labels_by_side(study, labels)
        ]
        columns = (
            Column("Protection", weight=1.8),
            *(Column(one.title, weight=1.6) for one in part),
        )
        caption = caption_of_part("What attackers got of the images", number, len(parts))
        told = where_it_leads(study, "Each answer", ", where the attacks are").strip()
        note = inline(told) if told else ()
        tables.append(Table(caption, columns, rows_under_titles(groups), note))
    return [*tables, _beyond_secrecy(study, labels)] if labels else []


def _beyond_secrecy(study: StudyView, labels: Sequence[str]) -> Table:
    """Return whose replies can be changed, what a decoded reply gives, and how much was tried."""
    columns = (
        Column("Protection", weight=1.8),
        Column("Is a changed reply noticed?", weight=2.0),
        Column("Decoded replies", weight=2.0),
        Column("Attacks", "right", "results", 0.7),
        Column("Not run", "right", "n", 0.7),
        Column("Inconclusive", "right", "n", 0.8),
    )
    groups = [
        (title, [Row(_beyond_cells(study, label)) for label in mine])
        for title, mine in labels_by_side(study, labels)
    ]
    budgets = " and ".join(budgets_of(study)) or "not recorded"
    return Table(
        "Beyond secrecy: replies, and how much was tried",
        columns,
        rows_under_titles(groups),
        inline(
            f"The worst answer over the data sets. Budget of the attacks: {budgets}. What was not "
            "run, and what is inconclusive, is no pass."
        ),
    )


def _beyond_cells(study: StudyView, label: str) -> tuple[Inline, ...]:
    questions: tuple[Question, ...] = (integrity_of, leaked_decryptions_of)
    answers = [standing_over(study, label, one) for one in questions]
    verdicts = [
        outcome.verdict
        for _, view, pipeline in study.places(label)
        for outcome in outcomes_of(view, pipeline)
    ]
    missing = verdicts.count("not run")
    return (
        inline(label),
        *(inline(one.words if one else MISSING) for one in answers),
        inline(f"{len(verdicts) - missing}"),
        inline(f"{missing}"),
        inline(f"{verdicts.count('unreliable')}"),
    )


def secrecy_cell(one: StudiedSet, label: str) -> Inline:
    """Return what attackers got from one protection on one data set, as a link to its run."""
    pipeline: PipelineView | None = one.pipeline(label)
    if one.view is None or pipeline is None:
        return inline(why_none(one, label))
    standing = secrecy_of(one.view, pipeline)
    state = attack_state(standing)
    if state in TAKEN:
        return inline(run_link(one, standing.words))
    unsure = sum(each.verdict == "unreliable" for each in outcomes_of(one.view, pipeline))
    told = f"{unsure} test{'s' * (unsure > 1)} inconclusive" if unsure else ""
    shown = state is AttackState.RESISTS and told
    return inline(run_link(one, f"{state.value}; {told}" if shown else state.value))
