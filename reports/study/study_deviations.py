"""Deviations of a study: its own first, then those of its runs, each once with its data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.spelling import bracket, fixed
from he_compare.common.run.view import PipelineView
from he_compare.common.study.study_names import leading_word, margin_changes, short_run
from he_compare.common.study.study_rules import DIFFERENCE_KINDS, chance_of, twin_at_chance
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.cards import card, gravest_first, numbered
from he_compare.reports.document.nodes import (
    Block,
    FindingCard,
    Inline,
    Paragraph,
    inline,
    plain,
)
from he_compare.reports.sections.deviations import deviation_cards
from he_compare.reports.study.study_titles import few_named, run_link, titles_of_sets

WORDS = (
    "Found by rules. Those of single runs are here once, with the data sets that they are of. "
    "fail: do not use the numbers for the purpose named; warn: read them with this in mind; "
    "unknown: not measured."
)
STUDY_FILE = inline("study.json")
# A caveat of cards that is told of every data set whose patients are not known.
PATIENTS_SAID = "Patients are not known"


def deviation_blocks(study: StudyView) -> list[Block]:
    """Return words and cards."""
    cards = [*_of_the_study(study), *gravest_first(_of_the_runs(study))]
    words = WORDS if cards else "The rules found no deviation."
    return [Paragraph(inline(words)), *numbered("D", cards)]


def _of_the_study(study: StudyView) -> Iterator[FindingCard]:
    for one in study.sets:
        if one.view is None:
            yield card(
                "fail" if not one.row.unavailable else "unknown",
                f"{one.title}: {one.why}",
                STUDY_FILE,
                "Nothing in this study is about it.",
            )
        elif one.row.unavailable:
            yield card(
                "warn",
                f"{one.title}: its data was not there when the study was last run: "
                f"{one.row.unavailable}",
                STUDY_FILE,
                "What is shown was measured before.",
            )
        if one.row.problem:
            yield card(
                "fail", f"{one.title}: {one.row.problem}", STUDY_FILE, "Its run was given up."
            )
    unfinished = [one for one in study.sets if one.view is not None and not one.row.ended]
    if unfinished:
        yield card(
            "warn",
            f"Not at their end: {few_named(one.title for one in unfinished)}.",
            _links(unfinished),
            "Cells or attacks failed, or are still to run: the same command goes on.",
        )
    yield from _unlearnt(study)
    yield from _short_runs(study)
    yield from _of_the_data(study)
    yield from _changes(study)
    yield from _unlike(study)


def _unlearnt(study: StudyView) -> Iterator[FindingCard]:
    """Tell of twins that are not shown to be above chance."""
    for one, view in study.read:
        for kind in DIFFERENCE_KINDS:
            twins: dict[str, PipelineView] = {}
            for pipeline in view.pipelines:
                twin = view.twin_of(pipeline)
                if twin is not None and twin_at_chance(view, pipeline, kind):
                    twins[twin.label] = twin
            for label, twin in twins.items():
                metric = twin.metric(leading_metrics(view)[DIFFERENCE_KINDS.index(kind)])
                assert metric is not None and metric.value is not None
                yield card(
                    "fail",
                    f"{one.title}: the twin {label} is not shown to be above chance: "
                    f"{leading_word(view, kind)} {fixed(metric.value)} {bracket(metric.interval)}, "
                    f"chance {fixed(chance_of(view, kind))}.",
                    _links([one]),
                    "Nothing is shown to be kept where the same model without the protection "
                    "learnt nothing that can be seen on these images.",
                )


def _short_runs(study: StudyView) -> Iterator[FindingCard]:
    """Tell of runs that were made to try the tool."""
    told = ((words, one) for one, view in study.read if (words := short_run(view)))
    for words, sets in _told_alike(told).items():
        yield card(
            "warn",
            f"{_where(study, sets)}: {words}.",
            _links(sets),
            "It shows what a study is. Take no conclusion on accuracy from it.",
        )


def _of_the_data(study: StudyView) -> Iterator[FindingCard]:
    """Tell where patients are not known, and what else the data sets say of themselves."""
    unknown = [one for one, view in study.read if not view.manifest.dataset.patients_known]
    if unknown:
        yield card(
            "warn",
            f"{_where(study, unknown)}: patients are not known: every image counts as a patient of "
            "its own.",
            _links(unknown),
            "Splits may share patients, and intervals may be too narrow.",
        )
    told = (
        (caveat, one)
        for one, view in study.read
        for caveat in view.manifest.dataset.card.caveats
        if not caveat.startswith(PATIENTS_SAID)
    )
    for caveat, sets in _told_alike(told).items():
        yield card(
            "warn",
            f"{_where(study, sets)}: {caveat}",
            _links(sets),
            "The card of the data set says so.",
        )


def _told_alike(told: Iterable[tuple[str, StudiedSet]]) -> dict[str, list[StudiedSet]]:
    """Return by words the data sets of which they are told."""
    found: dict[str, list[StudiedSet]] = {}
    for words, one in told:
        found.setdefault(words, []).append(one)
    return found


def _changes(study: StudyView) -> Iterator[FindingCard]:
    """Tell what was changed after the study had begun: margins above all."""
    if study.record.accepted:
        margins = bool(margin_changes(study.record.accepted))
        yield card(
            "warn",
            f"The study file was changed after the study had begun: "
            f"{'; '.join(study.record.accepted)}.",
            STUDY_FILE,
            "A margin that is chosen when results are known shows nothing."
            if margins
            else "What was asked for was not fixed before the first result.",
        )


def _unlike(study: StudyView) -> Iterator[FindingCard]:
    """Tell what is not the same in all runs."""
    machines: dict[str, list[StudiedSet]] = {}
    versions: dict[str, list[StudiedSet]] = {}
    for one, view in study.read:
        for found in view.environments:
            key = f"{found.cpu}, {found.logical_cores} cores, {view.threads_on(found)} threads"
            machines.setdefault(key, []).append(one)
            commit = f"{found.source_commit}"
            versions.setdefault(commit, []).append(one)
    if len(machines) > 1:
        told = "; ".join(
            f"{key}: {few_named(dict.fromkeys(one.title for one in mine))}"
            for key, mine in machines.items()
        )
        yield card(
            "warn",
            f"Cells ran in {len(machines)} environments: {told}.",
            STUDY_FILE,
            "Times and prices of different ones are not comparable. Accuracy is not affected.",
        )
    if len(versions) > 1:
        yield card(
            "warn",
            f"Cells ran from {len(versions)} states of the source.",
            STUDY_FILE,
            "Each cell is keyed by the code that can change it; the commit alone repeats none of "
            "them all.",
        )


def _of_the_runs(study: StudyView) -> list[FindingCard]:
    """Return the deviations of runs, those of equal words together."""
    found: dict[tuple[str, str, str], tuple[FindingCard, list[StudiedSet]]] = {}
    for one, view in study.read:
        for made in deviation_cards(view):
            key = made.severity, plain(made.claim), plain(made.limits)
            _, sets = found.setdefault(key, (made, []))
            if one not in sets:
                sets.append(one)
    return [
        replace(
            made,
            claim=inline(f"{_where(study, sets)}: ", made.claim),
            evidence=_links(sets),
            reproduce="",
        )
        for made, sets in found.values()
    ]


def _where(study: StudyView, sets: list[StudiedSet]) -> str:
    words = titles_of_sets(study, [one.row.name for one in sets])
    return words[:1].upper() + words[1:]


def _links(sets: list[StudiedSet]) -> Inline:
    """Return links to the reports of runs, which hold the records."""
    parts = [
        part
        for number, one in enumerate(sets)
        for part in ((", " if number else "report of "), run_link(one, one.title))
    ]
    return inline(*parts)
