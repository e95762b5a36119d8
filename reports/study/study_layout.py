"""How tables of a study are laid out: data sets beside each other, labels under their kinds."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.document.nodes import (
    Row,
    SpanRow,
    inline,
)
from he_compare.reports.study.study_titles import (
    SIDE_TITLES,
    by_side,
)

MOST_SETS_BESIDE = 4


def parts_beside(study: StudyView) -> list[tuple[StudiedSet, ...]]:
    """Cut the data sets into parts that stand beside each other on a page."""
    count = len(study.sets)
    parts = -(-count // MOST_SETS_BESIDE)
    return [study.sets[n * count // parts : (n + 1) * count // parts] for n in range(parts)]


def caption_of_part(caption: str, number: int, parts: int) -> str:
    """Number a caption where there are several parts."""
    return f"{caption} (part {number} of {parts})" if parts > 1 else caption


def rows_under_titles(parts: Sequence[tuple[str, list[Row]]]) -> tuple[Row | SpanRow, ...]:
    """Return rows under the head of each kind of protection, where there are several kinds."""
    found: list[Row | SpanRow] = []
    heads = len(parts) > 1
    for title, rows in parts:
        if heads:
            found.append(SpanRow(inline(title)))
        found += rows
    return tuple(found)


def labels_by_side(study: StudyView, labels: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return some labels under the title of their side."""
    sides = by_side(study)
    found = [(title, sides.get(name, [])) for name, title in SIDE_TITLES.items()]
    kept = [(title, [one for one in mine if one in labels]) for title, mine in found]
    return [(title, mine) for title, mine in kept if mine]


def why_none(one: StudiedSet, label: str) -> str:
    """Say why a data set has no result of a pipeline."""
    if label not in one.row.pipelines:
        return "not asked for"
    return "unavailable" if one.row.unavailable else "no result"
