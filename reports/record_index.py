"""The index of records: one row for each record that a link of the report leads to, no more.

``records.jsonl`` and ``attacks.jsonl`` of the run folder hold all of them in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Column,
    Inline,
    Link,
    Row,
    Section,
    Table,
    all_spans,
    inline,
)
from he_compare.reports.naming import record_anchor, record_target, short_title

AFTER = "environment"
NOTE = (
    "Identities are cut to 8 characters. records.jsonl and attacks.jsonl of the run folder hold "
    "them in full, with everything that was measured."
)


def with_record_index(view: RunView, sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections with the index behind the environment, else at the end."""
    linked = {span.target for span in all_spans(tuple(sections)) if isinstance(span, Link)}
    rows = [Row(cells) for anchor, cells in _rows(view) if f"#{anchor}" in linked]
    if not rows:
        return tuple(sections)
    columns = (
        Column("Record", weight=0.8),
        Column("Pipeline, or attack", weight=2.6),
        Column("Phase, or target", weight=2.2),
        Column("Result", weight=1.0),
    )
    index = Section(
        "Records named in this report",
        2,
        "records",
        (Table("Records that the report names", columns, tuple(rows), inline(NOTE)),),
        appendix=True,
    )
    places = [n for n, one in enumerate(sections, start=1) if one.anchor == AFTER]
    if not places:
        return (*sections, replace(index, level=1))
    return (*sections[: places[0]], index, *sections[places[0] :])


def _rows(view: RunView) -> Iterator[tuple[str, tuple[Inline, ...]]]:
    """Yield the anchor and the cells of every record and outcome, each anchor once."""
    names = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    seen: set[str] = set()
    for record in view.records:
        anchor = record_anchor(record.identity)
        if anchor not in seen:
            seen.add(anchor)
            name = names.get(record.cell.label, record.cell.label)
            phase = f"{record.cell.phase.value}, round {record.cell.round}"
            words = (name, phase, record.status.value)
            yield anchor, (inline(record_target(record.identity)), *map(inline, words))
    for outcome in view.outcomes:
        anchor = record_anchor(outcome.identity)
        if anchor not in seen:
            seen.add(anchor)
            words = (outcome.title or outcome.attack, outcome.target, outcome.verdict)
            yield anchor, (inline(record_target(outcome.identity)), *map(inline, words))
