"""LaTeX of a run: every number is a macro, names cannot be commands, and the document compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.run.spelling import fixed
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.comparisons.exporting.latex import macros_of, write_latex
from he_compare.comparisons.exporting.latex_text import latex_escaped, macro_words
from he_compare.comparisons.judging.scoring import score_run
from tests.support.samplerun import FHE, PLAIN, SCRAMBLE, SampleRun, audited, build, ten_pipelines

HOSTILE = (
    r"\input{/etc/passwd} $x^2_i$ 100% & #1 ~ {a} <b> |c| \"d\" `e' -- ---",
    "胸部X線 صور الصدر \u202e é ⟨tag⟩ \x07 \n\\end{table}",
    "fhe-head",
)


def _view(run: SampleRun, path: Path) -> RunView:
    folder = RunFolder(run.write(path))
    score_run(folder)
    return read_run(folder)


def _hostile(path: Path) -> RunView:
    kinds = [
        replace(kind, label=name)
        for kind, name in zip((PLAIN, SCRAMBLE, FHE), HOSTILE, strict=True)
    ]
    run = build(tuple(kinds), classes=("a", "b"), n=40, untrained=False, rounds=1)
    card = run.manifest.dataset.card.model_copy(update={"title": HOSTILE[0]})
    dataset = run.manifest.dataset.model_copy(update={"card": card})
    return _view(replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset})), path)


def test_every_number_has_a_macro_that_says_what_was_measured(tmp_path: Path) -> None:
    view = _view(audited(), tmp_path / "run")
    (path,) = write_latex(view, view.pipelines, tmp_path / "paper.tex")
    text = path.read_text()
    head = view.by_label["fhe-head"]
    found = dict(re.findall(r"\\newcommand\{\\(\w+)\}\{(.*)\}", text))
    assert found["compareFheHeadAccuracy"] == fixed(head.value("accuracy") or 0.0)
    minus = head.difference("accuracy")
    assert minus is not None and minus.difference is not None and minus.interval is not None
    assert float(found["compareFheHeadMinusTwinAccuracy"]) == round(minus.difference, 3)
    assert float(found["compareFheHeadMinusTwinAccuracyLow"]) == round(minus.interval.low, 3)
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in found.values())
    used = set(re.findall(r"\\num\{\\(\w+)\}", text))
    assert used <= set(found) and "compareFheHeadMinusTwinAucHigh" in used
    # The unprotected twins have no difference, and so no macro to name by mistake.
    assert "comparePlaintextMinusTwinAccuracy" not in found


def test_two_pipelines_never_share_a_macro(tmp_path: Path) -> None:
    labels = ("a-b", "a_b", "胸部", "הצדר", "a b minus twin")
    kinds = tuple(replace(PLAIN, label=label) for label in labels)
    run = build(kinds, classes=("a", "b"), n=40, untrained=False, rounds=1)
    macros = macros_of(view := _view(run, tmp_path), view.pipelines, "compare")
    names = [one.stem + name for one in macros for name in one.values]
    assert len(names) == len(set(names)) and all(name.isalpha() for name in names)


def test_names_are_printed_and_never_run() -> None:
    assert latex_escaped("a_b & 5%") == r"a\_b \& 5\%"
    assert latex_escaped("\\x{") == r"\textbackslash{}x\{"
    assert latex_escaped("é 医") == "é {[}U+533B{]}"
    assert macro_words("fhe-tfhe[n_bits=8]") == "FheTfheNBitsEight"


def test_a_prefix_that_is_no_macro_is_refused(tmp_path: Path) -> None:
    view = _view(build((PLAIN,), classes=("a", "b"), n=40, untrained=False, rounds=1), tmp_path)
    with pytest.raises(UsageError, match="letters from A to Z"):
        write_latex(view, view.pipelines, tmp_path / "x.tex", "run_1")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here")
@pytest.mark.parametrize("name", ["audited", "ten", "hostile"])
def test_the_document_compiles_without_an_error(name: str, tmp_path: Path) -> None:
    made = {"audited": audited, "ten": ten_pipelines}
    view = _hostile(tmp_path / "r") if name == "hostile" else _view(made[name](), tmp_path / "r")
    folder = tmp_path / "paper"
    write_latex(view, view.pipelines, folder)
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "example.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    if re.search(r"File `\w+\.sty' not found", done.stdout):
        pytest.skip("this TeX has no booktabs or siunitx: install texlive-science")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "example.pdf").stat().st_size > 1000
    assert "Missing character" not in (folder / "example.log").read_text(errors="replace")
