"""Security: who is broken by what, what attacks made of the pictures, and what stays open.

Rows are the capability ladder, columns the pipelines and the controls. Nothing here adds up to one
score: the worst known attack is a pipeline's headline, and what was not tried is said to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.outcomes import beyond_claims, worst_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.types import Knowledge
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
from he_compare.reports.figures.security import LETTERS, Cell, heat_map
from he_compare.reports.figures.style import drawing, svg_of
from he_compare.reports.sections.security.findings import findings
from he_compare.reports.sections.security.pictures import grids
from he_compare.reports.sections.security.questions import questions
from he_compare.reports.view import RunView, short_id

NO_ATTACKS = (
    "No attack was run on this run's pipelines (smoke profile or --no-audit): nothing here says "
    "that a claim holds."
)
CONTROLS = ("identity", "noise", "aes_ctr")
COLUMNS_A_TABLE = 5


def sections(view: RunView) -> list[Section]:
    """Return the section on security with its parts."""
    if not view.outcomes:
        unknown = Callout("warning", "No attack was run", inline(NO_ATTACKS))
        return [Section("Security", 1, "security", (unknown,))]
    names = columns(view)
    blocks: list[Block] = [*_introduction(view), _figure(view, names)]
    blocks += _tables(view, names)
    parts = [
        Section("Security", 1, "security", tuple(blocks)),
        Section("Claims and who enforces them", 2, "security-claims", (_claims(view),)),
        Section("Questions an auditor asks", 2, "security-questions", tuple(questions(view))),
        Section("Attacks one by one", 2, "security-findings", tuple(findings(view))),
    ]
    attacks = [(attack, title) for _, attack, title in rows(view)]
    shown = grids(view, attacks, names, CONTROLS)
    if shown:
        title = "What attacks made of the pictures"
        parts.insert(1, Section(title, 2, "security-pictures", tuple(shown)))
    return parts


def columns(view: RunView) -> list[tuple[str, str]]:
    """Return (target, shown name): the run's pipelines in their order, then the controls."""
    seen = [outcome.target for outcome in view.outcomes]
    pipelines = [(p.label, view.title(p)) for p in view.pipelines if p.label in seen]
    known = {target for target, _ in pipelines} | set(CONTROLS)
    others = [(target, target) for target in dict.fromkeys(seen) if target not in known]
    return pipelines + others + [(name, name) for name in CONTROLS if name in seen]


def rows(view: RunView) -> list[tuple[Knowledge, str, str]]:
    """Return (rung, attack, title), from the weakest adversary to the strongest."""
    ladder = list(Knowledge)
    seen = {one.attack: (one.rung, one.attack, one.title) for one in view.outcomes}
    return sorted(seen.values(), key=lambda row: (ladder.index(row[0]), row[2]))


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
    meaning = Bullets(
        (
            inline(Bold("broken"), ": the whole interval of the advantage is at 0.8 or above."),
            inline(Bold("partial"), ": the whole interval is above 0.1."),
            inline(
                Bold("resists"),
                ": not broken within the stated budget, which is not the same as secure.",
            ),
            inline(
                Bold("unreliable"),
                ": a control misbehaved, or the budget is too small to conclude; not a pass.",
            ),
        )
    )
    blocks: list[Block] = [Paragraph(words), meaning]
    failed = [one for one in view.outcomes if any(r.startswith("control ") for r in one.unreliable)]
    if failed:
        text = "; ".join(f"{one.title} on {one.target}: {one.unreliable[0]}" for one in failed)
        blocks.append(Callout("danger", "A control misbehaved", inline(text)))
    return blocks


def _figure(view: RunView, names: Sequence[tuple[str, str]]) -> Figure:
    known = {(one.attack, one.target): one for one in view.outcomes}
    lines: list[tuple[str, bool]] = []
    cells: dict[tuple[int, int], Cell] = {}
    rung = None
    for ladder, attack, title in rows(view):
        if ladder != rung:
            rung = ladder
            lines.append((ladder.value, True))
        for column, (target, _) in enumerate(names):
            outcome = known.get((attack, target))
            if outcome is not None:
                cells[len(lines), column] = Cell(outcome.verdict, outcome.advantage)
        lines.append((title, False))
    with drawing():
        figure = heat_map(lines, [shown for _, shown in names], cells)
    return Figure(
        name="security-matrix",
        caption="Capability matrix: what an adversary with the knowledge of each row gets from "
        "each column. Darker is worse, hatched is not known; the numbers are advantages "
        "(b: broken, p: partial).",
        alt=f"Matrix of {len(names)} targets and {len(rows(view))} attacks; its cells are the rows "
        "of the tables below",
        svg=svg_of(figure),
    )


def _tables(view: RunView, names: Sequence[tuple[str, str]]) -> list[Table]:
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
        tables.append(Table(f"Capability matrix{of}", head, tuple(_matrix_rows(view, chunk))))
    return tables


def _matrix_rows(view: RunView, names: Sequence[tuple[str, str]]) -> list[Row | SpanRow]:
    known = {(one.attack, one.target): one for one in view.outcomes}
    lines: list[Row | SpanRow] = []
    rung = None
    for ladder, attack, title in rows(view):
        if ladder != rung:
            rung = ladder
            lines.append(SpanRow(inline(ladder.value)))
        found = [known.get((attack, target)) for target, _ in names]
        lines.append(Row((inline(title), *(cell_words(one) for one in found))))
    return lines


def cell_words(outcome: AttackOutcome | None) -> Inline:
    """Spell one cell: verdict, advantage with its interval, and its record."""
    if outcome is None:
        return inline("—")
    words = LETTERS[outcome.verdict] + (" (not claimed)" if beyond_claims(outcome) else "")
    if outcome.advantage is not None:
        words += f" {outcome.advantage:.2f}"
        interval = outcome.advantage_interval
        if interval is not None:
            words += f" [{interval.low:.2f}, {interval.high:.2f}]"
    if outcome.verdict == "not applicable":
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
                Bold(LETTERS[worst.verdict]),
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
