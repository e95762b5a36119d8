"""Accuracy in the body: differences to twins, the clinical reading, and what leads where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.run.records import Interval, PairedDifference
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.common.statistics.evaluation import score
from he_compare.reports.accuracy_words import lost_words
from he_compare.reports.document.nodes import Bold, Figure, Paragraph, Row, Section, Table, plain
from he_compare.reports.sections import accuracy, accuracy_detail, clinical_use
from tests.support.samplerun import (
    FHE,
    PLAIN,
    SCRAMBLE,
    SampleRun,
    build,
    ten_pipelines,
    three_pipelines,
)
from tests.support.samplerun.first_pages import several_seeds
from tests.support.samplerun.kinds import invented
from tests.support.samplerun.thresholds import with_a_threshold

LOGISTIC = invented("plaintext[model=logistic]", 0.92, 3.0, 5.0, 150_000, 310, 22_000_000)
NOISE = invented("block-scramble[cipher=noise]", 0.5, 4.0, 5.6, 150_400, 310, 22_100_000)


def view_of(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def with_both_twins(*more: Any) -> SampleRun:
    """Return a run of two even classes in which every protection has its twin."""
    kinds = (PLAIN, LOGISTIC, SCRAMBLE, FHE, *more)
    run = build(kinds, classes=("NORMAL", "PNEUMONIA"), n=200, untrained=False, rounds=1)
    return with_counts(run, {"NORMAL": 100, "PNEUMONIA": 100})


def with_counts(run: SampleRun, counts: dict[str, int]) -> SampleRun:
    """Return a run whose test split has so many images of each class."""
    dataset = run.manifest.dataset
    split = dataset.splits["test"].model_copy(update={"per_class": counts})
    dataset = dataset.model_copy(update={"splits": dataset.splits | {"test": split}})
    return replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))


def changed(run: SampleRun, label: str, metric: str, **update: Any) -> SampleRun:
    """Return a run with one difference to a twin changed."""
    assert run.sheet is not None
    twins = {one.label: one.twin for one in run.manifest.pipelines}

    def after(one: PairedDifference) -> PairedDifference:
        mine = (one.pipeline, one.reference, one.metric) == (label, twins[label], metric)
        return one.model_copy(update=update) if mine else one

    differences = [after(one) for one in run.sheet.differences]
    return replace(run, sheet=run.sheet.model_copy(update={"differences": differences}))


def one_section(part: Any, view: RunView) -> Section:
    (section,) = part.SECTION.sections(view)
    return section


def tables_of(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def rows_of(table: Table) -> list[list[str]]:
    return [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]


def test_a_loss_against_the_twin_is_said_and_what_is_not_excluded(tmp_path: Path) -> None:
    words = plain(lost_words(view_of(with_both_twins(), tmp_path)))
    assert words.startswith("block-scramble[al_amin] lost accuracy (−0.085 [−0.115, −0.055]) and ")
    assert "fhe-head: no loss against the twin is shown; nor do the intervals leave room" in words
    assert "reference" not in words


def test_the_largest_loss_that_no_interval_excludes_is_named(tmp_path: Path) -> None:
    end = Interval(low=-0.031, high=0.012, method="x")
    run = changed(with_both_twins(), "fhe-head", "auc", difference=-0.01, interval=end)
    words = plain(lost_words(view_of(run, tmp_path)))
    assert "the intervals leave room for a loss of up to 0.031 (AUC)." in words


def test_the_same_answers_are_called_the_same_and_no_more(tmp_path: Path) -> None:
    run = changed(with_both_twins(), "fhe-head", "accuracy", difference=0.0, discordant=(0, 0))
    words = plain(lost_words(view_of(run, tmp_path)))
    assert "fhe-head: right or wrong as the twin is, on 200 of 200 test images." in words


def test_a_loss_in_ranking_alone_is_a_loss(tmp_path: Path) -> None:
    end = Interval(low=-0.042, high=-0.009, method="x")
    run = changed(with_both_twins(), "fhe-head", "auc", difference=-0.024, interval=end)
    run = changed(run, "fhe-head", "accuracy", difference=0.0, discordant=(0, 0))
    words = plain(lost_words(view_of(run, tmp_path)))
    assert "fhe-head lost AUC (−0.024 [−0.042, −0.009])" in words


def test_where_the_twin_is_missing_the_words_and_the_figure_say_what_to_add(tmp_path: Path) -> None:
    view = view_of(three_pipelines(), tmp_path)
    wanted = "no twin in this run: add --pipeline 'plaintext[model=logistic]'"
    assert f"fhe-head: {wanted}" in plain(lost_words(view))
    (figure,) = [b for b in one_section(accuracy, view).blocks if isinstance(b, Figure)]
    assert "fhe-head: no difference to a twin" in figure.alt
    assert "plaintext:" not in figure.alt  # it has no twin: it protects nothing


def test_one_training_is_said_and_a_spread_is_shown_where_a_cipher_was_trained_twice(
    tmp_path: Path,
) -> None:
    assert ONE_TRAINING in accuracy_words_of(view_of(with_both_twins(), tmp_path / "one"))
    again = replace(SCRAMBLE, label="block-scramble[again]", accuracy=0.8)
    view = view_of(with_both_twins(again), tmp_path / "two")
    values = sorted(one.value("accuracy") or 0 for one in view.pipelines if "scramble" in one.label)
    words = accuracy_words_of(view)
    assert f"two trainings of one cipher differed by {values[1] - values[0]:.3f} in" in words


def test_an_adapted_model_is_no_training_on_its_cipher(tmp_path: Path) -> None:
    parameters = (*SCRAMBLE.parameters, ("mode", "adapted"))
    adapted = replace(SCRAMBLE, label="adapted", accuracy=0.93, parameters=parameters)
    assert ONE_TRAINING in accuracy_words_of(view_of(with_both_twins(adapted), tmp_path))


def test_means_over_trainings_have_their_spread_beside_every_difference(tmp_path: Path) -> None:
    view = view_of(several_seeds(), tmp_path)
    words = accuracy_words_of(view)
    assert "means over trainings under the seeds 7, 8, 9" in words
    assert "intervals hold patients and trainings" in words
    (figure,) = [b for b in one_section(accuracy, view).blocks if isinstance(b, Figure)]
    twins = [one for one in view.pipelines if one.planned.twin]
    assert figure.alt.count("3 trainings: ") == 2 * len(twins) > 0


ONE_TRAINING = "One training each: how far repeated trainings differ was not measured."


def accuracy_words_of(view: RunView) -> str:
    """Return the paragraphs of the section."""
    blocks = one_section(accuracy, view).blocks
    return " ".join(plain(one.content) for one in blocks if isinstance(one, Paragraph))


def uneven() -> SampleRun:
    """Three classes of 160, 20 and 20 images; noise always calls the largest, the ViT errs."""
    run = build((PLAIN, NOISE), classes=("a", "b", "c"), n=200, untrained=False, rounds=1)
    labels = np.repeat([0, 1, 2], [160, 20, 20])
    random = np.random.default_rng(0)
    answers = {
        PLAIN.label: np.where(random.random(200) < 0.7, labels, (labels + 1) % 3),
        NOISE.label: np.zeros(200, int),
    }
    assert run.sheet is not None
    groups = [str(number) for number in range(200)]
    cells = []
    for cell in run.sheet.cells:
        chances = 0.8 * np.eye(3)[answers[cell.label]] + 0.2 * random.dirichlet(np.ones(3), 200)
        metrics, confusion, _, bins = score(labels, chances, groups, ("a", "b", "c"), "", seed=0)
        found = {"metrics": metrics, "confusion": confusion, "reliability": bins}
        cells.append(cell.model_copy(update=found))
    sheet = run.sheet.model_copy(update={"cells": cells, "differences": []})
    return with_counts(replace(run, sheet=sheet), {"a": 160, "b": 20, "c": 20})


def test_on_uneven_classes_noise_wins_accuracy_and_loses_what_leads(tmp_path: Path) -> None:
    view = view_of(uneven(), tmp_path)
    plain_one, noise = view.pipelines
    assert noise.value("accuracy") == 0.8 > (plain_one.value("accuracy") or 1)
    assert noise.value("balanced_accuracy") == pytest.approx(1 / 3)
    section = one_section(accuracy, view)
    (table,) = tables_of(section)
    assert [column.title for column in table.columns[1:]] == [
        "Balanced accuracy",
        "Macro AUC",
        "Accuracy",
    ]
    first = section.blocks[0]
    assert isinstance(first, Paragraph)
    assert "balanced accuracy leads" in plain(first.content)


def test_controls_are_not_read_clinically(tmp_path: Path) -> None:
    section = one_section(clinical_use, view_of(uneven(), tmp_path))
    recalls, calibration = tables_of(section)
    assert [row[0] for row in rows_of(recalls)] == ["plaintext"]
    assert [row[0] for row in rows_of(calibration)] == ["plaintext"]
    (row,) = [row for row in recalls.rows if isinstance(row, Row)]
    stressed = [plain(cell) for cell in row.cells if any(isinstance(one, Bold) for one in cell)]
    values = [float(plain(cell).split("\n")[0]) for cell in row.cells[1:]]
    assert [float(one.split("\n")[0]) for one in stressed] == [min(values)]


def test_the_clinical_answer_leads_and_equal_rows_share_their_names(tmp_path: Path) -> None:
    run = with_a_threshold(with_both_twins(), scored_by="clear head")
    section = one_section(clinical_use, view_of(run, tmp_path))
    answer = section.blocks[0]
    assert isinstance(answer, Paragraph)
    assert plain(answer.content).startswith("Not fit for a clinic. This was a quick run")
    errors, worth, _ = tables_of(section)
    names = "plaintext\nplaintext[logistic]\nblock-scramble[al_amin]\nfhe-head"
    assert rows_of(errors)[0][:4] == [names, "0.370", "34 of 100", "4 of 100"]
    assert len(rows_of(errors)) == len(rows_of(worth)) == 1
    assert "the clear head scored them" in plain(errors.note)
    assert "These two are assumed" in plain(worth.note)


def test_an_old_run_says_that_no_threshold_was_fixed(tmp_path: Path) -> None:
    section = one_section(clinical_use, view_of(with_both_twins(), tmp_path))
    errors = tables_of(section)[0]
    assert all(row[1] == "0.500\nnot fixed" for row in rows_of(errors))
    assert plain(errors.note).startswith(
        "Threshold not fixed: no threshold was fixed on validation images in this run."
    )


def test_of_many_classes_the_body_names_the_worst_of_each_set_up(tmp_path: Path) -> None:
    classes = tuple(f"c{number:02d}" for number in range(12))
    run = build((PLAIN, FHE), classes=classes, n=400, untrained=False, rounds=1)
    worst, _ = tables_of(one_section(clinical_use, view_of(run, tmp_path)))
    assert [column.title for column in worst.columns[1:]] == [
        "Class recognised least",
        "Its recall",
        "Right",
    ]
    assert all(row[1] in classes and " of " in row[3] for row in rows_of(worst))


def test_without_scores_the_part_says_how_to_make_them(tmp_path: Path) -> None:
    view = view_of(replace(three_pipelines(), sheet=None), tmp_path)
    (words,) = one_section(accuracy, view).blocks
    assert isinstance(words, Paragraph) and "`compare score`" in plain(words.content)
    assert clinical_use.SECTION.sections(view) == [] == accuracy_detail.SECTION.sections(view)


def test_the_appendix_repeats_no_metric_of_the_body(tmp_path: Path) -> None:
    view = view_of(with_both_twins(), tmp_path)
    first = accuracy_detail.SECTION.sections(view)[0]
    titles = {column.title for table in tables_of(first) for column in table.columns}
    assert {"Accuracy", "AUC", "ECE", "Brier score"}.isdisjoint(titles)
    assert {"Balanced accuracy", "F1", "Sensitivity", "Specificity"} <= titles


def test_differences_name_the_twin_and_another_model_as_what_they_are(tmp_path: Path) -> None:
    view = view_of(with_both_twins(), tmp_path)
    (section,) = [
        one for one in accuracy_detail.SECTION.sections(view) if one.anchor == "differences"
    ]
    told = {tuple(row[:2]) for row in rows_of(tables_of(section)[0])}
    minus = {row[0].split("\n")[0]: set() for row in told}
    for name, other in told:
        minus[name.split("\n")[0]].add(other)
    assert minus["fhe-head"] == {"plaintext[logistic], its twin", "plaintext, another model"}
    assert minus["block-scramble[al_amin]"] == {"plaintext, its twin"}


def test_the_parts_stand_where_the_design_puts_them(tmp_path: Path) -> None:
    orders = [part.SECTION.order for part in (accuracy, clinical_use, accuracy_detail)]
    assert orders == [400, 450, 1150]
    view = view_of(ten_pipelines(), tmp_path)
    anchors = [
        section.anchor
        for part in (accuracy, clinical_use, accuracy_detail)
        for section in part.SECTION.sections(view)
    ]
    assert anchors[:3] == ["accuracy", "clinical-reading", "accuracy-in-detail"]
