"""The index of records: those that a link of the report leads to, a line a pipeline or attack.

``records.jsonl`` and ``attacks.jsonl`` of the run folder hold all of them in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Column,
    Content,
    Inline,
    Link,
    Row,
    Section,
    Table,
    all_spans,
    inline,
)
from he_compare.reports.naming import record_anchor, record_target, short_title

INDEX_STANDS_AFTER = "environment"
NOTE = (
    "Identities are cut to 8 characters. records.jsonl and attacks.jsonl of the run folder hold "
    "them in full, with everything that was measured."
)


def with_record_index(view: RunView, sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections with the index behind the environment, else at the end."""
    linked = {span.target for span in all_spans(tuple(sections)) if isinstance(span, Link)}
    found: dict[str, dict[str, Content]] = {}
    for of, what, identity in _identities(view):
        anchor = record_anchor(identity)
        known = {one for mine in found.values() for one in mine}
        if f"#{anchor}" in linked and anchor not in known:
            found.setdefault(of, {})[anchor] = inline(record_target(identity), f" {what}")
    if not found:
        return tuple(sections)
    rows = tuple(Row((inline(of), _listed(list(mine.values())))) for of, mine in found.items())
    columns = (Column("Pipeline or attack", weight=1.8), Column("Records", weight=4.8))
    table = Table("Records that this report names", columns, rows, inline(NOTE))
    index = Section("Records", 2, "records", (table,), appendix=True)
    places = [n for n, one in enumerate(sections, start=1) if one.anchor == INDEX_STANDS_AFTER]
    if not places:
        return (*sections, replace(index, level=1))
    return (*sections[: places[0]], index, *sections[places[0] :])


def _listed(parts: list[Content]) -> Inline:
    return inline(*[one for part in parts for one in (part, "; ")][:-1])


def _identities(view: RunView) -> Iterator[tuple[str, str, str]]:
    """Yield what each record is of, what it holds, and its identity."""
    names = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    for record in view.records:
        cell = record.cell
        phase = f"{cell.phase.value} {cell.round}" if cell.round else cell.phase.value
        yield names.get(cell.label, cell.label), phase, record.identity
    for outcome in view.outcomes:
        yield outcome.title or outcome.attack, outcome.target, outcome.identity
