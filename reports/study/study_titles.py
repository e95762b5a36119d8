"""What data sets and protections are called in the report of a study, and what they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from he_compare.common.study.study_folder import RUNS
from he_compare.common.study.study_rules import is_protection
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.answer.sides import sides_of
from he_compare.reports.document.nodes import DocumentLink, Span, Text

MOST_NAMED = 6
# In this order, and under these heads.
SIDE_TITLES = {
    "scrambled": "Scrambling",
    "encrypted": "Encryption",
    "controls": "Controls",
    "unprotected": "No protection",
    "alone": "Hospital only, no server",
    "unknown": "Without a result on any data set",
}


def run_link(one: StudiedSet, words: str) -> Span:
    """Return words that lead to the report of a data set's run; plain words where it is not."""
    if one.view is None or not one.beside:
        return Text(words)
    return DocumentLink(words, f"../{RUNS}/{one.row.name}/report/report")


def where_it_leads(study: StudyView, what: str, there: str = "") -> str:
    """Say that ``what`` leads to the report of its run; "" in a report that lies elsewhere."""
    return f"{what} leads to the report of its run{there}. " if study.runs_beside else ""


def by_side(study: StudyView) -> dict[str, list[str]]:
    """Return the labels of all pipelines by what they are to a hospital, none left out."""
    found: dict[str, list[str]] = {name: [] for name in SIDE_TITLES}
    for label in study.labels:
        found[_side(study, label)].append(label)
    return {name: labels for name, labels in found.items() if labels}


def _side(study: StudyView, label: str) -> str:
    first = study.first(label)
    if first is None:
        return "unknown"
    view, pipeline = first
    sides = sides_of(view)
    return next(
        name
        for name in SIDE_TITLES
        if name != "unknown" and any(one is pipeline for one in getattr(sides, name))
    )


def protections(study: StudyView) -> list[str]:
    """Return the labels of what protects something, scrambling first."""
    sides = by_side(study)
    ordered = [*sides.get("scrambled", ()), *sides.get("encrypted", ())]
    return [label for label in ordered if is_protection(study, label)]


def few_named(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Name a few, count the rest."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def all_sets(study: StudyView) -> str:
    """Return what all data sets are called: those with a result, where some have none."""
    count = len(study.read)
    some = "both" if count == 2 else f"all {count}"
    if count == len(study.sets):
        return "both data sets" if count == 2 else "all data sets"
    return f"{some} data sets with a result"


def titles_of_sets(study: StudyView, names: Sequence[str]) -> str:
    """Return the titles of data sets by their names; "all data sets" for all that have a run."""
    if len(names) > 1 and set(names) == {one.row.name for one, _ in study.read}:
        return all_sets(study)
    by_name = {one.row.name: one.title for one in study.sets}
    return few_named(by_name[name] for name in names)
