"""From run folder to files: every run renders, every misuse gives one line with the fix."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.run.store import PICTURES, RunFolder
from he_compare.common.run.stored_arrays import save_arrays
from he_compare.common.types import Status
from he_compare.reports import FORMATS
from he_compare.reports.build import build_document, write_report
from he_compare.reports.render.markdown import markdown
from tests.support.repository import ROOT
from tests.support.samplerun import (
    FHE,
    PLAIN,
    SCRAMBLE,
    SampleRun,
    audited,
    build,
    ten_pipelines,
    three_pipelines,
)


def _report(run: SampleRun, path: Path) -> str:
    files = write_report(run.write(path), ["md", "pdf"])
    assert [file.name for file in files] == ["report.md", "report.pdf"]
    return files[0].read_text(encoding="utf-8")


def test_reports_are_written_into_the_run_by_default(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path / "run")
    files = write_report(run, ["md", "pdf"])
    assert files == [run / "report" / "report.md", run / "report" / "report.pdf"]
    assert all(file.stat().st_size > 10_000 for file in files)


def test_another_folder_can_be_named(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path / "run")
    assert write_report(run, ["md"], tmp_path / "out") == [tmp_path / "out" / "report.md"]
    assert not (run / "report").exists()


def test_equal_runs_give_equal_documents(tmp_path: Path) -> None:
    first = build_document(RunFolder(ten_pipelines().write(tmp_path / "a")))
    second = build_document(RunFolder(ten_pipelines().write(tmp_path / "b")))
    assert first == second


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path / "run")
    with pytest.raises(UsageError, match=r"'pfd'.*did you mean pdf.*md, html, pdf, json"):
        write_report(run, ["pfd"])
    with pytest.raises(UsageError, match="no report format"):
        write_report(run, [])
    assert not (run / "report").exists()


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path / "run")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot write the report.*--out"):
        write_report(run, ["md"], blocked / "report")


def test_a_folder_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        write_report(tmp_path, ["md"])


def test_a_run_of_one_pipeline_renders(tmp_path: Path) -> None:
    run = build((PLAIN,), classes=("a", "b"), n=40, untrained=False, rounds=1)
    text = _report(run, tmp_path)
    assert "Paired differences" not in text
    assert "| No protection: plaintext |" in text


def test_a_run_without_scores_says_so(tmp_path: Path) -> None:
    text = _report(replace(three_pipelines(), sheet=None), tmp_path)
    assert "No pipeline was scored" in text
    assert "`compare score` computes" in text.replace("\\", "")


def test_a_run_in_which_all_failed_renders(tmp_path: Path) -> None:
    kinds = (
        replace(PLAIN, status=Status.FAILED, reason="out of memory"),
        replace(FHE, status=Status.UNAVAILABLE, reason="no wheel here"),
    )
    run = build(kinds, classes=("a", "b"), n=40, untrained=True, rounds=1)
    text = _report(replace(run, sheet=None), tmp_path)
    assert "failed (accuracy): out of memory" in text
    assert "unavailable (accuracy): no wheel here" in text
    assert "**Encryption gave no result.**" in text


def test_a_planned_pipeline_without_records_keeps_its_row(tmp_path: Path) -> None:
    run = three_pipelines()
    kept = tuple(record for record in run.records if record.cell.label != "fhe-head")
    text = _report(replace(run, records=kept), tmp_path)
    assert "not run: the run folder holds no record of it" in text


def test_a_run_without_pictures_renders(tmp_path: Path) -> None:
    text = _report(replace(three_pipelines(), pictures={}), tmp_path)
    assert "The run stored no sample pictures." in text


def test_pictures_of_another_shape_are_an_integrity_error(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path)
    save_arrays(run / PICTURES, {"original": np.zeros((2, 4, 4), np.uint8)})
    with pytest.raises(IntegrityError, match=PICTURES):
        write_report(run, ["md"])


def test_hostile_names_stay_text_in_both_formats(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)> | $x$ `y` [z](http://e)\n# h \u202e שלום"
    run = build(
        (PLAIN, replace(FHE, label=evil, claim="heuristic", parameters=(("cipher", evil),))),
        classes=(evil, "b|c"),
        n=40,
        untrained=False,
        rounds=1,
    )
    card = run.manifest.dataset.card.model_copy(update={"title": evil, "caveats": [evil]})
    dataset = run.manifest.dataset.model_copy(update={"card": card})
    manifest = run.manifest.model_copy(update={"dataset": dataset})
    text = _report(replace(run, manifest=manifest), tmp_path)
    assert "<img" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("# h") for line in text.splitlines())
    assert "$x$" not in text.replace(r"\$", "")


def test_every_figure_has_alternative_text_and_names_its_pipelines(tmp_path: Path) -> None:
    document = build_document(RunFolder(ten_pipelines().write(tmp_path)))
    figures = document.figures()
    named = {figure.name: figure for figure in figures}
    assert {"holders", "time-by-place", "accuracy"} <= set(named)
    assert [plate.name for plate in document.plates()] == ["pictures-sent"]
    assert all(one.alt for one in (*figures, *document.plates()))
    assert "Differences to the twin" in named["accuracy"].alt
    assert "fhe-head" in named["accuracy"].alt and "plaintext" in named["holders"].alt


def test_a_page_of_an_audited_run_keeps_below_the_size_a_mail_takes(tmp_path: Path) -> None:
    (page,) = write_report(audited().write(tmp_path), ["html"])
    assert page.stat().st_size < 1_500_000
    text = page.read_text(encoding="utf-8")
    held = re.findall(r'<image id="(picture-[0-9a-f]+)"', text)
    used = re.findall(r'<use href="#(picture-[0-9a-f]+)"/>', text)
    assert len(held) == len(set(held)) < len(used)
    assert set(used) == set(held)


def test_rendering_does_not_import_torch_or_the_other_floors(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path)
    script = (
        "import sys, pathlib; from he_compare.reports import write_report; "
        "write_report(pathlib.Path(sys.argv[1]), ['md', 'html', 'pdf', 'json']); "
        "floors = {f'he_compare.{name}' for name in "
        "('comparisons', 'block_scramble', 'fhe_baseline')}; "
        "bad = (floors | {'torch', 'tenseal', 'sklearn', 'matplotlib.pyplot'}) & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(run)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_reports_import_common_only() -> None:
    ours = {"block_scramble", "fhe_baseline", "comparisons"}
    for file in (ROOT / "reports").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not ours & {name.partition(".")[0] for name in names}, file


def test_markdown_names_no_machine_path(tmp_path: Path) -> None:
    run = three_pipelines().write(tmp_path)
    assert str(tmp_path) not in markdown(build_document(RunFolder(run)))


def test_twelve_pipelines_with_hostile_names_come_out_in_every_format(tmp_path: Path) -> None:
    """Markup, a line break, right-to-left letters and a direction override in every label."""
    kinds = [
        replace(
            SCRAMBLE, label=f"{i} <script>alert({i})</script>|`*_[x](y)\nשלום\u202e#panic()" * 2
        )
        for i in range(12)
    ]
    run = build(tuple(kinds), classes=("<b>a", "שלום"), n=60, untrained=False, rounds=1)
    paths = write_report(run.write(tmp_path / "run"), list(FORMATS))
    assert [path.name for path in paths] == [f"report.{name}" for name in FORMATS]
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "\u202e" not in page
    for drawing in (tmp_path / "run" / "report" / "figures").glob("*.svg"):
        assert ElementTree.fromstring(drawing.read_bytes()).tag.endswith("svg")


def test_equal_audited_runs_give_equal_bytes_in_every_format(tmp_path: Path) -> None:
    """Pictures beside the Markdown included; two processes, so that no order is inherited."""
    run = audited().write(tmp_path / "run")
    script = "import sys, pathlib; from he_compare.reports import FORMATS, write_report; " + (
        "write_report(pathlib.Path(sys.argv[1]), list(FORMATS), pathlib.Path(sys.argv[2]))"
    )
    for name, seed in (("a", "1"), ("b", "2")):
        subprocess.run(
            [sys.executable, "-c", script, str(run), str(tmp_path / name)],
            cwd=ROOT,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 60
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_all_formats_take_less_than_five_seconds(tmp_path: Path) -> None:
    """Processor time, so that a busy machine does not fail the test."""
    run = ten_pipelines().write(tmp_path)
    begun = time.process_time()
    write_report(run, list(FORMATS))
    assert time.process_time() - begun < 5
