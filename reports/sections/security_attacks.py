"""Attacks one by one: what each got from whom, within which limits, and how to run it again.

One table per property that is tested; under an attack a row per protection, set-ups of one cipher
in one row where the same came out.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.result_words import result_of
from he_compare.common.run.security_map import UNNAMED
from he_compare.common.run.severity import (
    GRAVITY,
    LADDER,
    OPEN_BY_DESIGN,
    WON,
    WORDS,
    is_control,
    verdict_of,
)
from he_compare.common.run.spelling import MISSING, bracket, fixed
from he_compare.common.run.view import RunView
from he_compare.common.types import Aim
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Code,
    Column,
    Content,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import short_id, short_title
from he_compare.reports.section import ReportSection

COLUMNS = (
    Column("Attack on", weight=1.5),
    Column("Verdict", weight=0.9),
    Column("What came out", weight=3.0),
    Column("Advantage", "right", "0 to 1, 95% interval", 1.1),
    Column("Messages", weight=1.0),
)
HOW_TO_READ = (
    "Advantage: 0 for what is had without the attack (the best of: the same attack on noise or a "
    "known chance, the ciphertext as it is, the mean public picture), 1 as on unprotected images "
    "or the best possible. Floor and ceiling come from few control keys and are estimates. Broken: "
    "the whole interval is at 0.8 or above; partial: above 0.1; resists: below 0.1. Messages: "
    "“crossed” were sent in this run (further keys are fresh, encrypted anew); “again” were made "
    "by a pipeline that the audit deployed again."
)
ABOVE_ALL_THE_SAME = (
    "Resists, although the interval is above 0: less than a tenth of what there is to win, above a "
    "floor that is an estimate and was measured on noise of the size of an image."
)
A_CONTROL_WON, A_CONTROL_HELD = "control: won", "control: nothing won"
# How the limit of all attacks on grey images begins, now and in older records: it is told once.
GREY = ("grey images only", "the images are grey")
GREY_ONLY = "Grey images only; results on colour images may differ."
SOURCES = {
    "": "not recorded",
    "crossed in the run": "crossed",
    "deployed again": "again",
    "deployed for the audit": "for the audit",
    "cipher alone": "cipher alone",
}


class AttacksOneByOne(ReportSection):
    """A table per property: attack by attack, target by target."""

    order = 1300
    level = 1
    title = "Attacks one by one"
    anchor = "security-findings"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the tables; nothing where no attack ran."""
        if not view.outcomes:
            return []
        rows = _by_attack(view)
        order = [*Aim, None]
        tables = [
            Table(f"Attacks on: {aim.value if aim else UNNAMED}", COLUMNS, tuple(lines))
            for aim in order
            if (lines := [line for outcomes in rows[aim] for line in _attack(view, outcomes)])
        ]
        if not tables:
            return [Paragraph(inline("No attack applied to any pipeline of this run."))]
        return [Paragraph(inline(HOW_TO_READ)), *_again(view), *tables]


def _by_attack(view: RunView) -> dict[Aim | None, list[list[AttackOutcome]]]:
    """Return the outcomes that say something, by property and attack, weakest adversary first."""
    found: dict[str, list[AttackOutcome]] = {}
    for outcome in view.outcomes:
        said = outcome.verdict not in ("not applicable", "unreadable", "not run")
        if outcome.target_kind != "control" and said:
            found.setdefault(outcome.row, []).append(outcome)
    ordered = sorted(found.values(), key=lambda own: (LADDER.index(own[0].rung), own[0].title))
    by_aim: dict[Aim | None, list[list[AttackOutcome]]] = {aim: [] for aim in (*Aim, None)}
    for own in ordered:
        by_aim[own[0].aim].append(own)
    return by_aim


