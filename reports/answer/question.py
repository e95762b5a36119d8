"""The document's title: the question that this run can answer, and on how much."""

from __future__ import annotations

from he_compare.common.run.view import RunView
from he_compare.reports.answer.sides import Sides, sides_of

# What a title leaves room for: longer names of datasets are cut.
LONGEST_SUBJECT = 60


def question_of(view: RunView) -> str:
    """Return the title of a run's report."""
    sides = sides_of(view)
    images = f"{view.n_test:,} test image{'s' * (view.n_test != 1)}"
    profile = view.manifest.profile
    run = f"{profile[:1].upper()}{profile[1:]} run" if profile else "One run"
    return f"{_question(sides, _subject(view))} {run}, {images}"


def _question(sides: Sides, subject: str) -> str:
    if sides.scrambled and sides.encrypted:
        return f"Scrambling or encryption for {subject}?"
    if sides.encrypted:
        return f"What does encryption cost for {subject}?"
    if sides.scrambled:
        return f"Does scrambling protect {subject}?"
    return f"How well are {subject} classified without protection?"


def _subject(view: RunView) -> str:
    """Return what the images are called: the dataset's title up to a colon, as within a sentence.

    Only a first word in ordinary spelling loses its capital: NIH and DICOM keep theirs.
    """
    title = view.manifest.dataset.card.title.partition(":")[0].strip() or "these images"
    if len(title) > LONGEST_SUBJECT:
        title = title[: LONGEST_SUBJECT - 1] + "…"
    second = title[1:2]
    return title[:1].lower() + title[1:] if second.islower() else title
