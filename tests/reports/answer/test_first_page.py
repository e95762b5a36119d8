"""The first page of every kind of run, word for word, and what its rules may never say.

Each golden text was read as a clinician would read it. After an intended change run
``COMPARE_WRITE_GOLDEN=1 python -m pytest tests/reports/answer/test_first_page.py`` and read the
difference.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import pytest

from he_compare.common.run.records import Interval
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.answer.choose import Recommendation, choice_of
from he_compare.reports.answer.question import question_of
from he_compare.reports.answer.repeating import default_run_folder
from he_compare.reports.answer.sides import sides_of
from he_compare.reports.answer.trainings import seeds_of
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import (
    Block,
    CodeBlock,
    Document,
    Paragraph,
    Row,
    Table,
    inline,
    plain,
)
from he_compare.reports.render.markdown import markdown
from he_compare.reports.render.pdf import pdf
from he_compare.reports.sections import verdict
from tests.support.repository import ROOT
from tests.support.samplerun import FHE, PLAIN, SCRAMBLE, TRAINED, Kind, build
from tests.support.samplerun.first_pages import FIRST_PAGES, two_classes, write_first_page

GOLDEN = ROOT / "tests" / "reports" / "golden"


def view_of(name: str, path: Path) -> RunView:
    return read_run(RunFolder(write_first_page(name, path)))


def page_of(view: RunView) -> str:
    sections = tuple(verdict.SECTION.sections(view))
    return markdown(Document(question_of(view), inline(""), "2025-03-01", (), sections))


@pytest.mark.parametrize("name", FIRST_PAGES)
def test_the_first_page_is_the_golden_one(name: str, tmp_path: Path) -> None:
    text = page_of(view_of(name, tmp_path))
    golden = GOLDEN / f"first-page-{name}.md"
    if os.environ.get("COMPARE_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def words_of(view: RunView) -> str:
    return "\n".join(plain(one.content) for one in verdict.SECTION.blocks(view) if _is_words(one))


def _is_words(block: Block) -> TypeGuard[Paragraph]:
    return isinstance(block, Paragraph)


def rows_of(view: RunView) -> list[list[str]]:
    (table,) = [one for one in verdict.SECTION.blocks(view) if isinstance(one, Table)]
    return [[plain(cell) for cell in row.cells] for row in table.rows if isinstance(row, Row)]


@pytest.mark.parametrize("name", FIRST_PAGES)
def test_every_question_has_an_answer_and_none_is_overstated(name: str, tmp_path: Path) -> None:
    view = view_of(name, tmp_path)
    words = words_of(view)
    assert 1 <= len(rows_of(view)) <= 8
    assert "fit for a clinic" in words
    assert "Repeat and verify" in words
    (commands,) = [one.text for one in verdict.SECTION.blocks(view) if isinstance(one, CodeBlock)]
    assert commands.splitlines()[-2:] == [
        view.manifest.command,
        f"compare verify {default_run_folder(view)}",
    ]
    assert "\u200b" not in commands
    assert not re.search(r"(?<!un)\b(secure|safe|guarantee|best)\b", words)
    assert (
        "If a server must not see" in words
        or "cannot say" in words
        or "gave no" in words
        or ("none can be chosen" in words)
    )


def test_of_what_is_not_broken_a_shown_loss_is_not_chosen(tmp_path: Path) -> None:
    run = two_classes()
    assert run.sheet is not None
    lost = [
        one.model_copy(update={"interval": Interval(low=-0.06, high=-0.01, method="test")})
        if one.pipeline == "fhe-head" and one.metric == "auc"
        else one
        for one in run.sheet.differences
    ]
    changed = replace(run, sheet=run.sheet.model_copy(update={"differences": lost}))
    for path, sample, chosen in (("a", run, "fhe-head"), ("b", changed, "fhe-tfhe[components=63]")):
        view = read_run(RunFolder(sample.write(tmp_path / path)))
        assert f"choose {chosen}." in words_of(view)


def test_without_differences_to_twins_the_more_accurate_is_chosen(tmp_path: Path) -> None:
    run = two_classes()
    assert run.sheet is not None
    cells = [
        cell.model_copy(
            update={
                "metrics": [
                    one.model_copy(update={"value": 0.5}) if one.name == "accuracy" else one
                    for one in cell.metrics
                ]
            }
        )
        if cell.label == "fhe-head"
        else cell
        for cell in run.sheet.cells
    ]
    worse = run.sheet.model_copy(update={"cells": cells})
    unknown = worse.model_copy(update={"differences": []})
    for path, sheet, chosen in (
        ("a", worse, "fhe-head"),
        ("b", unknown, "fhe-tfhe[components=63]"),
    ):
        view = read_run(RunFolder(replace(run, sheet=sheet).write(tmp_path / path)))
        assert f"choose {chosen}." in words_of(view)


def test_what_attacks_broke_is_never_chosen(tmp_path: Path) -> None:
    view = view_of("all-broken", tmp_path)
    assert choice_of(view, sides_of(view)) == Recommendation(None)
    assert "choose fhe-head" not in words_of(view)


def test_what_also_trains_on_ciphertexts_is_not_chosen_before_what_does_not(tmp_path: Path) -> None:
    kinds = (PLAIN, replace(TRAINED, client_ms=2.0, server_ms=3.0), FHE)
    run = build(kinds, classes=("a", "b"), n=80, untrained=False, rounds=2)
    records = tuple(
        one.model_copy(
            update={"traffic": one.traffic.model_copy(update={"training_upload_bytes": 30_000_000})}
        )
        if one.cell.label == "fhe-train" and one.traffic
        else one
        for one in run.records
    )
    view = read_run(RunFolder(replace(run, records=records).write(tmp_path)))
    words = words_of(view)
    assert "fhe-head is the candidate" in words
    assert "Only fhe-train also trains that layer on ciphertexts (30.0 MB sent once)." in words


def test_seeds_are_told_with_mean_range_and_what_smaller_gaps_are_worth(tmp_path: Path) -> None:
    view = view_of("several-seeds", tmp_path)
    first = view.pipelines[0]
    assert [one.record.cell.seed for one in first.repeats] == [8, 9]
    assert first.accuracy is not None and first.accuracy.cell.seed == 7
    spread = seeds_of(first, "balanced_accuracy")
    assert spread is not None
    assert spread.width == pytest.approx(0.033) and len(spread.values) == 3
    assert rows_of(view)[0][2].split("\n")[::2] == ["0.923", "0.908 to 0.941"]
    assert "differed by up to 0.033 in balanced accuracy: smaller gaps rank nothing" in words_of(
        view
    )


def test_one_training_under_two_names_shows_no_spread(tmp_path: Path) -> None:
    run = two_classes()
    assert run.sheet is not None
    cells = {cell.label: cell for cell in run.sheet.cells}
    same = cells["block-scramble[vit_block]"].metrics
    equal = [
        cell.model_copy(update={"metrics": same}) if cell.label.endswith("[al_amin]") else cell
        for cell in run.sheet.cells
    ]
    sample = replace(run, sheet=run.sheet.model_copy(update={"cells": equal}))
    words = words_of(read_run(RunFolder(sample.write(tmp_path))))
    assert "One training each: how far repeated trainings differ was not measured." in words


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    view = view_of("many-set-ups", tmp_path)
    (table,) = [one for one in verdict.SECTION.blocks(view) if isinstance(one, Table)]
    assert len(rows_of(view)) == 8
    assert "One more set-up: see Accuracy." in plain(table.note)
    assert any(row[0].startswith("fhe-head[C=0.6]") for row in rows_of(view))


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    evil = "<img src=x> | \u202e שלום"
    kinds = (PLAIN, replace(FHE, label=evil))
    run = build(kinds, classes=("a", "b"), n=40, untrained=False, rounds=1)
    card = run.manifest.dataset.card.model_copy(update={"title": evil})
    dataset = run.manifest.dataset.model_copy(update={"card": card})
    manifest = run.manifest.model_copy(update={"dataset": dataset})
    text = page_of(read_run(RunFolder(replace(run, manifest=manifest).write(tmp_path))))
    assert "<img" not in text and "\u202e" not in text


@pytest.mark.parametrize(
    ("kinds", "question"),
    [
        ((PLAIN, SCRAMBLE, FHE), "Scrambling or encryption for"),
        ((PLAIN, SCRAMBLE), "Does scrambling protect"),
        ((PLAIN, FHE), "What does encryption cost for"),
        ((PLAIN,), "How well are"),
    ],
)
def test_the_title_asks_what_the_run_can_answer(
    kinds: tuple[Kind, ...], question: str, tmp_path: Path
) -> None:
    run = build(kinds, classes=("a", "b"), n=40, untrained=False, rounds=0)
    title = question_of(read_run(RunFolder(run.write(tmp_path))))
    assert (title.startswith(question) and title.endswith("? Quick run, 40 test images")) or (
        title.endswith("without protection? Quick run, 40 test images")
    )


@pytest.mark.parametrize("name", ["two-classes", "many-set-ups", "synthetic"])
def test_it_fits_on_one_sheet_of_paper(name: str, tmp_path: Path) -> None:
    pypdfium2 = pytest.importorskip("pypdfium2")
    folder = write_first_page(name, tmp_path)
    whole = build_document(RunFolder(folder))
    alone = replace(whole, sections=whole.sections[:1], attachments=())
    pages = pypdfium2.PdfDocument(pdf(alone))
    assert len(pages) == 1
    text = pages[0].get_textpage().get_text_range()
    assert "compare verify runs/" in text and "fit for a clinic" in text
