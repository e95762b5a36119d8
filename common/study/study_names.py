"""What the numbers of a study are of, in words that reports, tables and LaTeX share."""

from __future__ import annotations

from collections.abc import Iterable

from he_compare.common.run.leading import even_classes, leading_titles
from he_compare.common.run.view import RunView
from he_compare.common.study.study_rules import AUC
from he_compare.common.study.study_view import StudyView

ONLY_IMAGES = "images (patients not known)"
SMOKE = "smoke"
MARGIN_CHANGED = ": margin "


def kind_name(study: StudyView, kind: str) -> str:
    """Return what a leading metric is called in a sentence about all data sets of a study.

    ``kind``: accuracy or auc. "(Balanced)" where accuracy leads on some data sets only.
    """
    if kind == AUC:
        return "AUC"
    even = {even_classes(view) for _, view in study.read}
    if len(even) > 1:
        return "(balanced) accuracy"
    return "balanced accuracy" if even == {False} else "accuracy"


def leading_word(view: RunView, kind: str) -> str:
    """Return what a leading metric of one run is called within a sentence."""
    plain, ranking = leading_titles(view)
    return ranking.replace("Macro", "macro") if kind == AUC else plain.lower()


def sampled_words(study: StudyView) -> str:
    """Say over what the intervals of a study are: patients, or images, and trainings."""
    known = {view.manifest.dataset.patients_known for _, view in study.read}
    over = "patients"
    if known == {False}:
        over = ONLY_IMAGES
    elif len(known) > 1:
        without = (
            one.title for one, view in study.read if not view.manifest.dataset.patients_known
        )
        over = f"patients (images where patients are not known: {', '.join(without)})"
    seeds = len(study.record.seeds)
    return f"{over} and {seeds} trainings" if seeds > 1 else f"{over}, one training"


def short_run(view: RunView) -> str:
    """Say that a run was one to try it, of few images; '' where it was not.

    Files of studies set their own images and epochs over the profiles, but nobody does over this.
    """
    smoke = view.manifest.profile == SMOKE
    return f"{SMOKE} run: few images, short training" if smoke else ""


def margin_changes(accepted: Iterable[str]) -> list[str]:
    """Return those of the accepted changes that changed a margin, in words."""
    return [one for one in accepted if MARGIN_CHANGED in one]
