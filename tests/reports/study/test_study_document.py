"""The report of a study: word for word on invented runs, in every format, with links that lead."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.run.encrypted_training import encrypted_training_of
from he_compare.common.run.records import Interval
from he_compare.common.run.spelling import duration, fixed
from he_compare.common.run.store import RunFolder
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_records import PublishedFigure
from he_compare.common.study.study_view import read_study
from he_compare.reports import FORMATS
from he_compare.reports.build import write_report
from he_compare.reports.document.nodes import DocumentLink, all_spans, plain
from he_compare.reports.render.html import html
from he_compare.reports.render.markdown import markdown
from he_compare.reports.study.published_table import published_table
from he_compare.reports.study.study_document import build_study_document, write_study_report
from tests.support.repository import ROOT
from tests.support.samplerun import PLAIN, TRAINED, SampleRun, build
from tests.support.samplerun.first_pages import HEAD, LOGISTIC, TWO, several_seeds, two_classes
from tests.support.samplestudy import (
    record_of,
    row_of,
    runs_of,
    sample_rows,
    sample_study,
    write_study,
)

GOLDEN = ROOT / "tests" / "reports" / "golden" / "study.md"


def document_of(folder: StudyFolder):  # type: ignore[no-untyped-def]
    return build_study_document(read_study(folder))


def test_the_report_is_the_golden_one(tmp_path: Path) -> None:
    """After an intended change run with COMPARE_WRITE_GOLDEN=1, and read the difference."""
    text = markdown(document_of(sample_study(tmp_path)))
    if os.environ.get("COMPARE_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_it_is_written_in_every_format_and_its_links_lead_to_the_runs(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    for run in runs_of(folder):
        write_report(run.path, ["md", "html"])
    files = write_study_report(tmp_path, list(FORMATS))
    assert [one.name for one in files] == [f"report.{name}" for name in FORMATS]
    assert all(one.stat().st_size > 5_000 for one in files)
    for ending, link in (("md", r"\]\((\.\./runs/[^)]+)\)"), ("html", r'href="(\.\./runs/[^"]+)"')):
        found = re.findall(link, (tmp_path / "report" / f"report.{ending}").read_text())
        assert len(set(found)) == 3 and all(one.endswith(f".{ending}") for one in found)
        assert all((tmp_path / "report" / one).is_file() for one in found)
    raw = (tmp_path / "report" / "report.pdf").read_bytes()
    assert b"../runs/chest/report/report.pdf" in raw or b"/URI" in raw


def test_a_report_that_is_published_elsewhere_leads_to_no_run(tmp_path: Path) -> None:
    write_study(tmp_path / "study", sample_rows())
    [page] = write_study_report(tmp_path / "study", ["md"], tmp_path / "published")
    text = page.read_text()
    assert "/runs/" not in text.replace("STUDY/runs/", "") and "leads to the report" not in text
    assert not re.search(r"^Note\.\s*$", text, re.MULTILINE)
    pictures = re.findall(r"\]\((figures/[^)]*)\)", text)
    assert pictures and all((page.parent / one).is_file() for one in pictures)
    assert not (tmp_path / "study" / "report").exists()


def test_a_format_that_is_there_is_written_again_with_another(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    write_study_report(folder.path, ["md"])
    report = folder.path / "report" / "report.md"
    report.write_text("of an earlier result")
    written = write_study_report(folder.path, ["html"])
    assert [one.name for one in written] == ["report.html", "report.md"]
    assert report.read_text() != "of an earlier result"


def test_every_cell_with_a_number_leads_to_its_run(tmp_path: Path) -> None:
    document = document_of(sample_study(tmp_path))
    (answer,) = [one for one in document.sections if one.anchor == "answer"]
    links = [one for one in all_spans((answer.blocks,)) if isinstance(one, DocumentLink)]
    assert {one.path for one in links} == {
        f"../runs/{name}/report/report" for name in ("chest", "mri", "histology")
    }
    assert len(links) >= 2 * 3


def test_the_first_page_says_what_was_broken_where_and_what_is_missing(tmp_path: Path) -> None:
    document = document_of(sample_study(tmp_path))
    words = "\n".join(plain((span,)) for span in all_spans(document.sections[0].blocks))
    assert "Scrambling did not protect the images everywhere." in words
    assert "Set ultrasound: unavailable: no such folder" in words
    assert "Set late: not started" in words


def test_what_is_not_on_all_data_sets_is_never_said_to_hold(tmp_path: Path) -> None:
    rows = sample_rows()
    text = markdown(document_of(write_study(tmp_path, rows)))
    # Two rows have no result: nothing is claimed of them.
    assert "on all data sets:" not in text.partition("## What holds")[0]
    kept = {name: (rows[name][0], two_classes()) for name in ("chest", "histology")}
    whole = markdown(document_of(write_study(tmp_path / "whole", kept)))
    assert re.search(r"fhe-head.*\*\*holds\*\* on both data sets\b(?! with)", whole)
    two = rows | {"chest": kept["chest"], "histology": kept["histology"]}
    some = markdown(document_of(write_study(tmp_path / "some", two)))
    # A data set without a result leaves it open: nothing is bold.
    assert "**holds**" not in some and "**No loss above" not in some
    assert re.search(r"holds on all 3 data sets with a result.*; no result on Set ultr", some)


def figure(**changed: object) -> PublishedFigure:
    given = {
        "name": "somebody",
        "work": "Somebody <b>et al.</b>, 2024",
        "says": "0.94",
        "data": "chest",
        "pipeline": "block-scramble[vit_block]",
        "metric": "accuracy",
    }
    return PublishedFigure.model_validate(given | changed)


def test_published_figures_stand_beside_ours_with_interval_and_source(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    figures = [
        figure(),
        figure(minus_twin=True, checked="abstract", differs="other images"),
        figure(data="ultrasound"),
    ]
    folder.write(folder.record().model_copy(update={"published": figures}))
    study = read_study(folder)
    pipeline = study.sets[0].pipeline("block-scramble[vit_block]")
    assert pipeline is not None
    metric, difference = pipeline.metric("accuracy"), pipeline.difference("accuracy")
    assert metric is not None and difference is not None and difference.difference is not None
    (table,) = published_table(study)
    first, second, third = (["".join(plain(one)) for one in row.cells] for row in table.rows)
    assert first[0] == "Somebody <b>et al.</b>, 2024 (not verified)" and first[1] == "0.94"
    assert first[2].startswith(fixed(metric.value)) and "[" in first[2]
    assert second[0].endswith("(abstract)") and second[4] == "other images"
    assert second[2].startswith(fixed(difference.difference, signed=True))
    assert "minus twin" in second[3] and third[2] == "no result"
    assert "Somebody <b>" not in html(document_of(folder))
    assert published_table(read_study(sample_study(tmp_path / "none"))) == []


def test_published_attacks_and_seconds_stand_beside_what_ours_came_to(tmp_path: Path) -> None:
    trained = build((PLAIN, TRAINED), classes=TWO, n=60, untrained=False, rounds=1)
    runs = {"chest": two_classes(), "mri": trained}
    rows = {name: (row_of(name, run), run) for name, run in runs.items()}
    folder = write_study(tmp_path, rows)
    figures = [
        figure(metric="secrecy"),
        figure(metric="encrypted_training_seconds", pipeline="fhe-train", data="mri"),
        figure(metric="encrypted_training_seconds", pipeline="fhe-head"),
    ]
    folder.write(folder.record().model_copy(update={"published": figures}))
    study = read_study(folder)
    training = study.sets[1].pipeline("fhe-train")
    assert training is not None
    told = encrypted_training_of(training)
    assert told is not None
    (table,) = published_table(study)
    attacked, seconds, none = (["".join(plain(one)) for one in row.cells] for row in table.rows)
    assert attacked[2].startswith("broken") and attacked[3].startswith("What attackers got")
    assert seconds[2] == duration(told.seconds) and "after the upload" in seconds[3]
    assert none[2] == "no result"


def test_a_changed_margin_stands_among_the_deviations(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    told = ["2025-03-02T10:00:00+00:00: margin accuracy is 0.2, it was 0.03"]
    folder.write(folder.record().model_copy(update={"accepted": told}))
    text = markdown(document_of(folder))
    assert "margin accuracy is 0.2" in text and "when results are known shows nothing" in text


def test_names_from_outside_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> [x](javascript:1) | `y` \u202e"
    rows = {"chest": (row_of("chest", two_classes(), title=hostile), two_classes())}
    folder = write_study(tmp_path, rows)
    folder.write(folder.record().model_copy(update={"title": hostile}))
    document = document_of(folder)
    page = html(document)
    assert "<script>alert" not in page and "javascript:1)" not in re.findall(
        r'href="([^"]*)"', page
    )
    assert "\u202e" not in page and "<script>" not in markdown(document)
    assert write_study_report(tmp_path, ["pdf"])[0].stat().st_size > 5_000


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "javascript:1",
        "https://x.org/a",
        "a b",
        "../..",
        "a/../b",
        "",
        "//x/y",
        "a?b",
    ],
)
def test_a_link_to_a_report_is_a_plain_path_or_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no plain relative path"):
        DocumentLink("words", path)


def test_a_study_of_many_data_sets_is_cut_into_parts(tmp_path: Path) -> None:
    run = two_classes()
    rows = {f"set-{n}": (row_of(f"set-{n}", run), run) for n in range(6)}
    text = markdown(document_of(write_study(tmp_path, rows)))
    assert "(part 1 of 2)" in text and "(part 2 of 2)" in text


def test_a_study_without_any_result_has_a_report_that_says_so(tmp_path: Path) -> None:
    missing = {"late": (row_of("late", two_classes(), ended=False), None)}
    folder = write_study(tmp_path, missing)
    files = write_study_report(tmp_path, list(FORMATS))
    assert len(files) == len(FORMATS)
    assert "not started" in files[0].read_text()
    assert folder.record().rows[0].pipelines


def test_runs_without_a_twin_or_without_attacks_are_told_as_that(tmp_path: Path) -> None:
    run = replace(two_classes(), outcomes=())
    rows = {"chest": (row_of("chest", run), run)}
    text = markdown(document_of(write_study(tmp_path, rows)))
    assert "not tested" in text
    assert not re.search(rf"{re.escape(HEAD.label)}.*resists what ran", text)


def test_a_folder_without_a_study_or_an_unknown_format_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no study"):
        write_study_report(tmp_path, ["md"])
    sample_study(tmp_path / "study")
    with pytest.raises(UsageError, match="unknown report format"):
        write_study_report(tmp_path / "study", ["pfd"])


def test_equal_studies_give_equal_documents(tmp_path: Path) -> None:
    first, second = (document_of(sample_study(tmp_path / name)) for name in ("a", "b"))
    assert first == second


def test_an_unreadable_run_is_a_row_and_the_report_is_made(tmp_path: Path) -> None:
    folder = sample_study(tmp_path)
    run = RunFolder(folder.run("mri").path)
    (run.path / "scores.json").write_text("{}")
    assert "scores.json" in markdown(document_of(folder))


def test_rows_of_the_record_are_those_of_the_report(tmp_path: Path) -> None:
    rows = sample_rows()
    record = record_of([row for row, _ in rows.values()])
    text = markdown(document_of(write_study(tmp_path, rows)))
    assert all(row.title in text for row in record.rows)


def at_chance(run: SampleRun, label: str) -> SampleRun:
    """Let a pipeline have intervals that hold chance."""
    assert run.sheet is not None
    low = Interval(low=0.3, high=0.9, method="invented")
    cells = [
        one.model_copy(
            update={"metrics": [m.model_copy(update={"interval": low}) for m in one.metrics]}
        )
        if one.label == label
        else one
        for one in run.sheet.cells
    ]
    return replace(run, sheet=run.sheet.model_copy(update={"cells": cells}))


def test_nothing_holds_against_a_twin_that_learnt_nothing(tmp_path: Path) -> None:
    run = at_chance(two_classes(), LOGISTIC.label)
    text = markdown(document_of(write_study(tmp_path, {"chest": (row_of("chest", run), run)})))
    assert "**holds**" not in text and "A twin is not shown to have learnt anything." in text
    assert "twin 0.879, not above chance" in text
    assert re.search(
        r"D1 · fail.*Set chest: the twin plaintext.*above chance.*0\.300, 0\.900.*0\.500", text
    )


def of_images(run: SampleRun, n: int, *, groups: int) -> SampleRun:
    """Let the test split of a run have so many images and patients, half of each class."""
    dataset = run.manifest.dataset
    counts = dict.fromkeys(dataset.card.classes, n // 2)
    test = dataset.splits["test"].model_copy(update={"n": n, "groups": groups, "per_class": counts})
    every = dict.fromkeys(dataset.splits, test)
    summary = dataset.model_copy(update={"splits": every})
    manifest = run.manifest.model_copy(update={"dataset": summary})
    return replace(run, manifest=manifest)


def test_equal_answers_of_few_images_hold_nothing_and_of_many_do(tmp_path: Path) -> None:
    for n, holds in ((30, False), (680, True)):
        run = of_images(two_classes(), n, groups=n)
        rows = {"chest": (row_of("chest", run), run)}
        text = markdown(document_of(write_study(tmp_path / f"{n}", rows)))
        (row,) = [line for line in text.splitlines() if "0.000" in line and "twin" in line]
        assert "680 of 680 answers equal" in row
        assert (r"\[−0.116, +0.116\]" in row) is (n == 30)
        assert ("**holds**" in text) is holds
        assert "0.000<br>equal on these images" in text


def test_where_patients_are_not_known_intervals_are_over_images(tmp_path: Path) -> None:
    run = of_images(two_classes(), 680, groups=680)
    card = run.manifest.dataset.card
    told = "The test split comes from another part of the source data than the rest."
    dataset = run.manifest.dataset.model_copy(
        update={"card": card.model_copy(update={"caveats": [told]})}
    )
    run = replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))
    text = markdown(document_of(write_study(tmp_path, {"chest": (row_of("chest", run), run)})))
    assert "95% intervals over images (patients not known) and 3 trainings" in text
    assert f"Set chest: {told}" in text
    assert "Set chest: patients are not known: every image counts" in text


def test_replies_and_decryptions_are_on_the_first_page_and_in_a_table(tmp_path: Path) -> None:
    text = markdown(document_of(sample_study(tmp_path)))
    answer, _, rest = text.partition("## What holds")
    assert "**Replies are not authenticated.** fhe-head" in answer
    assert "fhe-head: one reply decoded in full gives the key." in answer
    assert "9 results, 1 not run" in answer
    assert re.search(r"fhe-head \| not protected: 8 of 8 replies .* \| 4 \| 1 \| 0 \|", rest)


def test_a_seed_that_changes_nothing_is_not_called_a_narrow_spread(tmp_path: Path) -> None:
    run = several_seeds()
    assert run.sheet is not None
    means = [
        one.model_copy(
            update={
                "metrics": [
                    m.model_copy(update={"by_training": [m.value] * 3}) for m in one.metrics
                ]
            }
        )
        if one.label == LOGISTIC.label
        else one
        for one in run.sheet.means
    ]
    run = replace(run, sheet=run.sheet.model_copy(update={"means": means}))
    text = markdown(document_of(write_study(tmp_path, {"mri": (row_of("mri", run), run)})))
    (row,) = [
        line
        for line in text.splitlines()
        if "[plaintext\\[logistic\\]](" in line
        and "trainings" not in line
        and "every training" in line
    ]
    assert row.count("the same in every training") == 2


def test_a_smoke_run_says_so_and_settings_are_told(tmp_path: Path) -> None:
    run = two_classes()
    run = replace(run, manifest=run.manifest.model_copy(update={"profile": "smoke"}))
    text = markdown(document_of(write_study(tmp_path, {"chest": (row_of("chest", run), run)})))
    assert text.count("smoke run: few images") == 3
    assert "(test images: Set chest 680)" in text
    for name in ("Image size", "Epochs", "Machine", "Patients"):
        assert f"| **{name}** |" in text
