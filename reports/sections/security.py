"""Security: who is broken by what, what attacks made of the pictures, and what stays open.

Rows are the capability ladder, columns the pipelines and the controls. Nothing here adds up to one
score: the worst known attack is a pipeline's headline, and what was not tried is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.capability_matrix import CapabilityMatrix, controls_failed
from he_compare.common.run.records import AttackOutcome, Verdict
from he_compare.common.run.severity import (
    A_CONTROL,
    AS_NOISE,
    IS_NECESSARY,
    NECESSARY,
    NOTHING_TO_ATTACK,
    OPEN_BY_DESIGN,
    WORDS,
    only_necessary,
    verdict_of,
)
from he_compare.common.run.view import RunView
from he_compare.reports.attack_matrix import cell_words, columns, matrix_of_run
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Bullets,
    Callout,
    Column,
    Figure,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.security import HeatCell, heat_map
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

NO_ATTACKS = (
    "No attack was run on this run's pipelines (smoke profile or --no-audit), so no claim was "
    "tested."
)
EXPLAINED: tuple[Verdict, ...] = (
    "broken",
    "partial",
    "resists within budget",
    "unreliable",
    "unreadable",
)
COLUMNS_A_TABLE = 5


class Security(ReportSection):
    """Who is broken by what: the capability matrix as a figure and in words."""

    order = 800
    title = "Security"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the matrix with its introduction; where no attack ran, that is said instead."""
        if not view.outcomes:
            return [Callout("warning", "No attack was run", inline(NO_ATTACKS))]
        matrix = matrix_of_run(view)
        names = columns(view, matrix)
        return [*_introduction(view), *_figure(matrix, names), *_tables(matrix, names)]


def _introduction(view: RunView) -> list[Block]:
    ran = [one for one in view.outcomes if one.metric is not None and one.target_kind != "control"]
    keys = sorted({len(one.per_key) for one in ran if one.per_key})
    span = "–".join(str(k) for k in dict.fromkeys((keys[0], keys[-1]))) if keys else "no"
    budget = next((one.budget for one in ran if one.budget), {})
    words = inline(
        "Every attack sees only the bytes that cross the boundary and what its rung of the ladder "
        "adds; the truth is sealed and the harness scores the guess. Budget “"
        f"{budget.get('name', 'none')}”: {span} keys, {budget.get('images', 0)} ciphertexts per "
        "key. "
        "Advantage: 0 for what is had without the attack (the best of: the same attack on uniform "
        "noise or a known chance, the ciphertext as it is, the mean public picture), 1 as on "
        "unprotected images (or the best possible), with an interval whose method is in its "
        "record. "
        "Controls: each attack must succeed on the identity and must fail "
        "on noise and on AES-CTR."
    )
    seen = {outcome.verdict for outcome in view.outcomes}
    told = [verdict for verdict in EXPLAINED if verdict != "unreadable" or verdict in seen]
    meaning = Bullets(
        (
            *(inline(Bold(WORDS[one].short), f": {WORDS[one].meaning}.") for one in told),
            *_counted_apart(view.outcomes),
            *_nothing_to_attack(view),
        )
    )
    blocks: list[Block] = [Paragraph(words), meaning]
    failed = controls_failed(view.outcomes)
    if failed:
        text = "; ".join(f"{one.title} on {one.target}: {one.unreliable[0]}" for one in failed)
        blocks.append(Callout("danger", "A control misbehaved", inline(text)))
    return blocks


def _counted_apart(outcomes: Sequence[AttackOutcome]) -> list[Inline]:
    """Say what no pipeline is judged by, where there is any."""
    told = []
    if any(one.counts_as == "control" for one in outcomes):
        told.append(inline(Bold(AS_NOISE), f": {A_CONTROL}; no attack resisted."))
    if any(map(only_necessary, outcomes)):
        told.append(inline(Bold(NECESSARY), f": {IS_NECESSARY}."))
    if any(one.counts_as == OPEN_BY_DESIGN for one in outcomes):
        words = ": what was won is what the server is meant to know; no break."
        told.append(inline(Bold(OPEN_BY_DESIGN), words))
    return told


def _nothing_to_attack(view: RunView) -> list[Inline]:
    """Say which columns hold no verdict because nothing is sent."""
    names = [short_title(view, pipeline) for pipeline in view.pipelines if pipeline.no_server]
    if not names:
        return []
    words = f": {NOTHING_TO_ATTACK} ({', '.join(names)}); neither a pass nor a verdict."
    return [inline(Bold(f"{WORDS['not applicable'].short} without a server"), words)]


def _apart(outcome: AttackOutcome) -> str:
    """Return the word for what is no attack resisted; '' for evidence."""
    return verdict_of(outcome) if outcome.counts_as == "control" or only_necessary(outcome) else ""


def _figure(matrix: CapabilityMatrix, names: Sequence[tuple[str, str]]) -> list[Figure]:
    lines: list[tuple[str, bool]] = []
    cells: dict[tuple[int, int], HeatCell] = {}
    for rung, rows in matrix.rungs():
        lines.append((rung.value, True))
        for row in rows:
            for column, (target, _) in enumerate(names):
                outcome = matrix.cell(row, target)
                if outcome is not None:
                    cells[len(lines), column] = HeatCell(
                        outcome.verdict,
                        outcome.advantage,
                        _apart(outcome),
                    )
            lines.append((row.title, False))
    return drawn(
        lambda: heat_map(lines, [shown for _, shown in names], cells),
        name="security-matrix",
        caption="Capability matrix: what an adversary with the knowledge of each row gets from "
        "each column. Darker is worse, hatched is not known; the numbers are advantages "
        "(b: broken, p: partial).",
        alt=f"Matrix of {len(names)} targets and {len(matrix.rows)} attacks; its cells are the "
        "rows of the tables below",
    )


def _tables(matrix: CapabilityMatrix, names: Sequence[tuple[str, str]]) -> list[Table]:
    """The matrix in words, a few columns a table."""
    parts = max(1, -(-len(names) // COLUMNS_A_TABLE))
    size = -(-len(names) // parts)
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    tables = []
    for number, chunk in enumerate(chunks, start=1):
        of = f" ({number} of {len(chunks)})" if len(chunks) > 1 else ""
        head = (
            Column("Attack", weight=1.9),
            *(Column(shown, weight=1.5) for _, shown in chunk),
        )
        tables.append(Table(f"Capability matrix{of}", head, tuple(_matrix_rows(matrix, chunk))))
    return tables


def _matrix_rows(matrix: CapabilityMatrix, names: Sequence[tuple[str, str]]) -> list[Row | SpanRow]:
    lines: list[Row | SpanRow] = []
    for rung, rows in matrix.rungs():
        lines.append(SpanRow(inline(rung.value)))
        for row in rows:
            found = [matrix.cell(row, target) for target, _ in names]
            lines.append(Row((inline(row.title), *(cell_words(one) for one in found))))
    return lines


SECTION = Security()
