"""Security: who is broken by what, what attacks made of the pictures, and what stays open.

Rows are the capability ladder, columns the pipelines and the controls. Nothing here adds up to one
score: the worst known attack is a pipeline's headline, and what was not tried is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.capability_matrix import (
    CapabilityMatrix,
    controls_failed,
    matrix_of,
)
from he_compare.common.run.outcomes import worst_of
from he_compare.common.run.records import AttackOutcome, Verdict
from he_compare.common.run.severity import WORDS, verdict_of
from he_compare.common.scheme import CONTROLS
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
    Section,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.security import Cell, heat_map
from he_compare.reports.figures.style import drawing, svg_of
from he_compare.reports.sections.security.findings import findings
from he_compare.reports.sections.security.pictures import grids
from he_compare.reports.sections.security.questions import questions
from he_compare.reports.view import RunView, short_id

NO_ATTACKS = (
    "No attack was run on this run's pipelines (smoke profile or --no-audit): nothing here says "
    "that a claim holds."
)
EXPLAINED: tuple[Verdict, ...] = (
    "broken",
    "partial",
    "resists within budget",
    "unreliable",
    "unreadable",
)
COLUMNS_A_TABLE = 5


def sections(view: RunView) -> list[Section]:
    """Return the section on security with its parts."""
    if not view.outcomes:
        unknown = Callout("warning", "No attack was run", inline(NO_ATTACKS))
        return [Section("Security", 1, "security", (unknown,))]
    matrix = matrix_of(view.outcomes, [pipeline.label for pipeline in view.pipelines])
    names = columns(view, matrix)
    blocks: list[Block] = [*_introduction(view), _figure(matrix, names)]
    blocks += _tables(matrix, names)
    parts = [
        Section("Security", 1, "security", tuple(blocks)),
        Section("Claims and who enforces them", 2, "security-claims", (_claims(view),)),
        Section("Questions an auditor asks", 2, "security-questions", tuple(questions(view))),
        Section("Attacks one by one", 2, "security-findings", tuple(findings(view))),
    ]
    attacks = [(row.attack, row.title) for row in matrix.rows]
    shown = grids(view, attacks, names, CONTROLS)
    if shown:
        title = "What attacks made of the pictures"
        parts.insert(1, Section(title, 2, "security-pictures", tuple(shown)))
    return parts


def columns(view: RunView, matrix: CapabilityMatrix) -> list[tuple[str, str]]:
    """Return (target, shown name) of every column."""
    titles = {pipeline.label: view.title(pipeline) for pipeline in view.pipelines}
    return [(target, titles.get(target, target)) for target in matrix.targets]


def _introduction(view: RunView) -> list[Block]:
    ran = [one for one in view.outcomes if one.metric is not None and one.target_kind != "control"]
    keys = sorted({len(one.per_key) for one in ran if one.per_key})
    span = "–".join(str(k) for k in dict.fromkeys((keys[0], keys[-1]))) if keys else "no"
    budget = next((one.budget for one in ran if one.budget), {})
    words = inline(
        f"Every attack sees only the bytes that cross the boundary and what its rung of the ladder "
        f"adds; the truth is sealed and the harness scores the guess. Budget “"
        f"{budget.get('name', 'none')}”: {span} keys, {budget.get('images', 0)} ciphertexts a key. "
        "Advantage: 0 as on uniform noise, 1 as on unprotected images (or the best possible), with "
        "an interval over keys. Controls: each attack has to win on the identity and must not win "
        "on noise and on AES-CTR."
    )
    seen = {outcome.verdict for outcome in view.outcomes}
    told = [verdict for verdict in EXPLAINED if verdict != "unreadable" or verdict in seen]
    meaning = Bullets(
        tuple(inline(Bold(WORDS[one].short), f": {WORDS[one].meaning}.") for one in told)
    )
    blocks: list[Block] = [Paragraph(words), meaning]
    failed = controls_failed(view.outcomes)
    if failed:
        text = "; ".join(f"{one.title} on {one.target}: {one.unreliable[0]}" for one in failed)
        blocks.append(Callout("danger", "A control misbehaved", inline(text)))
    return blocks


def _figure(matrix: CapabilityMatrix, names: Sequence[tuple[str, str]]) -> Figure:
    lines: list[tuple[str, bool]] = []
    cells: dict[tuple[int, int], Cell] = {}
    for rung, rows in matrix.rungs():
        lines.append((rung.value, True))
        for row in rows:
            for column, (target, _) in enumerate(names):
                outcome = matrix.cell(row, target)
                if outcome is not None:
                    cells[len(lines), column] = Cell(outcome.verdict, outcome.advantage)
            lines.append((row.title, False))
    with drawing():
        figure = heat_map(lines, [shown for _, shown in names], cells)
    return Figure(
        name="security-matrix",
        caption="Capability matrix: what an adversary with the knowledge of each row gets from "
        "each column. Darker is worse, hatched is not known; the numbers are advantages "
        "(b: broken, p: partial).",
        alt=f"Matrix of {len(names)} targets and {len(matrix.rows)} attacks; its cells are the "
        "rows of the tables below",
        svg=svg_of(figure),
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


def cell_words(outcome: AttackOutcome | None) -> Inline:
    """Spell one cell: verdict, advantage with its interval, and its record."""
    if outcome is None:
        return inline("—")
    words = verdict_of(outcome)
    if outcome.advantage is not None:
        words += f" {outcome.advantage:.2f}"
        interval = outcome.advantage_interval
        if interval is not None:
            words += f" [{interval.low:.2f}, {interval.high:.2f}]"
    if outcome.verdict in ("not applicable", "unreadable"):
        return inline(words)
    return inline(words, " ", short_id(outcome.identity))


def _claims(view: RunView) -> Table:
    head = (
        Column("Pipeline", weight=1.9),
        Column("Ground of the claim", weight=1.4),
        Column("Enforced by", weight=2.0),
        Column("Strongest attack", weight=2.3),
    )
    lines = []
    for pipeline in view.pipelines:
        claims = pipeline.claims
        worst = worst_of(view, pipeline)
        strongest = inline("none was run: not a pass")
        if worst is not None:
            result = worst.headline or worst.reason
            strongest = inline(
                Bold(WORDS[worst.verdict].short),
                f": {worst.title}; {result} ",
                short_id(worst.identity),
            )
        lines.append(
            Row(
                (
                    inline(view.title(pipeline)),
                    inline(claims.claim_type if claims else "not recorded"),
                    inline((claims.enforced_by if claims else "") or "nobody"),
                    strongest,
                )
            )
        )
    note = inline(
        "A claim is what author or standard states; the last column is what was executed."
    )
    return Table("Claims, who enforces them, and the strongest attack", head, tuple(lines), note)