def _attack(view: RunView, outcomes: Sequence[AttackOutcome]) -> list[Row | SpanRow]:
    """Return an attack's lines: its name, a row per result, and what it does not show."""
    graded = sorted(
        outcomes,
        key=lambda one: (
            not _is_protected(view, one),
            is_control(one),
            GRAVITY.index(one.verdict),
            -(one.advantage or 0.0),
        ),
    )
    first = graded[0]
    alike: dict[tuple[str, str, str], list[AttackOutcome]] = {}
    for one in graded:
        alike.setdefault((_verdict(view, one), result_of(one), one.messages), []).append(one)
    words = f"{first.title}; the adversary has: {first.rung.value} "
    lines: list[Row | SpanRow] = [SpanRow(inline(words, Code(first.attack)))]
    lines += [_row(view, verdict, same) for (verdict, _, _), same in alike.items()]
    if told := _remark(first, graded):
        lines.append(SpanRow(inline(told), role="note"))
    return lines


def _is_protected(view: RunView, outcome: AttackOutcome) -> bool:
    pipeline = view.by_label.get(outcome.target)
    return pipeline is None or (pipeline.protected and not is_control_pipeline(pipeline))


def _verdict(view: RunView, outcome: AttackOutcome) -> str:
    """Return the verdict; of what claims no protection, and of controls, that it is that."""
    pipeline = view.by_label.get(outcome.target)
    if pipeline is not None and is_control_pipeline(pipeline):
        return A_CONTROL_WON if outcome.verdict in WON else A_CONTROL_HELD
    if not _is_protected(view, outcome) and outcome.verdict in WON:
        return OPEN_BY_DESIGN
    return verdict_of(outcome)


def _row(view: RunView, verdict: str, same: Sequence[AttackOutcome]) -> Row:
    one = same[0]
    ids = [short_id(outcome.identity) for outcome in same]
    links: list[Content] = []
    for number, link in enumerate(ids):
        links += [", ", link] if number else [link]
    advantage = MISSING
    if one.advantage is not None:
        advantage = f"{fixed(one.advantage, 2)} {bracket(one.advantage_interval, 2)}".rstrip()
    result = result_of(one) or one.reason
    if one.verdict == "unreliable" and one.reason and result != one.reason:
        result = f"{result}; {one.reason}"
    return Row(
        (
            inline(_targets(view, same), Break(), *links),
            inline(Bold(verdict)) if verdict == WORDS["broken"].short else inline(verdict),
            inline(result),
            inline(advantage),
            inline(SOURCES.get(one.messages, one.messages)),
        )
    )


def _targets(view: RunView, same: Sequence[AttackOutcome]) -> str:
    """Name the targets; all set-ups of one cipher by the name of the cipher."""
    titles = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    named = list(dict.fromkeys(one.target for one in same))
    for group in cipher_groups(view):
        labels = [one.label for one in group.pipelines]
        if len(labels) > 1 and set(labels) <= set(named):
            titles[group.title] = f"{group.title}, all {len(labels)} set-ups"
            named = [group.title, *(target for target in named if target not in labels)]
    return ", ".join(titles.get(target, target) for target in named)


def _remark(first: AttackOutcome, outcomes: Sequence[AttackOutcome]) -> str:
    """Return limits, what was spent, an interval above its floor, and the source."""
    limits = list(dict.fromkeys(limit for one in outcomes for limit in one.limits))
    words = [f"{limit[:1].upper()}{limit[1:]}." for limit in limits if not limit.startswith(GREY)]
    above = any(
        one.verdict == "resists within budget"
        and one.advantage_interval is not None
        and one.advantage_interval.low > 0
        for one in outcomes
    )
    if above and not any("interval lies above 0" in limit for limit in limits):
        words.append(ABOVE_ALL_THE_SAME)
    spent = ", ".join(f"{value} {name}" for name, value in first.spent.items())
    if spent:
        words.append(f"Spent: {spent}; {fixed(first.seconds, 1)} s.")
    if first.source:
        words.append(f"Source: {first.source}.")
    return " ".join(words)


def _again(view: RunView) -> list[Block]:
    """Return the command that runs one attack again, once, and what stands for all of them."""
    first = next((one for one in view.outcomes if one.reproduce and one.metric), None)
    if first is None:
        return []
    grey = any(limit.startswith(GREY) for one in view.outcomes for limit in one.limits)
    words = "To run an attack again, name it and the pipeline: "
    return [Paragraph(inline(words, Code(first.reproduce), ". ", GREY_ONLY if grey else ""))]


SECTION = AttacksOneByOne()
