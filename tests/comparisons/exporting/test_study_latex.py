"""A study as LaTeX: booktabs, intervals, the digest in a comment, and nothing that is a command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.study.study_view import read_study
from he_compare.comparisons.cli import app
from he_compare.comparisons.exporting.latex_text import latex_escaped
from he_compare.comparisons.exporting.study_latex import study_latex, write_study_latex
from tests.support.samplerun.first_pages import BLOCKS, HEAD, two_classes
from tests.support.samplestudy import row_of, sample_study, write_study


def test_tables_have_a_row_per_protection_and_name_the_study(tmp_path: Path) -> None:
    study = read_study(sample_study(tmp_path))
    text = study_latex(study)
    comments = [line for line in text.splitlines() if line.startswith("%")]
    assert f"% study {study.record.digest}" in comments
    assert any(line.startswith("% chest: plan ") and "scores none" not in line for line in comments)
    assert any(line.startswith("% ultrasound: ") for line in comments)
    for kind in ("accuracy-scores", "accuracy", "auc-scores", "auc", "attacks"):
        assert rf"\label{{tab:study-{kind}-1}}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 10
    score, row, *_ = [line for line in text.splitlines() if line.startswith("fhe{-}head &")]
    # Five data sets are two tables; the first has four.
    assert row.count("&") == 4 and len(re.findall(r"\[\$", row)) == 3
    found = re.findall(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", score)
    assert score.count("&") == 4 and len(found) == 3
    assert "resists what ran" in text and "broken" in text


def test_scores_have_the_twins_and_the_number_of_test_images(tmp_path: Path) -> None:
    folder = write_study(tmp_path, {"chest": (row_of("chest", two_classes()), two_classes())})
    study = read_study(folder)
    lines = study_latex(study).splitlines()
    view = study.sets[0].view
    assert view is not None
    twins = {one.planned.twin for one in view.pipelines if one.planned.twin}
    found = [line for line in lines if any(line.startswith(latex_escaped(t) + " &") for t in twins)]
    assert len(found) >= 2 * len(twins)
    images = f"Test images: {study.sets[0].title} {view.n_test:,}."
    assert sum(images in line for line in lines) == 2


def test_names_cannot_be_commands(tmp_path: Path) -> None:
    hostile = "a\n\\input{x} % $ & {"
    rows = {"chest": (row_of("chest", two_classes(), title=hostile), two_classes())}
    folder = write_study(tmp_path, rows)
    folder.write(folder.record().model_copy(update={"title": hostile}))
    text = study_latex(read_study(folder))
    lines = [line for line in text.splitlines() if "input" in line]
    assert any(line.startswith("%") for line in lines) and "\nput" not in text
    assert all(line.startswith("%") or r"\textbackslash{}input" in line for line in lines)


def test_a_file_is_written_and_anything_else_refused(tmp_path: Path) -> None:
    study = read_study(sample_study(tmp_path / "study"))
    out = write_study_latex(study, tmp_path / "paper" / "study.tex")
    assert out.read_text() == study_latex(study)
    with pytest.raises(UsageError, match=r"ends in .tex"):
        write_study_latex(study, tmp_path / "study.txt")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_study_latex(study, blocked / "study.tex")


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_study(tmp_path / "study")
    out = tmp_path / "study.tex"
    for words, code in ((["--latex"], 0), ([], 2)):
        given = ["study", "export", str(tmp_path / "study"), "--out", str(out), *words]
        monkeypatch.setattr(sys, "argv", ["compare", *given])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert (stop.value.code or 0) == code
    text = out.read_text()
    assert HEAD.label.replace("-", "{-}") in text and BLOCKS.label.partition("[")[0][:5] in text


def test_equal_answers_have_exact_limits_and_an_equal_auc_has_none(tmp_path: Path) -> None:
    folder = write_study(tmp_path, {"chest": (row_of("chest", two_classes()), two_classes())})
    told = ["2025-03-02T10:00:00+00:00: margin accuracy is 0.2, it was 0.03"]
    folder.write(folder.record().model_copy(update={"accepted": told}))
    text = study_latex(read_study(folder))
    rows = [line for line in text.splitlines() if line.startswith("fhe{-}head &") and "$" in line]
    assert "$0.000$ [$-0.005$, $+0.005$] (680 of 680 answers equal)" in rows[0]
    assert "$0.000$ (equal on these images)" in rows[1]
    assert text.count("The margin was changed after the study had begun.") == 2
